package raftnode

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// duties are a node's goroutines. The zero value takes none.
type duties struct {
	mu     sync.Mutex
	ctx    context.Context // of all of them; guarded by mu, nil before start and after the end
	cancel context.CancelFunc
	done   sync.WaitGroup
	asking sync.WaitGroup // questions to Raft; it answers those before its end, and might forget them after
}

// spawn runs a duty until the node closes; false if it is closed.
func (n *Node) spawn(duty func(ctx context.Context)) bool {
	n.duties.mu.Lock()
	defer n.duties.mu.Unlock()
	if n.duties.ctx == nil {
		return false
	}
	ctx := n.duties.ctx
	n.duties.done.Go(func() { duty(ctx) })
	return true
}

// startDuties starts what runs without being asked. Raft must run.
func (n *Node) startDuties() error {
	n.duties.ctx, n.duties.cancel = context.WithCancel(context.Background())
	if n.peers != nil {
		n.peers.start()
	}
	n.closers = append(n.closers, n.endDuties)
	if n.peers != nil {
		n.closers = append(n.closers, n.peers.Close)
	}
	n.spawn(n.lead)
	n.spawn(n.keepLease)
	n.spawn(n.keepLevel)
	if n.peers != nil {
		n.spawn(n.assemble)
	}
	return nil
}

func (n *Node) endDuties() error {
	n.duties.mu.Lock()
	n.duties.ctx = nil
	n.duties.mu.Unlock()
	n.duties.cancel()
	n.duties.done.Wait()
	n.duties.asking.Wait()
	return nil
}

// lead does what a leader does first in each of its terms, and has voters chosen while this pod leads, until ctx ends.
func (n *Node) lead(ctx context.Context) {
	pilot := newPilot(n)
	defer func() { <-pilot.Stop() }()
	for {
		for n.raft.State() == raft.Leader && !n.beginTerm(ctx) && pause(ctx, 20*time.Millisecond) {
		}
		if n.raft.State() == raft.Leader && n.peers != nil {
			pilot.Start(ctx)
		} else {
			<-pilot.Stop()
		}
		select {
		case <-n.raft.LeaderCh():
		case <-ctx.Done():
			return
		}
	}
}

// beginTerm opens the leases of the term once this pod has applied everything of earlier ones. It reports false when it
// must be tried again.
func (n *Node) beginTerm(ctx context.Context) bool {
	term := n.raft.CurrentTerm()
	if err := n.Barrier(ctx); err != nil || n.raft.CurrentTerm() != term {
		return false
	}
	n.leases.allow(term, n.View().AppliedIndex)
	n.renewLease(ctx)
	if err := n.moveOwnAddress(ctx); err != nil {
		n.logger.Warn("the leader's new address is not committed yet", "error", err)
		return false
	}
	return true
}

// pause waits; it reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
