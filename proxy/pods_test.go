package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/raftnode"
	"miroir/workers"
)

// podCluster is three complete pods, a, b and c, over two nodes that hold every shard, in one bubble of virtual time.
type podCluster struct {
	t       *testing.T
	network *raftnode.Memory
	pods    map[string]*testPod
	// fail, if set, may take a request to a node away.
	fail func(r *http.Request) error
}

type testPod struct {
	raft    *raftnode.Node
	server  *Server
	workers *workers.Workers
}

func newPodCluster(t *testing.T) *podCluster {
	c := &podCluster{t: t, network: raftnode.NewMemory(), pods: map[string]*testPod{}}
	nodes := map[string]*devnode.Node{}
	for _, id := range []string{"n0", "n1"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
	}
	real := devnode.Transport(nodes)
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		if c.fail != nil {
			if err := c.fail(r); err != nil {
				return nil, err
			}
		}
		return real.RoundTrip(r)
	})
	t.Cleanup(func() {
		for _, p := range c.pods {
			p.close()
		}
	})
	for _, id := range []string{"a", "b", "c"} {
		logs := raft.NewInmemStore()
		node, err := raftnode.Open(raftnode.Options{
			DataDir: t.TempDir(), NodeID: id, Network: c.network.Pod(id + ":1"), ClusterSecret: "s", LogStore: logs, StableStore: logs,
			BootstrapExpect: 3, Join: []string{"a:1", "b:1", "c:1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.pods[id] = &testPod{raft: node}
	}
	c.bootstrap()
	for id, p := range c.pods {
		p.open(t, rt, id)
	}
	c.until("all pods are fresh", func() bool {
		return c.pods["a"].raft.Fresh() && c.pods["b"].raft.Fresh() && c.pods["c"].raft.Fresh()
	})
	c.until("writes are taken", func() bool {
		return c.call(c.leader(), "POST", "/indexes", `{"uid":"ready"}`).Code == http.StatusAccepted
	})
	return c
}

func (p *testPod) open(t *testing.T, rt http.RoundTripper, id string) {
	var err error
	p.server, err = New(Options{MasterKey: testMasterKey, NodeKey: testMasterKey, AdminKey: "admin", NodeTransport: rt, TempDir: t.TempDir(), WriteTimeout: 2 * time.Second, Logger: discard}, p.raft)
	if err != nil {
		t.Fatal(err)
	}
	p.raft.Serve(p.server.ForwardedHandler())
	p.workers, err = workers.Start(context.Background(), workers.Options{Cluster: p.raft, Nodes: p.server.Nodes(), Coordinator: p.server, HealthInterval: time.Hour, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *testPod) close() {
	if p.workers != nil {
		p.workers.Close()
		p.server.Close()
	}
	p.raft.Close()
}

func (c *podCluster) bootstrap() {
	c.t.Helper()
	now := time.Now()
	boot := fsm.Bootstrap{Now: now, ClusterID: "test", Config: fsm.Config{Shards: 4, ReplicationFactor: 2, Spread: fsm.SpreadAll}}
	for _, key := range meili.DefaultKeys(now, uuid.NewString) {
		boot.Keys = append(boot.Keys, KeyToState(&key))
	}
	for _, id := range []fsm.NodeID{"n0", "n1"} {
		boot.Nodes = append(boot.Nodes, fsm.Node{ID: id, Address: "http://" + string(id), LastTaskUID: -1})
	}
	c.until("a leader", func() bool {
		_, err := fsm.Do(c.t.Context(), c.pods["a"].raft, boot)
		return err == nil
	})
}

func (c *podCluster) until(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (c *podCluster) leader() (id string) {
	c.t.Helper()
	c.until("a leader", func() bool {
		for name, p := range c.pods {
			if p.raft.IsLeader() {
				id = name
				return true
			}
		}
		return false
	})
	return id
}

func (c *podCluster) follower() string {
	leader := c.leader()
	for id := range c.pods {
		if id != leader {
			return id
		}
	}
	c.t.Fatal("no follower")
	return ""
}

func (c *podCluster) call(pod, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if strings.HasPrefix(path, "/_miroir") {
		request.Header.Set("Authorization", "Bearer admin")
	}
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	c.pods[pod].server.ServeHTTP(answer, request)
	return answer
}

func (c *podCluster) object(pod, method, path, body string) map[string]any {
	c.t.Helper()
	answer := c.call(pod, method, path, body)
	object := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &object); err != nil {
		c.t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return object
}

func (c *podCluster) await(pod string, task map[string]any) {
	c.t.Helper()
	c.until("the task's end", func() bool {
		return c.object(pod, "GET", fmt.Sprint("/tasks/", task["taskUid"]), "")["status"] == "succeeded"
	})
}

// cutOff takes a pod off the network of pods.
func (c *podCluster) cutOff(id string) {
	for other := range c.pods {
		c.network.Cut(id+":1", other+":1")
	}
}

// Whatever pod a client asks, it sees its writes: index, task, key and documents.
func TestAnyPodTakesWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		first, second := c.follower(), c.leader()
		answer := c.call(first, "POST", "/indexes/films/documents", `[{"id":1,"t":"one"},{"id":2}]`)
		if answer.Code != http.StatusAccepted || answer.Header().Get(headerApplied) != "" || answer.Header().Get("X-Request-Id") == "" {
			t.Fatalf("%d %s %v", answer.Code, answer.Body, answer.Header())
		}
		var task map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &task); err != nil {
			t.Fatal(err)
		}
		for id := range c.pods {
			if got := c.call(id, "GET", fmt.Sprint("/tasks/", task["taskUid"]), ""); got.Code != http.StatusOK {
				t.Fatalf("pod %s does not show the task: %d", id, got.Code)
			}
		}
		c.await(first, task)
		for id := range c.pods {
			if got := c.object(id, "POST", "/indexes/films/search", `{"q":"one"}`); len(hitsOf(got)) != 1 {
				t.Fatalf("pod %s finds %v", id, got)
			}
		}
		key := c.object(second, "POST", "/keys", `{"actions":["search"],"indexes":["films"],"expiresAt":null}`)
		for id := range c.pods {
			request := httptest.NewRequest("POST", "/indexes/films/search", strings.NewReader(`{"q":"one"}`))
			request.Header.Set("Authorization", "Bearer "+key["key"].(string))
			request.Header.Set("Content-Type", "application/json")
			got := httptest.NewRecorder()
			c.pods[id].server.ServeHTTP(got, request)
			if got.Code != http.StatusOK {
				t.Fatalf("pod %s does not know the new key: %d %s", id, got.Code, got.Body)
			}
		}
	})
}

// Errors of clients come back as from the leader itself, and a body is not held whole on its way.
func TestForwardedRequestsKeepTheirErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		for _, f := range []struct{ method, path, body string }{
			{"POST", "/indexes", `{"uid":"bad uid"}`}, {"POST", "/indexes/x/documents", `[{"id":`}, {"DELETE", "/keys/none", ""},
			{"PATCH", "/_miroir/config", `{"nope":1}`},
		} {
			direct, forwarded := c.call(c.leader(), f.method, f.path, f.body), c.call(c.follower(), f.method, f.path, f.body)
			if direct.Code != forwarded.Code || direct.Body.String() != forwarded.Body.String() {
				t.Errorf("%s %s: %d %s, forwarded %d %s", f.method, f.path, direct.Code, direct.Body, forwarded.Code, forwarded.Body)
			}
		}
		request := httptest.NewRequest("POST", "/indexes/x/documents", io.MultiReader(strings.NewReader("["), &endless{left: 200 << 20}))
		request.Header.Set("Authorization", "Bearer "+testMasterKey)
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		c.pods[c.follower()].server.ServeHTTP(answer, request)
		if answer.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("a body that is too large: %d %s", answer.Code, answer.Body)
		}
	})
}

