package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"miroir/fsm"
)

// newNode is a node as an operator describes it.
type newNode struct {
	ID           fsm.NodeID   `json:"id"`
	Address      string       `json:"address"`
	Key          string       `json:"key"`
	ReplicaGroup *fsm.GroupID `json:"replica_group"`
}

// validNodeID is what a node may be called: it stands in paths, labels and hashes.
var validNodeID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// node checks what the description alone and the state tell.
func (n *newNode) node(v *fsm.View) (fsm.Node, error) {
	if !validNodeID.MatchString(string(n.ID)) {
		return fsm.Node{}, miroirError(codeInvalidArgument, "`id` has 1 to 64 letters, digits, dots, dashes or underscores, not `%s`.", n.ID)
	}
	address := strings.TrimRight(n.Address, "/")
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if parsed, err := url.Parse(address); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.User != nil {
		return fsm.Node{}, miroirError(codeInvalidArgument, "`address` is the URL of a Meilisearch server, as http://10.0.0.1:7700, not `%s`.", n.Address)
	}
	if v.Node(n.ID) != nil || v.Retired(n.ID) {
		return fsm.Node{}, miroirError(codeTopologyConflict, "The node id `%s` is in use or was used before. Choose another one.", n.ID)
	}
	for _, known := range v.Nodes {
		if known.Address == address {
			return fsm.Node{}, miroirError(codeTopologyConflict, "Node `%s` has the address %s already.", known.ID, address)
		}
	}
	node := fsm.Node{ID: n.ID, Address: address, Key: n.Key, State: fsm.NodeJoining, LastTaskUID: -1}
	if n.ReplicaGroup != nil {
		node.Group = *n.ReplicaGroup
	}
	return node, nil
}

// handleAddNode checks a server and makes it a node. Its share of the replicas moves to it afterwards.
func (s *Server) handleAddNode(w http.ResponseWriter, r *request) error {
	var body struct {
		newNode
		DryRun bool `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	if err := s.probing.Acquire(r.Context(), 1); err != nil {
		return err
	}
	defer s.probing.Release(1)
	view := s.cluster.View()
	n, err := body.node(view)
	if err != nil {
		return err
	}
	if group := view.Group(n.Group); group == nil && len(view.Groups) > 0 {
		return miroirError(codeNotFound, "There is no replica group %d. POST /_miroir/replica_groups makes one.", n.Group)
	} else if group != nil && group.State == fsm.GroupDraining {
		return miroirError(codeOperationInProgress, "Replica group %d is being removed.", n.Group)
	}
	if err := s.probe(r.Context(), view, &n, nil); err != nil {
		return err
	}
	serving := n
	serving.State = fsm.NodeActive
	if body.DryRun {
		s.writeMoves(w, with(view, serving), 0)
		return nil
	}
	job := newJob(fsm.JobAddNode, 0)
	job.Node = n.ID
	job.Total = s.plan(with(view, serving)).Remaining(job)
	if err := s.change(r.Context(), fsm.AddNode{Now: s.opts.Now(), Node: n, Job: job}); err != nil {
		return err
	}
	s.admit(r.Context(), n.ID)
	writeJob(w, job)
	return nil
}

// admit makes a node that joins active at once. Should that fail, the health check does it as soon as it can.
func (s *Server) admit(ctx context.Context, id fsm.NodeID) {
	n := s.cluster.View().Node(id)
	if n == nil {
		return
	}
	if err := s.PrepareNode(ctx, n); err != nil {
		s.log.Warn("a new node is not ready yet", "node_id", id, "error", err)
		return
	}
	if err := s.change(ctx, fsm.SetNodeState{Now: s.opts.Now(), Node: id, From: fsm.NodeJoining, State: fsm.NodeActive}); err != nil {
		s.log.Warn("a new node is not active yet", "node_id", id, "error", err)
	}
}

func (s *Server) handleListNodes(w http.ResponseWriter, r *request) error {
	nodes, err := page(r, s.topology(r.View).Nodes, func(n nodeStatus) string { return string(n.ID) })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, nodes)
	return nil
}

func (s *Server) handleGetNode(w http.ResponseWriter, r *request) error {
	id := fsm.NodeID(r.Params.ByName("id"))
	for _, n := range s.topology(r.View).Nodes {
		if n.ID == id {
			writeJSON(w, http.StatusOK, n)
			return nil
		}
	}
	return noSuchNode(id)
}

func noSuchNode(id fsm.NodeID) error {
	return miroirError(codeNotFound, "There is no node `%s`.", id)
}

// pathNode is the node that the path names.
func (s *Server) pathNode(r *request) (*fsm.View, *fsm.Node, error) {
	view, id := s.cluster.View(), fsm.NodeID(r.Params.ByName("id"))
	n := view.Node(id)
	if n == nil {
		return nil, nil, noSuchNode(id)
	}
	return view, n, nil
}

// handleDrainNode moves everything off a node, which stays known.
func (s *Server) handleDrainNode(w http.ResponseWriter, r *request) error {
	var body struct {
		DryRun bool `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	view, n, err := s.pathNode(r)
	if err != nil {
		return err
	}
	return s.drain(w, r, view, n, fsm.JobDrainNode, body.DryRun)
}

func (s *Server) drain(w http.ResponseWriter, r *request, view *fsm.View, n *fsm.Node, kind fsm.JobType, dryRun bool) error {
	job := newJob(kind, replicasByNode(view)[n.ID])
	job.Node = n.ID
	if err := checkJobFree(view, job); err != nil {
		return err
	}
	drained := n.State == fsm.NodeDraining || n.State == fsm.NodeDrained
	if drained && kind == fsm.JobDrainNode {
		return miroirError(codeOperationInProgress, "Node `%s` is %s already.", n.ID, n.State)
	}
	if left := servingNodes(view, n.Group) - 1; !drained && left < view.Config.ReplicationFactor {
		return miroirError(codeTopologyConflict, "Without node `%s` replica group %d has %d nodes, and the replication factor is %d. Add a node first, or lower it.",
			n.ID, n.Group, left, view.Config.ReplicationFactor)
	}
	draining := *n
	draining.State = fsm.NodeDraining
	if dryRun {
		s.writeMoves(w, with(view, draining), 0)
		return nil
	}
	command := fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, From: n.State, Error: n.Error, Job: job}
	if !drained {
		command.State = fsm.NodeDraining
	}
	if err := s.change(r.Context(), command); err != nil {
		return err
	}
	writeJob(w, job)
	return nil
}

