package proxy

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/scripts/cluster"
)

// movies fills an index of a cluster with n documents, some with vectors, and settings of all sorts.
func movies(c *writeCluster, uid string, n int) {
	c.t.Helper()
	succeeded(c.t, c.do("PATCH", "/indexes/"+uid+"/settings", `{"filterableAttributes":["year"],"sortableAttributes":["title"],"synonyms":{"film":["movie"]},
		"embedders":{"e":{"source":"userProvided","dimensions":2}}}`))
	var body strings.Builder
	for i := range n {
		fmt.Fprintf(&body, `{"id":%d,"title":"film %d <b>&</b>","year":%d,"_vectors":{"e":[%d,1]}}`+"\n", i, i, 1990+i%30, i)
	}
	succeeded(c.t, c.await(c.accepted(c.send("POST", "/indexes/"+uid+"/documents?primaryKey=id", "application/x-ndjson", []byte(body.String())))))
}

// dumpFiles reads a dump.
func dumpFiles(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(text)
	}
}

// Three nodes, two copies of each shard: a dump has each document once, its vectors, and nothing of ours.
func TestDumpHasEverythingOnce(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 300)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"empty"}`))
	c.call("POST", "/webhooks", `{"url":"http://127.0.0.1:1/x","headers":{"Authorization":"Bearer secret"}}`)
	registerNetwork(c)
	task := c.do("POST", "/dumps", "")
	succeeded(t, task)
	uid := task["details"].(map[string]any)["dumpUid"].(string)
	files := dumpFiles(t, filepath.Join(c.server.opts.DumpDir, uid+".dump"))
	if got := strings.Count(files["indexes/movies/documents.jsonl"], "\n"); got != 300 {
		t.Errorf("%d documents, want 300", got)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(files["indexes/movies/documents.jsonl"]) {
		var document map[string]any
		if err := json.Unmarshal([]byte(line), &document); err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(document["id"])] = true
		if document["_vectors"] == nil || document[shardField] != nil {
			t.Fatalf("document: %s", line)
		}
	}
	if len(seen) != 300 {
		t.Errorf("%d different documents, want 300", len(seen))
	}
	if s := files["indexes/movies/settings.json"]; !strings.Contains(s, `"year"`) || strings.Contains(s, shardField) {
		t.Errorf("settings: %s", s)
	}
	if text, has := files["indexes/empty/documents.jsonl"]; !has || text != "" {
		t.Errorf("the empty index has %q", text)
	}
	if n := strings.Count(files["keys.jsonl"], "\n"); n != len(c.state.View().Keys) {
		t.Errorf("%d keys", n)
	}
	if !strings.Contains(files["webhooks.json"], "Bearer secret") {
		t.Errorf("webhooks: %s", files["webhooks.json"])
	}
	if !strings.Contains(files["network.json"], `"searchApiKey":"of-other"`) {
		t.Errorf("network: %s", files["network.json"])
	}
	left, _ := filepath.Glob(filepath.Join(c.server.opts.DumpDir, "*.partial"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// registerNetwork tells of another server.
func registerNetwork(c *writeCluster) {
	c.t.Helper()
	for _, change := range [][2]string{
		{"/experimental-features", `{"network":true}`},
		{"/network", `{"self":"us","remotes":{"other":{"url":"http://127.0.0.1:1","searchApiKey":"of-other"}}}`},
	} {
		if answer := c.call("PATCH", change[0], change[1]); answer.Code != http.StatusOK {
			c.t.Fatal(answer.Body)
		}
	}
}

// A pod that stops in the middle of a dump leaves the task open; the next one writes the dump.
func TestDumpIsStartedAgain(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 10)
	c.state.mu.Lock()
	c.state.before = func(cmd fsm.Command) error {
		if _, ends := cmd.(fsm.FinishTask); ends {
			return errors.New("the pod is gone")
		}
		return nil
	}
	c.state.mu.Unlock()
	uid := c.accepted(c.call("POST", "/dumps", ""))
	c.until("the dump's start", func() bool { return c.get(fmt.Sprintf("/tasks/%d", uid))["status"] == "processing" })
	c.stop()
	c.state.mu.Lock()
	c.state.before = nil
	c.state.mu.Unlock()
	c.start()
	succeeded(t, c.await(uid))
}

// A real Meilisearch that imports the dump shows what Miroir showed.
func TestMeilisearchImportsDump(t *testing.T) {
	program, err := cluster.FindMeilisearch()
	if err != nil {
		t.Skip(err)
	}
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 300)
	if made := c.call("POST", "/keys", `{"name":"k","uid":"6062abda-a5aa-4414-ac91-ecd7944c0f8d","actions":["search"],"indexes":["mov*"],"expiresAt":null}`); made.Code != http.StatusCreated {
		t.Fatal(made.Body)
	}
	registerNetwork(c)
	task := c.do("POST", "/dumps", "")
	succeeded(t, task)
	dump := filepath.Join(c.server.opts.DumpDir, task["details"].(map[string]any)["dumpUid"].(string)+".dump")
	base := startImport(t, program, dump)
	asked := func(method, path, body string) (ours, theirs map[string]any) {
		ours = map[string]any{}
		if err := json.Unmarshal(c.call(method, path, body).Body.Bytes(), &ours); err != nil {
			t.Fatal(err)
		}
		return ours, importedAnswer(t, base, method, path, body)
	}
	for _, read := range []struct{ method, path, body string }{
		{"GET", "/keys?limit=100", ""},
		{"GET", "/network", ""},
		{"GET", "/indexes/movies", ""},
		{"GET", "/indexes/movies/settings", ""},
		{"POST", "/indexes/movies/documents/fetch", `{"limit":1000,"retrieveVectors":true,"sort":["title:asc"]}`},
	} {
		ours, theirs := asked(read.method, read.path, read.body)
		if results, ok := theirs["results"].([]any); ok && len(results) == 0 {
			t.Errorf("%s: nothing imported", read.path)
		}
		for _, own := range []string{"updatedAt", "self"} { // a server that imports a network is not the one it was
			delete(ours, own)
			delete(theirs, own)
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s:\n%.600v\nimported:\n%.600v", read.path, ours, theirs)
		}
	}
}

// startImport starts a server over a dump and returns its address.
func startImport(t *testing.T, program, dump string) string {
	t.Helper()
	dir := t.TempDir()
	return startServer(t, program, dir, "--import-dump", dump, "--db-path", filepath.Join(dir, "db"), "--dump-dir", dir, "--snapshot-dir", dir)
}

func importedAnswer(t *testing.T, base, method, path, body string) map[string]any {
	t.Helper()
	request, _ := http.NewRequest(method, base+path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	object := map[string]any{}
	if err := json.NewDecoder(answer.Body).Decode(&object); err != nil {
		t.Fatal(err)
	}
	return object
}

// An export makes the other server show the same; the key never shows.
func TestExportToAnotherServer(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 300)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"other"}`))
	target := devnode.New(devnode.Options{MasterKey: testMasterKey})
	t.Cleanup(target.Close)
	remote := httptest.NewServer(target)
	t.Cleanup(remote.Close)
	task := c.do("POST", "/export", fmt.Sprintf(`{"url":%q,"apiKey":%q,"payloadSize":"2KiB","indexes":{"mov*":{"filter":"year > 2000"}}}`, remote.URL, testMasterKey))
	succeeded(t, task)
	text := fmt.Sprint(task["details"])
	if strings.Contains(text, testMasterKey) || !strings.Contains(text, "matchedDocuments:190") {
		t.Errorf("details: %s", text)
	}
	c.until("the documents", func() bool {
		page := importedAnswer(t, remote.URL, "POST", "/indexes/movies/documents/fetch", `{"limit":0}`)
		return page["total"] == 190.0
	})
	settings := importedAnswer(t, remote.URL, "GET", "/indexes/movies/settings", "")
	if want := c.get("/indexes/movies/settings"); !reflect.DeepEqual(settings, want) {
		t.Errorf("settings %v, want %v", settings, want)
	}
	if got := importedAnswer(t, remote.URL, "GET", "/indexes/other", ""); got["code"] != "index_not_found" {
		t.Errorf("the other index: %v", got)
	}
	// A filter that is refused fails the task before anything is sent.
	for _, filter := range []string{"_foreign(author, id = 1)", "title = x", "year >"} {
		task = c.do("POST", "/export", fmt.Sprintf(`{"url":"http://127.0.0.1:1","indexes":{"movies":{"filter":%q}}}`, filter))
		if text := fmt.Sprint(task["error"]); task["status"] != "failed" || !strings.Contains(text, "message:Index `movies`: ") || strings.Contains(text, "internal") {
			t.Errorf("filter %s: %v", filter, task)
		}
	}
	// A wrong key fails the task with what the server said.
	task = c.do("POST", "/export", fmt.Sprintf(`{"url":%q,"apiKey":"wrong"}`, remote.URL))
	if task["status"] != "failed" || !strings.Contains(fmt.Sprint(task["error"]), "invalid_api_key") {
		t.Errorf("task: %v", task)
	}
}

