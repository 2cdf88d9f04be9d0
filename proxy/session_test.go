package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
	"miroir/meili"
)

// inSession sends a request in a session.
func (c *writeCluster) inSession(session, method, path, body string) *httptest.ResponseRecorder {
	c.t.Helper()
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	request.Header.Set(sessionHeader, session)
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
	}
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, request)
	return answer
}

// TestSessionsReadTheirWrites: a document is there right after it was written, by every way to read it, on nodes whose
// queues are slow; also when the pinned group's nodes are cut off meanwhile.
func TestSessionsReadTheirWrites(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		shape  clusterShape
		writes int
		cut    bool
	}{
		{"whole", clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAuto}, 100, false},
		{"spread", clusterShape{groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, 50, false},
		{"pinned group cut", clusterShape{groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, 20, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newWriteCluster(t, test.shape)
				defer c.stop()
				c.do("POST", "/indexes", `{"uid":"docs","primaryKey":"id"}`)
				for _, n := range c.nodes {
					n.TaskDelay(200 * time.Millisecond)
				}
				for i := range test.writes {
					session := fmt.Sprintf("s%d", i%7)
					write := c.inSession(session, "POST", "/indexes/docs/documents", fmt.Sprintf(`{"id":%d,"title":"number%d"}`, i, i))
					if write.Code != http.StatusAccepted || write.Header().Get(sessionHeader) != session {
						t.Fatalf("write %d: %d %s", i, write.Code, write.Body)
					}
					if test.cut {
						c.nodes["n0-0"].Stop()
						c.nodes["n0-1"].Freeze()
					}
					path, body, shows := "/indexes/docs/search", fmt.Sprintf(`{"q":"number%d"}`, i), fmt.Sprintf(`"id":%d,`, i)
					switch i % 6 {
					case 1:
						path, body = "/multi-search", fmt.Sprintf(`{"queries":[{"indexUid":"docs","q":"number%d"}]}`, i)
					case 2:
						path, body = "/multi-search", fmt.Sprintf(`{"federation":{},"queries":[{"indexUid":"docs","q":"number%d"}]}`, i)
					case 3:
						path, body = fmt.Sprintf("/indexes/docs/documents/%d", i), ""
					case 4:
						path, body = "/indexes/docs/documents/fetch", fmt.Sprintf(`{"ids":[%d]}`, i)
					case 5:
						path, body = "/indexes/docs/documents?limit=10000", ""
					}
					method := map[bool]string{true: "GET", false: "POST"}[body == ""]
					read := c.inSession(session, method, path, body)
					if read.Code != http.StatusOK || !strings.Contains(read.Body.String(), shows) {
						t.Fatalf("read %d: %s %s: %d %s", i, path, body, read.Code, read.Body)
					}
					if test.cut {
						c.nodes["n0-0"].Start()
						c.nodes["n0-1"].Thaw()
					}
				}
				for _, n := range c.nodes {
					n.TaskDelay(0)
				}
				c.until("all writes to end", func() bool { return c.state.View().NumSessionWrites == 0 })
			})
		})
	}
}

// A node fails the write of a session at once, another takes its time to do it; the clock of the pod that reads is an hour
// ahead. Red when a failed task counts as done, and when sessions end by the reader's clock.
func TestSessionsWaitForTheNodeThatDoesTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAuto})
		defer c.stop()
		const indexes = 8 // so that either node is chosen for some
		for i := range indexes {
			succeeded(t, c.do("POST", "/indexes", fmt.Sprintf(`{"uid":"i%d","primaryKey":"id"}`, i)))
		}
		c.nodes["n0-0"].FailTasks(func(meili.TaskKind) *meili.Error { return meili.Errorf(meili.CodeInternal, "no space left") })
		c.nodes["n0-1"].TaskDelay(200 * time.Millisecond)
		for i := range indexes {
			path := fmt.Sprintf("/indexes/i%d/documents", i)
			if write := c.inSession("s", "POST", path, `{"id":1}`); write.Code != http.StatusAccepted {
				t.Fatalf("write: %d %s", write.Code, write.Body)
			}
			c.ahead.Store(int64(time.Hour))
			if read := c.inSession("s", "GET", path+"/1", ""); read.Code != http.StatusOK {
				t.Errorf("index %d: %d %s", i, read.Code, read.Body)
			}
			c.ahead.Store(0)
		}
	})
}