// handleCancelDrain takes a drain back; what has moved comes home.
func (s *Server) handleCancelDrain(w http.ResponseWriter, r *request) error {
	view, n, err := s.pathNode(r)
	if err != nil {
		return err
	}
	return s.cancelDrain(w, r, view, n)
}

func (s *Server) cancelDrain(w http.ResponseWriter, r *request, view *fsm.View, n *fsm.Node) error {
	if n.State != fsm.NodeDraining && n.State != fsm.NodeDrained {
		return miroirError(codeTopologyConflict, "Node `%s` is not being drained: it is %s.", n.ID, n.State)
	}
	command := fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, From: n.State, State: fsm.NodeActive, Error: n.Error}
	if job := view.JobOn(&fsm.Job{Node: n.ID}); job != nil {
		command.EndJob = job.ID
	}
	if err := s.change(r.Context(), command); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": n.ID, "status": fsm.NodeActive})
	return nil
}

// handleRemoveNode drains a node and forgets it, or with force forgets it at once.
func (s *Server) handleRemoveNode(w http.ResponseWriter, r *request) error {
	force, err := r.flag("force")
	if err != nil {
		return err
	}
	acceptLoss, err := r.flag("accept_data_loss")
	if err != nil {
		return err
	}
	dryRun, err := r.flag("dry_run")
	if err != nil {
		return err
	}
	view, n, err := s.pathNode(r)
	switch {
	case err != nil:
		return err
	case acceptLoss && !force:
		return miroirError(codeInvalidArgument, "`accept_data_loss` goes with `force` only.")
	case !force:
		return s.drain(w, r, view, n, fsm.JobRemoveNode, dryRun)
	}
	return s.removeByForce(w, r, view, n, acceptLoss, dryRun)
}

// lostShard is a shard whose last copy is on a node.
type lostShard struct {
	Index string       `json:"index"`
	Shard *fsm.ShardID `json:"shard"` // null: the index as a whole
}

