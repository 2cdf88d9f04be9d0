package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// parametersFirst checks the parameters of a documents write before its body, as one server does.
func parametersFirst(h handler) handler {
	return func(w http.ResponseWriter, r *request) error {
		if _, refused := meili.DecodeCustomMetadata(r.URL.RawQuery); refused != nil {
			return refused
		}
		return h(w, r)
	}
}

// change is a documents write whose request is small and the same for every target: deletions by filter and edits.
type change struct {
	kind     meili.TaskKind
	uid      string
	metadata *string
	method   string
	path     string // below the index
	// details are the task's, with the count of documents changed.
	details func(count meili.Setting[uint64]) json.RawMessage
	// check finds what a server would fail the task with; nil when there is nothing to check.
	check func(ix *fsm.Index) *meili.Error
	// begun is as in a proposal.
	begun func(begun *fsm.BeginWriteResult)
	body  []byte
	// written is the filter of body, told what nodes of index divided are told in its place, nil for the same; see nodefilter.go.
	written, told json.RawMessage
	divided       fsm.IndexID
	// openFrom is the task from which on a write to the index would make told doubtful, nil for none.
	openFrom *uint32
}

// errOvertaken says that a write came in between that may change what nodes must be told.
var errOvertaken = errors.New("another write was accepted meanwhile")

// translate finds what nodes are to be told for the filter of the body. Where that depends on what documents earlier writes bring,
// these are waited for: as one server they decide what != finds. Those accepted since this began make the answer doubtful, see overtaken.
func (c *change) translate(ctx context.Context, s *Server, deadline time.Time) error {
	from := s.cluster.View().NextTaskUID
	for last := ^uint32(0); ; {
		view, ix, open, err := s.unfinished(c.uid, last)
		if err != nil || ix == nil {
			return err
		}
		c.told, c.divided, c.openFrom = c.written, ix.ID, nil
		if s.equalityFilter(ctx, view, ix, &c.told) {
			return nil
		}
		if open == nil {
			c.openFrom = &from
			return nil
		}
		last = min(last, *open)
		if !sleepUntil(ctx, firstSessionPause, deadline) {
			return c.untold()
		}
	}
}

// untold is the error of a change that would have to wait for too long.
func (c *change) untold() error {
	return miroirError(codeOverloaded, "What a filter with != finds in index `%s` depends on earlier writes, which have not ended in time. Retry later.", c.uid)
}

// overtaken reports that a write to the index was accepted since the filter was translated on which it depends.
func (c *change) overtaken(s *Server, v *fsm.View, ix *fsm.Index) (bool, error) {
	if c.openFrom == nil || *c.openFrom == v.NextTaskUID {
		return false, nil
	}
	const most = 1000
	list, err := s.cluster.Tasks().Tasks(fsm.TaskFilter{}, fsm.TaskPage{From: c.openFrom, Limit: most, Reverse: true})
	return len(list.Tasks) == most || slices.ContainsFunc(list.Tasks, func(t *fsm.Task) bool { return t.Index == ix.ID }), err
}

func (s *Server) submitChange(w http.ResponseWriter, r *request, c *change) error {
	metadata, problem := meili.DecodeCustomMetadata(r.URL.RawQuery)
	if problem != nil {
		return problem
	}
	c.uid, c.metadata = r.uid(), metadata
	for deadline := time.Now().Add(earlierWritesWait); ; {
		if err := c.translate(r.Context(), s, deadline); err != nil {
			return err
		}
		done, err := s.writer.submit(r.Context(), func(v *fsm.View, ix *fsm.Index) (*proposal, error) { return c.propose(s, v, ix) }, c.uid)
		if errors.Is(err, errOvertaken) {
			if time.Now().After(deadline) {
				return c.untold()
			}
			continue
		}
		if err != nil {
			return err
		}
		done.answer(w, http.StatusAccepted)
		return nil
	}
}

