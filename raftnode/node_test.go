package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// until waits for a condition that raft's goroutines bring about.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func mustOpen(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// openAlone opens one pod that is its own cluster, on a free port of loopback.
func openAlone(t testing.TB, dir string) *Node {
	t.Helper()
	n := mustOpen(t, Options{DataDir: dir, NodeID: "alone", BindAddr: "127.0.0.1:0", Bootstrap: true})
	if err := n.WaitLeader(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

func bootstrapState(t testing.TB, n *Node) {
	t.Helper()
	if _, err := fsm.Do(testContext(t), n, bootstrapCommand()); err != nil {
		t.Fatal(err)
	}
}

func bootstrapCommand() fsm.Bootstrap {
	return fsm.Bootstrap{Now: time.Now(), ClusterID: "c", Nodes: []fsm.Node{{ID: "n", Address: "http://n"}}}
}

func addKey(t testing.TB, n *Node, uid string) {
	t.Helper()
	if _, err := fsm.Do(testContext(t), n, fsm.PutKey{Key: fsm.Key{UID: uid}, Create: true}); err != nil {
		t.Fatal(err)
	}
}

func TestAPodAloneGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	n := openAlone(t, dir)
	bootstrapState(t, n)
	for i := range 10 {
		addKey(t, n, fmt.Sprint(i))
	}
	applied := n.View().AppliedIndex
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	// Another port: a pod alone must not depend on the address it had.
	n = openAlone(t, dir)
	if v := n.View(); len(v.Keys) != 10 || v.AppliedIndex < applied {
		t.Fatalf("%d keys at %d, was at %d", len(v.Keys), v.AppliedIndex, applied)
	}
	addKey(t, n, "after")
	status, err := n.Status()
	if err != nil || status.Role != "leader" || len(status.Members) != 1 || !status.Members[0].Leader || status.LastContact != 0 {
		t.Fatalf("status %+v, %v", status, err)
	}
}

func TestErrorsKeepTheirType(t *testing.T) {
	n := openAlone(t, t.TempDir())
	bootstrapState(t, n)
	addKey(t, n, "k")
	_, err := fsm.Do(testContext(t), n, fsm.PutKey{Key: fsm.Key{UID: "k"}, Create: true})
	var refused *fsm.Error
	if !errors.As(err, &refused) || refused.Code != fsm.CodeExists {
		t.Errorf("refusal is %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Apply(ctx, fsm.DeleteKey{UID: "none"}); !errors.Is(err, context.Canceled) && !errors.Is(err, fsm.ErrNotFound) {
		t.Errorf("with an ended context: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Apply(testContext(t), fsm.DeleteKey{UID: "k"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("after close: %v", err)
	}
}

func TestOpenLeavesNothingOpenAfterAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(Options{DataDir: dir, NodeID: "p", BindAddr: "256.0.0.1:0"}); err == nil {
		t.Fatal("listens on no address")
	}
	if _, err := Open(Options{DataDir: dir}); err == nil {
		t.Fatal("opens without a node id")
	}
	openAlone(t, dir)
}

// cluster is three voters that reach each other in memory, in a bubble of virtual time: a busy machine costs none its leadership.
type cluster struct {
	t          testing.TB
	dirs       map[string]string
	pods       map[string]*Node
	transports map[string]*raft.InmemTransport
	servers    []raft.Server
	snapshots  bool // cut the log early
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t, dirs: map[string]string{}, pods: map[string]*Node{}, transports: map[string]*raft.InmemTransport{}}
	t.Cleanup(func() { time.Sleep(time.Minute) }) // raft's own calls to pods that have closed end by their time limits
	for _, id := range []string{"a", "b", "c"} {
		c.dirs[id] = filepath.Join(t.TempDir(), id)
		c.servers = append(c.servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

// start opens a pod and connects it with those that run.
func (c *cluster) start(id string, bootstrap bool) *Node {
	c.t.Helper()
	_, transport := raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), time.Second)
	for other, peer := range c.transports {
		transport.Connect(raft.ServerAddress(other), peer)
		peer.Connect(raft.ServerAddress(id), transport)
	}
	o := Options{
		DataDir: c.dirs[id], NodeID: id, Transport: transport, Bootstrap: bootstrap, Servers: c.servers, Logger: slog.New(slog.DiscardHandler),
		HeartbeatTimeout: 300 * time.Millisecond, ElectionTimeout: 300 * time.Millisecond,
	}
	if c.snapshots {
		o.TrailingLogs, o.SnapshotThreshold = 1, 4
	}
	n := mustOpen(c.t, o)
	c.transports[id], c.pods[id] = transport, n
	return n
}

// cut takes a pod off the network at once, as a crash does, and stops it.
func (c *cluster) cut(id string) {
	c.t.Helper()
	for _, peer := range c.transports {
		peer.Disconnect(raft.ServerAddress(id))
	}
	c.transports[id].DisconnectAll()
	if err := c.pods[id].Close(); err != nil {
		c.t.Fatal(err)
	}
	delete(c.transports, id)
	delete(c.pods, id)
}

// leader waits for one.
func (c *cluster) leader() (leader *Node) {
	c.t.Helper()
	until(c.t, "a leader", func() bool {
		for _, n := range c.pods {
			if n.IsLeader() && n.Barrier(testContext(c.t)) == nil {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

func (c *cluster) addKey(uid string) {
	c.t.Helper()
	addKey(c.t, c.leader(), uid)
}

// agree waits until all running pods show the same state.
func (c *cluster) agree() {
	c.t.Helper()
	leader := c.leader()
	index := leader.View().AppliedIndex
	for id, n := range c.pods {
		until(c.t, id+" applies what the leader has", func() bool { return n.View().AppliedIndex >= index })
		if got, want := viewText(c.t, n), viewText(c.t, leader); got != want {
			c.t.Fatalf("%s shows\n%s\nthe leader\n%s", id, got, want)
		}
	}
}

func viewText(t testing.TB, n *Node) string {
	t.Helper()
	v := *n.View()
	v.AppliedIndex, v.PlacedAt, v.RulesAt = 0, 0, 0
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Three voters; the leader crashes; the others go on; it comes back and follows.
func TestTheLeaderCrashesAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for _, id := range []string{"a", "b", "c"} {
			c.start(id, true)
		}
		first := c.leader()
		bootstrapState(t, first)
		addKey(t, first, "before")
		c.agree()
		for _, n := range c.pods {
			if n == first {
				continue
			}
			if _, err := n.Apply(testContext(t), fsm.DeleteKey{UID: "before"}); !errors.Is(err, ErrNotLeader) {
				t.Fatalf("a follower answers %v", err)
			}
			if n.LeaderID() != first.id {
				t.Fatalf("%s takes %q for the leader", n.id, n.LeaderID())
			}
		}
		c.cut(first.id)
		second := c.leader()
		addKey(t, second, "meanwhile")
		c.start(first.id, true)
		addKey(t, second, "after")
		c.agree()
		if got := len(second.View().Keys); got != 3 {
			t.Fatalf("%d keys, want 3", got)
		}
	})
}

// A pod whose disk was lost gets the whole state, because the log is cut already.
func TestAnEmptyPodGetsTheStateAsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.snapshots = true
		for _, id := range []string{"a", "b", "c"} {
			c.start(id, true)
		}
		bootstrapState(t, c.leader())
		lost := "a"
		if c.leader().id == lost {
			lost = "b"
		}
		c.cut(lost)
		for i := range 50 {
			c.addKey(fmt.Sprint(i))
		}
		for _, n := range c.pods {
			until(t, n.id+" can snapshot", func() bool { return n.Snapshot() == nil })
		}
		c.dirs[lost] = filepath.Join(t.TempDir(), "new")
		n := c.start(lost, false)
		until(t, "it has the state", func() bool { return len(n.View().Keys) == 50 })
		// Red when only its log is asked, which is empty: it would get no vote until somebody writes.
		until(t, "it knows the term of its last entry", func() bool { return n.lastTerm() > 0 })
		c.addKey("last")
		c.agree()
		dir := c.dirs[lost]
		index := n.View().AppliedIndex
		c.cut(lost)
		c.dirs[lost] = dir
		if n = c.start(lost, false); n.View().AppliedIndex < index || len(n.View().Keys) != 51 {
			t.Fatalf("after a restart it is at %d with %d keys, was at %d", n.View().AppliedIndex, len(n.View().Keys), index)
		}
		c.agree()
	})
}

// Members come and go; leadership is handed over when a leader closes.
func TestMembersJoinAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		servers := c.servers
		c.servers = servers[:1]
		leader := c.start("a", true)
		if err := leader.WaitLeader(testContext(t)); err != nil {
			t.Fatal(err)
		}
		bootstrapState(t, leader)
		for _, id := range []string{"b", "c"} {
			c.start(id, false)
			if err := leader.AddMember(id, id, id == "b"); err != nil {
				t.Fatal(err)
			}
		}
		c.agree()
		status, err := c.pods["c"].Status()
		if err != nil || len(status.Members) != 3 || status.Role != "follower" {
			t.Fatalf("status %+v, %v", status, err)
		}
		if err := leader.TransferLeadership(""); err != nil {
			t.Fatal(err)
		}
		until(t, "b leads", c.pods["b"].IsLeader)
		if err := c.pods["b"].RemoveMember("c"); err != nil {
			t.Fatal(err)
		}
		if err := c.pods["a"].RemoveMember("b"); !errors.Is(err, ErrNotLeader) {
			t.Fatalf("a follower removes: %v", err)
		}
		if pods := c.pods["b"].Pods(); len(pods) != 2 {
			t.Fatalf("members %v", pods)
		}
	})
}

