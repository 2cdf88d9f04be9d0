package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// TestRewrittenDocumentsKeepTheirPlace: documents that are replaced or completed stand where one server leaves them, in lists and among
// hits of equal rank, also where writes follow each other faster than nodes do them.
func TestRewrittenDocumentsKeepTheirPlace(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		const documents = "/indexes/m/documents"
		for _, write := range []struct{ method, path, body string }{
			{"POST", documents + "?primaryKey=id", numbered(0, 40)},
			{"POST", documents, numbered(39, 10)},                                                     // replaced, more than lists look ahead
			{"PUT", documents, `[{"id":5,"v":1}]`},                                                    // completed
			{"POST", documents, `[{"id":60},{"id":3,"v":2},{"id":61},{"id":60,"v":2},{"id":39}]`},     // partly new, one twice
			{"PUT", documents, `[{"id":62},{"id":7,"v":3},{"id":7,"v":4},{"id":"a b"},{"id":"A-B"}]`}, // fails as a whole
			{"PUT", documents, `[{"id":"a-b"},{"id":38,"v":3},{"id":38,"v":4},{"id":"A-B"}]`},
			{"POST", documents, `[{"id":"A-B","v":5},{"id":63},{"id":61,"v":5}]`},
		} {
			s.write(write.method, write.path, write.body)
			s.sameOrder(write.body)
		}
		for _, body := range []string{`[{"id":70},{"id":0,"v":6}]`, `[{"id":71},{"id":72}]`, `[{"id":70,"v":7},{"id":1,"v":7}]`, numbered(72, 60), `[{"id":80}]`} {
			s.writeAtOnce("PUT", documents, body)
		}
		s.finish(s.writeAtOnce("POST", documents, `[{"id":0,"v":8},{"id":81}]`))
		s.sameOrder("writes at once")
		for _, body := range []string{numbered(0, 12), `[{"id":20}]`, numbered(11, 0), `[{"id":21},{"id":20}]`} { // no node has the index when the first ones come
			s.writeAtOnce("POST", "/indexes/made/documents?primaryKey=id", body)
		}
		s.finish(s.writeAtOnce("POST", "/indexes/made/documents", `[{"id":5}]`))
		s.sameOrderIn("made", "writes at once to a new index")
	})
}

