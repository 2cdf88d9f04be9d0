package proxy

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
)

// failureCauses are the ways in which nodes fail reads of an index, with its name on the nodes in what they say.
var failureCauses = map[string]func(*devnode.Node){
	"an error that names it": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 500, Body: `{"message":"Index ` + "`" + uid + "`" + ` is corrupt.","code":"internal","type":"internal","link":""}`}
	}),
	"an error about a file of it": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 500, Body: `{"message":"cannot open '` + uid + `': /indexes/` + uid + `/data.mdb is gone","code":"internal","type":"internal","link":""}`}
	}),
	"too busy for it": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 503, Body: `{"message":"Too many searches of '` + uid + `'.","code":"too_many_search_requests","type":"system","link":""}`}
	}),
	"a page of a proxy": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 502, Body: `<html>Bad gateway: /indexes/` + uid + `/search</html>`}
	}),
	"not its index": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 404, Body: `{"message":"Index ` + "`" + uid + "`" + ` not found.","code":"index_not_found","type":"invalid_request","link":""}`}
	}),
	"another key": failing(func(uid string) *devnode.Fault {
		return &devnode.Fault{Status: 403, Body: `{"message":"The provided API key is invalid for ` + "`" + uid + "`" + `.","code":"invalid_api_key","type":"auth","link":""}`}
	}),
	"garbage":           failing(func(uid string) *devnode.Fault { return &devnode.Fault{Garble: `{"indexUid":"` + uid + `","hits":`} }),
	"half an answer":    failing(func(string) *devnode.Fault { return &devnode.Fault{TruncateBytes: 5} }),
	"a lost connection": failing(func(string) *devnode.Fault { return &devnode.Fault{DropAfter: true} }),
	"no process":        (*devnode.Node).Stop,
	"no answer in time": func(n *devnode.Node) { n.Delay(func(*http.Request) time.Duration { return time.Minute }) },
}

func failing(how func(uid string) *devnode.Fault) func(*devnode.Node) {
	return func(n *devnode.Node) { n.Fail(func(*http.Request) *devnode.Fault { return how("docs__x") }) }
}

// Whatever nodes say when they fail, their name of an index is not in what clients get. Red when a message passes as it came.
func TestFailuresDoNotShowNamesOfNodes(t *testing.T) {
	for kind, l := range map[string]layout{
		"spread": {groups: 1, nodes: 2, copies: 1, shards: 4}, "whole": {groups: 1, nodes: 2, copies: 1, shards: 4, whole: true},
	} {
		for name, cause := range failureCauses {
			t.Run(kind+"/"+name, func(t *testing.T) {
				c, nodes := filledCluster(t, l)
				c.server.opts.SearchTimeout = 20 * time.Millisecond
				view := *c.view.Load()
				view.Config.Reads.NodeTimeoutMs = 20
				c.view.Store(&view)
				for _, n := range nodes {
					cause(n)
				}
				for _, r := range append(reads[:len(reads):len(reads)],
					struct{ method, path, body string }{"POST", "/indexes/docs/similar", `{"id":7,"embedder":"e"}`},
					struct{ method, path, body string }{"POST", "/indexes/docs/fields", `{}`},
					struct{ method, path, body string }{"GET", "/stats", ""}) {
					if got := ask(t, c, r.method, r.path, r.body); bytes.Contains(got.body, []byte("docs__x")) {
						t.Errorf("%s %s %s: %d %s", r.method, r.path, r.body, got.status, got.body)
					}
				}
			})
		}
	}
}

// Each name is replaced once where indexes have each other's, and only what stands as a name.
func TestFailuresOfSwappedIndexes(t *testing.T) {
	view := &fsm.View{Indexes: map[fsm.IndexID]*fsm.Index{1: {UID: "a", NodeUID: "b"}, 2: {UID: "b", NodeUID: "a"}, 3: {UID: "c", NodeUID: "c"}}}
	said := "node a (unknown): read the answer of POST /indexes/a/search: `b`, \"a\" and 'b', `c`"
	if got, want := failureText(view, errors.New(said)), "node a (unknown): read the answer of POST /indexes/b/search: `a`, \"b\" and 'a', `c`"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if known := clientError(&meili.Error{Status: 500, Message: failureText(view, errors.New("`a`"))}, view.Indexes[1], view.Indexes[2]); known.Message != "`b`" {
		t.Errorf("it was replaced again: %s", known.Message)
	}
}
