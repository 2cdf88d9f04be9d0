package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"miroir/devnode"
)

// Documents, settings and queries are generated from a seed and given to one embedded node and to Miroir over several: the
// answers must be the same. Documents of equal rank may swap, so hits are compared by groups of equal _rankingScoreDetails.
//
// Left out is what sharding cannot reproduce, as testdata/conformance/README.md counts it up, and more about facets:
//   - matchingStrategy frequency is not generated;
//   - a short last word expands to the first prefixes of a server's own dictionary, at most 100: the vocabulary is smaller;
//   - a facet never has numbers and text that reads as a number: answers show both alike;
//   - facet values of equal count, where facets go by count, come in an order that depends on the tree a server keeps: they
//     may swap, and at the cut any of them may be the last, also where federated searches take duplicates out afterwards; and of
//     several spellings of a value (Nine, nine) a server shows that of a document it met first;
//   - what is marked where it is not searched: a server marks the words that all its documents made it look for, and a node has
//     no documents that made it look for these. In hybrid and federated searches marks are not asked for again, so there any may
//     differ. How much of a longer word is marked for a last word with typos depends on the shorter words that a server knows;
//   - which place in the order of insertion a document has that was written twice, only its node knows, and only among its
//     own. So ranking then ends with a unique number where a distinct field is in play, no query finds by words and by vector
//     where there is none, and facets of distinct pages, which count the document inserted first, are not compared, nor their
//     totals where documents have several values, so that it matters for how many others one is taken;
//   - where maxTotalHits is less than the documents of a shard they cannot all be listed: see unlisted.

// seedsByDefault is how many seeds a normal run tries; MIROIR_SEEDS asks for another number.
const seedsByDefault = 24

// queriesPerSeed is how many requests are compared over the documents and settings of one seed.
const queriesPerSeed = 30

// TestAnySplitMergesTheSame compares Miroir with one node over generated corpora. One seed again:
// go test -run 'TestAnySplitMergesTheSame/.*/seed=17$' (with MIROIR_SEEDS above 17).
func TestAnySplitMergesTheSame(t *testing.T) {
	seeds := seedsAsked(t, seedsByDefault)
	splits := []struct{ nodes, rf int }{{2, 1}, {3, 1}, {5, 1}, {2, 2}, {3, 2}, {5, 2}}
	for i, split := range splits {
		t.Run(fmt.Sprintf("nodes=%d,rf=%d", split.nodes, split.rf), func(t *testing.T) {
			t.Parallel()
			pair := openPair(t, split.nodes, split.rf)
			for seed := uint64(i); seed < seeds; seed += uint64(len(splits)) {
				t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { pair.trySeed(t, seed) })
			}
		})
	}
}

// seedsAsked is how many seeds to try.
func seedsAsked(t *testing.T, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv("MIROIR_SEEDS")
	if text == "" {
		return otherwise
	}
	seeds, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal("MIROIR_SEEDS:", err)
	}
	return seeds
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
		writes = append(writes, s.enqueue(t, "PUT", documents, c.updates))
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
	p.settings, p.settled = c.settings, c.settled
	uid := "s" + strconv.FormatUint(seed, 10)
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
	if p.countsDiffer(q) {
		ignored = append(ignored, "facetDistribution", "facetStats")
	}
	if p.pagesDiffer(q, q) {
		ignored = append(ignored, "totalHits", "totalPages")
	}
	if p.unlisted(q, q) {
		ignored = append(ignored, "estimatedTotalHits", "totalHits", "totalPages", "facetDistribution", "facetStats")
	}
	compareRest(t, q, want, got, ignored)
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

// countsDiffer tells where facets through Miroir are known to differ from one node's, so that the rest can be compared:
// where a list by count is cut amid numbers and text of one field, which one server then lists all the same; and on pages of
// distinct hits where documents were written twice.
func (p *pair) countsDiffer(q object) bool {
	faceting, _ := p.settings["faceting"].(object)
	most, cut := faceting["maxValuesPerFacet"].(int)
	distinct := q["distinct"] != nil || p.settings["distinctAttribute"] != nil
	return cut && most < 10 && asksMixed(q) || distinct && !p.settled && q["hitsPerPage"] != nil
}

