package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/conformance"
	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/scripts/cluster"
)

// readCluster is a coordinator over nodes that a test fills itself: it answers the API, reads through a Server, and
// writes by the simplest way there is (everything to every node that holds it, one write at a time). It lets reads be
// compared with a single server without the write path.
type readCluster struct {
	t      *testing.T
	server *Server
	view   atomic.Pointer[fsm.View]
	rt     http.RoundTripper
	layout layout
	ids    []fsm.NodeID
}

// layout says how shards lie on nodes: groups × nodes per group, copies within a group.
type layout struct {
	groups, nodes, copies int
	shards                uint32
	whole                 bool
}

const testMasterKey = "masterKey"

// The cluster of a readCluster has a view and nothing else: the state that it could ask for tasks is empty.
type viewOnly struct {
	Cluster
	view  *atomic.Pointer[fsm.View]
	state *fsm.FSM
}

func (c viewOnly) Tasks() *fsm.FSM { return c.state }

func (c viewOnly) View() *fsm.View { return c.view.Load() }
func (c viewOnly) Apply(context.Context, fsm.Command) (any, error) {
	return nil, errors.New("no writes")
}
func (c viewOnly) IsLeader() bool  { return true }
func (c viewOnly) HasLeader() bool { return true }

func newReadCluster(t *testing.T, rt http.RoundTripper, addresses []string, l layout) *readCluster {
	t.Helper()
	c := &readCluster{t: t, rt: rt, layout: l}
	view := &fsm.View{Config: fsm.DefaultConfig(), Nodes: map[fsm.NodeID]*fsm.Node{}, Indexes: map[fsm.IndexID]*fsm.Index{}, Names: map[string]fsm.IndexID{}}
	for g := range l.groups {
		view.Groups = append(view.Groups, &fsm.Group{ID: fsm.GroupID(g), State: fsm.GroupActive})
		for n := range l.nodes {
			id := fsm.NodeID(fmt.Sprintf("n%d-%d", g, n))
			view.Nodes[id] = &fsm.Node{ID: id, Address: addresses[g*l.nodes+n], Key: testMasterKey, Group: fsm.GroupID(g), State: fsm.NodeActive}
			c.ids = append(c.ids, id)
		}
	}
	c.view.Store(view)
	state, err := fsm.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	server, err := New(Options{MasterKey: testMasterKey, NodeKey: testMasterKey, NodeTransport: rt, SearchTimeout: 30 * time.Second,
		Logger: slog.New(slog.DiscardHandler)}, viewOnly{view: &c.view, state: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	c.server = server
	for _, id := range c.ids {
		c.send(id, "PATCH", "/experimental-features", "application/json", []byte(`{"network":true}`))
	}
	return c
}

// shardNodes are the nodes that hold a shard.
func (c *readCluster) shardNodes(s uint32) []fsm.NodeID {
	var ids []fsm.NodeID
	for g := range c.layout.groups {
		for k := range c.layout.copies {
			ids = append(ids, c.ids[g*c.layout.nodes+(int(s)+k)%c.layout.nodes])
		}
	}
	return ids
}

func (c *readCluster) addIndex(uid, primaryKey string) {
	old := c.view.Load()
	view := *old
	view.Indexes, view.Names = map[fsm.IndexID]*fsm.Index{}, map[string]fsm.IndexID{}
	for id, ix := range old.Indexes {
		view.Indexes[id], view.Names[ix.UID] = ix, id
	}
	ix := &fsm.Index{ID: fsm.IndexID(len(view.Indexes) + 1), UID: uid, NodeUID: uid + "__x", PrimaryKey: primaryKey, Shards: c.layout.shards,
		Visible: true, Placement: map[fsm.GroupID][][]fsm.Replica{}, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	slots := c.layout.shards
	if c.layout.whole {
		slots = 1
	}
	for s := range slots {
		for _, id := range c.shardNodes(s) {
			g := view.Nodes[id].Group
			if ix.Placement[g] == nil {
				ix.Placement[g] = make([][]fsm.Replica, slots)
			}
			ix.Placement[g][s] = append(ix.Placement[g][s], fsm.Replica{Node: id, State: fsm.Active})
		}
	}
	view.Indexes[ix.ID], view.Names[uid] = ix, ix.ID
	c.view.Store(&view)
}

// change replaces an index by a changed copy.
func (c *readCluster) change(uid string, edit func(*fsm.Index)) {
	view := *c.view.Load()
	indexes := map[fsm.IndexID]*fsm.Index{}
	for id, ix := range view.Indexes {
		indexes[id] = ix
		if ix.UID == uid {
			changed := *ix
			edit(&changed)
			indexes[id] = &changed
		}
	}
	view.Indexes = indexes
	c.view.Store(&view)
}

func (c *readCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 1 && parts[0] == "indexes" && r.Method == "POST":
		c.createIndex(w, r)
	case len(parts) == 3 && parts[2] == "settings" && r.Method == "PATCH":
		c.patchSettings(w, r, parts[1])
	case len(parts) == 3 && parts[2] == "documents" && r.Method == "POST":
		c.addDocuments(w, r, parts[1])
	case parts[0] == "tasks" || parts[0] == "experimental-features" || parts[0] == "keys":
		c.relay(w, r)
	default:
		c.server.ServeHTTP(w, r)
	}
}

func (c *readCluster) relay(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var status int
	var answer []byte
	for i := len(c.ids) - 1; i >= 0; i-- {
		if i > 0 && parts0(r) != "experimental-features" {
			continue
		}
		status, answer = c.send(c.ids[i], r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body)
	}
	if parts0(r) == "experimental-features" && status == 200 {
		view := *c.view.Load()
		view.Features = bytes.Replace(answer, []byte(`"network":true`), []byte(`"network":false`), 1)
		c.view.Store(&view)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(answer)
}

func parts0(r *http.Request) string {
	first, _, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	return first
}

func (c *readCluster) createIndex(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	create, refused := meili.DecodeIndexCreate(body)
	if refused != nil {
		writeError(w, refused)
		return
	}
	uid := create.UID
	c.addIndex(uid, deref(create.PrimaryKey))
	body, _ = json.Marshal(map[string]any{"uid": uid + "__x", "primaryKey": create.PrimaryKey})
	answer := c.sendAll("POST", "/indexes", "application/json", func(fsm.NodeID) []byte { return body })
	c.sendAll("PATCH", "/indexes/"+uid+"__x/settings", "application/json", func(fsm.NodeID) []byte { return createIndex("", !c.layout.whole).Settings })
	w.WriteHeader(http.StatusAccepted)
	w.Write(answer)
}

func (c *readCluster) patchSettings(w http.ResponseWriter, r *http.Request, uid string) {
	body, _ := io.ReadAll(r.Body)
	if c.view.Load().Index(uid) == nil {
		c.createIndex(httptest.NewRecorder(), httptest.NewRequest("POST", "/indexes", strings.NewReader(`{"uid":"`+uid+`"}`)))
	}
	ix := c.view.Load().Index(uid)
	delta, refused := meili.DecodeSettings(body, meili.AllFeatures())
	if refused != nil {
		writeError(w, refused)
		return
	}
	settings, err := meili.LoadSettings(ix.Settings)
	if err != nil {
		c.t.Error(err)
	}
	if settings, refused = settings.Apply(delta); refused != nil {
		writeError(w, refused)
		return
	}
	text, _ := json.Marshal(settings)
	c.change(uid, func(ix *fsm.Index) { ix.Settings, ix.SettingsVersion = text, ix.SettingsVersion+1 })
	body = settingsForSpread(delta, settings)
	if c.layout.whole {
		body = settingsForNode(delta, settings)
	}
	answer := c.sendAll("PATCH", "/indexes/"+uid+"__x/settings", "application/json", func(fsm.NodeID) []byte { return body })
	w.WriteHeader(http.StatusAccepted)
	w.Write(answer)
}

func (c *readCluster) addDocuments(w http.ResponseWriter, r *http.Request, uid string) {
	kind, refused := meili.PayloadKindOf(r.Header)
	if refused != nil {
		writeError(w, refused)
		return
	}
	if c.view.Load().Index(uid) == nil {
		c.createIndex(httptest.NewRecorder(), httptest.NewRequest("POST", "/indexes", strings.NewReader(`{"uid":"`+uid+`"}`)))
	}
	ix := c.view.Load().Index(uid)
	primaryKey := ix.PrimaryKey
	if given := r.URL.Query().Get("primaryKey"); given != "" {
		primaryKey = given
	}
	bodies := map[fsm.NodeID]*bytes.Buffer{}
	for _, id := range c.ids {
		bodies[id] = &bytes.Buffer{}
	}
	_, err := meili.SplitPayload(kind, 0, r.Body, func(doc []byte) error {
		if primaryKey == "" {
			if primaryKey, refused = meili.InferPrimaryKey(doc); refused != nil {
				return refused
			}
		}
		id, refused := meili.DocumentID(doc, primaryKey)
		if refused != nil {
			return refused
		}
		shard := ShardOf(id, c.layout.shards)
		value, _ := json.Marshal(EncodeShard(shard))
		slot := uint32(shard)
		if c.layout.whole {
			slot = 0
		}
		for _, holder := range c.shardNodes(slot) {
			bodies[holder].Write(meili.Append(doc, shardField, value))
			bodies[holder].WriteByte('\n')
		}
		return nil
	})
	if err != nil {
		writeError(w, asError(err))
		return
	}
	c.change(uid, func(ix *fsm.Index) { ix.PrimaryKey = primaryKey })
	answer := c.sendAll("POST", "/indexes/"+uid+"__x/documents?primaryKey="+primaryKey, "application/x-ndjson", func(id fsm.NodeID) []byte {
		return bodies[id].Bytes()
	})
	w.WriteHeader(http.StatusAccepted)
	w.Write(answer)
}

// sendAll sends a write to all nodes and waits for its tasks. Bodies of no bytes are not sent. It returns the first answer.
func (c *readCluster) sendAll(method, path, contentType string, body func(fsm.NodeID) []byte) []byte {
	c.t.Helper()
	var first []byte
	for _, id := range c.ids {
		if len(body(id)) == 0 {
			continue
		}
		status, answer := c.send(id, method, path, contentType, body(id))
		if status != http.StatusAccepted {
			c.t.Errorf("%s %s on %s: %d %s", method, path, id, status, answer)
			return answer
		}
		if first == nil {
			first = answer
		}
		var task struct{ TaskUID int }
		json.Unmarshal(answer, &task)
		for deadline := time.Now().Add(time.Minute); ; {
			_, answer := c.send(id, "GET", fmt.Sprintf("/tasks/%d", task.TaskUID), "", nil)
			if status := text(memberOf(answer, "status")); status == "succeeded" {
				break
			} else if status == "failed" || time.Now().After(deadline) {
				c.t.Logf("%s %s on %s: %s", method, path, id, answer)
				break
			}
		}
	}
	return first
}

func (c *readCluster) send(id fsm.NodeID, method, path, contentType string, body []byte) (int, []byte) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.view.Load().Nodes[id].Address+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testMasterKey)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := c.rt.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, answer
}

// embeddedNodes starts embedded nodes.
func embeddedNodes(t *testing.T, n int) (http.RoundTripper, []string) {
	nodes := map[string]*devnode.Node{}
	var addresses []string
	for i := range n {
		host := fmt.Sprintf("node%d", i)
		nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[host].Close)
		addresses = append(addresses, "http://"+host)
	}
	return devnode.Transport(nodes), addresses
}