// TestSessionsSeeWhatIndexesBecome: creation, settings, swaps and deletion show only at the end of their tasks.
func TestSessionsSeeWhatIndexesBecome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
		defer c.stop()
		for _, n := range c.nodes {
			n.TaskDelay(200 * time.Millisecond)
		}
		expect := func(method, path, body string, code int, shows string) {
			t.Helper()
			got := c.inSession("s", method, path, body)
			if got.Code != code || !strings.Contains(got.Body.String(), shows) {
				t.Fatalf("%s %s %s: %d %s", method, path, body, got.Code, got.Body)
			}
		}
		expect("POST", "/indexes/new/documents", `[{"id":1,"color":"red"},{"id":2,"color":"blue"}]`, 202, "")
		expect("POST", "/indexes/new/search", `{}`, 200, `"color":"red"`)
		expect("PATCH", "/indexes/new/settings", `{"filterableAttributes":["color"],"sortableAttributes":["id"]}`, 202, "")
		expect("POST", "/indexes/new/search", `{"filter":"color = blue"}`, 200, `"color":"blue"`)
		expect("POST", "/indexes/other/documents", `[{"id":3,"color":"green"}]`, 202, "")
		expect("POST", "/swap-indexes", `[{"indexes":["new","other"]}]`, 202, "")
		expect("POST", "/indexes/new/search", `{}`, 200, `"color":"green"`)
		expect("DELETE", "/indexes/new", ``, 202, "")
		expect("POST", "/indexes/new/search", `{}`, 404, "index_not_found")
	})
}

// TestSessionsWaitNoLongerThanTheyMay: after max_wait_ms the read is answered; route_pin does not wait at all.
func TestSessionsWaitNoLongerThanTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto})
		defer c.stop()
		c.do("POST", "/indexes", `{"uid":"docs","primaryKey":"id"}`)
		for _, n := range c.nodes {
			n.PauseTasks()
		}
		took := func(session string) time.Duration {
			t.Helper()
			started := time.Now()
			if got := c.inSession(session, "POST", "/indexes/docs/search", `{}`); got.Code != http.StatusOK {
				t.Fatalf("%d %s", got.Code, got.Body)
			}
			return time.Since(started)
		}
		if got := c.inSession("writer", "POST", "/indexes/docs/documents", `{"id":1}`); got.Code != http.StatusAccepted {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		if d := took("writer"); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("the writer's read took %v", d)
		}
		if n := c.server.sessionMeter().timeouts.Get(); n != 1 {
			t.Errorf("%d timeouts are counted", n)
		}
		if d := took("somebody else"); d > 100*time.Millisecond {
			t.Errorf("another session's read took %v", d)
		}
		config := c.state.View().Config
		config.Sessions.WaitStrategy = "route_pin"
		if _, err := fsm.Do(t.Context(), c.state, fsm.SetConfig{Config: config}); err != nil {
			t.Fatal(err)
		}
		if d := took("writer"); d > 100*time.Millisecond {
			t.Errorf("with route_pin the read took %v", d)
		}
		for _, bad := range []string{"", strings.Repeat("x", maxSessionBytes+1)} {
			if got := c.inSession(bad, "POST", "/indexes/docs/search", `{}`); got.Code != http.StatusBadRequest || !strings.Contains(got.Body.String(), "miroir_invalid_argument") {
				t.Errorf("a session of %d bytes: %d %s", len(bad), got.Code, got.Body)
			}
		}
		for _, n := range c.nodes {
			n.ResumeTasks()
		}
	})
}

