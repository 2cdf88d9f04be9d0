package fsm

import (
	"encoding/json"
	"time"
)

// WriteID names one write on the nodes: it travels in their customMetadata.
type WriteID string

// Intent is a write that the state knows of before any node does. It is open from BeginWrite to EndWrite.
type Intent struct {
	WriteID WriteID         `json:"writeId"`
	TaskUID uint32          `json:"taskUid"`
	Index   IndexID         `json:"index"`
	Kind    string          `json:"kind"`
	Shards  []ShardID       `json:"shards,omitempty"` // nil: all
	Targets []Target        `json:"targets"`
	Created bool            `json:"created,omitempty"` // this write creates the index
	Request json.RawMessage `json:"request,omitempty"` // the proposer's, for whoever resolves the intent
	BeganAt time.Time       `json:"beganAt"`
}

// Target is one node that must get a write, with the shards it gets. Active, joining and leaving replicas are targets.
type Target struct {
	Node   NodeID    `json:"node"`
	Group  GroupID   `json:"group"`
	Shards []ShardID `json:"shards,omitempty"` // nil: the index lives whole there; else sorted
}

// Swap exchanges the indexes of two names, or with Rename gives A's index the free name B.
type Swap struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Rename bool   `json:"rename,omitempty"`
}

// Effect is what a write changes besides documents, once its task has succeeded.
type Effect struct {
	CreateIndex bool            `json:"createIndex,omitempty"` // create the index if its name is free
	DeleteIndex bool            `json:"deleteIndex,omitempty"`
	PrimaryKey  *string         `json:"primaryKey,omitempty"` // every document write names the key it was routed by
	Settings    json.RawMessage `json:"settings,omitempty"`   // full new settings, made from NextSettings
	Swaps       []Swap          `json:"swaps,omitempty"`      // waits for earlier tasks of the indexes
}

// Outcome decides a task when it is enqueued: no node is involved.
type Outcome struct {
	Status  string          `json:"status"` // succeeded or failed
	Details json.RawMessage `json:"details,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// Expect guards a write against changes since the proposer's view. Refusal: CodeChanged.
type Expect struct {
	Index       IndexID `json:"index"`       // what the name must be routed to; 0 for nothing
	NextVersion uint64  `json:"nextVersion"` // Index.NextVersion, when Index is not 0; 0 for any
}

// BeginWrite allocates a task uid and stores task and intent; with Outcome, or without an index, there is no intent.
// A write with Swaps needs Outcome succeeded: no node is asked, and it stays enqueued until earlier tasks of the indexes
// concerned have finished. Only a primary key change may go to nodes and rename its index, in one swap: once they have done
// it the task waits as the others do, and ends with the name.
// Errors: CodeNotFound (the name is routed nowhere and CreateIndex is not set), CodeChanged, CodeNoNodes, CodeExists
// (write id known; renamed to a taken name), CodeInvalid.
type BeginWrite struct {
	Now            time.Time       `json:"now"`
	WriteID        WriteID         `json:"writeId"`
	Kind           string          `json:"kind"`
	IndexUID       *string         `json:"indexUid,omitempty"`
	CustomMetadata *string         `json:"customMetadata,omitempty"`
	Session        string          `json:"session,omitempty"` // of the client, which then reads what it wrote
	Names          []string        `json:"names,omitempty"`   // see Task.Names
	Details        json.RawMessage `json:"details,omitempty"`
	Shards         []ShardID       `json:"shards,omitempty"` // nil: every shard
	Effect         Effect          `json:"effect,omitzero"`
	Outcome        *Outcome        `json:"outcome,omitempty"`
	Expect         *Expect         `json:"expect,omitempty"`
	Request        json.RawMessage `json:"request,omitempty"` // kept in the intent
	// For an index that is created; zero values mean the configured ones.
	NumShards uint32 `json:"numShards,omitempty"`
	Spread    *int   `json:"spread,omitempty"`
}

// BeginWriteResult is where the write goes. Index is nil for a task without an index.
type BeginWriteResult struct {
	TaskUID    uint32    `json:"taskUid"`
	EnqueuedAt time.Time `json:"enqueuedAt"`
	Index      *Index    `json:"index,omitempty"`
	Created    bool      `json:"created,omitempty"`
	Targets    []Target  `json:"targets,omitempty"`
}

// Ack is one node's answer to its share of a write.
type Ack struct {
	Node        NodeID `json:"node"`
	NodeTaskUID int64  `json:"nodeTaskUid"`       // when acknowledged
	Err         string `json:"err,omitempty"`     // "" acknowledged; else why it surely does not have the write
	Unknown     bool   `json:"unknown,omitempty"` // it may have the write and cannot be asked
}

// MinAcksQuorum asks for a majority of a shard's replicas, over all groups, instead of a number.
const MinAcksQuorum = -1

// EndWrite closes an intent: it records node task uids and makes replicas stale that did not acknowledge.
// A target without Ack has not acknowledged. Error: CodeUndecided when no in-sync replica of some shard acknowledged and
// one of them is Unknown; the intent then stays open. CodeNotFound when the intent is closed.
type EndWrite struct {
	Now     time.Time `json:"now"`
	WriteID WriteID   `json:"writeId"`
	Acks    []Ack     `json:"acks"`
	MinAcks int       `json:"minAcks"` // 0: as configured
	// RefusedError is the error a refused write's task fails with.
	RefusedError json.RawMessage `json:"refusedError,omitempty"`
}

// EndWriteResult tells what became of the write.
type EndWriteResult struct {
	TaskUID  uint32 `json:"taskUid"`
	Accepted bool   `json:"accepted"` // else the task has failed
	// Stale are the replicas this write made stale.
	Stale []ReplicaRef `json:"stale,omitempty"`
	// MissedGroups are the groups that missed their write quorum in one of MissedShards; both sorted.
	MissedGroups []GroupID `json:"missedGroups,omitempty"`
	MissedShards []ShardID `json:"missedShards,omitempty"`
}

func (BeginWrite) Result() (r BeginWriteResult) { return }
func (EndWrite) Result() (r EndWriteResult)     { return }
