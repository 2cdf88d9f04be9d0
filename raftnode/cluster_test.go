package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// pods are several pods in one bubble of virtual time, over a Memory network; pod x listens at x:1.
type pods struct {
	t       *testing.T
	network *Memory
	dirs    map[string]string
	logs    map[string]*raft.InmemStore
	nodes   map[string]*Node
	log     *slog.Logger
}

func newPods(t *testing.T) *pods {
	p := &pods{t: t, network: NewMemory(), dirs: map[string]string{}, logs: map[string]*raft.InmemStore{}, nodes: map[string]*Node{}, log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() {
		for _, n := range p.nodes {
			n.Close()
		}
	})
	return p
}

// start opens a pod, or opens it again; change may alter its options.
func (p *pods) start(id string, change ...func(*Options)) *Node {
	p.t.Helper()
	if p.logs[id] == nil {
		p.logs[id], p.dirs[id] = raft.NewInmemStore(), p.t.TempDir()
	}
	o := Options{
		DataDir: p.dirs[id], NodeID: id, Network: p.network.Pod(id + ":1"), ClusterSecret: "secret", LogStore: p.logs[id], StableStore: p.logs[id],
		Join: []string{"a:1", "b:1", "c:1"}, Logger: p.log.With("pod", id),
	}
	for _, f := range change {
		f(&o)
	}
	n, err := Open(o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.nodes[id] = n
	return n
}

func (p *pods) stop(id string) {
	p.t.Helper()
	if err := p.nodes[id].Close(); err != nil {
		p.t.Fatal(err)
	}
	delete(p.nodes, id)
}

func expect(n int) func(*Options) { return func(o *Options) { o.BootstrapExpect = n } }

// found starts a cluster of pods and waits until all are part of it.
func (p *pods) found(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.start(id, expect(len(ids)))
	}
	p.settle()
	bootstrapState(p.t, p.leader())
	p.synced()
}

func (p *pods) settle() {
	p.t.Helper()
	p.until("every pod is settled", func() bool {
		for _, n := range p.nodes {
			if !n.settled() {
				return false
			}
		}
		return true
	})
}

func (p *pods) leader() *Node {
	p.t.Helper()
	var leader *Node
	p.until("a leader", func() bool {
		for _, n := range p.nodes {
			if n.IsLeader() && n.leases.open(n.raft.CurrentTerm()) {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

func (p *pods) follower() *Node {
	p.t.Helper()
	leader := p.leader()
	for _, id := range []string{"a", "b", "c", "d"} {
		if n := p.nodes[id]; n != nil && n != leader {
			return n
		}
	}
	p.t.Fatal("no follower")
	return nil
}

func (p *pods) synced() {
	p.t.Helper()
	for id, n := range p.nodes {
		if err := n.Synced(p.ctx()); err != nil {
			p.t.Fatalf("pod %s: %v", id, err)
		}
	}
}

func (p *pods) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	p.t.Cleanup(cancel)
	return ctx
}

// until waits, in virtual time, for a condition.
func (p *pods) until(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (p *pods) isolate(id string) {
	for other := range p.nodes {
		p.network.Cut(id+":1", other+":1")
	}
}

// Three pods that know one address find each other and make one cluster; a fourth joins through a follower.
func TestPodsFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		if got := len(p.nodes["b"].servers()); got != 3 {
			t.Fatalf("%d members", got)
		}
		follower := p.follower()
		p.start("d", func(o *Options) { o.Join = []string{follower.address} })
		p.settle()
		p.synced()
		if got := p.nodes["d"].View().ClusterID; got != "c" {
			t.Fatalf("cluster id %q on the pod that joined", got)
		}
	})
}

func TestFewerPodsThanExpectedFoundNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.start("a", expect(3))
		p.start("b", expect(3))
		time.Sleep(time.Minute)
		if p.nodes["a"].LeaderID() != "" || len(p.nodes["b"].servers()) != 0 {
			t.Fatal("two of three pods made a cluster")
		}
		if err := p.nodes["a"].agree(agreement{"a,b,x"}); err != nil {
			t.Fatal(err)
		}
		p.stop("a")
		a := p.start("a", expect(3))
		if err := a.agree(agreement{"a,b,c"}); err == nil {
			t.Fatal("a pod agreed to two first configurations")
		}
	})
}

