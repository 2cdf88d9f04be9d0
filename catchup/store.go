// Package catchup keeps the sub-writes that nodes missed on the leader's disk, so that a node which was away briefly gets
// them in order instead of a copy of its shards. The write path appends, the repair replays. A log is worth having only
// while it is complete: whatever casts doubt on that drops it, and then shards are copied.
package catchup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// Key names a log: what one node missed of one index.
type Key struct {
	Index fsm.IndexID
	Node  fsm.NodeID
}

// Store has the logs of one pod. Their files have no names, so that nothing is left of them when the process ends.
// Safe for concurrent use.
type Store struct {
	dir    string
	limits func() fsm.CatchUp
	now    func() time.Time
	log    *slog.Logger

	set      *metrics.Set
	replayed *metrics.Counter

	mu    sync.Mutex
	logs  map[Key]*Log
	bytes map[fsm.NodeID]int64 // of all logs of a node
}

// New is an empty store that keeps its files in dir. limits are asked for at each use.
func New(dir string, limits func() fsm.CatchUp, now func() time.Time, set *metrics.Set, log *slog.Logger) *Store {
	return &Store{
		dir: dir, limits: limits, now: now, set: set, log: log, replayed: set.GetOrCreateCounter("miroir_catch_up_replayed_total"),
		logs: map[Key]*Log{}, bytes: map[fsm.NodeID]int64{},
	}
}

// Get is the log of a node and index, nil when there is none.
func (s *Store) Get(key Key) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[key]
}

// Nodes lists the nodes that have a log for an index.
func (s *Store) Nodes(index fsm.IndexID) []fsm.NodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var nodes []fsm.NodeID
	for key := range s.logs {
		if key.Index == index {
			nodes = append(nodes, key.Node)
		}
	}
	return nodes
}

// Open begins a log. base is the highest task uid that the node is known to have, open are the index's tasks of clients that have
// not ended. It returns nil when nothing may be kept.
func (s *Store) Open(key Key, base int64, open []uint32) *Log {
	if s.limits().Bytes <= 0 {
		return nil
	}
	file, err := os.CreateTemp(s.dir, "miroir-catchup-*")
	if err == nil {
		err = os.Remove(file.Name())
	}
	if err != nil {
		s.log.Warn("missed writes are not kept", "node_id", key.Node, "error", err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.logs[key]; known != nil {
		_ = file.Close() // nothing was written to it
		return known
	}
	log := &Log{store: s, key: key, base: base, open: open, file: file, opened: s.now(), covered: map[fsm.ReplicaRef]uint64{}}
	s.logs[key] = log
	s.set.GetOrCreateGauge(fmt.Sprintf("miroir_catch_up_log_bytes{node_id=%q}", key.Node), func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.bytes[key.Node])
	})
	s.log.Info("node misses writes: they are kept for its return", "node_id", key.Node, "index_id", key.Index)
	return log
}

// errFull says that a bound would be passed.
var errFull = errors.New("the catch-up log is at its bound (placement.catch_up_log_bytes)")

// reserve accounts for bytes about to be written.
func (s *Store) reserve(log *Log, bytes int64) error {
	limits := s.limits()
	s.mu.Lock()
	defer s.mu.Unlock()
	total := bytes
	for _, kept := range s.bytes {
		total += kept
	}
	switch {
	case s.logs[log.key] != log:
		return ErrDropped
	case total > limits.Bytes:
		return errFull
	case log.tooOld(limits):
		return errTooOld
	}
	s.bytes[log.key.Node] += bytes
	log.reserved += bytes
	return nil
}

// Drop forgets a log: its node is repaired by copying. Unknown keys are left alone.
func (s *Store) Drop(key Key, reason string) {
	s.mu.Lock()
	log := s.logs[key]
	if log != nil {
		delete(s.logs, key)
		if s.bytes[key.Node] -= log.reserved; s.bytes[key.Node] <= 0 {
			delete(s.bytes, key.Node)
		}
	}
	s.mu.Unlock()
	if log == nil {
		return
	}
	log.close()
	s.log.Info("missed writes are not kept any more", "node_id", key.Node, "index_id", key.Index, "reason", reason)
}

// DropWhere drops every log that chosen says.
func (s *Store) DropWhere(chosen func(Key) bool, reason string) {
	s.mu.Lock()
	var keys []Key
	for key := range s.logs {
		if chosen(key) {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	for _, key := range keys {
		s.Drop(key, reason)
	}
}

// Close drops all logs.
func (s *Store) Close() { s.DropWhere(func(Key) bool { return true }, "the pod ends") }
