package proxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/workers"
)

// localCluster is the replicated state of a pod alone, without a log: commands are encoded, decoded and applied in
// the order they come.
type localCluster struct {
	*fsm.FSM
	mu    sync.Mutex
	index uint64
	// before, if set, may refuse a command; a test uses it to stop at a chosen point.
	before func(cmd fsm.Command) error
	// pause, if set, is how long a command takes to return after it was applied.
	pause func(cmd fsm.Command) time.Duration
}

func openLocal(t *testing.T, path string) *localCluster {
	t.Helper()
	state, err := fsm.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	return &localCluster{FSM: state, index: state.View().AppliedIndex}
}

func (c *localCluster) Apply(_ context.Context, cmd fsm.Command) (any, error) {
	answer, pause, err := c.apply(cmd)
	if pause > 0 {
		<-time.After(pause)
	}
	return answer, err
}

func (c *localCluster) apply(cmd fsm.Command) (answer any, pause time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pause != nil {
		pause = c.pause(cmd)
	}
	if c.before != nil {
		if err := c.before(cmd); err != nil {
			return nil, 0, err
		}
	}
	entry, err := fsm.Encode(cmd)
	if err != nil {
		return nil, 0, err
	}
	c.index++
	answer = c.FSM.Apply(&raft.Log{Index: c.index, Term: 1, Type: raft.LogCommand, Data: entry})
	if err, failed := answer.(error); failed {
		return nil, pause, err
	}
	return answer, pause, nil
}

// delay makes commands slow to return; nil ends it.
func (c *localCluster) delay(pause func(fsm.Command) time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = pause
}

// refuse makes commands fail before they are in the log; nil ends it.
func (c *localCluster) refuse(before func(fsm.Command) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = before
}

func (c *localCluster) Tasks() *fsm.FSM  { return c.FSM }
func (c *localCluster) IsLeader() bool   { return true }
func (c *localCluster) HasLeader() bool  { return true }
func (c *localCluster) LeaderID() string { return "pod" }
func (c *localCluster) Pods() []string   { return []string{"pod"} }

// writeCluster is one pod, complete, over embedded nodes: groups × perGroup of them, named n<group>-<number>.
type writeCluster struct {
	t       *testing.T
	state   *localCluster
	server  *Server
	workers *workers.Workers
	nodes   map[string]*devnode.Node
	rt      http.RoundTripper
	options Options
	ahead   *atomic.Int64 // how far the coordinator's clock is ahead, as a time.Duration
}

type clusterShape struct {
	groups, perGroup, rf int
	shards               uint32
	spread               int
	spare                int           // servers that are no nodes yet, named s<number>
	writeTimeout         time.Duration // 0: 2 s
}

func newWriteCluster(t *testing.T, top clusterShape) *writeCluster {
	t.Helper()
	nodes, addresses := map[string]*devnode.Node{}, []string{}
	for g := range top.groups {
		for n := range top.perGroup {
			id := fmt.Sprintf("n%d-%d", g, n)
			nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey, PayloadLimitBytes: 200 << 20})
			t.Cleanup(nodes[id].Close)
			addresses = append(addresses, "http://"+id)
		}
	}
	for n := range top.spare {
		id := fmt.Sprintf("s%d", n)
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey, PayloadLimitBytes: 200 << 20})
		t.Cleanup(nodes[id].Close)
	}
	c := newWriteClusterOver(t, top, devnode.Transport(nodes), addresses)
	c.nodes = nodes
	return c
}

// newWriteClusterOver is a pod over servers that run already, group by group.
func newWriteClusterOver(t *testing.T, top clusterShape, rt http.RoundTripper, addresses []string) *writeCluster {
	t.Helper()
	c := &writeCluster{t: t, rt: rt, ahead: new(atomic.Int64), state: openLocal(t, filepath.Join(t.TempDir(), "state.db"))}
	boot := fsm.Bootstrap{Now: time.Now(), ClusterID: "test", Config: fsm.Config{
		Shards: top.shards, ReplicationFactor: top.rf, Spread: top.spread, MinAcks: 1, SpreadThresholdDocuments: 100_000}}
	for _, key := range meili.DefaultKeys(boot.Now, uuid.NewString) {
		boot.Keys = append(boot.Keys, KeyToState(&key))
	}
	for g := range top.groups {
		for n := range top.perGroup {
			boot.Nodes = append(boot.Nodes, fsm.Node{ID: fsm.NodeID(fmt.Sprintf("n%d-%d", g, n)), Address: addresses[g*top.perGroup+n], Group: fsm.GroupID(g), LastTaskUID: -1})
		}
	}
	if _, err := fsm.Do(t.Context(), c.state, boot); err != nil {
		t.Fatal(err)
	}
	c.options = Options{MasterKey: testMasterKey, NodeKey: testMasterKey, NodeTransport: rt, TempDir: t.TempDir(),
		WriteTimeout: cmp.Or(top.writeTimeout, 2*time.Second),
		Now:          func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }, LeavingGrace: 20 * time.Millisecond, Logger: discard,
		ModelNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		volume:        func() (volume, error) { return volume{1 << 40, 1 << 40}, nil }}
	for id := range c.state.View().Nodes {
		c.on(string(id), "PATCH", "/experimental-features", `{"network":true}`)
	}
	c.start()
	t.Cleanup(c.stop)
	return c
}