func lostShards(v *fsm.View, refs []fsm.ReplicaRef) []lostShard {
	lost := []lostShard{}
	for _, ref := range refs {
		if ix := v.Indexes[ref.Index]; ix != nil {
			shard := lostShard{Index: ix.UID}
			if !ix.Whole() {
				shard.Shard = &ref.Shard
			}
			lost = append(lost, shard)
		}
	}
	return lost
}

func nameLost(lost []lostShard) string {
	var names []string
	for i, shard := range lost {
		if i == 20 {
			names = append(names, fmt.Sprintf("and %d more", len(lost)-i))
			break
		}
		name := shard.Index
		if shard.Shard != nil {
			name += fmt.Sprintf("/%d", *shard.Shard)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (s *Server) removeByForce(w http.ResponseWriter, r *request, view *fsm.View, n *fsm.Node, acceptLoss, dryRun bool) error {
	lost := lostShards(view, view.OnlyCopies(n.ID))
	if len(lost) > 0 && !acceptLoss {
		return miroirError(codeTopologyConflict, "Node `%s` holds the last copy of %s. With `accept_data_loss=true` (--accept-data-loss) these documents are given up.",
			n.ID, nameLost(lost))
	}
	if dryRun {
		writeJSON(w, http.StatusOK, map[string]any{"id": n.ID, "lost_shards": lost, "dry_run": true})
		return nil
	}
	removed, err := fsm.Do(context.WithoutCancel(r.Context()), s.cluster, fsm.RemoveNode{Now: s.opts.Now(), Node: n.ID, Force: true, AcceptLoss: acceptLoss})
	if err := s.refusedCommand(err); err != nil {
		return err
	}
	s.prepareEmpty(r.Context(), removed.Lost)
	writeJSON(w, http.StatusOK, map[string]any{"id": n.ID, "lost_shards": lostShards(view, removed.Lost)})
	return nil
}

// prepareEmpty makes the indexes of lost shards on the nodes that hold them from now on, where they are missing.
func (s *Server) prepareEmpty(ctx context.Context, lost []fsm.ReplicaRef) {
	view, done := s.cluster.View(), map[fsm.IndexID][]fsm.NodeID{}
	for _, ref := range lost {
		ix := view.Indexes[ref.Index]
		if ix == nil {
			continue
		}
		for _, id := range ix.Nodes(fsm.Active) {
			if slices.Contains(done[ix.ID], id) {
				continue
			}
			done[ix.ID] = append(done[ix.ID], id)
			if _, err := s.JoinReplicas(ctx, ix.ID, id, nil); err != nil {
				s.log.Warn("index not made on a node that is to hold it", "index", ix.UID, "node_id", id, "error", err)
			}
		}
	}
}

// handleFailNode declares a node dead: its copies are made anew elsewhere without waiting for it.
func (s *Server) handleFailNode(w http.ResponseWriter, r *request) error {
	_, n, err := s.pathNode(r)
	if err != nil {
		return err
	}
	if n.State == fsm.NodeDraining || n.State == fsm.NodeDrained {
		return miroirError(codeOperationInProgress, "Node `%s` is %s. Cancel that first, or remove it with force.", n.ID, n.State)
	}
	dead := true
	if err := s.change(r.Context(), fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, State: fsm.NodeFailed, Dead: &dead, Error: "declared dead"}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": n.ID, "status": fsm.NodeFailed})
	return nil
}

// handleRecoverNode has a node checked again now. It is active once the health check has found it well.
func (s *Server) handleRecoverNode(w http.ResponseWriter, r *request) error {
	_, n, err := s.pathNode(r)
	if err != nil {
		return err
	}
	if n.State != fsm.NodeFailed && n.State != fsm.NodeDegraded {
		return miroirError(codeTopologyConflict, "Node `%s` has not failed: it is %s.", n.ID, n.State)
	}
	if n.LeadsTo != "" {
		return miroirError(codeTopologyConflict, "The address of node `%s`, %s, leads to the server of node `%s`. Once it leads to its own, the node is taken back by itself.", n.ID, n.Address, n.LeadsTo)
	}
	if err := s.reach(r.Context(), s.nodes.Get(n)); err != nil {
		return miroirError(codeTopologyConflict, "Node `%s` does not answer: %s.", n.ID, err)
	}
	dead := false
	if err := s.change(r.Context(), fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, Dead: &dead}); err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, map[string]any{"id": n.ID, "status": n.State})
	return nil
}
