package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"miroir/fsm"
)

// topologyRoutes are the operations on nodes, groups, placement and jobs.
func (s *Server) topologyRoutes() []adminRoute {
	return []adminRoute{
		{"GET", "/_miroir/topology", s.handleTopology},
		{"PATCH", "/_miroir/topology", s.handlePatchTopology},
		{"GET", "/_miroir/shards", s.handleShards},
		{"GET", "/_miroir/indexes/:uid", s.handleIndexPlacement},
		{"PATCH", "/_miroir/indexes/:uid", s.handlePatchPlacement},

		{"GET", "/_miroir/nodes", s.handleListNodes},
		{"POST", "/_miroir/nodes", s.handleAddNode},
		{"GET", "/_miroir/nodes/:id", s.handleGetNode},
		{"DELETE", "/_miroir/nodes/:id", s.handleRemoveNode},
		{"POST", "/_miroir/nodes/:id/drain", s.handleDrainNode},
		{"POST", "/_miroir/nodes/:id/drain/cancel", s.handleCancelDrain},
		{"POST", "/_miroir/nodes/:id/fail", s.handleFailNode},
		{"POST", "/_miroir/nodes/:id/recover", s.handleRecoverNode},
		{"POST", "/_miroir/nodes/:id/rotate-key", s.handleRotateNodeKey},

		{"GET", "/_miroir/replica_groups", s.handleListGroups},
		{"POST", "/_miroir/replica_groups", s.handleAddGroup},
		{"GET", "/_miroir/replica_groups/:id/status", s.handleGroupStatus},
		{"POST", "/_miroir/replica_groups/:id/activate", s.handleActivateGroup},
		{"DELETE", "/_miroir/replica_groups/:id", s.handleRemoveGroup},

		{"POST", "/_miroir/rebalance", s.handleRebalance},
		{"POST", "/_miroir/rebalance/pause", s.handleSetRebalance(fsm.RebalancePaused)},
		{"POST", "/_miroir/rebalance/resume", s.handleSetRebalance(fsm.RebalanceOn)},
		{"POST", "/_miroir/rebalance/cancel", s.handleSetRebalance(fsm.RebalanceCanceled)},
		{"GET", "/_miroir/rebalance/status", s.handleRebalanceStatus},

		{"GET", "/_miroir/jobs", s.handleListJobs},
		{"GET", "/_miroir/jobs/:id", s.handleGetJob},
		{"POST", "/_miroir/jobs/:id/:action", s.handleJobAction},
	}
}

// decodeAdmin reads the JSON body of a management request, which may be empty. Members it does not know are refused by name.
func decodeAdmin(r *request, into any) error {
	body, err := r.readBody()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return miroirError(codeInvalidArgument, "The request body is not valid: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return miroirError(codeInvalidArgument, "The request body has something after its JSON object.")
	}
	return nil
}

// change commits a command for an operator.
func (s *Server) change(ctx context.Context, command fsm.Command) error {
	_, err := s.cluster.Apply(context.WithoutCancel(ctx), command)
	return s.refusedCommand(err)
}

// refusedCommand is the refusal of a command as the operator sees it; nil for none.
func (s *Server) refusedCommand(err error) error {
	var refused *fsm.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused):
		s.log.Error("management command not committed", "error", err)
		return miroirError(codeNoLeader, "The change could not be committed by the cluster: %s. Look whether it has taken effect before sending it again.", err)
	}
	code := codeTopologyConflict
	switch refused.Code {
	case fsm.CodeNotFound:
		code = codeNotFound
	case fsm.CodeInvalid:
		code = codeInvalidArgument
	case fsm.CodeOperationBusy:
		code = codeOperationInProgress
	}
	return miroirError(code, "%s%s.", strings.ToUpper(refused.Message[:1]), strings.TrimSuffix(refused.Message[1:], "."))
}

