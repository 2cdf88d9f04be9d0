package tasks

import (
	"encoding/json"
	"errors"
	"slices"

	"miroir/fsm"
)

// SettingsCheck is how a node's settings of an index, read back, compare with those that the log ends in.
type SettingsCheck struct {
	// Fingerprint and Want are the sha256, in hexadecimal, of the node's settings and of those it must have, both
	// without what Miroir adds. Fingerprint is "" when the node does not have the index.
	Fingerprint, Want string
	Differing         []string // names of the settings that differ, sorted
	// Present are the settings as the node shows them.
	Present map[string]json.RawMessage
	// Unmarked says that the node's index lacks the rule that Miroir gives it: somebody else made it, or it cannot be read as it must.
	Unmarked bool
	// FiltersShards says that the node's index can be filtered by shard.
	FiltersShards bool
	// NextVersion is the index's when its settings were read.
	NextVersion uint64
}

// Missing reports that the node does not have the index.
func (c *SettingsCheck) Missing() bool { return c.Fingerprint == "" }

// Equal reports that the node has the settings it must have.
func (c *SettingsCheck) Equal() bool { return c.Fingerprint == c.Want }

// ErrSettingsMove says that the index changes, so that nothing can be said of a node's settings now.
var ErrSettingsMove = errors.New("the settings of the index are changing")

// SettingsPending reports that some task other than except, which may be nil, is still to change the settings of the
// index, create it or delete it.
func SettingsPending(ix *fsm.Index, except *uint32) bool {
	return slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool {
		return (except == nil || p.Task != *except) && (p.Settings != nil || p.Create || p.Delete)
	})
}

// SettingsNodes are the nodes that the settings of an index are read back from: those that are there and have it in
// sync, all of it.
func SettingsNodes(v *fsm.View, ix *fsm.Index) []fsm.NodeID {
	behind := ix.Nodes(fsm.Stale, fsm.Joining, fsm.Leaving)
	return slices.DeleteFunc(ix.Nodes(fsm.Active), func(id fsm.NodeID) bool {
		n := v.Node(id)
		return n == nil || n.State == fsm.NodeFailed || slices.Contains(behind, id)
	})
}
