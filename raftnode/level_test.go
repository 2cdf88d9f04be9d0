package raftnode

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

// ofLevel makes a pod one of a version for which keys are new in level 2.
func ofLevel(level int) func(*Options) {
	return func(o *Options) {
		o.Level = level
		o.levelOf = func(cmd fsm.Command) int {
			if _, isKey := cmd.(fsm.PutKey); isKey {
				return 2
			}
			return fsm.LevelOf(cmd)
		}
	}
}

// Two of three pods are newer: what only they know is refused, wherever it is proposed, until the third is upgraded. From
// then on an older pod is not let in, and both sides say why.
func TestNewCommandsWaitForTheOldestPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines strings.Builder
		p := newPods(t)
		p.log = slog.New(slog.NewTextHandler(lockedWriter{&mu, &lines}, nil))
		p.start("a", expect(3), ofLevel(2))
		p.start("b", expect(3), ofLevel(2))
		p.start("c", expect(3), ofLevel(1))
		p.settle()
		bootstrapState(t, p.leader())
		time.Sleep(10 * time.Second)
		p.synced()
		for id, n := range p.nodes {
			_, err := fsm.Do(p.ctx(), n, fsm.PutKey{Key: fsm.Key{UID: "k"}, Create: true})
			var refused *fsm.Error
			if !errors.As(err, &refused) || refused.Code != fsm.CodeLevel {
				t.Fatalf("pod %s: a command that pod c does not know: %v", id, err)
			}
		}
		p.stop("c")
		time.Sleep(5 * time.Second)
		if level := p.leader().View().Level; level != 1 {
			t.Fatalf("level %d while the older pod is only away", level)
		}
		p.start("c", expect(3), ofLevel(2))
		p.until("the level rises everywhere", func() bool {
			return p.nodes["a"].View().Level == 2 && p.nodes["b"].View().Level == 2 && p.nodes["c"].View().Level == 2
		})
		addKey(t, p.follower(), "k")

		older := p.start("d", ofLevel(1))
		time.Sleep(30 * time.Second)
		if len(p.leader().servers()) != 3 || older.LeaderID() != "" {
			t.Fatal("an older pod joined")
		}
		p.stop("c")
		if _, err := Open(Options{DataDir: p.dirs["c"], NodeID: "c", Network: p.network.Pod("c:1"), LogStore: p.logs["c"], StableStore: p.logs["c"], Level: 1}); err == nil || !strings.Contains(err.Error(), "feature level 2") {
			t.Fatalf("an older program opened the state: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, want := range []string{"an older pod is refused", "pod d knows feature level 1, and the cluster is at 2"} {
			if !strings.Contains(lines.String(), want) {
				t.Errorf("no log line %q", want)
			}
		}
	})
}
