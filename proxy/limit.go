package proxy

import (
	"context"
	"sync/atomic"
	"time"
)

// limiter bounds how many requests run and wait. The zero value is not usable.
type limiter struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	timeout time.Duration
}

func newLimiter(running, queued int, timeout time.Duration) *limiter {
	return &limiter{slots: make(chan struct{}, running), queue: int64(queued), timeout: timeout}
}

// acquire takes a slot, waiting at most the limiter's timeout. It reports false when the queue is full, the time
// is over or ctx has ended; otherwise the caller owes one release.
func (l *limiter) acquire(ctx context.Context) bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return false
	}
	defer l.waiting.Add(-1)
	timer := time.NewTimer(l.timeout)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

func (l *limiter) release() { <-l.slots }
