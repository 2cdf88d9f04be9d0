package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// absent is the version of a document that is not there.
const absent = 0

// ledger is what clients were told. A document has one possible version as long as every write to it was acknowledged;
// after one whose fate is not known it has two, and is never written again, so that the order of its writes is certain.
type ledger struct {
	mu      sync.Mutex
	docs    map[document][]int // guarded by mu: possible versions
	batches []batch            // guarded by mu: complete ones that nobody changes any more
	tasks   map[uint32]string  // guarded by mu: acknowledged writes
	pending map[int]time.Time  // guarded by mu: when the write began that each writer waits for
}

type document struct{ index, id string }

// batch is documents that were written together and are found together.
type batch struct {
	index, name string
	ids         []string
}

func newLedger() *ledger {
	return &ledger{docs: map[document][]int{}, tasks: map[uint32]string{}, pending: map[int]time.Time{}}
}

// begin and end say when a writer waits for an answer.
func (l *ledger) begin(writer int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[writer] = time.Now()
}

func (l *ledger) end(writer int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, writer)
}

// isPending reports that a writer waits since before a moment.
func (l *ledger) isPending(before time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, since := range l.pending {
		if since.Before(before) {
			return true
		}
	}
	return false
}

// acknowledged notes that a write of version to ids was accepted as task.
func (l *ledger) acknowledged(index string, ids []string, version int, task uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.docs[document{index, id}] = []int{version}
	}
	l.tasks[task] = fmt.Sprintf("%s %s to version %d", index, ids[0], version)
}

// uncertain notes a write that may have happened.
func (l *ledger) uncertain(index string, ids []string, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		d := document{index, id}
		if l.docs[d] == nil {
			l.docs[d] = []int{absent}
		}
		l.docs[d] = append(l.docs[d], version)
	}
}

func (l *ledger) publish(b batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, b)
}

// recent is one of the complete batches, more often a new one; false when there is none.
func (l *ledger) recent(pick func(int) int) (batch, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.batches) == 0 {
		return batch{}, false
	}
	newest := l.batches[max(0, len(l.batches)-20):]
	if pick(2) == 0 {
		newest = l.batches
	}
	return newest[pick(len(newest))], true
}

// wrong says what is wrong with a document's versions as found, one for each copy; "" for nothing.
func (l *ledger) wrong(d document, found []int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	possible := l.docs[d]
	if possible == nil {
		possible = []int{absent}
	}
	if slices.Min(found) != slices.Max(found) {
		return fmt.Sprintf("copies differ: versions %v, possible %v", found, possible)
	}
	if !slices.Contains(possible, found[0]) {
		return fmt.Sprintf("version %d, possible %v", found[0], possible)
	}
	return ""
}

func (l *ledger) documents(index string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for d := range l.docs {
		if d.index == index {
			ids = append(ids, d.id)
		}
	}
	return ids
}
