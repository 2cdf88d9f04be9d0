package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// indexView is an index as the API shows it, members in Meilisearch's order.
type indexView struct {
	UID        string  `json:"uid"`
	CreatedAt  string  `json:"createdAt"`
	UpdatedAt  string  `json:"updatedAt"`
	PrimaryKey *string `json:"primaryKey"`
}

func viewOfIndex(uid string, ix *fsm.Index) indexView {
	view := indexView{UID: uid, CreatedAt: formatTime(ix.CreatedAt), UpdatedAt: formatTime(ix.UpdatedAt)}
	if ix.PrimaryKey != "" || ix.EmptyKey {
		view.PrimaryKey = &ix.PrimaryKey
	}
	return view
}

func formatTime(t time.Time) string { return meili.FormatTime(t.UTC()) }

func (s *Server) handleListIndexes(w http.ResponseWriter, r *request) error {
	page, problem := meili.DecodePage(r.URL.RawQuery, meili.CodeInvalidIndexOffset, meili.CodeInvalidIndexLimit)
	if problem != nil {
		return problem
	}
	var uids []string
	for uid := range r.View.Names {
		if r.Grant.IndexAllowed(uid) {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	from, to := page.Of(len(uids))
	results := []indexView{}
	for _, uid := range uids[from:to] {
		results = append(results, viewOfIndex(uid, r.View.Index(uid)))
	}
	writeJSON(w, http.StatusOK, struct {
		Results []indexView `json:"results"`
		Offset  int         `json:"offset"`
		Limit   int         `json:"limit"`
		Total   int         `json:"total"`
	}{results, page.Offset, page.Limit, len(uids)})
	return nil
}

func (s *Server) handleGetIndex(w http.ResponseWriter, r *request) error {
	if _, err := s.pinSession(r, r.uid()); err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	writeJSON(w, http.StatusOK, viewOfIndex(r.uid(), ix))
	return nil
}

func (s *Server) handleCreateIndex(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	create, problem := meili.DecodeIndexCreate(body)
	if problem != nil {
		return problem
	}
	if !r.Grant.IndexAllowed(create.UID) {
		return indexForbidden()
	}
	done, err := s.writer.submit(r.Context(), proposeIndex(create), create.UID)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

func indexForbidden() *meili.Error {
	return meili.Errorf(meili.CodeInvalidAPIKey, "The provided API key is invalid.")
}

func proposeIndex(create *meili.IndexCreate) proposer {
	return func(view *fsm.View, ix *fsm.Index) (*proposal, error) {
		begin := fsm.BeginWrite{Kind: string(meili.TaskIndexCreation), IndexUID: &create.UID, Details: primaryKeyDetails(create.PrimaryKey)}
		if ix != nil {
			return failed(begin, indexExists(create.UID), nil), nil
		}
		begin.Effect = fsm.Effect{CreateIndex: true, PrimaryKey: create.PrimaryKey}
		primaryKey := ""
		if create.PrimaryKey != nil {
			primaryKey = *create.PrimaryKey
		}
		return indexProposal(begin, tasks.Request{Create: createIndex(primaryKey, cutsUp(view))}), nil
	}
}

// createIndex is what makes an index on a node: with Miroir's rule, that of an index which is cut up or which lives whole.
func createIndex(primaryKey string, cutUp bool) *tasks.Create {
	create := &tasks.Create{PrimaryKey: primaryKey, Settings: settingsForNode(nil, nil)}
	if cutUp {
		create.Settings = settingsForSpread(nil, nil)
	}
	return create
}

// cutsUp reports that an index made now is cut up from its beginning.
func cutsUp(view *fsm.View) bool {
	return view.Config.Spread != fsm.SpreadAuto && view.Config.Shards > 1
}

// indexProposal is a write that sends every node the same and no documents.
func indexProposal(begin fsm.BeginWrite, request tasks.Request) *proposal {
	begin.Request = request.JSON()
	return &proposal{begin: begin, steps: func(begun *fsm.BeginWriteResult, _ fsm.Target, _ fsm.WriteID) []step {
		return stepsOf(request.NodeRequests(begun.Index.NodeUID, begun.Created))
	}}
}

func indexExists(uid string) *meili.Error {
	return meili.Errorf(meili.CodeIndexAlreadyExists, "Index `%s` already exists.", uid)
}

func primaryKeyDetails(primaryKey *string) json.RawMessage {
	d := meili.TaskDetails{PrimaryKey: optional(primaryKey)}
	return d.JSON()
}

func optional(text *string) meili.Setting[string] {
	if text == nil {
		return meili.ResetTo[string]()
	}
	return meili.SetTo(*text)
}

func (s *Server) handleUpdateIndex(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	update, problem := meili.DecodeIndexUpdate(body)
	if problem != nil && problem.Code == meili.CodeInvalidIndexUID { // the new name, after which the other is looked at first
		if err := r.checkUID(); err != nil {
			return err
		}
	}
	if problem != nil {
		return problem
	}
	u := &indexUpdate{uid: r.uid(), update: update}
	names := []string{u.uid}
	if u.renames() {
		if !r.Grant.IndexAllowed(*update.UID) {
			return indexForbidden()
		}
		names = append(names, *update.UID)
	}
	done, err := s.writer.submit(r.Context(), u.propose, names...)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

// indexUpdate sets an index's primary key, which its nodes must agree to, or its name, which touches no node, or both.
type indexUpdate struct {
	uid    string
	update *meili.IndexUpdate
}

func (u *indexUpdate) renames() bool { return u.update.UID != nil && *u.update.UID != u.uid }

func (u *indexUpdate) details() json.RawMessage {
	d := meili.TaskDetails{PrimaryKey: optional(u.update.PrimaryKey)}
	if u.update.UID != nil {
		d.OldIndexUID, d.NewIndexUID = &u.uid, u.update.UID
	}
	return d.JSON()
}

func (u *indexUpdate) propose(v *fsm.View, ix *fsm.Index) (*proposal, error) {
	begin := fsm.BeginWrite{Kind: string(meili.TaskIndexUpdate), IndexUID: &u.uid, Details: u.details()}
	if u.renames() {
		begin.Effect.Swaps = []fsm.Swap{{A: u.uid, B: *u.update.UID, Rename: true}}
	}
	if ix == nil {
		return failed(begin, meili.IndexNotFound(u.uid), nil), nil
	}
	if u.renames() && v.Route(*u.update.UID) != nil {
		return failed(begin, indexExists(*u.update.UID), nil), nil
	}
	if u.update.PrimaryKey == nil {
		begin.Outcome = &fsm.Outcome{Status: fsm.StatusSucceeded}
		return &proposal{begin: begin}, nil
	}
	begin.Effect.PrimaryKey = u.update.PrimaryKey
	return indexProposal(begin, tasks.Request{PrimaryKey: u.update.PrimaryKey}), nil
}

func (s *Server) handleDeleteIndex(w http.ResponseWriter, r *request) error {
	uid := r.uid()
	propose := func(_ *fsm.View, ix *fsm.Index) (*proposal, error) {
		uncounted, none := meili.TaskDetails{DeletedDocuments: meili.NotCounted()}, meili.TaskDetails{DeletedDocuments: meili.CountOf(0)}
		begin := fsm.BeginWrite{Kind: string(meili.TaskIndexDeletion), IndexUID: &uid, Details: uncounted.JSON()}
		if ix == nil {
			return failed(begin, meili.IndexNotFound(uid), none.JSON()), nil
		}
		begin.Effect.DeleteIndex = true
		return indexProposal(begin, tasks.Request{Delete: true}), nil
	}
	done, err := s.writer.submit(r.Context(), propose, uid)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

func (s *Server) handleSwapIndexes(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	swaps, problem := meili.DecodeSwap(body)
	if problem != nil {
		return problem
	}
	var names []string
	for _, swap := range swaps {
		for _, uid := range swap.Indexes {
			if !r.Grant.IndexAllowed(uid) {
				return indexForbidden()
			}
			names = append(names, uid)
		}
	}
	if problem := meili.CheckSwaps(swaps); problem != nil {
		return problem
	}
	done, err := s.writer.submit(r.Context(), proposeSwap(swaps), names...)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

// proposeSwap flips names in the replicated state; no node takes part.
func proposeSwap(swaps []meili.Swap) proposer {
	return func(v *fsm.View, _ *fsm.Index) (*proposal, error) {
		begin := fsm.BeginWrite{Kind: string(meili.TaskIndexSwap), Details: swapDetails(swaps)}
		var missing []string
		var taken [][2]string
		for _, swap := range swaps {
			begin.Effect.Swaps = append(begin.Effect.Swaps, fsm.Swap{A: swap.Indexes[0], B: swap.Indexes[1], Rename: swap.Rename})
			if v.Route(swap.Indexes[0]) == nil {
				missing = append(missing, swap.Indexes[0])
			}
			switch target := v.Route(swap.Indexes[1]); {
			case target == nil && !swap.Rename:
				missing = append(missing, swap.Indexes[1])
			case target != nil && swap.Rename:
				taken = append(taken, swap.Indexes)
			}
		}
		if problem := meili.SwapsNotFound(missing); problem != nil {
			return failed(begin, problem, nil), nil
		}
		if problem := meili.SwapsFound(taken); problem != nil {
			return failed(begin, problem, nil), nil
		}
		begin.Outcome = &fsm.Outcome{Status: fsm.StatusSucceeded}
		return &proposal{begin: begin}, nil
	}
}

func swapDetails(swaps []meili.Swap) json.RawMessage {
	d := meili.TaskDetails{Swaps: []meili.TaskSwap{}}
	for _, swap := range swaps {
		d.Swaps = append(d.Swaps, meili.TaskSwap(swap))
	}
	return d.JSON()
}
