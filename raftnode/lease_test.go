package raftnode

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// slowStore is a log that takes a while to sync.
type slowStore struct {
	*raft.InmemStore
	delay atomic.Int64 // time.Duration
}

func (s *slowStore) StoreLogs(logs []*raft.Log) error {
	time.Sleep(time.Duration(s.delay.Load()))
	return s.InmemStore.StoreLogs(logs)
}

func (s *slowStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// writeAllAlong commits for a while, one command each period, and fails if a pod is not fresh meanwhile.
func writeAllAlong(t *testing.T, n *Node, period, total time.Duration) {
	t.Helper()
	for i, began := 0, time.Now(); time.Since(began) < total; i++ {
		next := time.Now().Add(period)
		done := make(chan struct{})
		go func() {
			defer close(done)
			addKey(t, n, fmt.Sprint("slow", i))
		}()
		for time.Now().Before(next) {
			if !n.Fresh() {
				t.Errorf("not fresh after %s although it leads: %v", time.Since(began), n.IsLeader())
				<-done
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		<-done
	}
}

// A pod alone is fresh however long its disk takes: nobody else can lead.
func TestAPodAloneIsFreshOnASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		store := &slowStore{InmemStore: raft.NewInmemStore()}
		alone := p.start("a", func(o *Options) { o.Join, o.Bootstrap, o.LogStore, o.StableStore = nil, true, store, store })
		bootstrapState(t, p.leader())
		if !alone.Fresh() {
			t.Fatal("a pod alone that leads is not fresh")
		}
		store.delay.Store(int64(5 * time.Second))
		writeAllAlong(t, alone, 6*time.Second, 30*time.Second)
	})
}

// A leader stays fresh while answers about its leadership take more than a second, for it asks again before they are there.
func TestALeaderIsFreshWhileAnswersAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		stores := map[string]*slowStore{}
		for _, id := range []string{"a", "b", "c"} {
			stores[id] = &slowStore{InmemStore: raft.NewInmemStore()}
			p.start(id, expect(3), func(o *Options) { o.LogStore, o.StableStore = stores[id], stores[id] })
		}
		p.settle()
		leader := p.leader()
		bootstrapState(t, leader)
		p.synced()
		stores[leader.id].delay.Store(int64(1200 * time.Millisecond))
		writeAllAlong(t, leader, 1500*time.Millisecond, 20*time.Second)
	})
}

// A pod whose lease runs out unnoticed, as that of a stopped process, has the next one before it answers; one that is cut off
// makes its reads wait once, not each.
func TestReadsWaitForTheNextLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		n := p.follower()
		p.until("it is fresh", n.Fresh)
		synctest.Wait() // no request for a lease is being answered
		n.fresh.Store(-int64(n.options.ReadLease))
		if n.Fresh() {
			t.Fatal("its lease has not run out")
		}
		if began := time.Now(); !n.AwaitFresh(p.ctx()) || time.Since(began) > freshWait {
			t.Errorf("no lease after %s", time.Since(began))
		}
		p.isolate(n.id)
		p.until("its lease has run out", func() bool { return !n.Fresh() })
		if began := time.Now(); n.AwaitFresh(p.ctx()) || time.Since(began) > freshWait+50*time.Millisecond {
			t.Errorf("cut off, fresh %t after %s", n.Fresh(), time.Since(began))
		}
		if began := time.Now(); n.AwaitFresh(p.ctx()) || time.Since(began) != 0 {
			t.Errorf("cut off for long, fresh %t after %s", n.Fresh(), time.Since(began))
		}
	})
}
