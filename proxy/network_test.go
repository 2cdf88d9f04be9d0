package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// networkRequests is a conversation about remotes.
var networkRequests = []exchangeStep{
	{"GET", "/network", "", 400}, // the feature is off
	{"PATCH", "/network", `{"self":"x"}`, 400},
	{"PATCH", "/network", `{"selfie":"x"}`, 400},
	{"POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"m","federationOptions":{"remote":"unknown"}}]}`, 400},
	{"PATCH", "/experimental-features", `{"network":true}`, 200},
	{"GET", "/network", "", 200},
	{"PATCH", "/network", `{}`, 200},
	{"PATCH", "/network", `{"self":"me"}`, 200},
	{"PATCH", "/network", `{"self":42}`, 400},
	{"PATCH", "/network", `{"remotes":42}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":3}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":null}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":7700}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"no-http-scheme"}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"http://"}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"http://x:99999"}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"http://x","doggo":1}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"http://x","searchApiKey":1}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":{"url":"http://x","writeApiKey":[]}}}`, 400},
	{"GET", "/network", "", 200}, // none of these changed it
	{"PATCH", "/network", `{"remotes":{"thy":{"url":"http://localhost:7701","searchApiKey":"foo"},"me":{"url":"http://localhost:7700"}}}`, 200},
	{"PATCH", "/network", `{"remotes":{"thy":{"searchApiKey":"bar","writeApiKey":"w"}}}`, 200},
	{"PATCH", "/network", `{"remotes":{"thy":{"url":null}}}`, 400},
	{"PATCH", "/network", `{"remotes":{"thy":{"searchApiKey":null},"a":{"url":"http://localhost:7702"}}}`, 200},
	{"PATCH", "/network", `{"shards":{"s":{"remotes":["thy","me","thy"]},"t":{"addRemotes":["me"]},"u":{"remotes":[]}}}`, 200},
	{"PATCH", "/network", `{"shards":{"s":{"addRemotes":["a"],"removeRemotes":["me"]},"t":null}}`, 200},
	{"PATCH", "/network", `{"shards":{"s":{"remotes":"a"}}}`, 400},
	{"PATCH", "/network", `{"shards":{"s":{"other":[]}}}`, 400},
	{"PATCH", "/network", `{"shards":3}`, 400},
	{"PATCH", "/network", `{"remotes":{"a":null,"me":null,"unknown":null}}`, 200},
	{"PATCH", "/network", `{"leader":"me"}`, 451},
	{"PATCH", "/network", `{"leader":3}`, 400},
	{"PATCH", "/network", `{"leader":null}`, 200},
	{"PATCH", "/network", `{"previousRemotes":{}}`, 400},
	{"PATCH", "/network", `{"previousRemotes":3}`, 400},
	{"PATCH", "/network", `{"previousShards":{}}`, 200},
	{"PATCH", "/network", `{"self":null,"shards":null}`, 200},
	{"PATCH", "/network", `{"self":"thy"}`, 200},
	{"GET", "/network", "", 200},
	{"POST", "/indexes/m/documents", `[{"id":1,"title":"red"},{"id":2,"title":"blue"}]`, 202},
	{"POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"m","q":"red","federationOptions":{"remote":"thy"}},{"indexUid":"m","q":"blue","federationOptions":{"weight":0.5}}]}`, 200},
	{"POST", "/multi-search", `{"federation":{"facetsByIndex":{}},"queries":[{"indexUid":"m","federationOptions":{"remote":null}}]}`, 200},
	{"POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"m"},{"indexUid":"m","federationOptions":{"remote":"unknown"}}]}`, 400},
	{"PATCH", "/network", `{"remotes":null}`, 200},
	{"PATCH", "/network", `{"remotes":{"z":{"url":"http://localhost:7709","writeApiKey":"kept"}}}`, 200},
	{"GET", "/network", "", 200},
}

func TestNetworkIsThatOfOneServer(t *testing.T) {
	againstOneServer(t, func(t *testing.T, rt http.RoundTripper, addresses []string) {
		c := sameAnswers(t, rt, addresses, networkRequests)
		c.call("PATCH", "/network", `{"remotes":{"far":{"url":"http://127.0.0.1:1"}}}`)
		far := c.call("POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"m","federationOptions":{"remote":"far"}}]}`)
		if !strings.Contains(far.Body.String(), "miroir_unsupported") {
			t.Errorf("a query on another server: %d %s", far.Code, far.Body)
		}
		if all := c.call("POST", "/indexes/m/search", `{"useNetwork":true}`); !strings.Contains(all.Body.String(), "miroir_unsupported") {
			t.Errorf("a search of the whole network: %d %s", all.Code, all.Body)
		}
		before := c.call("GET", "/network", "").Body.String()
		c.stop()
		c.start()
		if after := c.call("GET", "/network", "").Body.String(); after != before {
			t.Errorf("after a restart %s, before %s", after, before)
		}
		if own := askServer(t, rt, "GET", addresses[0]+"/network", ""); steady(own.body) != `{"self":null,"remotes":{},"shards":{},"leader":null,"version":"00000000-0000-0000-0000-000000000000"}` {
			t.Errorf("the node was told: %s", own.body)
		}
	})
}
