package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/fsm"
)

// One shard on each of several nodes: a batch's statistics come from all of them.
func TestBatchesTellWhatNodesKnow(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	documents := make([]map[string]int, 40)
	for i := range documents {
		documents[i] = map[string]int{"id": i}
	}
	body, _ := json.Marshal(documents)
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	task := c.do("POST", "/indexes/m/documents", string(body))
	succeeded(t, task)

	path := fmt.Sprintf("/batches/%v", task["batchUid"])
	stats := c.get(path)["stats"].(map[string]any)
	if got, want := fmt.Sprint(stats["writeChannelCongestion"]), "map[attempts:2 blocking_attempts:0 blocking_ratio:0]"; got != want {
		t.Errorf("congestion %s, want %s", got, want)
	}
	if sizes, _ := stats["internalDatabaseSizes"].(map[string]any); len(sizes) == 0 {
		t.Errorf("no sizes in %v", stats)
	}
	for _, batch := range c.get("/batches")["results"].([]any) {
		stats := batch.(map[string]any)["stats"].(map[string]any)
		_, has := stats["writeChannelCongestion"]
		if want := stats["types"].(map[string]any)["documentAdditionOrUpdate"] != nil; has != want {
			t.Errorf("congestion is told: %v, of %v", has, stats)
		}
	}

	c.nodes["n0-0"].Stop()
	if stats = c.get(path)["stats"].(map[string]any); fmt.Sprint(stats["writeChannelCongestion"].(map[string]any)["attempts"]) != "1" {
		t.Errorf("with a node down: %v", stats)
	}
	c.nodes["n0-1"].Stop()
	if stats = c.get(path)["stats"].(map[string]any); stats["writeChannelCongestion"] != nil || fmt.Sprint(stats["totalNbTasks"]) != "1" {
		t.Errorf("with all nodes down: %v", stats)
	}
}

func TestBatchesOfNoDocumentsTellThatNothingWasWritten(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	task := c.do("POST", "/indexes/m/documents", `[]`)
	succeeded(t, task)
	stats := c.get(fmt.Sprintf("/batches/%v", task["batchUid"]))["stats"].(map[string]any)
	if got, want := fmt.Sprint(stats["writeChannelCongestion"]), "map[attempts:0 blocking_attempts:0 blocking_ratio:<nil>]"; got != want {
		t.Errorf("congestion %s, want %s", got, want)
	}
}

// A batch tells how long it has been processed, also by the clock of a pod that is behind.
func TestBatchesTellHowLongTheyTake(t *testing.T) {
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := started.Add(2 * time.Second)
	processing := &fsm.Task{Status: fsm.StatusProcessing, StartedAt: &started}
	finished := &fsm.Task{Status: fsm.StatusSucceeded, StartedAt: &started, FinishedAt: &later}
	for _, c := range []struct {
		task *fsm.Task
		now  time.Time
		want string
	}{{processing, later, "2s"}, {processing, started.Add(-time.Second), "0s"}, {finished, later.Add(time.Hour), "2s"}} {
		if got := viewOfBatch(fsm.Batch{Tasks: []*fsm.Task{c.task}}, c.now).Stats.ProgressTrace["processing tasks"]; got != c.want {
			t.Errorf("%s: %q, want %q", c.task.Status, got, c.want)
		}
	}
}

// A change that one node refuses is taken back on the others, and one server would have nothing to tell of it.
func TestBatchesThatFailTellNothingOfNodes(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		s.write("POST", "/indexes/m/documents", `[{"id":1,"_vectors":{"e":[1,2]}},{"id":2,"_vectors":{"e":[1,2,3]}},{"id":3,"_vectors":{"e":[1,2,3]}},{"id":4,"_vectors":{"e":[1,2,3]}}]`)
		s.write("PATCH", "/indexes/m/settings", `{"embedders":{"e":{"source":"userProvided","dimensions":3}}}`)
		answer := s.call("GET", "/batches?statuses=failed", "").Body.Bytes()
		if batches := itemsOf(memberOf(answer, "results")); len(batches) != 1 || memberOf(memberOf(batches[0], "stats"), "writeChannelCongestion") != nil {
			t.Errorf("%s", answer)
		}
	})
}

func TestCongestionAddsUp(t *testing.T) {
	var sum nodeBatchStats
	sum.add(nodeBatchStats{})
	if got, _ := json.Marshal(&congestion{}); string(got) != `{"attempts":0,"blocking_attempts":0,"blocking_ratio":null}` {
		t.Errorf("nothing was attempted: %s", got)
	}
	sum.add(nodeBatchStats{Congestion: &congestion{3, 1}})
	sum.add(nodeBatchStats{Congestion: &congestion{5, 1}, Sizes: json.RawMessage(`{"documents":"4 KiB"}`)})
	sum.add(nodeBatchStats{Sizes: json.RawMessage(`{"documents":"8 KiB"}`), Embedders: &embedderRequests{Total: 2}})
	sum.add(nodeBatchStats{Embedders: &embedderRequests{Total: 3, Failed: 1, LastError: new("no")}})
	got, err := json.Marshal(sum)
	want := `{"writeChannelCongestion":{"attempts":8,"blocking_attempts":2,"blocking_ratio":0.25},"internalDatabaseSizes":{"documents":"4 KiB"},"embedderRequests":{"total":5,"failed":1,"lastError":"no"}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

// Two real servers, an index cut up over both: batches tell how embedders fared, also those that fail.
func TestBatchesTellOfEmbedders(t *testing.T) {
	rt, addresses := realNodes(t, 2)
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, addresses)
	var refuses atomic.Bool
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuses.Load() {
			http.Error(w, `"tired"`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`[0.5,1]`)) // a client that is gone fails the test elsewhere
	}))
	t.Cleanup(provider.Close)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"embedders":{"e":`+strings.Replace(restEmbedder, "http://127.0.0.1:1", provider.URL, 1)+`}}`))
	batchOf := func(task map[string]any) map[string]any {
		stats := c.get(fmt.Sprintf("/batches/%v", task["batchUid"]))["stats"].(map[string]any)
		requests, _ := stats["embedderRequests"].(map[string]any)
		return requests
	}
	task := succeeded(t, c.do("POST", "/indexes/m/documents", numbered(0, 20)))
	if requests := batchOf(task); requests["total"] != 20.0 || requests["failed"] != 0.0 || requests["lastError"] != nil {
		t.Errorf("a batch that succeeds tells %v", requests)
	}
	refuses.Store(true)
	task = c.do("POST", "/indexes/m/documents", numbered(20, 40))
	requests := batchOf(task)
	if said, _ := requests["lastError"].(string); task["status"] != "failed" || requests["failed"] == 0.0 || !strings.Contains(said, "tired") {
		t.Errorf("%v, whose batch tells %v", task, requests)
	}
}

func TestBatchesOfRulesNameTheirIndex(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("PATCH", "/experimental-features", `{"dynamicSearchRules":true}`)
	task := c.do("PATCH", "/dynamic-search-rules/r", `{"active":true,"actions":[{"selector":{"id":"1"},"action":{"type":"pin","position":1}}]}`)
	succeeded(t, task)
	stats := c.get(fmt.Sprintf("/batches/%v", task["batchUid"]))["stats"].(map[string]any)
	if fmt.Sprint(stats["indexUids"]) != "map[.meili_dsr:1]" || stats["writeChannelCongestion"] == nil {
		t.Errorf("%v", stats)
	}
}