// realNodes starts real servers, or skips where there is no program for it.
func realNodes(t *testing.T, n int) (http.RoundTripper, []string) {
	program, err := cluster.FindMeilisearch()
	if err != nil {
		t.Skip(err)
	}
	var addresses []string
	for range n {
		addresses = append(addresses, startReal(t, program))
	}
	return http.DefaultTransport, addresses
}

func startReal(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	return startServer(t, program, dir, "--db-path", filepath.Join(dir, "data"), "--experimental-allowed-ip-networks", "127.0.0.0/8")
}

// startServer starts a Meilisearch program in a directory and returns its address once it answers.
func startServer(t *testing.T, program, dir string, args ...string) string {
	t.Helper()
	server, err := cluster.StartServer(t.Context(), program, dir, func(address string) []string {
		return append([]string{"--http-addr", address, "--master-key", testMasterKey, "--no-analytics"}, args...)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// replayReads runs a recorded case and reports the steps that are reads and differ.
func replayReads(t *testing.T, name string, c http.Handler) (differing []string, total int) {
	t.Helper()
	recorded, err := conformance.Load(filepath.Join("..", "testdata", "conformance", name))
	if err != nil {
		t.Skip(err)
	}
	for _, result := range conformance.Run(t.Context(), conformance.Options{Transport: conformance.Handler(c), Key: testMasterKey}, recorded) {
		if !isRead(result.Request) {
			continue
		}
		total++
		if !result.OK() {
			differing = append(differing, result.Step+" "+result.Request+": "+strings.Join(result.Differences[:min(4, len(result.Differences))], "; "))
		}
		for _, message := range result.Messages {
			t.Logf("%s %s: %s", result.Step, result.Request, message)
		}
	}
	return differing, total
}

func isRead(request string) bool {
	method, path, _ := strings.Cut(request, " ")
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.HasSuffix(path, "search"), strings.HasSuffix(path, "/similar"), strings.HasSuffix(path, "/fetch"):
		return true
	}
	return method == "GET" && strings.Contains(path, "/documents") || strings.HasSuffix(path, "/stats")
}