// endless is blanks.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	e.left -= len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

// A pod that is cut off refuses writes, serves searches from what it knows, and marks them once its lease is over. It stays
// ready if it was: when the majority is lost all pods are so, and searches must go on reaching them.
func TestAPodWithoutTheLeaderServesMarkedSearches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		cut := c.follower()
		c.await(cut, c.object(cut, "POST", "/indexes/films/documents", `[{"id":1}]`))
		if answer := c.call(cut, "POST", "/indexes/films/search", `{}`); answer.Header().Get("X-Miroir-Degraded") != "" {
			t.Fatalf("marked without reason: %v", answer.Header())
		}
		if answer := c.call(cut, "GET", "/_miroir/ready", ""); answer.Code != http.StatusOK {
			t.Fatalf("not ready: %s", answer.Body)
		}
		c.cutOff(cut)
		time.Sleep(3 * time.Second)
		answer := c.call(cut, "POST", "/indexes/films/search", `{}`)
		if answer.Code != http.StatusOK || answer.Header().Get("X-Miroir-Degraded") != "no-leader" {
			t.Fatalf("search: %d %v", answer.Code, answer.Header())
		}
		answer = c.call(cut, "POST", "/indexes/films/documents", `[{"id":2}]`)
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), "miroir_no_leader") {
			t.Fatalf("write: %d %s", answer.Code, answer.Body)
		}
		if answer := c.call(cut, "GET", "/_miroir/ready", ""); answer.Code != http.StatusOK {
			t.Fatalf("not ready any more: %s", answer.Body)
		}
		c.pods[cut].server.wasReady.Store(false) // as after a restart
		if c.call(cut, "GET", "/_miroir/ready", "").Code != http.StatusServiceUnavailable {
			t.Fatal("a pod that never had a leader is ready")
		}
		c.pods[cut].server.wasReady.Store(true)
		if err := c.pods[cut].server.Drain(); err != nil {
			t.Fatal(err)
		}
		if c.call(cut, "GET", "/_miroir/ready", "").Code != http.StatusServiceUnavailable {
			t.Fatal("a pod that ends is ready")
		}
	})
}