// start opens a new coordinator and its workers over the state, as a pod does that comes up.
func (c *writeCluster) start() {
	c.t.Helper()
	var err error
	if c.server, err = New(c.options, c.state); err != nil {
		c.t.Fatal(err)
	}
	c.server.writer.lanes.pauses = []time.Duration{0, time.Millisecond}
	c.workers, err = workers.Start(context.Background(), workers.Options{
		Cluster: c.state, Nodes: c.server.Nodes(), Coordinator: c.server, HealthInterval: time.Hour, Logger: c.options.Logger,
		PollMin: time.Millisecond, PollMax: 20 * time.Millisecond, Now: c.options.Now,
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// stop ends coordinator and workers; the state stays.
func (c *writeCluster) stop() {
	if c.workers == nil {
		return
	}
	c.workers.Close()
	c.server.Close()
	c.workers = nil
}

// call sends a request to the coordinator.
func (c *writeCluster) call(method, path, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	return c.send(method, path, "application/json", []byte(body))
}

func (c *writeCluster) send(method, path, contentType string, body []byte) *httptest.ResponseRecorder {
	c.t.Helper()
	request := httptest.NewRequest(method, path, bytes.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if method != http.MethodGet {
		request.Header.Set("Content-Type", contentType)
	}
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, request)
	return answer
}

// manage sends a management request from a loopback address.
func (c *writeCluster) manage(method, path, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.RemoteAddr = "127.0.0.1:1"
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, request)
	return answer
}

// do sends a write, expects it to be accepted and returns its finished task.
func (c *writeCluster) do(method, path, body string) map[string]any {
	c.t.Helper()
	return c.await(c.accepted(c.call(method, path, body)))
}

// accepted is the task uid of an answer.
func (c *writeCluster) accepted(answer *httptest.ResponseRecorder) int {
	c.t.Helper()
	if answer.Code != http.StatusAccepted && answer.Code != http.StatusOK {
		c.t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	var summary struct{ TaskUID int }
	if err := json.Unmarshal(answer.Body.Bytes(), &summary); err != nil {
		c.t.Fatal(err)
	}
	return summary.TaskUID
}

// await waits for the end of a task.
func (c *writeCluster) await(uid int) map[string]any {
	c.t.Helper()
	var task map[string]any
	c.until(fmt.Sprintf("the end of task %d", uid), func() bool {
		task = c.get(fmt.Sprintf("/tasks/%d", uid))
		return task["status"] != "enqueued" && task["status"] != "processing"
	})
	return task
}

// patience is how long tests wait for what must come. It only ends what hangs: the machine may be busy and slow.
const patience = 2 * time.Minute

// until waits for a condition.
func (c *writeCluster) until(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(2 * time.Millisecond); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited too long for %s", what)
		}
	}
}

func (c *writeCluster) get(path string) map[string]any {
	c.t.Helper()
	answer := c.call("GET", path, "")
	var object map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &object); err != nil {
		c.t.Fatalf("GET %s: status %d: %s", path, answer.Code, answer.Body)
	}
	return object
}

// on asks one node directly.
func (c *writeCluster) on(node, method, path, body string) map[string]any {
	c.t.Helper()
	request, _ := http.NewRequest(method, c.state.View().Node(fsm.NodeID(node)).Address+path, bytes.NewReader([]byte(body)))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.rt.RoundTrip(request)
	if err != nil {
		c.t.Fatal(err)
	}
	var object map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&object); err != nil {
		c.t.Fatal(err)
	}
	return object
}

// documentsOn are the documents of an index on one node by id; the hidden fields are left out.
func (c *writeCluster) documentsOn(node, nodeUID string) map[string]map[string]any {
	c.t.Helper()
	documents := map[string]map[string]any{}
	page := c.on(node, "GET", "/indexes/"+nodeUID+"/documents?limit=100000", "")
	results, _ := page["results"].([]any)
	for _, result := range results {
		document := result.(map[string]any)
		if document[shardField] == nil {
			c.t.Errorf("node %s has a document without %s: %v", node, shardField, document)
		}
		for _, field := range hiddenFields {
			delete(document, field)
		}
		documents[fmt.Sprint(document["id"])] = document
	}
	return documents
}

// replicas counts the replicas of an index by state.
func (c *writeCluster) replicas(uid string) map[fsm.ReplicaState]int {
	counts := map[fsm.ReplicaState]int{}
	for _, slots := range c.state.View().Route(uid).Placement {
		for _, slot := range slots {
			for _, replica := range slot {
				counts[replica.State]++
			}
		}
	}
	return counts
}

// roundTrip is a transport made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func jsonAnswer(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

var discard = slog.New(slog.DiscardHandler)