// numbered are documents of the ids from one to another, that excluded if it is greater.
func numbered(from, to int) string {
	var list []string
	step := 1
	if to < from {
		step = -1
	}
	for id := from; id != to; id += step {
		list = append(list, fmt.Sprintf(`{"id":%d}`, id))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// writeAtOnce sends both a write and does not wait for it.
func (s spreadBeside) writeAtOnce(method, path, body string) (summary []byte) {
	s.t.Helper()
	askServer(s.t, s.rt, method, s.alone+path, body)
	answer := s.call(method, path, body)
	s.accepted(answer)
	return answer.Body.Bytes()
}

// finish waits for a task on both.
func (s spreadBeside) finish(summary []byte) {
	s.t.Helper()
	finishedTasks(s.t, s.writeCluster, s.rt, s.alone, summary)
}

func (s spreadBeside) sameOrder(after string) {
	s.t.Helper()
	s.sameOrderIn("m", after)
}

func (s spreadBeside) sameOrderIn(uid, after string) {
	s.t.Helper()
	for path, member := range map[string]string{"/documents/fetch": "results", "/search": "hits"} {
		want, got := s.both("/indexes/"+uid+path, `{"limit":200}`, member)
		if want, got := documentIDs(want), documentIDs(got); !slices.Equal(want, got) {
			s.t.Errorf("after %s: %s\ngot  %v\nwant %v", after, path, got, want)
		}
	}
}

func documentIDs(list []byte) []string {
	var ids []string
	for _, document := range itemsOf(list) {
		ids = append(ids, documentID(document, "id"))
	}
	return ids
}

// A document that is inserted again after it was deleted is a new one, also where nodes have yet to delete it. Topology: two nodes, every
// shard once.
func TestDeletedDocumentsLoseTheirPlace(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	const documents = "/indexes/m/documents"
	c.do("POST", documents+"?primaryKey=id", numbered(0, 30))
	for _, deletion := range []struct{ method, path, body string }{
		{"DELETE", documents + "/3", ""}, {"POST", documents + "/delete-batch", `[3]`}, {"DELETE", documents, ""},
	} {
		before := c.insertionOf("3")
		deleted := c.accepted(c.call(deletion.method, deletion.path, deletion.body))
		c.do("POST", documents, `[{"id":3}]`)
		if after := c.insertionOf("3"); after <= before {
			t.Errorf("%s %s: the document that is inserted again is numbered %q, before that %q", deletion.method, deletion.path, after, before)
		}
		if task := c.await(deleted); task["status"] != "succeeded" {
			t.Errorf("%v", task)
		}
	}
}

// insertionOf is the number of the insertion of a document of index m, which all its copies have.
func (c *writeCluster) insertionOf(id string) string {
	c.t.Helper()
	numbers := map[string]bool{}
	for node := range c.nodes {
		page := c.on(node, "POST", "/indexes/m/documents/fetch", `{"ids":["`+id+`"]}`)
		for _, document := range page["results"].([]any) {
			numbers[document.(map[string]any)[orderField].(string)] = true
		}
	}
	if len(numbers) != 1 {
		c.t.Fatalf("document %s is numbered %v", id, numbers)
	}
	for number := range numbers {
		insertion, _ := readNumber([]byte(`"` + number + `"`))
		return insertion
	}
	return ""
}

// All copies of a document get one number, and a write is accepted though no node tells where its documents are: those that do not
// answer are waited for a moment. Topology: two groups of two nodes, every shard twice in each.
func TestWritesDoNotDependOnEarlierPlaces(t *testing.T) {
	nodes := map[string]*devnode.Node{}
	addresses := []string{}
	for _, id := range []string{"n0-0", "n0-1", "n1-0", "n1-1"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
		addresses = append(addresses, "http://"+id)
	}
	var fetch atomic.Pointer[roundTrip]
	under := devnode.Transport(nodes)
	c := newWriteClusterOver(t, clusterShape{groups: 2, perGroup: 2, rf: 2, shards: 16, spread: fsm.SpreadAll}, roundTrip(func(r *http.Request) (*http.Response, error) {
		if answer := fetch.Load(); answer != nil && strings.HasSuffix(r.URL.Path, "/documents/fetch") {
			return (*answer)(r)
		}
		return under.RoundTrip(r)
	}), addresses)
	c.nodes = nodes
	const documents = "/indexes/m/documents"
	succeeded(t, c.do("POST", documents+"?primaryKey=id", numbered(0, 30)))
	first := c.insertionOf("3")
	succeeded(t, c.do("PUT", documents, `[{"id":3,"v":1},{"id":40},{"id":3,"v":2}]`))
	if again := c.insertionOf("3"); again != first {
		t.Errorf("written again: numbered %q, before that %q", again, first)
	}
	for name, answer := range map[string]roundTrip{
		"nodes fail": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody}, nil
		},
		"nodes do not answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"nodes tell no number": func(*http.Request) (*http.Response, error) {
			return jsonAnswer(`{"results":[{"id":3}],"total":1}`), nil
		},
	} {
		fetch.Store(&answer)
		succeeded(t, c.do("PUT", documents, fmt.Sprintf(`[{"id":3,"v":%q}]`, name)))
		fetch.Store(nil)
		c.insertionOf("3")
		for id := range nodes {
			if document := c.documentsOn(id, "m")["3"]; document != nil && document["v"] != name {
				t.Errorf("%s: node %s has %v", name, id, document)
			}
		}
	}
}