func (c *change) propose(s *Server, v *fsm.View, ix *fsm.Index) (*proposal, error) {
	begin := fsm.BeginWrite{Kind: string(c.kind), IndexUID: &c.uid, CustomMetadata: c.metadata, Details: c.details(meili.NotCounted())}
	if ix == nil {
		return failed(begin, meili.IndexNotFound(c.uid), c.details(meili.CountOf(0))), nil
	}
	if c.check != nil {
		if failure := c.check(ix); failure != nil {
			return failed(begin, failure, c.details(meili.CountOf(0))), nil
		}
	}
	if overtaken, err := c.overtaken(s, v, ix); err != nil || overtaken {
		return nil, cmp.Or(err, errOvertaken)
	}
	body := c.body
	if c.told != nil && c.divided == ix.ID {
		body = replaceRaw(body, "filter", c.told)
	}
	return &proposal{begin: begin, begun: c.begun, touched: c.touched, steps: func(begun *fsm.BeginWriteResult, _ fsm.Target, write fsm.WriteID) []step {
		request := node.Request{
			Method: c.method, Path: indexPath(begun.Index.NodeUID) + c.path, Query: url.Values{"customMetadata": {string(write)}}, Body: body,
		}
		if request.Body != nil {
			request.ContentType = "application/json"
		}
		return []step{{marked: true, request: request}}
	}}, nil
}

func (s *Server) handleClearDocuments(w http.ResponseWriter, r *request) error {
	return s.submitChange(w, r, &change{
		kind: meili.TaskDocumentDeletion, method: http.MethodDelete, path: "/documents", begun: s.writer.insertions.noteCleared,
		details: func(count meili.Setting[uint64]) json.RawMessage {
			d := meili.TaskDetails{DeletedDocuments: count}
			return d.JSON()
		},
	})
}

func (s *Server) handleDeleteByFilter(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	raw, problem := meili.DecodeDeleteByFilter(body)
	if problem != nil {
		return problem
	}
	if err := r.checkUID(); err != nil {
		return err
	}
	if raw == nil {
		return meili.Errorf(meili.CodeInvalidDocumentFilter, "Invalid syntax for the filter parameter: `expected String, Array, found: null`.")
	}
	filter, err := localFilter(r.View, raw)
	if err != nil {
		return err
	}
	if filter == nil {
		return meili.EmptyFilter()
	}
	c := &change{
		kind: meili.TaskDocumentDeletion, method: http.MethodPost, path: "/documents/delete", body: body, written: raw,
		check: func(ix *fsm.Index) *meili.Error { return checkFilterable(filter, ix, r.uid()) },
		details: func(count meili.Setting[uint64]) json.RawMessage {
			var provided uint64
			d := meili.TaskDetails{ProvidedIDs: &provided, DeletedDocuments: count, OriginalFilter: meili.SetTo(string(raw))}
			return d.JSON()
		},
	}
	return s.submitChange(w, r, c)
}

// localFilter is documentFilter where _foreign is not known.
func localFilter(view *fsm.View, raw json.RawMessage) (*meili.Filter, error) {
	filter, err := documentFilter(view, raw)
	if err != nil {
		return nil, err
	}
	if problem := meili.CheckLocalFilter(filter); problem != nil {
		return nil, problem
	}
	return filter, nil
}

// documentFilter parses a filter of the documents routes, nil for none. Errors: invalid_document_filter, feature_not_enabled.
func documentFilter(view *fsm.View, raw json.RawMessage) (*meili.Filter, error) {
	filter, problem := meili.ParseFilter(raw)
	if problem != nil {
		return nil, documentFilterProblem(problem)
	}
	if filter == nil {
		return nil, nil
	}
	features, err := featuresOf(view)
	if err != nil {
		return nil, err
	}
	if problem := meili.CheckFilterFeatures(filter, features); problem != nil {
		return nil, problem
	}
	return filter, nil
}

func documentFilterProblem(problem *meili.Error) *meili.Error {
	if problem.Code == meili.CodeInvalidSearchFilter {
		return problem.WithCode(meili.CodeInvalidDocumentFilter)
	}
	return problem
}