// pagesDiffer tells where the totals of pages depend on which document was inserted first, and some were written twice.
func (p *pair) pagesDiffer(page object, queries ...object) bool {
	return !p.settled && page["hitsPerPage"] != nil && slices.ContainsFunc(append(queries, page), func(q object) bool {
		field := q["distinct"]
		if field == nil {
			field = p.settings["distinctAttribute"]
		}
		return field == "tags" || field == "mixed"
	})
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
	distinct := p.settings["distinctAttribute"] != nil || federation["distinct"] != nil || slices.ContainsFunc(queries, func(q object) bool { return q["distinct"] != nil })
	if distinct && !p.settled && federation["hitsPerPage"] != nil {
		ignored = append(ignored, "facetsByIndex", "facetDistribution", "facetStats")
	}
	if p.pagesDiffer(federation, queries...) {
		ignored = append(ignored, "totalHits", "totalPages")
	}
	if p.unlisted(federation, queries...) {
		ignored = append(ignored, "estimatedTotalHits", "totalHits", "totalPages", "facetsByIndex", "facetDistribution", "facetStats")
	}
	compareRest(t, request, want, got, ignored)
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

// compareHits compares the hits of a window with the order of all hits.
func compareHits(t *testing.T, settings, q object, window [2]int, ranks, contents, want, got []byte) {
	t.Helper()
	ranked, byID := hitsOf(t, ranks), map[string]string{} // ranked ends with the hits that can be reached
	wanted, given := hitsOf(t, want), hitsOf(t, got)
	for _, h := range append(hitsOf(t, contents), wanted...) {
		byID[h.id] = h.text
	}
	group := make([]int, len(ranked)) // position → position of the first hit of equal rank
	groupOf := map[string]int{}
	for i, h := range ranked {
		if group[i] = i; i > 0 && h.rank == ranked[i-1].rank {
			group[i] = group[i-1]
		}
		groupOf[h.id] = group[i]
	}
	if len(wanted) != len(given) {
		fail(t, q, "want %d hits, got %d\nwant %s\ngot  %s", len(wanted), len(given), idsOf(wanted), idsOf(given))
		return
	}
	seen := map[string]bool{}
	for i, h := range given {
		at, known := groupOf[h.id]
		switch position := window[0] + i; {
		case seen[h.id]:
			fail(t, q, "document %s twice", h.id)
		case wanted[i].id == h.id: // where lists of several queries are cut, a longer list need not begin like a shorter one
		case !known && position < len(group) && group[position] == group[len(group)-1]: // of a rank that goes on behind them
		case !known || position >= len(group) || group[position] != at:
			fail(t, q, "document %s out of place at %d\nwant %s\ngot  %s", h.id, position, idsOf(wanted), idsOf(given))
			return
		}
		if text, known := byID[h.id]; known && text != h.text && sureMarks(t, settings, q, text) != sureMarks(t, settings, q, h.text) {
			fail(t, q, "document %s\nwant %s\ngot  %s", h.id, text, h.text)
			return
		}
		seen[h.id] = true
	}
}

// partlyMarked are words of which the beginning is marked.
var partlyMarked = regexp.MustCompile(`<em>(\w+)</em>(\w+)`)

// markedLength is how much of a word is marked.
var markedLength = regexp.MustCompile(`"length":(\d+)`)

// sureBeginnings are marks with what may be marked of words that a last word with typos is taken to begin put alike.
func sureBeginnings(q object, marks []byte) []byte {
	words := strings.Fields(fmt.Sprint(q["q"]))
	if len(words) == 0 {
		return marks
	}
	last := words[len(words)-1]
	marks = partlyMarked.ReplaceAllFunc(marks, func(word []byte) []byte {
		if parts := partlyMarked.FindSubmatch(word); string(parts[1]) != last {
			return slices.Concat([]byte("<em>"), parts[1], parts[2], []byte("</em>"))
		}
		return word
	})
	return markedLength.ReplaceAllFunc(marks, func(length []byte) []byte {
		if n, _ := strconv.Atoi(string(markedLength.FindSubmatch(length)[1])); n < len(last) && n >= len(last)-2 {
			return fmt.Appendf(nil, `"length":%d`, len(last))
		}
		return length
	})
}

// sureMarks is a hit without those marks that may differ, see above.
func sureMarks(t *testing.T, settings, q object, hit string) string {
	t.Helper()
	searched, some := settings["searchableAttributes"].([]string)
	asked := q["hybrid"] == nil && q["queries"] == nil
	var members map[string]json.RawMessage
	decode(t, []byte(hit), &members)
	for _, name := range []string{"_formatted", "_matchesPosition"} {
		if members[name] == nil {
			continue
		}
		var fields map[string]json.RawMessage // in the order in which a server first met them
		decode(t, members[name], &fields)
		maps.DeleteFunc(fields, func(field string, _ json.RawMessage) bool {
			return !asked || some && !slices.ContainsFunc(searched, func(s string) bool { return s == field || strings.HasPrefix(s, field+".") })
		})
		for field, marks := range fields {
			fields[field] = sureBeginnings(q, marks)
		}
		members[name], _ = json.Marshal(fields)
	}
	names := slices.Sorted(maps.Keys(members))
	rest := make([]string, len(names))
	for i, name := range names {
		rest[i] = name + string(members[name])
	}
	return strings.Join(rest, ",")
}

// rankedHit is one hit: text is all of it, rank what it is ordered by.
type rankedHit struct{ id, text, rank string }

func hitsOf(t *testing.T, answer []byte) []rankedHit {
	t.Helper()
	var decoded struct{ Hits []json.RawMessage }
	decode(t, answer, &decoded)
	hits := make([]rankedHit, len(decoded.Hits))
	for i, raw := range decoded.Hits {
		var h struct {
			ID         json.RawMessage
			Details    json.RawMessage `json:"_rankingScoreDetails"`
			Federation struct {
				IndexUID             string
				QueriesPosition      int
				WeightedRankingScore float64
			} `json:"_federation"`
		}
		decode(t, raw, &h)
		h.Federation.IndexUID = strings.TrimSuffix(h.Federation.IndexUID, openSuffix)
		hits[i] = rankedHit{h.Federation.IndexUID + string(h.ID), string(raw), strings.ToLower(fmt.Sprint(h.Federation, string(h.Details)))}
	}
	return hits
}

func idsOf(hits []rankedHit) string {
	ids := make([]string, len(hits))
	for i, h := range hits {
		ids[i] = h.id
	}
	return strings.Join(ids, " ")
}

// compareRest compares all members of two answers but some. Their text must agree: the order of facet values counts.
func compareRest(t *testing.T, q object, want, got []byte, ignored []string) {
	t.Helper()
	ignored = append(ignored, "processingTimeMs", "requestUid", "indexUid")
	var wanted, given map[string]json.RawMessage
	decode(t, want, &wanted)
	decode(t, got, &given)
	for name := range given {
		if _, ok := wanted[name]; !ok {
			fail(t, q, "unexpected %s: %s", name, given[name])
		}
	}
	for name, value := range wanted {
		if !slices.Contains(ignored, name) && string(value) != string(given[name]) &&
			(name != "facetDistribution" || !sameFacets(t, value, given[name])) && (name != "facetsByIndex" || !sameByIndex(t, value, given[name])) {
			fail(t, q, "%s\nwant %s\ngot  %s", name, value, given[name])
		}
	}
}

// sameByIndex compares the facets of a federated search.
func sameByIndex(t *testing.T, want, got []byte) bool {
	t.Helper()
	type byIndex = map[string]struct{ Distribution, Stats json.RawMessage }
	var wanted, given byIndex
	decode(t, want, &wanted)
	decode(t, got, &given)
	for uid, w := range wanted {
		if g := given[uid]; string(g.Stats) != string(w.Stats) || !sameFacets(t, w.Distribution, g.Distribution) {
			return false
		}
	}
	return len(wanted) == len(given)
}

// sameFacets compares distributions: fields and values in the same order, but values of one count in any. A list that goes
// by count and is cut may end with other values of its last count. One that seems to go by nothing went by count before
// duplicates were taken out: its values may come in any order.
func sameFacets(t *testing.T, want, got []byte) bool {
	t.Helper()
	wanted, given := facetLists(t, want), facetLists(t, got)
	for field, list := range wanted {
		other := given[field]
		if len(other) != len(list) {
			return false
		}
		byCount := slices.IsSortedFunc(list, func(a, b facetCount) int { return b.count - a.count })
		byValue := slices.IsSortedFunc(list, func(a, b facetCount) int { return strings.Compare(a.value, b.value) })
		for i, value := range list {
			tied := func(v facetCount) bool { return v == value }
			switch {
			case value == other[i]:
			case !byCount && !byValue && slices.ContainsFunc(other, tied):
			case !byCount || value.count != other[i].count:
				return false
			case value.count != list[len(list)-1].count && !slices.ContainsFunc(other, tied):
				return false
			}
		}
	}
	return len(wanted) == len(given)
}

// facetCount is a facet value and how many documents have it.
type facetCount struct {
	value string
	count int
}

// facetLists reads a facet distribution, keeping the order of values.
func facetLists(t *testing.T, distribution []byte) map[string][]facetCount {
	t.Helper()
	var fields map[string]json.RawMessage
	decode(t, distribution, &fields)
	lists := map[string][]facetCount{}
	for field, raw := range fields {
		var counts map[string]int
		decode(t, raw, &counts)
		lists[field] = []facetCount{}
		tokens := json.NewDecoder(bytes.NewReader(raw))
		for token, err := tokens.Token(); err == nil; token, err = tokens.Token() {
			if value, ok := token.(string); ok {
				lists[field] = append(lists[field], facetCount{strings.ToLower(value), counts[value]})
			}
		}
	}
	return lists
}

func compareMembers(t *testing.T, want, got []byte, names []string) {
	t.Helper()
	var wanted, given map[string]any
	decode(t, want, &wanted)
	decode(t, got, &given)
	for _, name := range names {
		if w, g := fmt.Sprint(wanted[name]), fmt.Sprint(given[name]); w != g {
			t.Errorf("%s: want %s, got %s", name, w, g)
		}
	}
}

func fail(t *testing.T, q object, format string, args ...any) {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Errorf("%s\n%s", text, fmt.Sprintf(format, args...))
}

func decode(t *testing.T, text []byte, target any) {
	t.Helper()
	if err := json.Unmarshal(text, target); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
