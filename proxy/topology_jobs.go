package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// jobView is a background job as operators see it.
type jobView struct {
	ID        string      `json:"id"`
	Type      string      `json:"type"`
	State     string      `json:"state"` // queued, running, paused, succeeded, failed or canceled
	Phase     string      `json:"phase"`
	Owner     string      `json:"owner"`
	Epoch     uint64      `json:"epoch"`
	Object    jobObject   `json:"object"`
	Progress  jobProgress `json:"progress"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	Error     *string     `json:"error"`
}

// jobObject is what a job works on; what does not apply is left out.
type jobObject struct {
	Node  string       `json:"node,omitempty"`
	Group *fsm.GroupID `json:"group,omitempty"`
	Index string       `json:"index,omitempty"`
}

type jobProgress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"`
}

func errorText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// topologyJob is an operation that the state knows of. moves is nil when it has ended.
func (s *Server) topologyJob(v *fsm.View, job *fsm.Job, moves *fsm.Moves) jobView {
	view := jobView{
		ID: job.ID, Type: string(job.Type), State: string(job.State), Owner: s.cluster.LeaderID(), Object: jobObject{Node: string(job.Node), Group: job.Group},
		Progress: jobProgress{Done: int64(job.Total), Total: int64(job.Total), Unit: "replicas"}, CreatedAt: job.CreatedAt, UpdatedAt: job.UpdatedAt,
		Error: errorText(job.Error),
	}
	if ix := v.Indexes[job.Index]; ix != nil {
		view.Object.Index = ix.UID
	}
	if job.State == fsm.JobRunning {
		remaining := int64(moves.Remaining(job))
		view.Phase = "moving"
		view.Error = errorText(moveError(s.repairs()))
		if job.Type == fsm.JobDrainNode || job.Type == fsm.JobRemoveNode {
			remaining = s.describeDrain(v, job.Node, &view)
		}
		view.Progress.Total = max(view.Progress.Total, remaining)
		view.Progress.Done = view.Progress.Total - remaining
		if v.Rebalance != fsm.RebalanceOn {
			view.State = "paused"
		}
	}
	return view
}

// describeDrain says how far a node is from being empty, and what is in the way; it returns how many replicas are left there.
func (s *Server) describeDrain(v *fsm.View, id fsm.NodeID, view *jobView) int64 {
	all, leaving := 0, 0
	for _, ix := range v.Indexes {
		for _, slots := range ix.Placement {
			for _, replicas := range slots {
				for _, replica := range replicas {
					if replica.Node == id {
						all++
						if replica.State == fsm.Leaving {
							leaving++
						}
					}
				}
			}
		}
	}
	if all > 0 && all == leaving {
		view.Phase = "deleting"
	}
	if !s.alive(v, id) {
		text := fmt.Sprintf("node %s does not answer: its copies are made anew elsewhere, but are not deleted there. Bring it back, or `miroir node remove %s --force`", id, id)
		view.Error = &text
	}
	return int64(all)
}

// moveError is why a move that an operation may wait for could not go on, "" for no reason.
func moveError(repairs []tasks.Repair) string {
	for _, r := range repairs {
		if r.Kind == "move" && r.Error != "" {
			return fmt.Sprintf("index %s to node %s: %s", r.Index, r.Node, r.Error)
		}
	}
	return ""
}

// repairJob is the copying of an index to a node.
func (s *Server) repairJob(job tasks.Repair) jobView {
	view := jobView{
		ID: "repair-" + job.Node + "-" + job.Index, Type: job.Kind, State: "running", Phase: job.State, Owner: s.cluster.LeaderID(),
		Object:    jobObject{Node: job.Node, Index: job.Index},
		Progress:  jobProgress{Done: job.Done, Total: job.Total, Unit: "documents"},
		CreatedAt: job.StartedAt, UpdatedAt: s.opts.Now().UTC(), Error: errorText(job.Error),
	}
	if job.State == "waiting" || job.State == "blocked" {
		view.State = "queued"
	}
	return view
}

