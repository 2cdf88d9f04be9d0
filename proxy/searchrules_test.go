package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

const aPin = `{"selector":{"id":"1"},"action":{"type":"pin","position":1}}`

// ruleRequests is a conversation about dynamic search rules.
var ruleRequests = []exchangeStep{
	{"GET", "/dynamic-search-rules/a", "", 400}, // the feature is off
	{"POST", "/dynamic-search-rules", `{}`, 400},
	{"POST", "/dynamic-search-rules", `{"z":1}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"z":1}`, 400},
	{"PATCH", "/dynamic-search-rules/a?z=1", `{"z":1}`, 400},
	{"DELETE", "/dynamic-search-rules/a", "", 400},
	{"DELETE", "/dynamic-search-rules", "", 400},
	{"GET", "/dynamic-search-rules/a%20b", "", 404},
	{"PATCH", "/experimental-features", `{"dynamicSearchRules":true}`, 200},
	{"POST", "/dynamic-search-rules", `{}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"query":"x"}}`, 200},
	{"GET", "/dynamic-search-rules/a", "", 404},
	{"DELETE", "/dynamic-search-rules/a", "", 202},
	{"DELETE", "/dynamic-search-rules/a?customMetadata=m", "", 202},
	{"DELETE", "/dynamic-search-rules?z=1", "", 400},
	{"PATCH", "/dynamic-search-rules/a%20b", `{}`, 404},
	{"DELETE", "/dynamic-search-rules/%C3%A9", "", 404},
	{"PATCH", "/dynamic-search-rules/a", `[]`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"description":3}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"precedence":-1}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"precedence":1.5}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"active":"x"}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":3}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"x":1}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"time":3}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"time":{"start":3}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"time":{"start":"nope"}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"time":{"start":"2032-01-01T00:00:00Z","end":"2020-01-01T10:00:00.5+02:00"}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"query":{"isEmpty":3}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"query":{"words":3}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"query":{"isEmpty":true,"words":"a"}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"query":{"z":1}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"filter":{"values":3}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"conditions":{"filter":{"z":3}}}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":3}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[3]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":1}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1","indexUid":"a b"}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1","x":1}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":"boost"}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":3}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":"pin"}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":"pin","position":-1}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":"pin","position":4294967296}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":{"type":"pin","position":1,"x":1}}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[{"selector":{"id":"1"},"action":3}]}`, 400},
	{"PATCH", "/dynamic-search-rules/a", `{"actions":[` + aPin[:len(aPin)-1] + `,"z":1}]}`, 400},
	{"POST", "/dynamic-search-rules", `{}`, 200}, // none of these made a rule
	{"PATCH", "/dynamic-search-rules/a?customMetadata=m", `{"actions":[` + aPin + `]}`, 202},
	{"GET", "/dynamic-search-rules/a", "", 200},
	{"PATCH", "/dynamic-search-rules/b", `{"actions":[{"action":{"position":4294967295,"type":"pin"},"selector":{"indexUid":"m","id":""}}],"conditions":
		{"filter":{"values":{"b":1,"a":{"z":1e3,"b":[1.0,null,"é"]}}},"query":{"words":"Big House"},"time":{"other":1,"start":"2020-01-01T00:00:00.1200Z","end":"2030-01-01T00:00:00+02:00"}},
		"active":false,"precedence":18446744073709551615,"description":"the second"}`, 202},
	{"GET", "/dynamic-search-rules/b", "", 200},
	{"PATCH", "/dynamic-search-rules/c", `{"conditions":{"query":{"isEmpty":null,"words":"house"},"time":{"start":null},"filter":null},"actions":[{"selector":{"id":"x","indexUid":null},"action":{"type":"pin","position":0}}]}`, 202},
	{"POST", "/dynamic-search-rules", `{}`, 200},
	{"POST", "/dynamic-search-rules", `{"offset":1,"limit":1,"filter":null}`, 200},
	{"POST", "/dynamic-search-rules", `{"offset":9,"filter":{"query":null,"active":null}}`, 200},
	{"POST", "/dynamic-search-rules", `{"limit":0}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"active":true}}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"active":false,"query":" "}}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"query":"house"}}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"query":"house","active":true}}`, 200},
	{"POST", "/dynamic-search-rules", `{"filter":{"query":"second"},"limit":1}`, 200},
	{"POST", "/dynamic-search-rules", `{"offset":-1}`, 400},
	{"POST", "/dynamic-search-rules", `{"limit":null}`, 400},
	{"POST", "/dynamic-search-rules", `{"filter":3}`, 400},
	{"POST", "/dynamic-search-rules", `{"filter":{"x":1}}`, 400},
	{"POST", "/dynamic-search-rules", `{"filter":{"query":3}}`, 400},
	{"POST", "/dynamic-search-rules", `{"filter":{"active":3}}`, 400},
	{"PATCH", "/dynamic-search-rules/b", `{"description":"new","conditions":{"query":{}}}`, 202},
	{"GET", "/dynamic-search-rules/b", "", 200},
	{"PATCH", "/dynamic-search-rules/b", `{"description":null,"precedence":null,"active":null,"conditions":null,"actions":null}`, 202},
	{"GET", "/dynamic-search-rules/b", "", 200},
	{"PATCH", "/dynamic-search-rules/a", `{}`, 202},
	{"POST", "/dynamic-search-rules", `{}`, 200},
	{"DELETE", "/dynamic-search-rules/a", "", 202},
	{"GET", "/dynamic-search-rules/a", "", 404},
	{"PATCH", "/experimental-features", `{"dynamicSearchRules":false}`, 200},
	{"GET", "/dynamic-search-rules/b", "", 400},
	{"PATCH", "/experimental-features", `{"dynamicSearchRules":true}`, 200},
	{"GET", "/dynamic-search-rules/b", "", 200},
	{"DELETE", "/dynamic-search-rules?customMetadata=x", "", 202},
	{"POST", "/dynamic-search-rules", `{}`, 200},
	{"DELETE", "/dynamic-search-rules", "", 202},
	{"PATCH", "/dynamic-search-rules/z", `{"description":"kept"}`, 202},
	{"GET", "/tasks?types=dsrUpdate,dsrClear", "", 200},
	{"GET", "/tasks?indexUids=.meili_dsr", "", 400},
	{"GET", "/indexes", "", 200},
}