// Three voters over TCP on loopback, each of which learned its port by listening. On a busy machine any of them may come to lead.
func TestPodsTalkOverTCP(t *testing.T) {
	pods := []*Node{openAlone(t, t.TempDir())}
	bootstrapState(t, pods[0])
	leads := func(do func(leader *Node) error) func() bool {
		return func() bool {
			return slices.ContainsFunc(pods, func(n *Node) bool { return n.IsLeader() && do(n) == nil })
		}
	}
	for _, id := range []string{"second", "third"} {
		n := mustOpen(t, Options{DataDir: t.TempDir(), NodeID: id, BindAddr: "127.0.0.1:0"})
		until(t, id+" is a member", leads(func(leader *Node) error { return leader.AddMember(id, n.Address(), true) }))
		pods = append(pods, n)
		until(t, "a command is committed", leads(func(leader *Node) error {
			_, err := leader.Apply(testContext(t), fsm.PutKey{Key: fsm.Key{UID: id}, Create: true})
			if errors.Is(err, fsm.ErrExists) { // it was committed by a leader that lost its office before it knew
				return nil
			}
			return err
		}))
		until(t, id+" follows", func() bool { return n.View().Key(id) != nil })
	}
}

func BenchmarkApply(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			n := openAlone(b, b.TempDir())
			bootstrapState(b, n)
			uid := "movies"
			if _, err := fsm.Do(b.Context(), n, fsm.BeginWrite{Now: time.Now(), WriteID: "w", Kind: "indexCreation", IndexUID: &uid, Effect: fsm.Effect{CreateIndex: true}}); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					for i := w; i < b.N; i += writers {
						write := fsm.BeginWrite{Now: time.Now(), WriteID: fsm.WriteID(fmt.Sprint(i)), Kind: "documentAdditionOrUpdate", IndexUID: &uid}
						if _, err := fsm.Do(b.Context(), n, write); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}
