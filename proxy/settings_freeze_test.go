package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/workers"
)

// forgetful is a transport over embedded nodes, some of which lose the stop words of every change of settings.
type forgetful struct {
	http.RoundTripper
	hosts string // as fmt.Sprint shows a list
	loses atomic.Bool
}

func (f *forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/settings") || !strings.Contains(f.hosts, r.URL.Host) || !f.loses.Load() {
		return f.RoundTripper.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	delete(members, "stopWords")
	if body, err = json.Marshal(members); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = nil
	return f.RoundTripper.RoundTrip(r)
}

// newForgetfulCluster has an index m with 20 documents, and nodes that lose stop words from now on.
func newForgetfulCluster(t *testing.T, top clusterShape, hosts ...string) (*writeCluster, *forgetful) {
	t.Helper()
	nodes, addresses := map[string]*devnode.Node{}, []string{}
	for g := range top.groups {
		for n := range top.perGroup {
			id := fmt.Sprintf("n%d-%d", g, n)
			nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
			t.Cleanup(nodes[id].Close)
			addresses = append(addresses, "http://"+id)
		}
	}
	rt := &forgetful{RoundTripper: devnode.Transport(nodes), hosts: fmt.Sprint(hosts)}
	c := newWriteClusterOver(t, top, rt, addresses)
	c.nodes = nodes
	c.watchDrift(workers.Drift{Interval: time.Hour})
	documents := make([]string, 20)
	for i := range documents {
		documents[i] = fmt.Sprintf(`{"id":%d,"title":"the film %d"}`, i, i)
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["id"]}`))
	rt.loses.Store(true)
	return c, rt
}

func (c *writeCluster) isFrozen(uid string) bool { return c.state.View().Route(uid).Frozen != nil }

// frozenBy changes the stop words of m and waits until it takes no writes.
func (c *writeCluster) frozenBy(words string) {
	c.t.Helper()
	succeeded(c.t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":`+words+`}`))
	c.until("the index to be frozen", func() bool { return c.isFrozen("m") })
}

// frozenShapes are clusters in which the settings of one node concern every group there is.
var frozenShapes = map[string]clusterShape{
	"one node": {groups: 1, perGroup: 1, rf: 1, shards: 4},
	"spread":   {groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll},
}

// A node goes on losing a setting at replication factor 1: the index takes no writes, and says why, until the node keeps it. Reads go on
// all the time. Red when nodes are never given up, and when the freeze does not end by itself.
func TestIndexFreezesUntilItsNodesAreInOrder(t *testing.T) {
	for name, shape := range frozenShapes {
		t.Run(name, func(t *testing.T) {
			c, rt := newForgetfulCluster(t, shape, "n0-0")
			c.frozenBy(`["the"]`)

			before := c.state.View().NextTaskUID
			for _, write := range []struct{ method, path, body string }{
				{"POST", "/indexes/m/documents", `[{"id":99}]`},
				{"PUT", "/indexes/m/documents", `[{"id":1,"n":1}]`},
				{"DELETE", "/indexes/m/documents/1", ``},
				{"POST", "/indexes/m/documents/delete", `{"filter":"id = 1"}`},
				{"DELETE", "/indexes/m/documents", ``},
				{"PATCH", "/indexes/m", `{"primaryKey":"other"}`},
			} {
				answer := c.call(write.method, write.path, write.body)
				if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), `"code":"miroir_settings_frozen","type":"system"`) ||
					!strings.Contains(answer.Body.String(), "node n0-0 (stopWords)") {
					t.Errorf("%s %s: status %d: %s", write.method, write.path, answer.Code, answer.Body)
				}
			}
			if after := c.state.View().NextTaskUID; after != before {
				t.Errorf("%d tasks were enqueued", after-before)
			}
			if found := c.get("/indexes/m/search?q=film&limit=50"); fmt.Sprint(found["estimatedTotalHits"]) != "20" {
				t.Errorf("search: %v", found)
			}
			succeeded(t, c.do("POST", "/indexes/other/documents", `[{"id":1}]`))
			if version := c.admin("GET", "/_miroir/indexes/m/settings/version", "", http.StatusOK); version["frozen"] != true {
				t.Errorf("version %v", version)
			}
			if warnings := c.warnings(); !strings.Contains(warnings, "index m takes no writes") || !strings.Contains(warnings, "miroir settings unfreeze m") {
				t.Errorf("warnings: %s", warnings)
			}
			if text := c.manage("GET", "/_miroir/metrics", "").Body.String(); !strings.Contains(text, "\nmiroir_settings_frozen_indexes 1\n") {
				t.Error("the metric does not show it")
			}

			rt.loses.Store(false)
			c.until("the freeze to end", func() bool { return !c.isFrozen("m") })
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
			for id := range c.nodes {
				if got := c.on(id, "GET", "/indexes/m/settings", "")["stopWords"]; got != nil && fmt.Sprint(got) != "[the]" {
					t.Errorf("node %s has stop words %v", id, got)
				}
			}
			if text := c.manage("GET", "/_miroir/metrics", "").Body.String(); !strings.Contains(text, "\nmiroir_settings_frozen_indexes 0\n") || strings.Contains(c.warnings(), "takes no writes") {
				t.Error("still shown as frozen")
			}
		})
	}
}