func TestSnapshotAndCompactReachEveryNode(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 30)
	succeeded(t, c.do("POST", "/snapshots", ""))
	task := c.do("POST", "/indexes/movies/compact", "")
	succeeded(t, task)
	if details := task["details"].(map[string]any); details["preCompactionSize"] == nil || details["postCompactionSize"] == nil {
		t.Errorf("details: %v", details)
	}
	for id := range c.nodes {
		for _, kind := range []string{"snapshotCreation", "indexCompaction"} {
			if list := c.on(id, "GET", "/tasks?types="+kind, ""); list["total"] != 1.0 {
				t.Errorf("node %s has %v tasks of %s", id, list["total"], kind)
			}
		}
	}
	if got := c.replicas("movies"); got[fsm.Active] != 16 {
		t.Errorf("replicas: %v", got)
	}
	task = c.do("POST", "/indexes/nope/compact", "")
	if task["status"] != "failed" || task["error"].(map[string]any)["code"] != "index_not_found" {
		t.Errorf("task: %v", task)
	}
}

// Webhooks hear of every task once, in order, with Miroir's uids; one that fails at first is tried again.
func TestWebhooksHearOfTasks(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	var mu sync.Mutex
	var heard []string
	calls := 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		zip, err := gzip.NewReader(r.Body)
		if err != nil || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Authorization") != "Bearer abcdefghijk" {
			t.Errorf("call %v: %v", r.Header, err)
			return
		}
		for lines := json.NewDecoder(zip); ; {
			var task map[string]any
			if lines.Decode(&task) != nil {
				return
			}
			heard = append(heard, fmt.Sprintf("%v %v %v", task["uid"], task["type"], task["status"]))
		}
	}))
	t.Cleanup(hook.Close)
	made := c.call("POST", "/webhooks", fmt.Sprintf(`{"url":%q,"headers":{"Authorization":"Bearer abcdefghijk"}}`, hook.URL))
	if made.Code != http.StatusCreated || strings.Contains(made.Body.String(), "abcdefghijk") {
		t.Fatalf("status %d: %s", made.Code, made.Body)
	}
	if list := c.get("/webhooks"); strings.Contains(fmt.Sprint(list), "abcdefghijk") {
		t.Errorf("the list shows the secret: %v", list)
	}
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.do("POST", "/indexes", `{"uid":"m"}`)
	c.until("three calls", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"0 indexCreation succeeded", "1 documentAdditionOrUpdate succeeded", "2 indexCreation failed"}; !reflect.DeepEqual(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func TestFieldsOfIndex(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	movies(c, "movies", 30)
	succeeded(t, c.do("PUT", "/indexes/movies/documents", `[{"id":1,"crew":[{"name":"Ann"}],"_geo":{"lat":1,"lng":2}}]`))
	var names []string
	for _, f := range c.answer("POST", "/indexes/movies/fields", `{}`)["results"].([]any) {
		names = append(names, f.(map[string]any)["name"].(string))
	}
	if want := []string{"_geo", "_geo.lat", "_geo.lng", "crew", "crew.name", "id", "title", "year"}; !reflect.DeepEqual(names, want) {
		t.Errorf("fields %q, want %q", names, want)
	}
	if page := c.answer("POST", "/indexes/movies/fields", `{"filter":{"filterable":true}}`); page["total"] != 1.0 {
		t.Errorf("filterable fields: %v", page)
	}
}

// answer is the JSON object that a request is answered with.
func (c *writeCluster) answer(method, path, body string) map[string]any {
	c.t.Helper()
	var object map[string]any
	if err := json.Unmarshal(c.call(method, path, body).Body.Bytes(), &object); err != nil {
		c.t.Fatal(err)
	}
	return object
}
