package fsm

import (
	"maps"
	"slices"
	"time"
)

// Freeze is why an index takes no writes: nodes that are read could not be brought to its settings, and no group is without such.
type Freeze struct {
	Since time.Time      `json:"since"`
	Nodes []SettingsGaps `json:"nodes"` // sorted by node
}

// SettingsGaps are the settings that a node cannot be brought to.
type SettingsGaps struct {
	Node     NodeID   `json:"node"`
	Settings []string `json:"settings"` // names, sorted
}

// GiveUpSettings says that nodes cannot be brought to an index's settings. Their replicas become stale wherever another in sync has
// the settings. If no group has all shards in sync without them, the index is frozen, unless the configuration forbids it. Error:
// CodeChanged when the index has changed since the nodes were read.
type GiveUpSettings struct {
	Now         time.Time      `json:"now"`
	Index       IndexID        `json:"index"`
	NextVersion uint64         `json:"nextVersion"` // of the index when they were read
	Nodes       []SettingsGaps `json:"nodes"`
}

// GiveUpSettingsResult tells which replicas became stale, and whether the index is frozen because of these nodes.
type GiveUpSettingsResult struct {
	Stale  []ReplicaRef `json:"stale,omitempty"`
	Frozen bool         `json:"frozen,omitempty"`
}

// UnfreezeIndex lets an index take writes again; one that is not frozen stays as it is.
type UnfreezeIndex struct {
	Index IndexID `json:"index"`
}

// Result is what became of the replicas.
func (GiveUpSettings) Result() (r GiveUpSettingsResult) { return }

// Result is nothing.
func (UnfreezeIndex) Result() (r None) { return }

func (c GiveUpSettings) apply(t *txn) (any, error) {
	ix := t.view.Indexes[c.Index]
	switch {
	case ix == nil:
		return nil, refuse(CodeNotFound, "index %d does not exist", c.Index)
	case ix.NextVersion != c.NextVersion:
		return nil, refuse(CodeChanged, "index %s changed since its settings were read", ix.UID)
	}
	nodes := make([]NodeID, len(c.Nodes))
	for i, gaps := range c.Nodes {
		nodes[i] = gaps.Node
	}
	result := GiveUpSettingsResult{Stale: t.failNodes(ix, nil, nodes, c.Now)}
	if t.view.Config.SettingsVerify.NoFreeze || ix.HasGroupWithout(nodes) {
		return result, nil
	}
	result.Frozen = true
	ix = t.editIndex(c.Index)
	since := c.Now.UTC()
	if ix.Frozen != nil {
		since = ix.Frozen.Since
	} else {
		ix.NextVersion++ // no write that was checked before is accepted after this
	}
	ix.Frozen = &Freeze{Since: since, Nodes: c.Nodes}
	return result, nil
}

func (c UnfreezeIndex) apply(t *txn) (any, error) {
	ix := t.view.Indexes[c.Index]
	if ix == nil {
		return nil, refuse(CodeNotFound, "index %d does not exist", c.Index)
	}
	if ix.Frozen != nil {
		t.editIndex(c.Index).Frozen = nil
	}
	return None{}, nil
}

// HasGroupWithout reports whether some group has a replica in sync of every shard on a node other than these.
func (ix *Index) HasGroupWithout(nodes []NodeID) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(ix.Placement)), func(slots [][]Replica) bool {
		return len(slots) > 0 && !slices.ContainsFunc(slots, func(replicas []Replica) bool {
			return !slices.ContainsFunc(replicas, func(r Replica) bool { return r.State == Active && !slices.Contains(nodes, r.Node) })
		})
	})
}
