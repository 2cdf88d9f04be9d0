package raftnode

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// fullStore is a log on a disk that may be full.
type fullStore struct {
	*raft.InmemStore
	full *atomic.Bool
}

func (s fullStore) check() error {
	if s.full.Load() {
		return fmt.Errorf("write: %w", syscall.ENOSPC)
	}
	return nil
}

func (s fullStore) StoreLogs(logs []*raft.Log) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.InmemStore.StoreLogs(logs)
}

func (s fullStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s fullStore) Set(key, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.InmemStore.Set(key, value)
}

func (s fullStore) SetUint64(key []byte, value uint64) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.InmemStore.SetUint64(key, value)
}

// startOnDisks starts pods each of which has a disk that may be full.
func (p *pods) startOnDisks(ids ...string) map[string]*atomic.Bool {
	p.t.Helper()
	disks := map[string]*atomic.Bool{}
	for _, id := range ids {
		disks[id] = &atomic.Bool{}
		p.start(id, expect(len(ids)), func(o *Options) {
			store := fullStore{p.logs[id], disks[id]}
			o.LogStore, o.StableStore = store, store
		})
	}
	p.settle()
	bootstrapState(p.t, p.leader())
	p.synced()
	return disks
}

// TestALeaderWithoutSpaceIsReplaced: the others go on, and it follows them again once it has room.
func TestALeaderWithoutSpaceIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		disks := p.startOnDisks("a", "b", "c")
		old := p.leader()
		disks[old.id].Store(true)
		p.until("another leader", func() bool {
			addKeyAnyway(p, "k")
			leader := p.leader()
			return leader != old && leader.View().Key("k") != nil
		})
		if old.View().Key("k") != nil {
			t.Error("the pod without space has applied what it could not write")
		}
		time.Sleep(time.Minute)
		disks[old.id].Store(false)
		p.until("the pod to follow", func() bool { return old.View().Key("k") != nil && old.Fresh() })
	})
}

// addKeyAnyway tries to commit something; it may fail.
func addKeyAnyway(p *pods, uid string) {
	for _, n := range p.nodes {
		if n.IsLeader() {
			_, _ = fsm.Do(p.ctx(), n, fsm.PutKey{Key: fsm.Key{UID: uid}, Create: true})
		}
	}
}

// TestAPodAloneWithoutSpaceComesBack: it neither dies nor forgets; it does not hinder the end of the process either.
func TestAPodAloneWithoutSpaceComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		var full atomic.Bool
		p.start("a", func(o *Options) {
			store := fullStore{p.logs["a"], &full}
			o.LogStore, o.StableStore, o.Join, o.Bootstrap, o.Alone = store, store, nil, true, true
		})
		bootstrapState(t, p.leader())
		addKey(t, p.leader(), "before")
		full.Store(true)
		addKeyAnyway(p, "during")
		time.Sleep(time.Minute)
		if n := p.nodes["a"]; n.IsLeader() || n.View().Key("before") == nil {
			t.Errorf("leads without space: %t", n.IsLeader())
		}
		full.Store(false)
		addKey(t, p.leader(), "after")
		full.Store(true)
		addKeyAnyway(p, "at the end")
		time.Sleep(time.Second)
		p.stop("a")
	})
}