// listJobs are all jobs, newest first.
func (s *Server) listJobs(v *fsm.View) []jobView {
	var moves *fsm.Moves
	jobs := []jobView{}
	for i := range v.Jobs {
		if v.Jobs[i].State == fsm.JobRunning && moves == nil {
			moves = s.plan(v)
		}
		jobs = append(jobs, s.topologyJob(v, &v.Jobs[i], moves))
	}
	for _, job := range s.repairs() {
		jobs = append(jobs, s.repairJob(job))
	}
	slices.SortStableFunc(jobs, func(a, b jobView) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return jobs
}

// unended reports that a job goes on, or will.
func (j *jobView) unended() bool {
	return slices.Contains([]string{"queued", "running", "paused"}, j.State)
}

// jobStates are the states that a job may be in.
var jobStates = []string{"queued", "running", "paused", "succeeded", "failed", "canceled"}

// handleListJobs lists the jobs of a ?type and in a ?state.
func (s *Server) handleListJobs(w http.ResponseWriter, r *request) error {
	kind, state := r.URL.Query().Get("type"), r.URL.Query().Get("state")
	if state != "" && !slices.Contains(jobStates, state) {
		return miroirError(codeInvalidArgument, "`state` is one of %s, not `%s`.", strings.Join(jobStates, ", "), state)
	}
	matching := slices.DeleteFunc(s.listJobs(r.View), func(job jobView) bool {
		return kind != "" && job.Type != kind || state != "" && job.State != state
	})
	jobs, err := page(r, matching, func(job jobView) string { return job.ID })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, jobs)
	return nil
}

func (s *Server) handleGetJob(w http.ResponseWriter, r *request) error {
	id := r.Params.ByName("id")
	for _, job := range s.listJobs(r.View) {
		if job.ID == id {
			writeJSON(w, http.StatusOK, job)
			return nil
		}
	}
	return miroirError(codeNotFound, "There is no job `%s`.", id)
}

// handleJobAction pauses, resumes or cancels a job. Moves are paused all together.
func (s *Server) handleJobAction(w http.ResponseWriter, r *request) error {
	id, action := r.Params.ByName("id"), r.Params.ByName("action")
	view := s.cluster.View()
	job := view.Job(id)
	switch {
	case job == nil:
		return miroirError(codeNotFound, "There is no operation `%s` that could be stopped.", id)
	case job.State != fsm.JobRunning:
		return miroirError(codeTopologyConflict, "Job `%s` has ended: %s.", id, job.State)
	case action == "pause":
		return s.setRebalance(w, r, fsm.RebalancePaused)
	case action == "resume":
		return s.setRebalance(w, r, fsm.RebalanceOn)
	case action != "cancel":
		return miroirError(codeNotFound, "A job can be paused, resumed or canceled, not `%s`.", action)
	}
	switch job.Type {
	case fsm.JobDrainNode, fsm.JobRemoveNode:
		if n := view.Node(job.Node); n != nil {
			return s.cancelDrain(w, r, view, n)
		}
	case fsm.JobRebalance:
		return s.setRebalance(w, r, fsm.RebalanceCanceled)
	}
	return miroirError(codeTopologyConflict, "Job `%s` follows from a setting that is committed: change that back, or stop all moves with POST /_miroir/rebalance/cancel.", id)
}

