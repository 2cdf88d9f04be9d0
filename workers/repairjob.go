package workers

import (
	"errors"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// repairJob is the repair of all replicas of one index on one node, over its attempts.
type repairJob struct {
	key   jobKey
	meter *repairMeter
	since time.Time
	// failedSources are nodes that failed as a source in the last attempt. Only who makes the attempt uses it.
	failedSources map[fsm.NodeID]bool

	mu        sync.Mutex
	index     string // client name
	nodeUID   string // the index on nodes
	slots     []*slot
	running   bool
	finishing bool
	failures  int
	err       error
	notBefore time.Time
	done      int64
	total     int64
	copied    int64
	began     time.Time // of the attempt
	fresh     bool      // all slots are on their way in
}

// place notes which replicas are out of sync.
func (j *repairJob) place(view *fsm.View, slots []*slot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ix := view.Indexes[j.key.index]
	j.slots, j.index, j.nodeUID = slots, ix.UID, ix.NodeUID
	j.fresh = !slices.ContainsFunc(slots, func(s *slot) bool { return !s.fresh })
}

// mayRun reports whether the time of the next attempt has come.
func (j *repairJob) mayRun(now time.Time, reachable bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return reachable && !j.running && !now.Before(j.notBefore)
}

func (j *repairJob) isRunning() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.running
}

// isFilling reports that an attempt may still send documents to an index that is left over.
func (j *repairJob) isFilling(left fsm.Leftover) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.running && j.key.node == left.Node && j.nodeUID == left.NodeUID
}

func (j *repairJob) start(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running, j.finishing, j.copied, j.began = true, false, 0, now
}

// end notes how an attempt went.
func (j *repairJob) end(err error, now time.Time, backoff, limit time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running, j.finishing, j.err = false, false, err
	if err == nil {
		j.failures = 0
		return
	}
	pause := limit
	if j.failures < 16 {
		pause = min(backoff<<j.failures, limit)
	}
	j.failures++
	j.notBefore = now.Add(pause)
}

// begin is called when the documents are compared from the first one on.
func (j *repairJob) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done, j.total = 0, 0
}

// finish is called when the last step begins, or has failed.
func (j *repairJob) finish(begins bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.finishing = begins
}

// expect and compared count documents to compare and compared, wrote those written to the target.
func (j *repairJob) expect(documents int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.total += int64(documents)
}

func (j *repairJob) compared(documents int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done += int64(documents)
}

func (j *repairJob) wrote(documents int) {
	j.meter.documents.Add(documents)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.copied += int64(documents)
	if j.fresh {
		j.meter.migrated.Add(documents)
	}
}

func (j *repairJob) copiedDocuments() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.copied
}

// size is the number of documents that were to be compared last.
func (j *repairJob) size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.total
}

func (j *repairJob) indexUID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.index
}

func (j *repairJob) status(now time.Time) tasks.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	status := tasks.Repair{
		Kind: "repair", Index: j.index, Node: string(j.key.node), State: "waiting", StartedAt: j.since,
		Done: j.done, Total: j.total, Copied: j.copied, Attempts: j.failures, Shards: []uint32{},
	}
	if j.fresh {
		status.Kind = "move"
	}
	if took := now.Sub(j.began).Seconds(); j.running && took > 0 {
		status.DocsPerSecond = float64(j.done) / took
	}
	for _, s := range j.slots {
		status.Shards = append(status.Shards, uint32(s.shard))
	}
	slices.Sort(status.Shards)
	var noSource errNoSource
	switch {
	case j.finishing:
		status.State = "finishing"
	case j.running:
		status.State = "copying"
	case errors.As(j.err, &noSource):
		status.State = "blocked"
	}
	if j.err != nil {
		status.Error = j.err.Error()
	}
	return status
}
