package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"miroir/fsm"
	"miroir/proxy/node"
)

// newestTask is the newest task that a node is known to have had, -1 for none.
func (s *Server) newestTask(id fsm.NodeID) int64 {
	if n := s.cluster.View().Node(id); n != nil {
		return n.LastTaskUID
	}
	return -1
}

// MarkDiskLost deals with a node whose newest task is older than one it is known to have had: it lost its disk or was given
// an older one. All its replicas become stale, and indexes that were deleted since then are deleted again.
func (s *Server) MarkDiskLost(ctx context.Context, id fsm.NodeID, newest int64) error {
	recorded := s.newestTask(id)
	s.forgetMissedWrites(id)
	marked, err := fsm.Do(ctx, s.cluster, fsm.MarkNodeStale{Now: s.opts.Now(), Node: id, LastTaskUID: &newest})
	if err != nil {
		return err
	}
	s.log.Error("node lost its disk or was restored from an older one: its replicas are stale",
		"node_id", id, "newest_task_uid", newest, "recorded_task_uid", recorded, "replicas", marked.NumStale, "lost", len(marked.Lost))
	if err := s.DeleteStrays(ctx, id); err != nil {
		s.log.Error("indexes that came back with an old disk are not deleted", "node_id", id, "error", err)
	}
	return nil
}

// DeleteStrays deletes the indexes that a node has from us and that the state does not know.
func (s *Server) DeleteStrays(ctx context.Context, id fsm.NodeID) error {
	client := s.nodes.Client(s.cluster.View(), id)
	if client == nil {
		return nil
	}
	var list struct{ Results []struct{ UID string } }
	path := "/indexes?" + url.Values{"limit": {"1000000"}}.Encode()
	if _, err := getJSON(ctx, client, path, &list); err != nil {
		return err
	}
	view := s.cluster.View() // taken after the list: what is on a node was in the state before
	for _, found := range list.Results {
		if knowsNodeUID(view, found.UID) {
			continue
		}
		if err := s.deleteStray(ctx, client, found.UID); err != nil {
			return err
		}
	}
	return nil
}

func knowsNodeUID(view *fsm.View, nodeUID string) bool {
	for _, ix := range view.Indexes {
		if ix.NodeUID == nodeUID {
			return true
		}
	}
	return false
}

// deleteStray deletes an index unless it is foreign: what Miroir made has a rule of Miroir's.
func (s *Server) deleteStray(ctx context.Context, client *node.Client, nodeUID string) error {
	var rules []json.RawMessage
	missing, err := getJSON(ctx, client, indexPath(nodeUID)+"/settings/filterable-attributes", &rules)
	if err != nil || missing || !slices.ContainsFunc(rules, isOurs) {
		return err
	}
	s.log.Warn("index that came back with an old disk is deleted", "node_id", client.ID(), "index", nodeUID)
	response, err := client.Do(ctx, node.Request{Method: http.MethodDelete, Path: indexPath(nodeUID)})
	if err == nil && !response.OK() {
		err = refusalOf(response)
	}
	return err
}