func TestSearchRulesAreThoseOfOneServer(t *testing.T) {
	againstOneServer(t, func(t *testing.T, rt http.RoundTripper, addresses []string) {
		c := sameAnswers(t, rt, addresses, ruleRequests)
		before := c.call("POST", "/dynamic-search-rules", `{}`).Body.String()
		c.stop()
		c.start()
		if after := c.call("POST", "/dynamic-search-rules", `{}`).Body.String(); after != before {
			t.Errorf("after a restart %s, before %s", after, before)
		}
	})
}

// ruled is a cluster over three nodes with an index m whose documents are pinned by what do tells.
func ruled(t *testing.T) *writeCluster {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	c.call("PATCH", "/experimental-features", `{"dynamicSearchRules":true}`)
	for _, uid := range []string{"m", "other"} {
		succeeded(t, c.do("POST", "/indexes/"+uid+"/documents?primaryKey=id", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6}]`))
	}
	return c
}

// first is the document that comes first in an index.
func (c *writeCluster) first(uid string) string {
	hits := itemsOf(memberOf(c.call("POST", "/indexes/"+uid+"/search", `{"limit":1}`).Body.Bytes(), "hits"))
	if len(hits) == 0 {
		return ""
	}
	return string(memberOf(hits[0], "id"))
}

// eventually waits until the document that comes first in an index is the one given.
func (c *writeCluster) eventually(uid, want string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); c.first(uid) != want; {
		if time.Now().After(deadline) {
			c.t.Fatalf("the first document of %s is %s, want %s", uid, c.first(uid), want)
		}
	}
}

func pinFirst(index, id string) string {
	return `{"actions":[{"selector":{"indexUid":"` + index + `","id":"` + id + `"},"action":{"type":"pin","position":0}}]}`
}

// A node that was away while rules changed is read again only with the rules of now.
func TestRulesReachANodeThatReturns(t *testing.T) {
	c := ruled(t)
	succeeded(t, c.do("PATCH", "/dynamic-search-rules/old", pinFirst("m", "2")))
	c.nodes["n0-1"].Stop()
	succeeded(t, c.do("DELETE", "/dynamic-search-rules/old", ""))
	succeeded(t, c.do("PATCH", "/dynamic-search-rules/new", pinFirst("m", "5")))
	c.nodes["n0-1"].Start()
	c.eventually("m", "5")
	for deadline := time.Now().Add(patience); ; {
		rules := askServer(t, c.rt, "POST", "http://n0-1/dynamic-search-rules", `{}`)
		if strings.Contains(rules.body, `"uid":"new"`) && !strings.Contains(rules.body, `"uid":"old"`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node has %s", rules.body)
		}
	}
	for range 20 { // whichever node is asked
		if got := c.first("m"); got != "5" {
			t.Fatalf("the first document is %s", got)
		}
	}
}

// A rule names an index as clients do: after a swap it is the other one.
func TestRulesFollowNames(t *testing.T) {
	c := ruled(t)
	succeeded(t, c.do("PATCH", "/dynamic-search-rules/r", pinFirst("m", "4")))
	if m, other := c.first("m"), c.first("other"); m != "4" || other == "4" {
		t.Fatalf("first are %s and %s", m, other)
	}
	succeeded(t, c.do("POST", "/indexes/other/documents", `[{"id":0}]`)) // tells the two apart
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["m","other"]}]`))
	c.eventually("other", "1")
	c.eventually("m", "4")
}

