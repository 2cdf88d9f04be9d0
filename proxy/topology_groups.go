package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
)

type groupView struct {
	ID    fsm.GroupID  `json:"id"`
	State string       `json:"state"`
	Since time.Time    `json:"since"`
	Nodes []fsm.NodeID `json:"nodes"`
}

func (s *Server) handleListGroups(w http.ResponseWriter, r *request) error {
	groups := []groupView{}
	for _, g := range r.View.Groups {
		groups = append(groups, groupView{g.ID, string(g.State), g.Since, nodesOf(r.View, g.ID)})
	}
	groups, err := page(r, groups, func(g groupView) string { return strconv.Itoa(int(g.ID)) })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, groups)
	return nil
}

func nodesOf(v *fsm.View, g fsm.GroupID) []fsm.NodeID {
	ids := []fsm.NodeID{}
	for id, n := range v.Nodes {
		if n.Group == g {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// handleAddGroup makes a replica group of new nodes. It gets every shard and every write, and is read once it is activated.
func (s *Server) handleAddGroup(w http.ResponseWriter, r *request) error {
	var body struct {
		ID     *fsm.GroupID `json:"id"`
		Nodes  []newNode    `json:"nodes"`
		DryRun bool         `json:"dry_run"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	if err := s.probing.Acquire(r.Context(), 1); err != nil {
		return err
	}
	defer s.probing.Release(1)
	view := s.cluster.View()
	nodes, err := s.checkGroup(r.Context(), view, body.ID, body.Nodes)
	if err != nil {
		return err
	}
	planned := with(view)
	if view.Group(*body.ID) == nil {
		planned.Groups = append(slices.Clip(planned.Groups), &fsm.Group{ID: *body.ID, State: fsm.GroupInitializing})
	}
	for _, n := range nodes {
		n.State = fsm.NodeActive
		planned.Nodes[n.ID] = &n
	}
	if body.DryRun {
		s.writeMoves(w, planned, 0)
		return nil
	}
	job := newJob(fsm.JobAddGroup, 0)
	job.Group = body.ID
	job.Total = s.plan(planned).Remaining(job)
	if err := s.change(r.Context(), fsm.AddGroup{Now: s.opts.Now(), Group: *body.ID, Nodes: nodes, Job: job}); err != nil {
		return err
	}
	for _, n := range nodes {
		s.admit(r.Context(), n.ID)
	}
	writeJob(w, job)
	return nil
}

// checkGroup checks all nodes of a new group before any is added.
func (s *Server) checkGroup(ctx context.Context, v *fsm.View, id *fsm.GroupID, described []newNode) ([]fsm.Node, error) {
	switch {
	case id == nil:
		return nil, miroirError(codeInvalidArgument, "`id` is missing: the number of the new replica group.")
	case v.Group(*id) != nil:
		return nil, miroirError(codeTopologyConflict, "Replica group %d exists already. Add nodes to it with POST /_miroir/nodes.", *id)
	case len(described) < v.Config.ReplicationFactor:
		return nil, miroirError(codeTopologyConflict, "`nodes`: %d nodes are too few for the replication factor %d.", len(described), v.Config.ReplicationFactor)
	}
	var nodes []fsm.Node
	for _, one := range described {
		if one.ReplicaGroup != nil && *one.ReplicaGroup != *id {
			return nil, miroirError(codeInvalidArgument, "`nodes`: node `%s` names replica group %d.", one.ID, *one.ReplicaGroup)
		}
		n, err := one.node(v)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(nodes, func(other fsm.Node) bool { return other.ID == n.ID || other.Address == n.Address }) {
			return nil, miroirError(codeInvalidArgument, "`nodes` has `%s` (%s) twice.", n.ID, n.Address)
		}
		n.Group = *id
		if err := s.probe(ctx, v, &n, nodes); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// pathGroup is the group that the path names.
func (s *Server) pathGroup(r *request) (*fsm.View, *fsm.Group, error) {
	view, text := s.cluster.View(), r.Params.ByName("id")
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil, nil, miroirError(codeInvalidArgument, "The replica group `%s` is not a number.", text)
	}
	g := view.Group(fsm.GroupID(id))
	if g == nil {
		return nil, nil, miroirError(codeNotFound, "There is no replica group %d.", id)
	}
	return view, g, nil
}

// groupShards counts the shards of all indexes, those that the group has in sync, and names some of the others.
func groupShards(v *fsm.View, g fsm.GroupID) (total, active int, missing []string) {
	indexes := make([]*fsm.Index, 0, len(v.Indexes))
	for _, ix := range v.Indexes {
		indexes = append(indexes, ix)
	}
	slices.SortFunc(indexes, func(a, b *fsm.Index) int { return cmp.Compare(a.UID, b.UID) })
	for _, ix := range indexes {
		for slot := range ix.NumSlots() {
			total++
			replicas := ix.Replicas(g, fsm.ShardID(slot))
			inSync := func(r fsm.Replica) bool { return r.State == fsm.Active || r.State == fsm.Leaving }
			if slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return r.State == fsm.Active }) &&
				!slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return !inSync(r) }) {
				active++
				continue
			}
			missing = append(missing, slotName(ix, slot))
		}
	}
	return total, active, missing
}

func (s *Server) handleGroupStatus(w http.ResponseWriter, r *request) error {
	view, g, err := s.pathGroup(r)
	if err != nil {
		return err
	}
	total, active, _ := groupShards(view, g.ID)
	copied, started, eta := int64(0), g.Since, any(nil)
	for _, job := range s.repairs() {
		if n := view.Node(fsm.NodeID(job.Node)); n != nil && n.Group == g.ID {
			copied += job.Copied
		}
	}
	if elapsed := s.opts.Now().Sub(started); active > 0 && active < total && g.State == fsm.GroupInitializing {
		eta = int(elapsed.Seconds() * float64(total-active) / float64(active))
	} else if active == total {
		eta = 0
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"state": g.State, "shards_total": total, "shards_active": active, "documents_copied": copied, "started_at": started, "eta_s": eta,
	})
	return nil
}

// handleActivateGroup opens a group for reads. Every shard must be there in sync.
func (s *Server) handleActivateGroup(w http.ResponseWriter, r *request) error {
	view, g, err := s.pathGroup(r)
	if err != nil {
		return err
	}
	if g.State == fsm.GroupActive {
		writeJSON(w, http.StatusOK, map[string]any{"id": g.ID, "state": fsm.GroupActive})
		return nil
	}
	if _, _, missing := groupShards(view, g.ID); len(missing) > 0 {
		return notInSync(g.ID, missing)
	}
	if len(nodesOf(view, g.ID)) == 0 {
		return miroirError(codePreconditionFailed, "Replica group %d has no nodes.", g.ID)
	}
	err = s.change(r.Context(), fsm.SetGroupState{Now: s.opts.Now(), Group: g.ID, State: fsm.GroupActive})
	if err != nil {
		if _, _, missing := groupShards(s.cluster.View(), g.ID); len(missing) > 0 {
			return notInSync(g.ID, missing)
		}
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": g.ID, "state": fsm.GroupActive})
	return nil
}

func notInSync(g fsm.GroupID, missing []string) error {
	const shown = 20
	rest := ""
	if len(missing) > shown {
		rest = fmt.Sprintf(" and %d more", len(missing)-shown)
	}
	return miroirError(codePreconditionFailed, "Replica group %d does not have everything in sync: %s%s are missing.",
		g, strings.Join(missing[:min(shown, len(missing))], ", "), rest)
}

// handleRemoveGroup ends the reads of a group; the second call, with force, forgets it and its nodes.
func (s *Server) handleRemoveGroup(w http.ResponseWriter, r *request) error {
	force, err := r.flag("force")
	if err != nil {
		return err
	}
	view, g, err := s.pathGroup(r)
	if err != nil {
		return err
	}
	if g.State != fsm.GroupDraining {
		if err := s.change(r.Context(), fsm.SetGroupState{Now: s.opts.Now(), Group: g.ID, State: fsm.GroupDraining}); err != nil {
			return err
		}
		writeJSON(w, http.StatusAccepted, map[string]any{"id": g.ID, "state": fsm.GroupDraining})
		return nil
	}
	if !force {
		return miroirError(codeOperationInProgress, "Replica group %d is draining: nothing is read from it any more. Call again with `force=true` to forget it and its nodes.", g.ID)
	}
	if err := s.refusedCommand(view.CheckDispensable(g)); err != nil { // before the first of its nodes is gone
		return err
	}
	for _, id := range nodesOf(view, g.ID) {
		if err := s.change(r.Context(), fsm.RemoveNode{Now: s.opts.Now(), Node: id, Force: true}); err != nil {
			return err
		}
	}
	if err := s.change(r.Context(), fsm.RemoveGroup{Now: s.opts.Now(), Group: g.ID}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": g.ID, "removed": true})
	return nil
}
