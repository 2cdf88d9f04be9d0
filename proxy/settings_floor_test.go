package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

// withFloor sends a request that demands settings of some version.
func withFloor(server http.Handler, floor, method, path, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if floor != "" {
		request.Header.Set(minSettingsVersionHeader, floor)
	}
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	return answer
}

// TestReadsSayWhatSettingsTheyAreMadeWith: the version rises by one per finished change, and while nodes that answer
// together get one, reads say so. An index on one node is never torn.
func TestReadsSayWhatSettingsTheyAreMadeWith(t *testing.T) {
	for _, test := range []struct {
		name   string
		spread int
		torn   string // what reads say during a change
	}{{"spread", fsm.SpreadAll, "true"}, {"whole", fsm.SpreadAuto, ""}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: test.spread})
				defer c.stop()
				c.do("POST", "/indexes/docs/documents", `[{"id":1,"n":1},{"id":2,"n":2}]`)
				expect := func(version, torn string) {
					t.Helper()
					for _, read := range []struct{ method, path, body string }{
						{"POST", "/indexes/docs/search", `{}`}, {"GET", "/indexes/docs/documents", ``},
						{"GET", "/indexes/docs/settings", ``}, {"POST", "/multi-search", `{"queries":[{"indexUid":"docs"}]}`},
					} {
						got := withFloor(c.server, "", read.method, read.path, read.body)
						if h := got.Header(); got.Code != 200 || h.Get(settingsVersionHeader) != version || h.Get(settingsInconsistentHeader) != torn {
							t.Errorf("%s %s: %d, version %q, inconsistent %q; want version %q, inconsistent %q", read.method, read.path,
								got.Code, h.Get(settingsVersionHeader), h.Get(settingsInconsistentHeader), version, torn)
						}
					}
				}
				expect("0", "")
				for _, n := range c.nodes {
					n.TaskDelay(200 * time.Millisecond)
				}
				change := c.accepted(c.call("PATCH", "/indexes/docs/settings", `{"filterableAttributes":["n"]}`))
				expect("0", test.torn)
				c.await(change)
				expect("1", "")
			})
		})
	}
}

// TestAFloorNeverAnswersWithOlderSettings: below the demanded version a read is refused, on a pod that lags as well, until
// the change has been committed.
func TestAFloorNeverAnswersWithOlderSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		leader, follower := c.leader(), c.follower()
		c.await(leader, c.object(leader, "POST", "/indexes/docs/documents", `[{"id":1,"n":1},{"id":2,"n":2}]`))
		const filtered = `{"filter":"n = 2"}`
		for _, search := range []struct{ path, body string }{
			{"/indexes/docs/search", filtered},
			{"/multi-search", `{"queries":[{"indexUid":"docs","filter":"n = 2"}]}`},
			{"/multi-search", `{"federation":{},"queries":[{"indexUid":"docs","filter":"n = 2"}]}`},
		} {
			got := withFloor(c.pods[follower].server, "1", "POST", search.path, search.body)
			if got.Code != 503 || !strings.Contains(got.Body.String(), string(codeSettingsVersionStale)) || got.Header().Get("Retry-After") == "" {
				t.Errorf("%s before the change: %d %s", search.path, got.Code, got.Body)
			}
		}
		for _, bad := range []string{"-1", "one", " ", "18446744073709551616"} {
			if got := withFloor(c.pods[leader].server, bad, "POST", "/indexes/docs/search", `{}`); got.Code != 400 {
				t.Errorf("floor %q: %d %s", bad, got.Code, got.Body)
			}
		}
		c.await(leader, c.object(leader, "PATCH", "/indexes/docs/settings", `{"filterableAttributes":["n"]}`))
		// The follower may not know of it yet: it asks.
		got := withFloor(c.pods[follower].server, "1", "POST", "/indexes/docs/search", filtered)
		if got.Code != 200 || !strings.Contains(got.Body.String(), `"id":2`) {
			t.Errorf("after the change: %d %s", got.Code, got.Body)
		}
	})
}
