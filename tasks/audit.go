package tasks

import (
	"time"

	"miroir/fsm"
)

// Depths of a comparison of replicas: how many documents they have, digests of their content, or each differing document.
const (
	DepthCounts    = "counts"
	DepthDigests   = "digests"
	DepthDocuments = "documents"
)

// AuditRequest asks for a comparison of replicas.
type AuditRequest struct {
	Index  fsm.IndexID   // 0: every index
	Shards []fsm.ShardID // nil: every shard; of an index that lives whole any shard means all of it
	Depth  string
	Repair bool // copies that are found wrong become stale, and ordinary repair makes them equal
}

// InDoubt reports that copies of a shard may differ after a write that was refused as a whole: several nodes accepted their share,
// and nobody follows how their tasks end.
func InDoubt(acks []fsm.Ack) bool {
	accepted := 0
	for _, ack := range acks {
		if ack.Err == "" && !ack.Unknown {
			accepted++
		}
	}
	return accepted > 1
}

// Audit is a comparison of replicas, as operators see it.
type Audit struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`  // anti_entropy or verify
	State      string     `json:"state"` // running, succeeded, failed, canceled
	Depth      string     `json:"depth"`
	Repair     bool       `json:"repair"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Progress   Progress   `json:"progress"`
	// Mismatches are the documents that differ, over all shards; Stale the replicas that became stale for it.
	Mismatches int `json:"mismatches"`
	Stale      int `json:"stale"`
	Errors     int `json:"errors"` // shards that could not be compared
	// Results are those of every shard of a verification; of a pass, those with something to tell, the first 1000.
	Results []ShardAudit `json:"results"`
}

// Progress counts what is done of a job.
type Progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Unit  string `json:"unit"`
}

// ShardAudit is the comparison of the replicas of one shard.
type ShardAudit struct {
	Index  string      `json:"index"`
	Shard  *uint32     `json:"shard"` // null: the index lives whole on its nodes
	Equal  bool        `json:"equal"`
	Copies []CopyAudit `json:"copies"`
	// NumDiffering documents differ, Differing are the first 1000 of them.
	NumDiffering int                 `json:"differing_documents"`
	Differing    []DifferingDocument `json:"differing,omitempty"`
	// Note says why nothing was compared, Error why it could not be.
	Note  string `json:"note,omitempty"`
	Error string `json:"error,omitempty"`
}

// CopyAudit is what one replica has. Digest is empty at depth counts.
type CopyAudit struct {
	Node      fsm.NodeID  `json:"node"`
	Group     fsm.GroupID `json:"group"`
	Documents int64       `json:"documents"`
	Digest    string      `json:"digest,omitempty"`
	// Foreign: somebody wrote to the index on the node directly since it was last known to be right.
	Foreign bool `json:"foreign,omitempty"`
	// Wrong: this copy is not what the others agree on.
	Wrong bool `json:"wrong,omitempty"`
}

// DifferingDocument is a document that replicas have otherwise: its digest by node, "" where it is missing.
type DifferingDocument struct {
	ID      string                `json:"id"`
	Digests map[fsm.NodeID]string `json:"digests"`
}

// AntiEntropyStatus is what operators see of the comparisons that run by themselves.
type AntiEntropyStatus struct {
	Enabled    bool       `json:"enabled"`
	Schedule   string     `json:"schedule"`
	AutoRepair bool       `json:"auto_repair"`
	Running    *Audit     `json:"running"`
	LastPass   *Audit     `json:"last_pass"`
	NextAt     *time.Time `json:"next_at"`
	// Totals since this pod became leader.
	ShardsScanned     uint64 `json:"shards_scanned_total"`
	Mismatches        uint64 `json:"mismatches_found_total"`
	DocumentsRepaired uint64 `json:"docs_repaired_total"`
}

// ForeignTasks are the tasks found on a node that Miroir did not create.
type ForeignTasks struct {
	Node  fsm.NodeID `json:"node"`
	Count int        `json:"count"`
	Last  time.Time  `json:"last"`  // when the newest was enqueued
	Index string     `json:"index"` // node-side name the newest is about
}
