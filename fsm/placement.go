package fsm

import "time"

// ReplicaState is the state of one copy of a shard.
type ReplicaState string

// Replica states. Only active replicas are read; active, joining and leaving ones receive writes.
const (
	Active  ReplicaState = "active"  // in sync: holds every acknowledged write
	Stale   ReplicaState = "stale"   // missed a write, to be repaired
	Joining ReplicaState = "joining" // receives writes while it is being filled
	Leaving ReplicaState = "leaving" // displaced; its documents are deleted
)

// Replica is one copy of a shard (or of a whole index) on one node.
type Replica struct {
	Node  NodeID       `json:"node"`
	State ReplicaState `json:"state"`
	Since time.Time    `json:"since"` // when State was entered
	// Epoch is the Raft index of the command that last set the state, also when it set stale anew: a repair that began
	// under another epoch must not activate the replica.
	Epoch uint64 `json:"epoch"`
}

// ReplicaRef names one replica. Shard is 0 for an index that lives whole.
type ReplicaRef struct {
	Index IndexID `json:"index"`
	Group GroupID `json:"group"`
	Shard ShardID `json:"shard"`
	Node  NodeID  `json:"node"`
}

// ReplicaChange adds, changes or removes one replica.
type ReplicaChange struct {
	ReplicaRef
	From ReplicaState `json:"from"` // "": it must not exist yet
	To   ReplicaState `json:"to"`   // "": it is removed. Becoming active is left to ActivateReplica.
}

// MarkReplicas makes all changes or, when one is not possible (CodeWrongState, CodeNotFound, CodeLastCopy), none.
type MarkReplicas struct {
	Now     time.Time       `json:"now"`
	Changes []ReplicaChange `json:"changes"`
}

// ActivateReplica ends a repair: the joining replica becomes active and, if Displaced is not empty, that node's replica of
// the same shard becomes leaving. Refused (CodeWrongState) when the replica is not joining or Epoch is neither 0 nor its
// epoch, and (CodeOperationBusy) while an open intent touches the shard without having this node among its targets.
type ActivateReplica struct {
	Now time.Time `json:"now"`
	ReplicaRef
	Epoch     uint64 `json:"epoch,omitempty"`
	Displaced NodeID `json:"displaced,omitempty"`
}

func (MarkReplicas) Result() (r None)    { return }
func (ActivateReplica) Result() (r None) { return }
