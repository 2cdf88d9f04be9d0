package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/workers"
)

// watchDrift starts the workers anew, with a drift check, and returns their metrics.
func (c *writeCluster) watchDrift(drift workers.Drift) *metrics.Set {
	c.t.Helper()
	c.workers.Close()
	drift.Metrics, drift.Backoff = metrics.NewSet(), time.Millisecond
	var err error
	c.workers, err = workers.Start(context.Background(), workers.Options{
		Cluster: c.state, Nodes: c.server.Nodes(), Coordinator: c.server, HealthInterval: time.Hour, Logger: c.options.Logger,
		PollMin: time.Millisecond, PollMax: 20 * time.Millisecond, Drift: drift,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return drift.Metrics
}

const (
	mismatchesTotal = "miroir_settings_hash_mismatch_total"
	driftRepairs    = "miroir_settings_drift_repair_total"
)

func counted(set *metrics.Set, name string) uint64 { return set.GetOrCreateCounter(name).Get() }

// everySetting changes each setting from its default, in forms that nodes store otherwise than they were sent.
const everySetting = `{"displayedAttributes":["title","id","title"],"searchableAttributes":["title","body","title"],
	"filterableAttributes":["genre",{"attributePatterns":["price*","_geo"],"features":{"facetSearch":false,"filter":{"comparison":true}}}],
	"sortableAttributes":["price","id"],"rankingRules":["words","typo","price:desc","exactness"],"stopWords":["the","an","Été","the"],
	"nonSeparatorTokens":["#","@"],"separatorTokens":["&sep","<br />"],"dictionary":["J. R. R.","B. B."],
	"synonyms":{"Wolverine":["xmen","logan"],"logan":["wolverine","Xmen"],"a b":["c"]},"distinctAttribute":"sku","proximityPrecision":"byAttribute",
	"typoTolerance":{"minWordSizeForTypos":{"oneTypo":4,"twoTypos":10},"disableOnWords":["Éclair","shrek","Zed"],"disableOnAttributes":["title","genre"],"disableOnNumbers":true},
	"faceting":{"maxValuesPerFacet":33,"sortFacetValuesBy":{"genre":"count","*":"alpha","a":"count"}},"pagination":{"maxTotalHits":77},
	"embedders":{"mine":{"source":"userProvided","dimensions":3,"distribution":{"mean":0.7,"sigma":0.3}},
		"other":{"source":"userProvided","dimensions":2,"binaryQuantized":true},
		"remote":{"source":"rest","url":"http://127.0.0.1:1/embed","apiKey":"secret-key-of-some-length","dimensions":2,"documentTemplate":"{{doc.title}} <é>","request":{"input":"{{text}}","n":1.50,"big":1e3},"response":{"data":"{{embedding}}"},"headers":{"X-A":"b","A":"c"}},
		"paid":{"source":"openAi","apiKey":"short","model":"text-embedding-3-small","dimensions":512,"documentTemplateMaxBytes":100}},
	"searchCutoffMs":1500,"localizedAttributes":[{"attributePatterns":["title_*"],"locales":["ja","fra"]},{"attributePatterns":["b"],"locales":["zh"]}],
	"facetSearch":false,"prefixSearch":"disabled"}`

// sequence are changes that together pass through merges, resets and every sub-route.
var settingsSequence = []struct{ method, path, body string }{
	{"PATCH", "", everySetting},
	{"PATCH", "/typo-tolerance", `{"disableOnWords":null,"minWordSizeForTypos":{"oneTypo":null}}`},
	{"PATCH", "/faceting", `{"sortFacetValuesBy":{"genre":"alpha","b":"count"}}`},
	{"PATCH", "/faceting", `{"maxValuesPerFacet":20000}`},
	{"PATCH", "/embedders", `{"mine":{"distribution":null},"other":null,"remote":{"apiKey":"another-secret-key-of-thirty-characters","headers":{"B":"d"}}}`},
	{"PUT", "/searchable-attributes", `["*"]`},
	{"PUT", "/displayed-attributes", `["*"]`},
	{"PUT", "/filterable-attributes", `["*"]`},
	{"PUT", "/filterable-attributes", `[{"attributePatterns":["*"]},"a.b"]`},
	{"PUT", "/localized-attributes", `[]`},
	{"PUT", "/synonyms", `{}`},
	{"DELETE", "/ranking-rules", ``},
	{"DELETE", "/faceting", ``},
	{"DELETE", "/embedders", ``},
	{"DELETE", "/localized-attributes", ``},
	{"PATCH", "", everySetting},
	{"DELETE", "", ``},
}

// noFalseMismatch makes every change and looks at every node after each: all must be found equal.
func noFalseMismatch(t *testing.T, c *writeCluster, set *metrics.Set) {
	t.Helper()
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
	compare := func(after string) {
		t.Helper()
		ix := c.state.View().Index("m")
		for _, id := range ix.Nodes() {
			check, err := c.server.CheckSettings(t.Context(), ix.ID, id)
			if err != nil || !check.Equal() {
				t.Fatalf("after %s: node %s: %v, differing %v: %s", after, id, err, check.Differing, check.Present)
			}
		}
	}
	compare("the creation")
	for i, change := range settingsSequence {
		path := "/indexes/m/settings" + change.path
		succeeded(t, c.do(change.method, path, change.body))
		compare(fmt.Sprintf("%d. %s %s %s", i, change.method, path, change.body))
	}
	succeeded(t, c.do("PATCH", "/indexes/n/settings", everySetting))
	if n := counted(set, mismatchesTotal); n != 0 || c.replicas("m")[fsm.Stale]+c.replicas("n")[fsm.Stale] > 0 {
		t.Errorf("%d mismatches, stale replicas %d and %d", n, c.replicas("m")[fsm.Stale], c.replicas("n")[fsm.Stale])
	}
}

func TestSettingsReadBackEqualWhatWasSent(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, shape)
			noFalseMismatch(t, c, c.watchDrift(workers.Drift{Interval: time.Millisecond}))
		})
	}
}