// newJob is a job to be started with a command.
func newJob(kind fsm.JobType, total int) *fsm.Job {
	return &fsm.Job{ID: string(kind) + "-" + uuid.Must(uuid.NewV7()).String(), Type: kind, Total: total}
}

// checkJobFree refuses an operation while another one runs on its object.
func checkJobFree(v *fsm.View, job *fsm.Job) error {
	if other := v.JobOn(job); other != nil {
		return miroirError(codeOperationInProgress, "Job `%s` (%s) is still running there. Wait for it or cancel it.", other.ID, other.Type)
	}
	return nil
}

func writeJob(w http.ResponseWriter, job *fsm.Job) {
	writeJSON(w, http.StatusAccepted, map[string]any{"job_id": job.ID})
}

// plannedMove is one copy of a shard that an operation makes, or takes out of service.
type plannedMove struct {
	Index string       `json:"index"`
	Shard *fsm.ShardID `json:"shard"` // null: the index as a whole
	Group fsm.GroupID  `json:"group"`
	From  *fsm.NodeID  `json:"from"` // null: a copy more
	To    *fsm.NodeID  `json:"to"`   // null: a copy less
}

// maxShownMoves bounds the list of moves in an answer.
const maxShownMoves = 1000

// plan plans over a view, which may be one that does not exist yet.
func (s *Server) plan(v *fsm.View) *fsm.Moves { return v.Planner(s.opts.Now()).Plan(nil) }

// writeMoves answers the moves that the view leads to.
func (s *Server) writeMoves(w http.ResponseWriter, v *fsm.View, index fsm.IndexID) {
	moves := s.plan(v)
	shown, total := []plannedMove{}, 0
	for _, step := range moves.Steps {
		if index != 0 && step.Index != index || step.Kind == fsm.StepPurge {
			continue
		}
		if total++; len(shown) < maxShownMoves {
			shown = append(shown, shownMove(v, step))
		}
	}
	if index == 0 {
		total += moves.NumSteps - len(moves.Steps)
	}
	writeJSON(w, http.StatusOK, map[string]any{"moves": shown, "total": total, "dry_run": true})
}

func shownMove(v *fsm.View, step fsm.Step) plannedMove {
	ix := v.Indexes[step.Index]
	move := plannedMove{Index: ix.UID, Group: step.Group}
	if !ix.Whole() {
		move.Shard = &step.Shard
	}
	switch step.Kind {
	case fsm.StepRetire:
		move.From = &step.Node
	case fsm.StepJoin, fsm.StepReturn:
		move.To = &step.Node
		if step.Displaces != "" {
			move.From = &step.Displaces
		}
	}
	return move
}

// with is a view in which a node is as given; for plans of what is not committed.
func with(v *fsm.View, nodes ...fsm.Node) *fsm.View {
	changed := *v
	changed.Nodes = maps.Clone(v.Nodes)
	for _, n := range nodes {
		changed.Nodes[n.ID] = &n
	}
	return &changed
}

// servingNodes counts the nodes of a group that hold replicas and go on doing so.
func servingNodes(v *fsm.View, g fsm.GroupID) (n int) {
	for _, node := range v.Nodes {
		if node.Group == g && node.State != fsm.NodeDraining && node.State != fsm.NodeDrained {
			n++
		}
	}
	return n
}

