package fsm

import "time"

// NodeID names one Meilisearch server. An id is never used twice.
type NodeID string

// GroupID numbers a replica group.
type GroupID uint32

// NodeState is what the leader committed about a node; each pod judges momentary health for itself.
type NodeState string

// A node's life: joining → active ⇄ degraded → failed → active; active → draining → drained → removed.
const (
	NodeJoining  NodeState = "joining"
	NodeActive   NodeState = "active"
	NodeDegraded NodeState = "degraded"
	NodeFailed   NodeState = "failed"
	NodeDraining NodeState = "draining"
	NodeDrained  NodeState = "drained"
)

// Node is one Meilisearch server.
type Node struct {
	ID      NodeID    `json:"id"`
	Address string    `json:"address"` // base URL
	Key     string    `json:"key"`     // Miroir's own key on that node; never shown to clients
	Group   GroupID   `json:"group"`
	State   NodeState `json:"state"`
	// LastTaskUID is the highest node task uid recorded, -1 before the first. A node whose newest task is lower lost its disk.
	LastTaskUID int64     `json:"lastTaskUid"`
	Version     string    `json:"version,omitempty"`
	Error       string    `json:"error,omitempty"` // last error, for people
	Since       time.Time `json:"since"`           // when State was entered
}

// GroupState is the state of a replica group.
type GroupState string

// A group's life: initializing (written, not read) → active → draining (written, not read) → forgotten.
const (
	GroupInitializing GroupState = "initializing"
	GroupActive       GroupState = "active"
	GroupDraining     GroupState = "draining"
)

// Group is a set of nodes that together hold every shard. Nodes name their group; a group does not list its nodes.
type Group struct {
	ID    GroupID    `json:"id"`
	State GroupState `json:"state"`
	Since time.Time  `json:"since"`
}

// AddNode makes a node known. An empty State means active. A group that does not exist yet is created active when the
// cluster has no index, else initializing. Error: CodeExists when the id is or was in use.
type AddNode struct {
	Now  time.Time `json:"now"`
	Node Node      `json:"node"`
}

// SetNodeState changes what is committed about a node; empty State, Version, Address and Key mean unchanged; Error is always set.
type SetNodeState struct {
	Now     time.Time `json:"now"`
	Node    NodeID    `json:"node"`
	State   NodeState `json:"state,omitempty"`
	Version string    `json:"version,omitempty"`
	Address string    `json:"address,omitempty"`
	Key     string    `json:"key,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// RemoveNode forgets a node and its replicas. Without Force it is refused (CodeWrongState) while replicas are left there;
// with Force it is refused (CodeLastCopy) when a shard would lose its last in-sync replica, unless AcceptLoss.
type RemoveNode struct {
	Now        time.Time `json:"now"`
	Node       NodeID    `json:"node"`
	Force      bool      `json:"force,omitempty"`
	AcceptLoss bool      `json:"acceptLoss,omitempty"`
}

// RemoveNodeResult lists the shards that have no in-sync replica any more.
type RemoveNodeResult struct {
	Lost []ReplicaRef `json:"lost,omitempty"`
}

// MarkNodeStale makes every active or joining replica of a node stale: its disk was wiped or restored from an old one.
// LastTaskUID, when not nil, replaces the recorded one, so that the node's new history is accepted.
// A shard's last in-sync replica is made stale too: what is gone is gone, and the result lists it.
type MarkNodeStale struct {
	Now         time.Time `json:"now"`
	Node        NodeID    `json:"node"`
	LastTaskUID *int64    `json:"lastTaskUid,omitempty"`
}

// MarkNodeStaleResult tells how many replicas became stale and which shards lost their last in-sync replica.
type MarkNodeStaleResult struct {
	NumStale int          `json:"numStale"`
	Lost     []ReplicaRef `json:"lost,omitempty"`
}

// RecordNodeTask raises a node's LastTaskUID after tasks that belong to no client write (repair, verification).
type RecordNodeTask struct {
	Node NodeID `json:"node"`
	UID  int64  `json:"uid"`
}

// AddGroup makes an empty replica group, initializing.
type AddGroup struct {
	Now   time.Time `json:"now"`
	Group GroupID   `json:"group"`
}

// SetGroupState changes a group's state. Activation is refused (CodeWrongState) while it has replicas that are not active.
type SetGroupState struct {
	Now   time.Time  `json:"now"`
	Group GroupID    `json:"group"`
	State GroupState `json:"state"`
}

// RemoveGroup forgets a group and its replicas. Refused for the last active group, while it has nodes, and (CodeLastCopy)
// when another group has a shard without an in-sync replica.
type RemoveGroup struct {
	Now   time.Time `json:"now"`
	Group GroupID   `json:"group"`
}

// None is the result of commands that have nothing to say beyond success.
type None struct{}

func (AddNode) Result() (r None)                      { return }
func (SetNodeState) Result() (r None)                 { return }
func (RemoveNode) Result() (r RemoveNodeResult)       { return }
func (MarkNodeStale) Result() (r MarkNodeStaleResult) { return }
func (RecordNodeTask) Result() (r None)               { return }
func (AddGroup) Result() (r None)                     { return }
func (SetGroupState) Result() (r None)                { return }
func (RemoveGroup) Result() (r None)                  { return }
