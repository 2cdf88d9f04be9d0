package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

func (s *Server) handleAddDocuments(w http.ResponseWriter, r *request) error {
	return s.addDocuments(w, r, http.MethodPost)
}

func (s *Server) handleUpdateDocuments(w http.ResponseWriter, r *request) error {
	return s.addDocuments(w, r, http.MethodPut)
}

// addition is one POST or PUT of documents.
type addition struct {
	writer    *writer
	method    string
	uid       string
	params    *meili.AddDocumentsParams
	mayCreate bool
	cutsUp    bool // an index that it makes is cut up
	batch     *batch
	asked     askedInsertions
	numbers   numbering // set when it has begun
}

func (s *Server) addDocuments(w http.ResponseWriter, r *request, method string) error {
	params, problem := meili.DecodeAddDocumentsParams(r.URL.RawQuery)
	if problem != nil {
		return problem
	}
	if err := r.checkUID(); err != nil {
		return err
	}
	kind, problem := meili.PayloadKindOf(r.Header)
	if problem != nil {
		return problem
	}
	if problem := meili.CheckCSVDelimiter(kind, params.CSVDelimiter); problem != nil {
		return problem
	}
	a := &addition{writer: s.writer, method: method, uid: r.uid(), params: params, mayCreate: r.Grant.CanCreateIndex(r.uid())}
	delimiter := byte(0)
	if params.CSVDelimiter != nil {
		delimiter = *params.CSVDelimiter
	}
	// The payload is split before the index is locked, so that a slow client holds up nobody; propose splits it
	// again in the rare case that the state it was split for has changed by then.
	var err error
	a.batch, err = s.writer.splitPayload(kind, delimiter, r.Body, a.plan(r.View, r.View.Route(a.uid)))
	if err != nil {
		return err
	}
	defer func() { a.batch.close() }()
	if a.batch.vectorless {
		if err := a.checkVectors(r.Context()); err != nil {
			return err
		}
	}
	a.asked = s.writer.insertions.ask(r.Context(), a.uid, a.batch.primaryKey, a.batch.ids)
	done, err := s.writer.submit(r.Context(), a.propose, a.uid)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

// plan is how the batch must be split for an index as the end of the log has it.
func (a *addition) plan(v *fsm.View, ix *fsm.Index) splitPlan {
	plan := splitPlan{indexUID: a.uid, shards: max(v.Config.Shards, 1)}
	if ix != nil {
		plan.shards, plan.primaryKey, plan.emptyKey, plan.settings = ix.Shards, ix.NextPrimaryKey, ix.NextEmptyKey, ix.NextSettings
		plan.nodesJudge = a.params.SkipCreation && ix.Whole()
	}
	if plan.primaryKey == "" && !plan.emptyKey && a.params.PrimaryKey != nil {
		plan.primaryKey, plan.emptyKey = *a.params.PrimaryKey, *a.params.PrimaryKey == ""
	}
	return plan
}

func (a *addition) propose(v *fsm.View, ix *fsm.Index) (*proposal, error) {
	begin := fsm.BeginWrite{Kind: string(meili.TaskDocumentAdditionOrUpdate), IndexUID: &a.uid, CustomMetadata: a.params.CustomMetadata}
	if plan := a.plan(v, ix); !a.batch.fits(plan) {
		var err error
		if a.batch, err = a.writer.resplit(a.batch, plan); err != nil {
			return nil, err
		}
	}
	a.cutsUp = cutsUp(v)
	switch failure := a.failure(ix); {
	case ix == nil && !a.mayCreate:
		return failed(begin, meili.IndexNotFound(a.uid), a.finished(0)), nil
	case failure != nil && ix != nil:
		return failed(begin, failure, a.finished(0)), nil
	case failure != nil:
		return a.createOnly(begin, failure), nil
	case a.batch.received == 0:
		return a.empty(begin, ix), nil
	}
	return a.full(begin, ix), nil
}

// failure is the error a single server's task would fail with.
func (a *addition) failure(ix *fsm.Index) *meili.Error {
	hasKey := ix != nil && (ix.NextPrimaryKey != "" || ix.NextEmptyKey)
	if hasKey && a.params.PrimaryKey != nil && !ix.NextHasKey(*a.params.PrimaryKey) && a.batch.received > 0 {
		return meili.Errorf(meili.CodeIndexPrimaryKeyAlreadyExists, "Index already has a primary key: `%s`.", ix.NextPrimaryKey)
	}
	return a.batch.failure
}

// full is the ordinary case: every target gets the documents of its shards.
func (a *addition) full(begin fsm.BeginWrite, ix *fsm.Index) *proposal {
	note := tasks.Note{}
	if !a.params.SkipCreation { // which documents exist is known to the nodes only
		distinct := uint64(a.batch.distinct)
		note.DistinctIDs = &distinct
	}
	begin.Details = tasks.WithNote(a.enqueued(), note)
	begin.Effect.PrimaryKey = &a.batch.primaryKey
	if ix != nil {
		begin.Shards = a.batch.shards()
	}
	return a.proposal(begin, ix)
}

// proposal adds the creation of the index, which every node of it has to do, and what the nodes get.
func (a *addition) proposal(begin fsm.BeginWrite, ix *fsm.Index) *proposal {
	request := tasks.Request{}
	// Should the task fail that creates the index, this one does: nodes make an index of documents that they are sent.
	begin.Effect.CreateIndex = ix != nil && !ix.Visible && a.mayCreate
	if ix == nil {
		begin.Effect.CreateIndex = true
		request.Create = createIndex(a.batch.primaryKey, a.cutsUp)
		request.Shards = a.batch.shards()
		begin.Request = request.JSON()
	}
	kept := a.writer.insertions.of(a.asked, ix, a.batch.ids)
	return &proposal{begin: begin, begun: func(begun *fsm.BeginWriteResult) { a.number(begun, kept) }, touched: a.touched, steps: func(begun *fsm.BeginWriteResult, t fsm.Target, write fsm.WriteID) []step {
		return a.steps(request, begun, t, write)
	}}
}

// number gives the documents their numbers, those that were inserted before their old ones.
func (a *addition) number(begun *fsm.BeginWriteResult, kept map[string]string) {
	a.numbers = numberingOf(begun.Index, begun.TaskUID, a.batch.docs.numDocuments)
	a.writer.insertions.number(&a.numbers, begun, a.batch.ids, kept)
}

// touched notes the documents of the batch.
func (a *addition) touched(watch *tasks.WriteWatch) error {
	if a.batch.received == 0 {
		return nil
	}
	return a.batch.docs.each(func(document []byte) error {
		id, problem := meili.DocumentID(document, a.batch.primaryKey)
		if problem != nil {
			return problem
		}
		watch.NoteID(id)
		return nil
	})
}

// createOnly is a batch that fails as a whole but still creates its index, without a primary key.
func (a *addition) createOnly(begin fsm.BeginWrite, failure *meili.Error) *proposal {
	text, _ := marshal(failure) // strings always marshal
	begin.Details = tasks.WithNote(a.enqueued(), tasks.Note{Error: text})
	begin.Effect.CreateIndex = true
	return indexProposal(begin, tasks.Request{Create: createIndex("", a.cutsUp)})
}

// empty is a payload without documents. It succeeds at once, unless it creates the index or gives it a primary key.
func (a *addition) empty(begin fsm.BeginWrite, ix *fsm.Index) *proposal {
	if ix != nil && (a.params.PrimaryKey == nil || ix.NextPrimaryKey != "" || ix.NextEmptyKey) { // the key stays, also if another one is named
		begin.Outcome = &fsm.Outcome{Status: fsm.StatusSucceeded, Details: a.finished(0)}
		return &proposal{begin: begin}
	}
	var none uint64
	begin.Effect.PrimaryKey = a.params.PrimaryKey
	begin.Details = tasks.WithNote(a.enqueued(), tasks.Note{DistinctIDs: &none})
	return a.proposal(begin, ix)
}

// steps are what one node gets: the index, if the write creates it, and the documents of its shards, if there are any.
func (a *addition) steps(request tasks.Request, begun *fsm.BeginWriteResult, t fsm.Target, write fsm.WriteID) []step {
	infers := a.infers(t)
	if infers && request.Create != nil {
		keyless := *request.Create
		keyless.PrimaryKey = ""
		request.Create = &keyless
	}
	steps := stepsOf(request.NodeRequests(begun.Index.NodeUID, begun.Created))
	if a.batch.docs.documentsOf(t.Shards) == 0 && a.batch.received > 0 && begun.Created {
		return steps
	}
	return append(steps, step{marked: true, request: a.request(begun, t, write, infers)})
}

// infers reports that the node will find the batch's primary key by itself, as one server does. It must then not be told: a key that is
// named becomes the first field of every document, one that is found stays where the first document has it. A node whose own
// first document has no candidate or several is told.
func (a *addition) infers(t fsm.Target) bool {
	if a.batch.plan.primaryKey != "" || a.batch.primaryKey == "" {
		return false
	}
	first, err := a.batch.docs.first(t.Shards)
	if err != nil || first == nil {
		return false
	}
	key, problem := meili.InferPrimaryKey(first)
	return problem == nil && key == a.batch.primaryKey
}

func (a *addition) request(begun *fsm.BeginWriteResult, t fsm.Target, write fsm.WriteID, infers bool) node.Request {
	query := url.Values{"customMetadata": {string(write)}}
	if a.batch.primaryKey != "" && !infers {
		query.Set("primaryKey", a.batch.primaryKey)
	}
	if a.params.SkipCreation {
		query.Set("skipCreation", "true")
	}
	request := node.Request{Method: a.method, Path: indexPath(begun.Index.NodeUID) + "/documents", Query: query, ContentType: "application/x-ndjson"}
	docs := a.batch.docs
	if docs.documentsOf(t.Shards) == 0 {
		request.Body, request.ContentType = []byte("[]"), "application/json"
		return request
	}
	numbers := a.numbers
	request.GetBody = func() (io.ReadCloser, error) { return docs.reader(t.Shards, numbers), nil }
	request.BodyBytes = docs.bytesOf(t.Shards, numbers)
	return request
}

func (a *addition) enqueued() json.RawMessage {
	received := uint64(a.batch.received)
	details := meili.TaskDetails{ReceivedDocuments: &received, IndexedDocuments: meili.NotCounted()}
	return details.JSON()
}

func (a *addition) finished(indexed uint64) json.RawMessage {
	received := uint64(a.batch.received)
	details := meili.TaskDetails{ReceivedDocuments: &received, IndexedDocuments: meili.CountOf(indexed)}
	return details.JSON()
}