// handlePatchTopology changes the replication factor and the number of shards of new indexes.
func (s *Server) handlePatchTopology(w http.ResponseWriter, r *request) error {
	var body struct {
		ReplicationFactor *int    `json:"replication_factor"`
		Shards            *uint32 `json:"shards"`
		DryRun            bool    `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	s.configuring.Lock() // a change is made of what is committed
	defer s.configuring.Unlock()
	view := s.cluster.View()
	config := view.Config
	switch {
	case body.ReplicationFactor == nil && body.Shards == nil:
		return miroirError(codeInvalidArgument, "Nothing is to be changed: give `replication_factor`, `shards` or both.")
	case body.ReplicationFactor != nil && *body.ReplicationFactor < 1:
		return miroirError(codeInvalidArgument, "`replication_factor` is at least 1, not %d.", *body.ReplicationFactor)
	case body.Shards != nil && (*body.Shards < 1 || *body.Shards > fsm.MaxShards):
		return miroirError(codeInvalidArgument, "`shards` is a number from 1 to %d, not %d.", fsm.MaxShards, *body.Shards)
	}
	if body.Shards != nil {
		config.Shards = *body.Shards
	}
	if body.ReplicationFactor != nil {
		config.ReplicationFactor = *body.ReplicationFactor
		for _, g := range view.Groups {
			if n := servingNodes(view, g.ID); n < config.ReplicationFactor && g.State != fsm.GroupDraining {
				return miroirError(codeTopologyConflict, "`replication_factor` %d is more than the %d nodes of replica group %d. Add nodes first.",
					config.ReplicationFactor, n, g.ID)
			}
		}
	}
	changed := *view
	changed.Config = config
	if body.DryRun {
		s.writeMoves(w, &changed, 0)
		return nil
	}
	job := newJob(fsm.JobReplication, s.plan(&changed).NumSteps)
	if err := checkJobFree(view, job); err != nil {
		return err
	}
	if err := s.change(r.Context(), fsm.SetConfig{Config: config, Now: s.opts.Now(), Job: job}); err != nil {
		return err
	}
	writeJob(w, job)
	return nil
}

// handlePatchPlacement changes how many nodes of a group share an index.
func (s *Server) handlePatchPlacement(w http.ResponseWriter, r *request) error {
	var body struct {
		Spread json.RawMessage `json:"spread"`
		DryRun bool            `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	view := s.cluster.View()
	ix := view.Index(r.uid())
	if ix == nil {
		return miroirError(codeNotFound, "There is no index `%s`.", r.uid())
	}
	spread, err := spreadOf(body.Spread)
	if err != nil {
		return err
	}
	changed, planned := *view, *ix
	planned.Spread = spread
	changed.Indexes = maps.Clone(view.Indexes)
	changed.Indexes[ix.ID] = &planned
	if body.DryRun {
		s.writeMoves(w, &changed, ix.ID)
		return nil
	}
	job := newJob(fsm.JobSpread, 0)
	job.Index = ix.ID
	job.Total = s.plan(&changed).Remaining(job)
	if err := checkJobFree(view, job); err != nil {
		return err
	}
	if err := s.change(r.Context(), fsm.SetSpread{Index: ix.ID, Spread: spread, Now: s.opts.Now(), Job: job}); err != nil {
		return err
	}
	writeJob(w, job)
	return nil
}

// spreadOf reads "auto", "all" or a number.
func spreadOf(raw json.RawMessage) (int, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		switch name {
		case "auto":
			return fsm.SpreadAuto, nil
		case "all":
			return fsm.SpreadAll, nil
		}
	}
	if n, err := strconv.Atoi(string(raw)); err == nil && n > 0 {
		return n, nil
	}
	return 0, miroirError(codeInvalidArgument, "`spread` is \"auto\", \"all\" or a number of nodes from 1 on.")
}

// flag reads a boolean of the query.
func (r *request) flag(name string) (bool, error) {
	switch value := r.URL.Query().Get(name); value {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, miroirError(codeInvalidArgument, "`%s` is true or false, not `%s`.", name, value)
	}
}

// page is what ?limit and ?from select of a list whose elements have ids.
func page[T any](r *request, list []T, id func(T) string) ([]T, error) {
	query := r.URL.Query()
	if from := query.Get("from"); from != "" {
		at := slices.IndexFunc(list, func(element T) bool { return id(element) == from })
		if at < 0 {
			return nil, miroirError(codeInvalidArgument, "`from` names nothing in the list: `%s`.", from)
		}
		list = list[at:]
	}
	if limit := query.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return nil, miroirError(codeInvalidArgument, "`limit` is a number, not `%s`.", limit)
		}
		list = list[:min(n, len(list))]
	}
	return list, nil
}