// A search after the task of a rule is under that rule, whichever node holds the document.
func TestRulesHoldOnceTheirTaskHasSucceeded(t *testing.T) {
	c := ruled(t)
	for i := range 30 {
		id := string('1' + byte(i%6))
		succeeded(t, c.do("PATCH", "/dynamic-search-rules/r", pinFirst("m", id)))
		if got := c.first("m"); got != id {
			t.Fatalf("after the task for %s the first document is %s", id, got)
		}
	}
}

// Changes of rules that have gathered are carried out together, in their order: nodes take a while for each time they are told, and as
// long for many changes as for one.
func TestChangesOfRulesAreToldTogether(t *testing.T) {
	nodes := map[string]*devnode.Node{"n0-0": devnode.New(devnode.Options{MasterKey: testMasterKey})}
	t.Cleanup(nodes["n0-0"].Close)
	held, release := make(chan struct{}), make(chan struct{})
	var first sync.Once
	inner := devnode.Transport(nodes)
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, rulesPath) {
			first.Do(func() {
				close(held)
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
		}
		return inner.RoundTrip(r)
	})
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1, writeTimeout: time.Minute}, rt, []string{"http://n0-0"})
	c.nodes = nodes
	c.call("PATCH", "/experimental-features", `{"dynamicSearchRules":true}`)
	uids := []int{c.accepted(c.call("PATCH", "/dynamic-search-rules/zero", `{"description":"first"}`))}
	<-held
	for i := range 20 {
		uids = append(uids, c.accepted(c.call("PATCH", fmt.Sprintf("/dynamic-search-rules/r%d", i%10), fmt.Sprintf(`{"description":"%d"}`, i))))
	}
	uids = append(uids, c.accepted(c.call("DELETE", "/dynamic-search-rules/r9", "")))
	close(release)
	started := map[any]int{}
	for _, uid := range uids {
		started[succeeded(t, c.await(uid))["startedAt"]]++
	}
	if len(started) != 2 {
		t.Errorf("changes were started at %d times, want the first and then all others: %v", len(started), started)
	}
	if rule := c.get("/dynamic-search-rules/r3"); rule["description"] != "13" {
		t.Errorf("the rule is %v", rule)
	}
	for _, list := range []map[string]any{c.on("n0-0", "POST", "/dynamic-search-rules", `{"limit":100}`), c.get("/dynamic-search-rules/r9")} {
		if total, code := list["total"], list["code"]; total != 10.0 && code != "dynamic_search_rule_not_found" {
			t.Errorf("found %v", list)
		}
	}
}
