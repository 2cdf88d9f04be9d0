package workers

import (
	"context"
	"time"
)

// bell wakes the one that waits for it. Rings while nobody waits count once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// wait returns when the bell has rung, after d at the latest; it reports false when ctx ended first.
func (b bell) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// moveBells spare moves the wait for the next look at the placement: repairer and rebalancer tell each other at once.
type moveBells struct{ repair, rebalance bell }