func TestSettingsReadBackFromRealServers(t *testing.T) {
	for name, shape := range map[string]clusterShape{
		"whole":  {groups: 3, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto},
		"spread": {groups: 1, perGroup: 3, rf: 2, shards: 6, spread: fsm.SpreadAll},
	} {
		t.Run(name, func(t *testing.T) {
			rt, addresses := realNodes(t, 3)
			c := newWriteClusterOver(t, shape, rt, addresses)
			const features = `{"chatCompletions":true,"foreignKeys":true,"multimodal":true,"compositeEmbedders":true}`
			for id := range c.state.View().Nodes {
				c.on(string(id), "PATCH", "/experimental-features", features)
			}
			if answer := c.call("PATCH", "/experimental-features", features); answer.Code != http.StatusOK {
				t.Fatal(answer.Body)
			}
			set := c.watchDrift(workers.Drift{Interval: time.Millisecond})
			noFalseMismatch(t, c, set)
			for _, body := range []string{
				`{"foreignKeys":[{"foreignIndexUid":"other","fieldName":"other_id"}]}`,
				`{"chat":{"description":"about","documentTemplate":"{{doc.title}}","searchParameters":{"limit":5,"sort":["id:asc"],"rankingScoreThreshold":0.35,"matchingStrategy":"all"}}}`,
				`{"chat":null,"foreignKeys":null}`,
			} {
				if task := c.do("PATCH", "/indexes/o/settings", body); task["status"] != "succeeded" {
					t.Errorf("%s: %v", body, task["error"])
				}
				ix := c.state.View().Route("o")
				for _, id := range ix.Nodes() {
					if check, err := c.server.CheckSettings(t.Context(), ix.ID, id); err != nil || !check.Equal() {
						t.Errorf("after %s: node %s: %v, differing %v: %s, state %s", body, id, err, check.Differing, check.Present, ix.Settings)
					}
				}
			}
			if n := counted(set, mismatchesTotal); n != 0 {
				t.Errorf("%d mismatches", n)
			}
		})
	}
}

