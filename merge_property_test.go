package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"miroir/devnode"
)

// Documents, settings and queries are generated from a seed and given to one embedded node and to Miroir over several: the
// answers must be the same, and so the order of documents that rank equally. What hits that are out of place rank by is told
// by _rankingScoreDetails.
//
// Left out is what sharding cannot reproduce, as testdata/conformance/README.md counts it up, and more about facets:
//   - matchingStrategy frequency is not generated;
//   - a short last word expands to the first prefixes of a server's own dictionary, at most 100: the vocabulary is smaller;
//   - a facet never has numbers and text that reads as a number: answers show both alike;
//   - facet values of equal count, where facets go by count, come in an order that depends on the tree a server keeps: where
//     documents were written twice they may swap, and at the cut any of them may be the last, also where federated searches take
//     duplicates out afterwards; and of several spellings of a value (Nine, nine) a server shows that of a document it met first;
//   - what is marked where it is not searched: a server marks the words that all its documents made it look for, and a node has
//     no documents that made it look for these. In hybrid and federated searches marks are not asked for again, so there any may
//     differ. How much of a longer word is marked for a last word with typos depends on the shorter words that a server knows;
//   - words that make another one when joined, where rules before typo rank by either: see merge_joined_test.go;
//   - where maxTotalHits is less than the documents of a shard they cannot all be listed: see unlisted.

// seedsByDefault is how many seeds a normal run tries; MIROIR_SEEDS asks for another number, MIROIR_FIRST_SEED for others than those from 0 on.
const seedsByDefault = 24

// queriesPerSeed is how many requests are compared over the documents and settings of one seed.
const queriesPerSeed = 30

// TestAnySplitMergesTheSame compares Miroir with one node over generated corpora. One seed again:
// MIROIR_FIRST_SEED=17 MIROIR_SEEDS=1 go test -run TestAnySplitMergesTheSame
func TestAnySplitMergesTheSame(t *testing.T) {
	first, seeds := seedsAsked(t, seedsByDefault)
	splits := []struct{ nodes, rf int }{{2, 1}, {3, 1}, {5, 1}, {2, 2}, {3, 2}, {5, 2}}
	for i, split := range splits {
		t.Run(fmt.Sprintf("nodes=%d,rf=%d", split.nodes, split.rf), func(t *testing.T) {
			t.Parallel()
			pair := openPair(t, split.nodes, split.rf)
			for seed := first; seed < first+seeds; seed++ {
				if seed%uint64(len(splits)) == uint64(i) {
					t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { pair.trySeed(t, seed) })
				}
			}
		})
	}
}

// seedsAsked are the first seed to try and how many.
func seedsAsked(t *testing.T, otherwise uint64) (first, seeds uint64) {
	t.Helper()
	return numberAsked(t, "MIROIR_FIRST_SEED", 0), numberAsked(t, "MIROIR_SEEDS", otherwise)
}

// numberAsked is a number from the environment.
func numberAsked(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(variable+":", err)
	}
	return number
}

// pair is one node alone and a pod over several.
type pair struct {
	alone, miroir testServer
	settings      object // of the seed at work, as what follows
	settled       bool
}

// testServer is something that speaks Meilisearch's API.
type testServer struct {
	transport http.RoundTripper
	url       string
}