// A command given to a follower travels to the leader: the answer has its type, and the follower has applied it.
func TestCommandsTravelToTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		follower := p.follower()
		addKey(t, follower, "k")
		if follower.View().Key("k") == nil {
			t.Fatal("the follower does not have what it was answered")
		}
		_, err := fsm.Do(p.ctx(), follower, fsm.PutKey{Key: fsm.Key{UID: "k"}, Create: true})
		var refused *fsm.Error
		if !errors.As(err, &refused) || refused.Code != fsm.CodeExists {
			t.Fatalf("the refusal came back as %v", err)
		}
		begun, err := fsm.Do(p.ctx(), follower, fsm.BeginWrite{Now: time.Now(), WriteID: "w", Kind: "taskDeletion"})
		if err != nil {
			t.Fatal(err)
		}
		if task, err := follower.Tasks().Task(begun.TaskUID); err != nil || task.WriteID != "w" {
			t.Fatalf("task %v, %v", task, err)
		}
	})
}

// Whatever one pod has answered, a pod that is synced afterwards has; many questions at once are few to the leader.
func TestSyncedSeesWhatOthersWereTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		leader, follower := p.leader(), p.follower()
		for i := range 20 {
			addKey(t, leader, fmt.Sprint(i))
			var asked sync.WaitGroup
			for range 10 {
				asked.Go(func() {
					if err := follower.Synced(p.ctx()); err != nil || follower.View().Key(fmt.Sprint(i)) == nil {
						t.Errorf("key %d is missing after a sync: %v", i, err)
					}
				})
			}
			asked.Wait()
		}
	})
}

func TestWithoutAMajorityNothingIsFreshAndNothingCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		p.until("all are fresh", func() bool { return p.nodes["a"].Fresh() && p.nodes["b"].Fresh() && p.nodes["c"].Fresh() })
		cut := p.leader()
		p.isolate(cut.id)
		time.Sleep(cut.options.ReadLease + 10*time.Millisecond)
		if cut.Fresh() {
			t.Fatal("a leader without a majority calls its reads fresh after the lease")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := fsm.Do(ctx, cut, fsm.PutKey{Key: fsm.Key{UID: "k"}, Create: true}); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("a command without a majority: %v", err)
		}
		if err := cut.Synced(ctx); !errors.Is(err, ErrNoLeader) {
			t.Fatalf("synced without a leader: %v", err)
		}
	})
}

// Another pod leads within one and a half heartbeat timeouts and one election timeout, whether the leader's streams break or hang.
// Now and then, once in hundreds of times, both others stand for election at the same moment, get one vote each and draw again.
func TestALeaderIsReplacedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		const inTime, drawnThrice = 2600 * time.Millisecond, 5600 * time.Millisecond
		late := 0
		for round := range 40 {
			p.settle()
			lost, began := p.leader(), time.Now()
			for other := range p.nodes {
				if round%2 == 0 {
					p.network.Cut(lost.id+":1", other+":1")
				} else {
					p.network.Silence(lost.id+":1", other+":1")
				}
			}
			p.until("another leader", func() bool {
				for _, n := range p.nodes {
					if n != lost && n.IsLeader() {
						return true
					}
				}
				return false
			})
			if took := time.Since(began); took > drawnThrice {
				t.Errorf("round %d: another leads after %s", round, took)
			} else if took > inTime {
				late++
			}
			for other := range p.nodes {
				p.network.Heal(lost.id+":1", other+":1")
			}
			p.until("the old leader follows", func() bool { return !lost.IsLeader() && lost.Fresh() })
		}
		if late > 4 {
			t.Errorf("another led later than after %s in %d rounds of 40", inTime, late)
		}
	})
}

