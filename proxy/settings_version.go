package proxy

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

type nodeSettings struct {
	Node        fsm.NodeID `json:"node"`
	Version     *uint64    `json:"version,omitempty"` // absent while the node has other settings
	Fingerprint string     `json:"fingerprint"`
	UpdatedAt   time.Time  `json:"updated_at"` // when the node was asked
	Differing   []string   `json:"differing,omitempty"`
}

// handleSettingsVersion answers the settings version of an index and what its nodes have, asked now: those that do not
// answer, or whose settings are just changing, are left out.
func (s *Server) handleSettingsVersion(w http.ResponseWriter, r *request) error {
	ix := r.View.Index(r.uid())
	if ix == nil {
		return miroirError(codeNotFound, "There is no index `%s`.", r.uid())
	}
	committed, err := compareSettings(ix.Settings, ix.Whole(), map[string]json.RawMessage{})
	if err != nil {
		return err
	}
	nodes := s.askSettings(r, ix)
	for i := range nodes {
		if nodes[i].Fingerprint == committed.Want {
			nodes[i].Version = &ix.SettingsVersion
		}
	}
	answer := map[string]any{"version": ix.SettingsVersion, "fingerprint": committed.Want, "nodes": nodes, "frozen": ix.Frozen != nil}
	if tasks.SettingsPending(ix, nil) {
		answer["pending"] = true
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// askSettings asks all nodes in sync at once; answers are sorted by node.
func (s *Server) askSettings(r *request, ix *fsm.Index) []nodeSettings {
	var mu sync.Mutex
	var asking sync.WaitGroup
	nodes := []nodeSettings{}
	for _, id := range ix.Nodes(fsm.Active) {
		if n := r.View.Node(id); n == nil || n.State == fsm.NodeFailed {
			continue
		}
		asking.Go(func() {
			check, err := s.CheckSettings(r.Context(), ix.ID, id)
			if err != nil || check.Missing() {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, nodeSettings{Node: id, Fingerprint: check.Fingerprint, UpdatedAt: s.opts.Now().UTC(), Differing: check.Differing})
		})
	}
	asking.Wait()
	slices.SortFunc(nodes, func(a, b nodeSettings) int { return cmp.Compare(a.Node, b.Node) })
	return nodes
}