func openPair(t *testing.T, numNodes, rf int, changes ...func(*podOptions)) *pair {
	node := devnode.New(devnode.Options{MasterKey: "masterKey"})
	t.Cleanup(node.Close)
	p := openTestPod(t, numNodes, func(o *podOptions) {
		o.Cluster.ReplicationFactor, o.Cluster.Shards = rf, 16
		for _, change := range changes {
			change(o)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &pair{
		alone:  testServer{devnode.Transport(map[string]*devnode.Node{"alone": node}), "http://alone"},
		miroir: testServer{transport, p.ClientURL()},
	}
}

// ask sends a request and returns status and body.
func (s testServer) ask(t *testing.T, method, path string, body any) (int, []byte) {
	t.Helper()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer masterKey")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := s.transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, answer
}

// enqueue sends a write and returns the uid of its task.
func (s testServer) enqueue(t *testing.T, method, path string, body any) int {
	t.Helper()
	status, answer := s.ask(t, method, path, body)
	var task struct{ TaskUID int }
	if err := json.Unmarshal(answer, &task); err != nil || status != http.StatusAccepted {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return task.TaskUID
}

// finish waits until a task has succeeded.
func (s testServer) finish(t *testing.T, uid int) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, answer := s.ask(t, "GET", "/tasks/"+strconv.Itoa(uid), nil)
		var task struct{ Status string }
		if err := json.Unmarshal(answer, &task); err != nil || task.Status == "failed" {
			t.Fatalf("task: %v %s", err, answer)
		}
		if task.Status == "succeeded" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("task does not end: %s", answer)
		case <-tick.C:
		}
	}
}

// load writes a corpus into an index.
func (s testServer) load(t *testing.T, uid string, c *corpus, settings map[string]any) {
	t.Helper()
	documents := "/indexes/" + uid + "/documents"
	writes := []int{
		s.enqueue(t, "PATCH", "/indexes/"+uid+"/settings", settings),
		s.enqueue(t, "POST", documents+"?primaryKey=id", c.documents),
	}
	if len(c.updates) > 0 {
		writes = append(writes, s.enqueue(t, "PUT", documents, c.updates), s.enqueue(t, "POST", documents, c.replacements))
	}
	writes = append(writes, s.enqueue(t, "POST", documents+"/delete-batch", c.deletions))
	for _, task := range writes {
		s.finish(t, task)
	}
}

// openSuffix ends the name of an index that hides nothing.
const openSuffix = "-open"

// trySeed compares answers over one generated corpus.
func (p *pair) trySeed(t *testing.T, seed uint64) {
	g := &generator{rand.New(rand.NewPCG(seed, 1))}
	c := g.corpus()
	uid := "s" + strconv.FormatUint(seed, 10)
	p.settings, p.settled = c.settings, c.settled
	open := mapsClone(c.settings) // the same with nothing hidden: what documents are ranked by shows
	delete(open, "displayedAttributes")
	for _, index := range []struct {
		name string
		*corpus
	}{{uid, c}, {uid + "-second", c.second}} {
		p.alone.load(t, index.name, index.corpus, c.settings)
		p.alone.load(t, index.name+openSuffix, index.corpus, open)
		p.miroir.load(t, index.name, index.corpus, c.settings)
		defer func() {
			p.alone.enqueue(t, "DELETE", "/indexes/"+index.name+openSuffix, nil)
			p.alone.enqueue(t, "DELETE", "/indexes/"+index.name, nil)
			p.miroir.enqueue(t, "DELETE", "/indexes/"+index.name, nil)
		}()
	}
	_, want := p.alone.ask(t, "GET", "/indexes/"+uid+"/stats", nil)
	_, got := p.miroir.ask(t, "GET", "/indexes/"+uid+"/stats", nil)
	compareMembers(t, want, got, []string{"numberOfDocuments", "fieldDistribution"})
	for range queriesPerSeed {
		switch q := g.query(c); g.IntN(7) {
		case 0:
			queries := []object{q, g.query(c), g.query(c)}
			t.Run("multi", func(t *testing.T) { p.compareMulti(t, uid, queries) })
		case 1, 2:
			request := g.federated(c, uid)
			name := c.kind(request["queries"].([]object), request["federation"].(object))
			t.Run(name, func(t *testing.T) { p.compareFederated(t, request) })
		default:
			t.Run(c.kind([]object{q}, nil), func(t *testing.T) { p.compareSearch(t, uid, q) })
		}
	}
	if t.Failed() {
		settings, _ := json.Marshal(c.settings)
		t.Logf("seed %d, %d documents, settings %s", seed, len(c.documents), settings)
	}
}

// compareSearch asks both for one search.
func (p *pair) compareSearch(t *testing.T, uid string, q object) {
	t.Helper()
	path := "/indexes/" + uid + "/search"
	wantStatus, want := p.alone.ask(t, "POST", path, q)
	gotStatus, got := p.miroir.ask(t, "POST", path, q)
	if wantStatus != gotStatus {
		fail(t, q, "status: want %d, got %d\n%s\n%s", wantStatus, gotStatus, want, got)
		return
	}
	p.compareAnswer(t, uid, q, want, got)
}

// compareMulti asks both for several searches at once.
func (p *pair) compareMulti(t *testing.T, uid string, queries []object) {
	t.Helper()
	for _, q := range queries {
		q["indexUid"] = uid
	}
	request := object{"queries": queries}
	wantStatus, want := p.alone.ask(t, "POST", "/multi-search", request)
	gotStatus, got := p.miroir.ask(t, "POST", "/multi-search", request)
	var wanted, given struct{ Results []json.RawMessage }
	decode(t, want, &wanted)
	decode(t, got, &given)
	if wantStatus != gotStatus || len(wanted.Results) != len(given.Results) {
		fail(t, request, "want %d %s\ngot %d %s", wantStatus, want, gotStatus, got)
		return
	}
	for i := range wanted.Results {
		delete(queries[i], "indexUid")
		p.compareAnswer(t, uid, queries[i], wanted.Results[i], given.Results[i])
	}
}

// compareAnswer compares two answers to one search.
func (p *pair) compareAnswer(t *testing.T, uid string, q object, want, got []byte) {
	t.Helper()
	// 1. What counts: everything but hits, times and, where it is an estimate of chance, the total.
	ignored := []string{"hits"}
	if p.cutAmidMixed(q) {
		ignored = append(ignored, "facetDistribution", "facetStats")
	}
	if p.unlisted(q, q) {
		ignored = append(ignored, "estimatedTotalHits", "totalHits", "totalPages", "facetDistribution", "facetStats")
	}
	p.compareRest(t, q, want, got, ignored)
	// 2. The whole order: ranks from the index that hides nothing, contents from the one that was asked.
	wide := mapsClone(q)
	delete(wide, "facets")
	if q["hitsPerPage"] != nil || q["page"] != nil {
		wide["page"], wide["hitsPerPage"] = 1, 1000
	} else {
		wide["offset"], wide["limit"] = 0, 1000
	}
	if to := windowOf(q)[1]; q["hybrid"] != nil { // what it finds by words and by vector ends with the window
		wide = mapsClone(wide)
		if wide["page"] != nil {
			wide["hitsPerPage"] = to
		} else {
			wide["limit"] = to
		}
	}
	_, contents := p.alone.ask(t, "POST", "/indexes/"+uid+"/search", wide)
	wide["showRankingScoreDetails"], wide["attributesToRetrieve"] = true, []string{"id"}
	_, ranks := p.alone.ask(t, "POST", "/indexes/"+uid+openSuffix+"/search", wide)
	compareHits(t, p.settings, q, windowOf(q), ranks, contents, want, got)
}

// cutAmidMixed tells where facets through Miroir are known to differ from one node's, so that the rest can be compared: where a
// list by count is cut amid numbers and text of one field, which one server then lists all the same.
func (p *pair) cutAmidMixed(q object) bool {
	faceting, _ := p.settings["faceting"].(object)
	most, cut := faceting["maxValuesPerFacet"].(int)
	return cut && most < 10 && asksMixed(q)
}

// unlisted tells where counts depend on all documents, and these cannot be listed because so few hits can be reached.
func (p *pair) unlisted(page object, queries ...object) bool {
	pagination, _ := p.settings["pagination"].(object)
	return pagination["maxTotalHits"] == 5 && slices.ContainsFunc(append(queries, page, p.settings), func(q object) bool {
		return q["distinct"] != nil || q["distinctAttribute"] != nil || q["hybrid"] != nil || q["rankingScoreThreshold"] != nil
	})
}

func asksMixed(q object) bool {
	facets, _ := q["facets"].([]string)
	return slices.Contains(facets, "mixed") || slices.Contains(facets, "*")
}

// compareFederated asks both for a federated search.
func (p *pair) compareFederated(t *testing.T, request object) {
	t.Helper()
	queries, federation := request["queries"].([]object), request["federation"].(object)
	open := make([]object, len(queries))
	for i, q := range queries {
		open[i] = mapsClone(q)
		open[i]["indexUid"], open[i]["showRankingScoreDetails"], open[i]["attributesToRetrieve"] = q["indexUid"].(string)+openSuffix, true, []string{"id"}
	}
	wantStatus, want := p.alone.ask(t, "POST", "/multi-search", request)
	gotStatus, got := p.miroir.ask(t, "POST", "/multi-search", request)
	if wantStatus != gotStatus {
		fail(t, request, "status: want %d, got %d\n%s\n%s", wantStatus, gotStatus, want, got)
		return
	}
	ignored := []string{"hits"}
	if p.unlisted(federation, queries...) {
		ignored = append(ignored, "estimatedTotalHits", "totalHits", "totalPages", "facetsByIndex", "facetDistribution", "facetStats")
	}
	p.compareRest(t, request, want, got, ignored)
	all := object{"offset": 0, "limit": 1000}
	if federation["distinct"] != nil {
		all["distinct"] = federation["distinct"]
	}
	if slices.ContainsFunc(queries, func(q object) bool { return q["hybrid"] != nil }) {
		all["limit"] = windowOf(federation)[1]
	}
	_, contents := p.alone.ask(t, "POST", "/multi-search", object{"queries": queries, "federation": all})
	_, ranks := p.alone.ask(t, "POST", "/multi-search", object{"queries": open, "federation": all})
	compareHits(t, p.settings, request, windowOf(federation), ranks, contents, want, got)
}