// Somebody changes settings on one node behind Miroir's back. Red when the check does not see the setting or does not
// put it right.
func TestDriftIsRepairedAndCounted(t *testing.T) {
	drifts := map[string]struct{ method, path, body string }{
		"a list":                 {"PUT", "/stop-words", `["drift"]`},
		"reset to default":       {"DELETE", "/ranking-rules", ``},
		"a member":               {"PATCH", "/typo-tolerance", `{"minWordSizeForTypos":{"oneTypo":2}}`},
		"an extra member":        {"PATCH", "/faceting", `{"sortFacetValuesBy":{"other":"count"}}`},
		"the shard rule is lost": {"PUT", "/filterable-attributes", `["genre"]`},
		"all reset":              {"DELETE", "", ``},
		"an embedder is lost":    {"PATCH", "/embedders", `{"mine":null}`},
		"an extra embedder":      {"PATCH", "/embedders", `{"drift":{"source":"userProvided","dimensions":4}}`},
		"an embedder's member":   {"PATCH", "/embedders", `{"mine":{"distribution":{"mean":0.1,"sigma":0.1}}}`},
		"a secret":               {"PATCH", "/embedders", `{"remote":{"apiKey":"other-key-of-some-length"}}`},
	}
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, shape)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", everySetting))
			set := c.watchDrift(workers.Drift{Interval: time.Millisecond})
			id, n := c.holderOf("m"), uint64(0)
			path := "/indexes/" + c.state.View().Route("m").NodeUID + "/settings"
			want := c.on(id, "GET", path, "")
			for name, drift := range drifts {
				c.on(id, drift.method, path+drift.path, drift.body)
				c.until(name+" to be repaired", func() bool { return counted(set, driftRepairs) > n })
				c.until(name+" to be right", func() bool { return reflect.DeepEqual(c.on(id, "GET", path, ""), want) })
				n = counted(set, driftRepairs)
			}
			if got := counted(set, mismatchesTotal); got != n || n != uint64(len(drifts)) {
				t.Errorf("%d drifts: %d mismatches and %d repairs counted", len(drifts), got, n)
			}
			request := httptest.NewRequest("GET", "/_miroir/indexes/m/settings/version", nil)
			request.RemoteAddr = "127.0.0.1:1"
			answer := httptest.NewRecorder()
			c.server.ServeHTTP(answer, request)
			var version map[string]any
			if err := json.Unmarshal(answer.Body.Bytes(), &version); err != nil || version["nodes"] == nil {
				t.Fatalf("status %d: %s", answer.Code, answer.Body)
			}
			for _, n := range version["nodes"].([]any) {
				if n := n.(map[string]any); n["fingerprint"] != version["fingerprint"] || n["version"] != version["version"] {
					t.Errorf("version %v", version)
				}
			}
		})
	}
}

// liar is a transport over embedded nodes, one of which shows other settings than it has.
type liar struct {
	http.RoundTripper
	host   string
	status atomic.Int64 // to answer with instead, 0: lie
	asked  atomic.Int64 // how often any node was asked for settings
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/settings") {
		return answer, err
	}
	l.asked.Add(1)
	if l.host != r.URL.Host {
		return answer, nil
	}
	if status := l.status.Load(); status != 0 {
		answer.StatusCode = int(status)
		return answer, nil
	}
	body, err := io.ReadAll(answer.Body)
	body = bytes.Replace(body, []byte(`"stopWords":["the"]`), []byte(`"stopWords":["lie"]`), 1)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return answer, err
}

func newLiarCluster(t *testing.T, host string) (*writeCluster, *liar, *metrics.Set) {
	t.Helper()
	nodes, addresses := map[string]*devnode.Node{}, []string{}
	for g := range 3 {
		id := fmt.Sprintf("n%d-0", g)
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
		addresses = append(addresses, "http://"+id)
	}
	rt := &liar{RoundTripper: devnode.Transport(nodes), host: host}
	c := newWriteClusterOver(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4}, rt, addresses)
	set := c.watchDrift(workers.Drift{})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	rt.asked.Store(0)
	return c, rt, set
}

// One node goes on showing another value: it is asked three times more, and once it has nothing left to do; then its replicas are stale and the task
// succeeds. Red when the comparison always finds nodes equal.
func TestNodeWithOtherSettingsIsStale(t *testing.T) {
	c, rt, set := newLiarCluster(t, "n1-0")
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`))
	if got := c.replicas("m"); got[fsm.Stale] != 1 || got[fsm.Active] != 2 {
		t.Errorf("replicas %v", got)
	}
	if asked, counted := rt.asked.Load(), counted(set, mismatchesTotal); asked != 2+5 || counted != 1 {
		t.Errorf("asked %d times, %d mismatches", asked, counted)
	}
}

// A node that cannot be read back, or whose value no other node's contradicts, harms nothing.
func TestUnreadableSettingsFailNothing(t *testing.T) {
	c, rt, _ := newLiarCluster(t, "n1-0")
	rt.status.Store(http.StatusInternalServerError)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`))
	if got := c.replicas("m"); got[fsm.Stale] != 0 {
		t.Errorf("replicas %v", got)
	}
}

