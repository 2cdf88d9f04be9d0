package tasks

import "time"

// LeavingGrace is how long a replica keeps its documents after every pod knows that it is not read any more: a read that
// began before and takes half as long is good.
const LeavingGrace = 10 * time.Second

// Repair is the state of the repair of an index's replicas on one node, as operators see it.
type Repair struct {
	Kind     string   `json:"kind"` // repair, or move of what is on its way in
	Index    string   `json:"index"`
	Node     string   `json:"to"`
	Shards   []uint32 `json:"shards"`
	State    string   `json:"state"`    // waiting, copying, finishing, blocked
	Done     int64    `json:"done"`     // documents compared since the last start
	Total    int64    `json:"total"`    // documents to compare, as far as known
	Copied   int64    `json:"copied"`   // documents written to or deleted from the node
	Attempts int      `json:"attempts"` // failed ones
	// DocsPerSecond is how fast documents were compared in this attempt, 0 while none runs.
	DocsPerSecond float64   `json:"docs_per_second"`
	Error         string    `json:"error,omitempty"`
	StartedAt     time.Time `json:"started_at"`
}
