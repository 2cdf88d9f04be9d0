package node

import (
	"sync/atomic"
	"time"
)

// A node whose last call failed is suspect for firstSuspicion, doubled per failure in a row up to maxSuspicion.
const (
	firstSuspicion = 500 * time.Millisecond
	maxSuspicion   = 10 * time.Second
)

// suspicion is for how long a node is not trusted. All fields are atomics: no lock on the read path.
type suspicion struct {
	failures atomic.Int32 // in a row
	until    atomic.Int64 // UnixNano, 0 when trusted
}

func (s *suspicion) holds(now time.Time) bool { return now.UnixNano() < s.until.Load() }

func (s *suspicion) raise(now time.Time) {
	n := s.failures.Add(1)
	pause := maxSuspicion
	if n < 6 {
		pause = min(firstSuspicion<<(n-1), maxSuspicion)
	}
	s.until.Store(now.Add(pause).UnixNano())
}

func (s *suspicion) clear() {
	if s.until.Load() != 0 {
		s.failures.Store(0)
		s.until.Store(0)
	}
}

// health is what the calls themselves tell about a node.
type health struct {
	calls      suspicion    // that fail; any answer ends it
	reads      suspicion    // that wait while the node answers other things; the answer to a read ends it
	silent     atomic.Bool  // nothing comes from the node, not even its health; any answer ends it
	lastAnswer atomic.Int64 // UnixNano, 0 before the first
}

func (h *health) alive(now time.Time) bool {
	return !h.silent.Load() && !h.calls.holds(now) && !h.reads.holds(now)
}

func (h *health) succeeded() {
	h.calls.clear()
	h.silent.Store(false)
}

func (h *health) answered(now time.Time) {
	h.lastAnswer.Store(now.UnixNano())
	h.succeeded()
}