// checkFilterable is the error a task fails with whose filter names a field that may not be filtered, nil for none.
func checkFilterable(filter *meili.Filter, ix *fsm.Index, uid string) *meili.Error {
	settings, err := meili.LoadSettings(ix.NextSettings)
	if err != nil {
		return meili.Errorf(meili.CodeInternal, "%s", err.Error())
	}
	if problem := meili.CheckFilterable(filter, settings.Filterable(), uid); problem != nil {
		return documentFilterProblem(problem)
	}
	return nil
}

func (s *Server) handleEditDocuments(w http.ResponseWriter, r *request) error {
	features, err := featuresOf(r.View)
	if err != nil {
		return err
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	edit, problem := meili.DecodeEdit(body)
	if problem != nil {
		return problem
	}
	if !features.EditDocumentsByFunction {
		return meili.Errorf(meili.CodeFeatureNotEnabled, "Using the documents edit route requires enabling the `edit documents by function` experimental feature. See https://github.com/orgs/meilisearch/discussions/762")
	}
	if err := s.checkFunction(r, edit.Function); err != nil {
		return err
	}
	filter, err := localFilter(r.View, edit.Filter)
	known, refused := err.(*meili.Error)
	switch {
	case refused:
		return meili.InIndex(r.uid(), known)
	case err != nil:
		return err
	case filter == nil && edit.Filter != nil:
		return meili.EmptyFilter()
	}
	if problem := edit.CheckContext(); problem != nil {
		return problem
	}
	function := newEditFunction(edit.Function)
	if function.wrappable && s.checkFunction(r, function.text) != nil {
		function = &editFunction{text: edit.Function}
	}
	if function.mayLoseHidden() {
		return miroirError(codeUnsupported, "A function that calls `exit`, or that returns early and has loops or functions of its own, cannot replace `doc` here: set its fields one by one.")
	}
	if body, err = editBody(edit, function.text); err != nil {
		return err
	}
	c := &change{
		kind: meili.TaskDocumentEdition, method: http.MethodPost, path: "/documents/edit", body: body, written: edit.Filter,
		check: func(ix *fsm.Index) *meili.Error {
			if filter == nil {
				return nil
			}
			return checkFilterable(filter, ix, r.uid())
		},
		details: func(count meili.Setting[uint64]) json.RawMessage {
			return tasks.WithNote(editDetails(edit, count), tasks.Note{FunctionAt: function.at})
		},
	}
	return s.submitChange(w, r, c)
}

// checkFunction has a node compile an edit function, so that one it refuses makes no task. The filter sent along is
// malformed and looked at after the function: nothing is enqueued. When no node can be asked the write will find out.
func (s *Server) checkFunction(r *request, function string) error {
	body, err := marshal(map[string]string{"function": function, "filter": "="})
	if err != nil {
		return err
	}
	_, err = s.askAnyNode(r, nil, node.Request{Method: http.MethodPost, Path: indexPath("any") + "/documents/edit", Body: body, ContentType: "application/json"})
	var refused *meili.Error
	if errors.As(err, &refused) && refused.Code == meili.CodeBadRequest {
		return refused
	}
	return nil
}

func editDetails(edit *meili.Edit, count meili.Setting[uint64]) json.RawMessage {
	d := meili.TaskDetails{ // an edition that fails leaves the count of deletions open, as in Meilisearch
		EditedDocuments: count, DeletedDocuments: meili.NotCounted(), Function: &edit.Function,
		OriginalFilter: meili.ResetTo[string](), Context: meili.ResetTo[json.RawMessage](),
	}
	if edit.Filter != nil && string(edit.Filter) != "null" {
		d.OriginalFilter = meili.SetTo(string(edit.Filter))
	}
	if edit.Context != nil && string(edit.Context) != "null" {
		d.Context = meili.SetTo(edit.Context)
	}
	return d.JSON()
}
