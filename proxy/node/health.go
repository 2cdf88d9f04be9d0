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

// health is what the calls themselves tell about a node. All fields are atomics: no lock on the read path.
type health struct {
	failures     atomic.Int32 // in a row
	suspectUntil atomic.Int64 // UnixNano, 0 when trusted
	lastAnswer   atomic.Int64 // UnixNano, 0 before the first
}

func (h *health) alive(now time.Time) bool { return now.UnixNano() >= h.suspectUntil.Load() }

func (h *health) failed(now time.Time) {
	n := h.failures.Add(1)
	pause := maxSuspicion
	if n < 6 {
		pause = min(firstSuspicion<<(n-1), maxSuspicion)
	}
	h.suspectUntil.Store(now.Add(pause).UnixNano())
}

func (h *health) succeeded() {
	if h.suspectUntil.Load() != 0 {
		h.failures.Store(0)
		h.suspectUntil.Store(0)
	}
}

func (h *health) answered() {
	h.succeeded()
	h.lastAnswer.Store(time.Now().UnixNano())
}