// Where another copy has the settings, the node is no longer read, and writes go on.
func TestNoFreezeWhileAGroupIsInOrder(t *testing.T) {
	for name, shape := range map[string]clusterShape{
		"two copies": {groups: 1, perGroup: 2, rf: 2, shards: 4},
		"two groups": {groups: 2, perGroup: 1, rf: 1, shards: 4},
	} {
		t.Run(name, func(t *testing.T) {
			host := map[string]string{"two copies": "n0-1", "two groups": "n1-0"}[name]
			c, _ := newForgetfulCluster(t, shape, host)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`))
			c.until("the node's replica to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
			if c.isFrozen("m") {
				t.Error("frozen")
			}
		})
	}
}

// A node that somebody changes again and again is given up like one that loses what it is sent.
func TestDriftThatComesBackIsGivenUp(t *testing.T) {
	c, rt := newForgetfulCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4}, "n0-1")
	rt.loses.Store(false)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`))
	rt.loses.Store(true)
	c.on("n0-1", "DELETE", "/indexes/m/settings/stop-words", "")
	c.watchDrift(workers.Drift{Interval: time.Millisecond})
	c.until("the node's replica to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
}

// Other settings end a freeze, those that the node can keep.
func TestOtherSettingsEndAFreeze(t *testing.T) {
	c, _ := newForgetfulCluster(t, frozenShapes["spread"], "n0-0")
	c.frozenBy(`["the"]`)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":null}`))
	c.until("the freeze to end", func() bool { return !c.isFrozen("m") })
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
}

// A freeze that an operator ends comes back when the nodes go on losing their settings, after as many attempts as at first.
func TestUnfreezeByHand(t *testing.T) {
	c, _ := newForgetfulCluster(t, frozenShapes["spread"], "n0-0", "n0-1")
	c.frozenBy(`["the"]`)
	var attempts atomic.Int32
	plain := c.rt.(*forgetful).RoundTripper
	c.rt.(*forgetful).RoundTripper = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && r.URL.Host == "n0-0" && !c.isFrozen("m") {
			attempts.Add(1)
		}
		return plain.RoundTrip(r)
	})
	answer := c.admin("POST", "/_miroir/indexes/m/settings/unfreeze", "", http.StatusOK)
	if answer["uid"] != "m" || answer["frozen"] != false || answer["was_frozen"] != true {
		t.Errorf("answer %v", answer)
	}
	c.until("the freeze to come back", func() bool { return c.isFrozen("m") })
	if n := attempts.Load(); n < 3 {
		t.Errorf("%d attempts before it came back", n)
	}
	c.admin("POST", "/_miroir/indexes/none/settings/unfreeze", "", http.StatusNotFound)
}

// With settings_broadcast.freeze_writes_on_unrepairable off nothing freezes, and what is frozen does not stay so.
func TestFreezeIsSwitchedOff(t *testing.T) {
	c, _ := newForgetfulCluster(t, frozenShapes["one node"], "n0-0")
	c.frozenBy(`["the"]`)
	c.config(func(config *fsm.Config) { config.SettingsVerify.NoFreeze = true })
	c.until("the freeze to end", func() bool { return !c.isFrozen("m") })
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
}

// A frozen index may be deleted, and a new leader goes on with the freeze and ends it.
func TestFreezeOutlivesTheLeader(t *testing.T) {
	c, rt := newForgetfulCluster(t, frozenShapes["spread"], "n0-0")
	c.frozenBy(`["the"]`)
	c.watchDrift(workers.Drift{Interval: time.Hour})
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":99}]`); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	rt.loses.Store(false)
	c.until("the freeze to end", func() bool { return !c.isFrozen("m") })
	rt.loses.Store(true)
	c.frozenBy(`["a"]`)
	succeeded(t, c.do("DELETE", "/indexes/m", ""))
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":99}]`))
}