// A write that a node missed is answered only once no pod reads that node's replica unmarked, also while one pod is cut off.
func TestNoPodReadsAReplicaOnceAClientKnowsThatItIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		c.await("a", c.object("a", "POST", "/indexes/films/documents", `[{"id":1,"v":1}]`))
		time.Sleep(5 * time.Second)
		cut := c.follower()
		c.cutOff(cut)
		c.fail = func(r *http.Request) error {
			if r.URL.Host == "n0" && r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/documents") {
				return fmt.Errorf("n0 takes no writes")
			}
			return nil
		}
		write := c.object(c.leader(), "POST", "/indexes/films/documents", `[{"id":1,"v":2}]`)
		for id, p := range c.pods {
			stale := false
			for shard := range fsm.ShardID(4) {
				for _, replica := range p.raft.View().Index("films").Replicas(0, shard) {
					stale = stale || replica.State == fsm.Stale
				}
			}
			if !stale && p.raft.Fresh() {
				t.Fatalf("after the answer %v pod %s reads the stale replica unmarked", write, id)
			}
		}
	})
}

// The leader is cut off for good: another takes writes soon, and those that were acknowledged are there.
func TestWritesGoOnWithoutTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		c.await("a", c.object("a", "POST", "/indexes/films/documents", `[{"id":1}]`))
		dead := c.leader()
		c.cutOff(dead)
		c.pods[dead].close()
		delete(c.pods, dead)
		began, last := time.Now(), (*httptest.ResponseRecorder)(nil)
		c.until("a write is taken", func() bool {
			last = c.call(c.follower(), "POST", "/indexes/films/documents", `[{"id":2}]`)
			return last.Code == http.StatusAccepted
		})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the first write was taken after %s", took)
		}
		var task map[string]any
		if err := json.Unmarshal(last.Body.Bytes(), &task); err != nil {
			t.Fatal(err)
		}
		c.await(c.leader(), task)
		if total := c.object(c.follower(), "GET", "/indexes/films/documents", "")["total"]; total != 2.0 {
			t.Errorf("%v documents", total)
		}
	})
}