// A session writes to a name that is on its way from one index to another. Red when its reads do not wait until the name leads
// to the index it wrote to.
func TestSessionsFollowNamesThatMove(t *testing.T) {
	const slow = 300 * time.Millisecond
	for name, test := range map[string]struct {
		before func(c *writeCluster)
		after  func(c *writeCluster)
		shows  string // "" for nothing of the old index
	}{
		"a deletion": {
			func(c *writeCluster) { c.accepted(c.call("DELETE", "/indexes/a", "")) },
			func(*writeCluster) {}, `"id":9`,
		},
		"a deletion, and the new index is deleted too": {
			func(c *writeCluster) { c.accepted(c.call("DELETE", "/indexes/a", "")) },
			func(c *writeCluster) { c.accepted(c.call("DELETE", "/indexes/a", "")) }, "",
		},
		"a swap": {
			func(c *writeCluster) {
				c.accepted(c.call("POST", "/indexes/b/documents", `[{"id":3}]`))
				c.accepted(c.call("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`))
			},
			func(*writeCluster) {}, `"id":9`,
		},
		"a swap and another": {
			func(c *writeCluster) {
				c.accepted(c.call("POST", "/indexes/b/documents", `[{"id":3}]`))
				c.accepted(c.call("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`))
				c.accepted(c.call("POST", "/swap-indexes", `[{"indexes":["a","c"]}]`))
			},
			func(*writeCluster) {}, `"id":9`,
		},
		"a new name": {
			func(c *writeCluster) {
				c.accepted(c.call("POST", "/indexes/a/documents", `[{"id":4}]`))
				c.accepted(c.call("PATCH", "/indexes/a", `{"uid":"d"}`))
			},
			func(*writeCluster) {}, `"id":9`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
				defer c.stop()
				for i, uid := range []string{"a", "b", "c"} {
					succeeded(t, c.do("POST", "/indexes/"+uid+"/documents", fmt.Sprintf(`{"id":%d}`, i)))
				}
				for _, n := range c.nodes {
					n.TaskDelay(slow)
				}
				test.before(c)
				if write := c.inSession("s", "POST", "/indexes/a/documents", `{"id":9}`); write.Code != http.StatusAccepted {
					t.Fatalf("write: %d %s", write.Code, write.Body)
				}
				test.after(c)
				for _, path := range []string{"/indexes/a/documents", "/indexes/a/search"} {
					read := c.inSession("s", "GET", path, "")
					if shown := read.Body.String(); strings.Contains(shown, `"id":0`) || !strings.Contains(shown, test.shows) {
						t.Errorf("%s: %d %s", path, read.Code, shown)
					}
				}
				if n := c.server.sessionMeter().timeouts.Get(); n != 0 {
					t.Errorf("%d timeouts are counted", n)
				}
			})
		})
	}
}

// A session changes an index and looks at what it is. Red when the index and its settings are shown as they were.
func TestSessionsSeeTheIndexTheyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
		defer c.stop()
		for _, n := range c.nodes {
			n.TaskDelay(200 * time.Millisecond)
		}
		expect := func(method, path, body string, code int, shows string) {
			t.Helper()
			got := c.inSession("s", method, path, body)
			if got.Code != code || !strings.Contains(got.Body.String(), shows) {
				t.Fatalf("%s %s %s: %d %s", method, path, body, got.Code, got.Body)
			}
		}
		expect("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`, 202, "")
		expect("GET", "/indexes/m", ``, 200, `"primaryKey":"id"`)
		expect("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`, 202, "")
		expect("GET", "/indexes/m/settings", ``, 200, `"stopWords":["the"]`)
		expect("PUT", "/indexes/m/settings/stop-words", `["of"]`, 202, "")
		expect("GET", "/indexes/m/settings/stop-words", ``, 200, `["of"]`)
		expect("PATCH", "/indexes/m", `{"uid":"n"}`, 202, "")
		expect("GET", "/indexes/n", ``, 200, `"uid":"n"`)
		expect("DELETE", "/indexes/n", ``, 202, "")
		expect("GET", "/indexes/n", ``, 404, "index_not_found")
	})
}