// A pod that was out of reach for any time has the log again soon after it is back.
func TestAPodCatchesUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		lost := p.follower()
		for round, away := range []time.Duration{3 * time.Second, 5 * time.Second, 20 * time.Second, 50 * time.Second} {
			p.isolate(lost.id)
			time.Sleep(away)
			if _, err := fsm.Do(p.ctx(), p.leader(), fsm.PutKey{Key: fsm.Key{UID: fmt.Sprint(round)}, Create: true}); err != nil {
				t.Fatal(err)
			}
			for other := range p.nodes {
				p.network.Heal(lost.id+":1", other+":1")
			}
			began := time.Now()
			p.until("it is fresh", lost.Fresh)
			if took := time.Since(began); took > 500*time.Millisecond || len(lost.View().Keys) != round+1 {
				t.Errorf("%s after %s away it has %d keys", took, away, len(lost.View().Keys))
			}
		}
	})
}

// A request that comes while the leader is gone, and one that finds its port closed, reach the next leader, each once.
func TestRequestsWaitForTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		var served sync.Map
		for id, n := range p.nodes {
			n.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if _, twice := served.LoadOrStore(string(body), id); twice {
					t.Errorf("%s came twice", body)
				}
			}))
		}
		p.until("all are fresh", func() bool { return p.nodes["a"].Fresh() && p.nodes["b"].Fresh() && p.nodes["c"].Fresh() })
		p.isolate(p.leader().id)
		synctest.Wait() // streams that wait to be used again have ended
		var asking sync.WaitGroup
		for wait := range 40 {
			for id, n := range p.nodes {
				asking.Go(func() {
					time.Sleep(time.Duration(wait) * 50 * time.Millisecond)
					body := fmt.Sprint(id, wait)
					r, err := http.NewRequest(http.MethodPost, "http://leader/", io.NopCloser(strings.NewReader(body)))
					if err != nil {
						t.Error(err)
						return
					}
					answer, err := n.ToLeader(r)
					if err == nil {
						answer.Body.Close()
					}
					left, _ := io.ReadAll(r.Body)
					switch {
					case n.LastContact() > leaderPatience: // the old leader
					case err == nil:
					case !errors.Is(err, ErrLeads), string(left) != body:
						t.Errorf("%s: %v, %q is left", body, err, left)
					}
				})
			}
		}
		asking.Wait()
	})
}

// Without a leader for long, and where enough requests wait, they are refused at once.
func TestTheWaitForALeaderIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		n := p.follower()
		p.until("it is fresh", n.Fresh)
		p.isolate(n.id)
		p.until("it knows of no leader", func() bool { return n.LeaderID() == "" })
		ask := func() (refused bool, took time.Duration) {
			began := time.Now()
			_, err := n.ToLeader(httptest.NewRequest(http.MethodPost, "http://leader/", strings.NewReader("x")))
			return errors.Is(err, ErrNoLeader), time.Since(began)
		}
		var asking sync.WaitGroup
		for range maxWaiting {
			asking.Go(func() {
				if refused, took := ask(); !refused || took == 0 || took > leaderWait {
					t.Errorf("refused %t after %s", refused, took)
				}
			})
		}
		synctest.Wait()
		if refused, took := ask(); !refused || took != 0 {
			t.Errorf("one too many: refused %t after %s", refused, took)
		}
		asking.Wait()
		if refused, took := ask(); !refused || took != 0 {
			t.Errorf("without a leader for long: refused %t after %s", refused, took)
		}
	})
}

// After WaitEverywhere no pod is fresh with an older view, whatever part of the network is cut.
func TestNoPodIsFreshAndBehindAfterTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		p.until("all are fresh", func() bool { return p.nodes["a"].Fresh() && p.nodes["b"].Fresh() && p.nodes["c"].Fresh() })
		leader, cut := p.leader(), p.follower()
		p.isolate(cut.id)
		if !cut.Fresh() {
			t.Fatal("the lease ended before its time")
		}
		addKey(t, leader, "stale")
		index, began := leader.View().AppliedIndex, time.Now()
		if err := leader.WaitEverywhere(p.ctx(), index); err != nil {
			t.Fatal(err)
		}
		if cut.Fresh() && cut.View().AppliedIndex < index {
			t.Fatal("a pod that was cut off is fresh and behind")
		}
		if took := time.Since(began); took < time.Second || took > 5*time.Second {
			t.Fatalf("the wait took %s", took)
		}
		began = time.Now()
		if err := leader.WaitEverywhere(p.ctx(), index); err != nil || time.Since(began) > 10*time.Millisecond {
			t.Fatalf("the second wait took %s: %v", time.Since(began), err)
		}
		for other := range p.nodes {
			p.network.Heal(cut.id+":1", other+":1")
		}
		p.until("the pod is fresh again", func() bool {
			if cut.Fresh() && cut.View().Key("stale") == nil {
				t.Fatal("a lease was given to a pod that is behind")
			}
			return cut.Fresh()
		})
	})
}