// handleRebalance has replicas move to where they belong, should that have been stopped, and says when they are there.
func (s *Server) handleRebalance(w http.ResponseWriter, r *request) error {
	var body struct {
		Index  string `json:"index"`
		DryRun bool   `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	view := s.cluster.View()
	job := newJob(fsm.JobRebalance, 0)
	if body.Index != "" {
		ix := view.Index(body.Index)
		if ix == nil {
			return miroirError(codeNotFound, "There is no index `%s`.", body.Index)
		}
		job.Index = ix.ID
	}
	if body.DryRun {
		s.writeMoves(w, view, job.Index)
		return nil
	}
	job.Total = s.plan(view).Remaining(job)
	if err := checkJobFree(view, job); err != nil {
		return err
	}
	if err := s.change(r.Context(), fsm.SetRebalance{State: fsm.RebalanceOn, Now: s.opts.Now(), Job: job}); err != nil {
		return err
	}
	writeJob(w, job)
	return nil
}

func (s *Server) handleSetRebalance(state fsm.RebalanceState) handler {
	return func(w http.ResponseWriter, r *request) error { return s.setRebalance(w, r, state) }
}

func (s *Server) setRebalance(w http.ResponseWriter, r *request, state fsm.RebalanceState) error {
	if err := s.change(r.Context(), fsm.SetRebalance{State: state, Now: s.opts.Now()}); err != nil {
		return err
	}
	if state == fsm.RebalanceCanceled {
		for _, job := range s.cluster.View().Jobs {
			if job.State == fsm.JobRunning && job.Type == fsm.JobRebalance {
				if err := s.change(r.Context(), fsm.EndJob{Now: s.opts.Now(), ID: job.ID, State: fsm.JobCanceled}); err != nil {
					return err
				}
			}
		}
	}
	view := s.cluster.View()
	writeJSON(w, http.StatusOK, map[string]any{"state": rebalanceState(view, s.plan(view))})
	return nil
}

// rebalanceState is idle, running, paused or canceled.
func rebalanceState(v *fsm.View, moves *fsm.Moves) string {
	switch {
	case v.Rebalance != fsm.RebalanceOn:
		return string(v.Rebalance)
	case moves.NumSteps+len(moves.Filling) > 0:
		return "running"
	}
	return "idle"
}

// rebalanceMove is one replica on its way, as GET /_miroir/rebalance/status lists it. Shard is null for an index that
// lives whole, From for a copy more.
type rebalanceMove struct {
	Index     string       `json:"index"`
	Shard     *fsm.ShardID `json:"shard"`
	Group     fsm.GroupID  `json:"group"`
	From      *fsm.NodeID  `json:"from"`
	To        fsm.NodeID   `json:"to"`
	Phase     string       `json:"phase"`
	Documents int64        `json:"documents"`
	Total     int64        `json:"total"`
	Error     string       `json:"error,omitempty"`
}

// handleRebalanceStatus shows which replicas are on their way or being repaired, and how far that is. Documents are those
// of the index on the node: its shards are copied together.
func (s *Server) handleRebalanceStatus(w http.ResponseWriter, _ *request) error {
	view := s.cluster.View()
	moves := s.plan(view)
	planner := view.Planner(s.opts.Now())
	list := []rebalanceMove{}
	rate, left := 0.0, int64(0)
	copying := map[string]tasks.Repair{}
	for _, job := range s.repairs() {
		copying[job.Node+"\x00"+job.Index] = job
		rate += job.DocsPerSecond
		left += job.Total - job.Done
	}
	for _, ix := range view.Indexes {
		for group, slots := range ix.Placement {
			for shard, replicas := range slots {
				for _, replica := range replicas {
					if replica.State != fsm.Stale && replica.State != fsm.Joining || len(list) == maxShownMoves {
						continue
					}
					ref := fsm.ReplicaRef{Index: ix.ID, Group: group, Shard: fsm.ShardID(shard), Node: replica.Node}
					list = append(list, shownFill(ix, ref, planner.Displaced(ix, ref), copying[string(replica.Node)+"\x00"+ix.UID]))
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b rebalanceMove) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(shardOrZero(a.Shard), shardOrZero(b.Shard)), cmp.Compare(a.To, b.To))
	})
	var eta any
	if rate > 0 {
		eta = int(float64(left) / rate)
	} else if len(list) == 0 && moves.NumSteps == 0 {
		eta = 0
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"state": rebalanceState(view, moves), "moves": list, "queued": moves.NumSteps, "rate_docs_per_s": rate, "eta_s": eta, "leader": s.cluster.LeaderID(),
	})
	return nil
}

func shownFill(ix *fsm.Index, ref fsm.ReplicaRef, displaces fsm.NodeID, job tasks.Repair) rebalanceMove {
	move := rebalanceMove{Index: ix.UID, Group: ref.Group, To: ref.Node, Phase: cmp.Or(job.State, "waiting"), Documents: job.Done, Total: job.Total, Error: job.Error}
	if !ix.Whole() {
		move.Shard = &ref.Shard
	}
	if displaces != "" {
		move.From = &displaces
	}
	return move
}