// A write that comes right after the leader's death waits for the next one, also on the pod that becomes it.
func TestAWriteWaitsForTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		dead := c.leader()
		c.until("all pods are fresh", func() bool {
			return c.pods["a"].raft.Fresh() && c.pods["b"].raft.Fresh() && c.pods["c"].raft.Fresh()
		})
		c.cutOff(dead)
		c.pods[dead].close()
		delete(c.pods, dead)
		answers := make(chan *httptest.ResponseRecorder, 2)
		for id := range c.pods {
			go func() { answers <- c.call(id, "POST", "/indexes/films/documents", `[{"id":1}]`) }()
		}
		for range cap(answers) {
			if answer := <-answers; answer.Code != http.StatusAccepted {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
		}
	})
}

// The leader dies with several open writes while a node hangs. The next one asks that node once, for a second, before it takes
// writes. Red when it asks for every write, or for as long as it does later.
func TestAHungNodeDoesNotHoldUpTheNextLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		dead := c.leader()
		c.await(dead, c.object(dead, "POST", "/indexes/films/documents", `[{"id":1}]`))
		c.until("all pods are fresh", func() bool {
			return c.pods["a"].raft.Fresh() && c.pods["b"].raft.Fresh() && c.pods["c"].raft.Fresh()
		})
		c.fail = func(r *http.Request) error {
			if r.URL.Host == "n1" {
				<-r.Context().Done()
				return r.Context().Err()
			}
			return nil
		}
		for range 4 {
			go c.call(dead, "POST", "/indexes/films/documents", `[{"id":1}]`)
		}
		c.until("the writes are open", func() bool { return c.pods[dead].raft.View().NumOpenIntents == 4 })
		time.Sleep(100 * time.Millisecond)
		c.cutOff(dead)
		c.pods[dead].close()
		delete(c.pods, dead)
		c.leader() // how long an election takes is drawn
		began := time.Now()
		if answer := c.call(c.follower(), "POST", "/indexes/films/documents", `[{"id":1}]`); answer.Code != http.StatusAccepted {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("the next write was taken after %s", took)
		}
	})
}

// The network loses every packet to and from the leader, and nobody is told. Writes that are on their way end by themselves
// and are honest about it, and soon the others take writes again.
func TestWritesEndWhenTheLeaderVanishesSilently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		lost, follower := c.leader(), c.follower()
		time.Sleep(time.Second)
		for other := range c.pods {
			c.network.Silence(lost+":1", other+":1")
		}
		began := time.Now()
		answers := make(chan *httptest.ResponseRecorder, 2)
		for _, id := range []string{lost, follower} {
			go func() { answers <- c.call(id, "POST", "/indexes/films/documents", `[{"id":1}]`) }()
		}
		for range 2 {
			select {
			case answer := <-answers:
				if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), "miroir_no_leader") {
					t.Errorf("%d %v %s", answer.Code, answer.Header(), answer.Body)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("a write is still waiting for a leader that has vanished")
			}
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("the writes ended after %s", took)
		}
		c.until("a write is taken", func() bool {
			return c.call(follower, "POST", "/indexes/films/documents", `[{"id":2}]`).Code == http.StatusAccepted
		})
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("writes are taken again after %s", took)
		}
	})
}

func TestClientsCannotSpeakAsPods(t *testing.T) {
	header := http.Header{"X-Miroir-Remote-Addr": {"127.0.0.1:1"}, "X-Miroir-Session": {"s"}, "X-Miroir-Anything": {"x"}, "Accept": {"a"}}
	dropPodHeaders(header)
	if len(header) != 2 || header.Get("X-Miroir-Session") != "s" {
		t.Fatalf("left: %v", header)
	}
}

func hitsOf(answer map[string]any) []any {
	hits, _ := answer["hits"].([]any)
	return hits
}