// A wait for pods that answer takes no longer than asking them.
func TestTheWaitIsShortWhileAllAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		time.Sleep(5 * time.Second)
		addKey(t, p.leader(), "k")
		began := time.Now()
		if err := p.follower().WaitEverywhere(p.ctx(), p.leader().View().AppliedIndex); err != nil || time.Since(began) > 200*time.Millisecond {
			t.Fatalf("took %s: %v", time.Since(began), err)
		}
		for id, n := range p.nodes {
			if n.View().Key("k") == nil {
				t.Errorf("pod %s does not have it", id)
			}
		}
	})
}

// The leader dies: another leads, and the dead pod comes back at another address.
func TestAPodComesBackAtAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		dead := p.leader().id
		p.isolate(dead)
		p.stop(dead)
		addKey(t, p.leader(), "meanwhile")
		moved := p.start(dead, func(o *Options) { o.Network = p.network.Pod("moved:1") })
		p.settle()
		p.synced()
		if moved.View().Key("meanwhile") == nil {
			t.Fatal("the pod that moved lacks what was committed meanwhile")
		}
		for _, n := range p.nodes {
			if server, _ := n.member(dead); server.Address != "moved:1" || server.Suffrage != raft.Voter {
				t.Fatalf("pod %s knows it as %+v", n.id, server)
			}
		}
	})
}

// Every pod comes back at another address at once: they find each other by --join.
func TestAllPodsComeBackAtOtherAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		for _, id := range []string{"a", "b", "c"} {
			p.stop(id)
		}
		for _, id := range []string{"a", "b", "c"} {
			p.start(id, func(o *Options) {
				o.Network, o.Join = p.network.Pod("new-"+id+":1"), []string{"new-a:1", "new-b:1", "new-c:1"}
			})
		}
		p.settle()
		addKey(t, p.leader(), "k")
	})
}

// A pod with another secret changes nothing, and both sides say so.
func TestAnotherSecretIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lines strings.Builder
		p := newPods(t)
		p.log = slog.New(slog.NewTextHandler(lockedWriter{&mu, &lines}, nil))
		p.found("a", "b", "c")
		stranger := p.start("d", func(o *Options) { o.ClusterSecret = "guess" })
		time.Sleep(20 * time.Second)
		if len(p.leader().servers()) != 3 || stranger.LeaderID() != "" {
			t.Fatal("a pod with another secret joined")
		}
		mu.Lock()
		defer mu.Unlock()
		for _, want := range []string{"a stream to the pod port was refused", "a pod refuses this one"} {
			if !strings.Contains(lines.String(), want) {
				t.Errorf("no log line %q", want)
			}
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	to *strings.Builder
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

func TestAnIDIsNotTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		time.Sleep(time.Second)
		taken := p.follower()
		thief := mustOpen(t, Options{DataDir: t.TempDir(), NodeID: taken.id, Network: p.network.Pod("thief:1"), ClusterSecret: "secret",
			LogStore: raft.NewInmemStore(), StableStore: raft.NewInmemStore(), Join: []string{"a:1", "b:1", "c:1"}})
		time.Sleep(20 * time.Second)
		if server, _ := p.leader().member(taken.id); string(server.Address) != taken.address {
			t.Fatalf("the pod is now at %s", server.Address)
		}
		if thief.LeaderID() != "" || !taken.settled() {
			t.Fatal("a second pod of the same id took part")
		}
	})
}