// A hundred changes in a row cost at most one more request per node each, and none is taken for drift.
func TestQueuedSettingsChangesAreNoDrift(t *testing.T) {
	c, rt, set := newLiarCluster(t, "")
	const changes = 100
	last := 0
	for i := range changes {
		last = c.accepted(c.call("PATCH", "/indexes/m/settings", fmt.Sprintf(`{"stopWords":["w%d"]}`, i)))
		c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":1}]`))
	}
	succeeded(t, c.await(last))
	if asked, mismatches := rt.asked.Load(), counted(set, mismatchesTotal); asked > 3*changes || mismatches != 0 {
		t.Errorf("asked %d times, %d mismatches", asked, mismatches)
	}
	if got := c.replicas("m"); got[fsm.Stale] != 0 {
		t.Errorf("replicas %v", got)
	}
}

// Nodes show the keys of the halves of a composite embedder, and members that they found out by themselves.
func TestNodesShowMoreOfEmbedders(t *testing.T) {
	state := `{"embedders":{"both":{"source":"composite","searchEmbedder":{"source":"ollama","model":"m","apiKey":"KEY"},"indexingEmbedder":{"source":"ollama","model":"m"}}}}`
	shown := `{"source":"composite","searchEmbedder":{"source":"ollama","model":"m","apiKey":"KEY","dimensions":5},"indexingEmbedder":{"source":"ollama","model":"m"}}`
	settings, err := meili.LoadSettings([]byte(state))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		key  string
		want bool
	}{{"KEY", true}, {"a-key-of-another-length", false}} {
		present := map[string]json.RawMessage{"embedders": json.RawMessage(`{"both":` + strings.Replace(shown, "KEY", test.key, 1) + `}`)}
		check, err := compareSettings(json.RawMessage(state), true, present)
		if err != nil || check.Equal() != test.want {
			t.Errorf("key %s: %v, %+v, view %s", test.key, err, check, settings.View(meili.AllFeatures()))
		}
	}
}

// A change comes just before the one before it is read back, and waits on its way to one node. Red when that node is taken for one
// that keeps old settings: it has nothing left to do and does not have the newest ones.
func TestAChangeOnItsWayIsNoDrift(t *testing.T) {
	c, rt, set := newLiarCluster(t, "")
	var begun, second, late atomic.Bool
	arrived := make(chan struct{})
	plain := rt.RoundTripper
	has := func(node, word string) bool {
		return strings.Contains(fmt.Sprint(c.on(node, "GET", "/indexes/m/settings", "")["stopWords"]), word)
	}
	rt.RoundTripper = roundTrip(func(r *http.Request) (*http.Response, error) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/tasks" && begun.Load() && !second.Swap(true): // it looks at the first change
			version := c.state.View().Route("m").NextVersion
			go c.call("PATCH", "/indexes/m/settings", `{"stopWords":["two"]}`)
			c.until("the second change is in the log", func() bool { return c.state.View().Route("m").NextVersion == version+1 })
			c.until("all have the first", func() bool { return has("n0-0", "two") && has("n1-0", "one") && has("n2-0", "two") })
		case r.Method == http.MethodPatch && r.URL.Host == "n1-0" && second.Load() && !late.Swap(true):
			<-arrived
		}
		return plain.RoundTrip(r)
	})
	first := c.accepted(c.call("PATCH", "/indexes/m/settings", `{"stopWords":["one"]}`))
	begun.Store(true)
	c.await(first)
	close(arrived)
	c.until("the second change to be done", func() bool { return len(c.state.View().Route("m").Pending) == 0 })
	if got, mismatches := c.replicas("m"), counted(set, mismatchesTotal); !second.Load() || got[fsm.Stale] != 0 || mismatches != 0 {
		t.Errorf("replicas %v, %d mismatches", got, mismatches)
	}
}

// A request that was sent while the index lived whole, and given up, arrives once the index is spread and its node in order: it takes
// the field away that the node is asked by. Red when that is left to the next check of all settings, in five minutes.
func TestSettingsThatComeLateArePutRight(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 4, spread: fsm.SpreadAll})
	want := oracle{}
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"]}`))
	c.fill("m", want, 20)
	c.auditEvery(5 * time.Millisecond)
	late := c.on("n0-1", "PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"],"stopWords":["late"]}`)
	c.until("the request to be done", func() bool {
		return c.on("n0-1", "GET", fmt.Sprintf("/tasks/%v", late["taskUid"]), "")["status"] == "succeeded"
	})
	c.until("the node to be put right", func() bool {
		check, err := c.server.CheckSettings(t.Context(), c.state.View().Index("m").ID, "n0-1")
		return err == nil && check.Equal() && check.FiltersShards
	})
	c.equalEverywhere("m", want)
}
