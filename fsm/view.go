package fsm

import (
	"encoding/json"
	"slices"
	"time"
)

// View is the replicated state that requests are routed by, as of one log index. It and everything it points to are
// immutable: load it once per request and pass it down.
type View struct {
	// PlacedAt differs between two views of a pod when a placement may: the Raft index of the last command that changed one.
	PlacedAt       uint64
	AppliedIndex   uint64 // Raft index of the last command in it
	ClusterID      string // "" before Bootstrap
	Level          int    // feature level that every pod knows
	Config         Config
	Nodes          map[NodeID]*Node
	Groups         []*Group // sorted by id
	Indexes        map[IndexID]*Index
	Names          map[string]IndexID // what finished tasks made of the names: reads
	Routes         map[string]IndexID // what the end of the log makes of them: writes
	Keys           []Key              // in order of creation
	Features       json.RawMessage    // nil before the first SetFeatures
	Network        json.RawMessage    // nil before the first SetNetwork
	Leftovers      []Leftover         // sorted by node, then name
	Webhooks       []Webhook          // sorted by uuid
	ChatWorkspaces []ChatWorkspace    // sorted by uid
	SearchRules    map[string]*SearchRule
	RulesAt        uint64 // differs between two views of a pod when a search rule may
	Jobs           []Job  // in order of creation
	Rebalance      RebalanceState

	NumOpenIntents   int
	NumOpenTasks     int
	NumSessionWrites int // unfinished writes of sessions
	NextTaskUID      uint32
	LastUpdate       time.Time // latest Now of a command that enqueued or finished a task; zero before

	counters counters
	flips    []flip   // executed changes of names, oldest first
	retired  []NodeID // ids of removed nodes, never to be used again
}

// publishCounters copies what readers may see of the counters.
func (v *View) publishCounters() {
	c := v.counters
	v.Level = max(c.Level, 1)
	v.ClusterID, v.NextTaskUID, v.LastUpdate = c.ClusterID, c.NextTaskUID, c.LastUpdate
	v.NumOpenIntents, v.NumOpenTasks, v.NumSessionWrites = c.NumOpenIntents, c.NumOpenTasks, c.NumSessionWrites
}

// Index returns the index that reads of a name go to, nil if there is none.
func (v *View) Index(uid string) *Index { return v.lookup(v.Names, uid) }

// Route returns the index that writes to a name go to, nil if there is none.
func (v *View) Route(uid string) *Index { return v.lookup(v.Routes, uid) }

func (v *View) lookup(names map[string]IndexID, uid string) *Index {
	id, ok := names[uid]
	if !ok {
		return nil
	}
	return v.Indexes[id]
}

// ShownConfig is Config with the replica groups that there are now.
func (v *View) ShownConfig() Config {
	c := v.Config
	c.ReplicaGroups = len(v.Groups)
	return c
}

// Node returns a node, nil if it is unknown.
func (v *View) Node(id NodeID) *Node { return v.Nodes[id] }

// Retired reports whether an id belonged to a node that was removed.
func (v *View) Retired(id NodeID) bool { return slices.Contains(v.retired, id) }

// Group returns a group, nil if it is unknown.
func (v *View) Group(id GroupID) *Group {
	for _, g := range v.Groups {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// Key returns the API key with a uid, nil if there is none.
func (v *View) Key(uid string) *Key {
	for i := range v.Keys {
		if v.Keys[i].UID == uid {
			return &v.Keys[i]
		}
	}
	return nil
}
