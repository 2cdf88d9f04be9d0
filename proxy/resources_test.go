package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"miroir/fsm"
)

// Methods and features, as recorded from a single server; 405 and 404 need no key.
func TestKnownPathsRefuseOtherMethods(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1, spread: fsm.SpreadAuto})
	for request, allow := range map[string]string{
		"POST /health": "GET", "GET /logs/stream": "POST, DELETE", "GET /indexes/x/fields": "POST", "GET /tasks/cancel": "POST",
		"PUT /indexes": "GET, POST", "GET /indexes/x/documents/fetch": "POST", "DELETE /tasks/1": "GET", "GET /dumps": "POST",
		"PATCH /indexes/x/documents": "GET, POST, PUT, DELETE", "PUT /indexes/x/settings": "GET, PATCH, DELETE",
		"PUT /indexes/x/settings/typo-tolerance": "GET, PATCH, DELETE", "GET /tasks/compact": "POST", "GET /nope": "none", "POST /": "GET",
		"GET /indexes/x/nope": "none", "DELETE /indexes/x/documents/fetch": "POST", "HEAD /health": "GET",
	} {
		method, path, _ := strings.Cut(request, " ")
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, httptest.NewRequest(method, path, nil))
		status := http.StatusMethodNotAllowed
		if allow == "none" {
			status, allow = http.StatusNotFound, ""
		}
		if answer.Code != status || answer.Header().Get("Allow") != allow || answer.Body.Len() > 0 {
			t.Errorf("%s: status %d, allow %q, body %q", request, answer.Code, answer.Header().Get("Allow"), answer.Body)
		}
	}
}

func TestGates(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 1, spread: fsm.SpreadAuto})
	expect := func(method, path, body, code string) {
		t.Helper()
		answer := c.call(method, path, body)
		if !strings.Contains(answer.Body.String(), code) {
			t.Errorf("%s %s: status %d: %s, want %s", method, path, answer.Code, answer.Body, code)
		}
	}
	routes := []struct{ method, path, body, once string }{
		{"GET", "/metrics", "", "meilisearch_index_docs_count"},
		{"GET", "/network", "", `{"self":null,"remotes":{},"shards":{},"leader":null,`},
		{"PATCH", "/network", `{}`, `{"self":null,"remotes":{},"shards":{},"leader":null,`},
		{"POST", "/network/control", `{"origin":{"remoteName":"a","taskUid":1},"message":{"type":"importFinishedForRemote"}}`, "requires_enterprise_edition"},
		{"POST", "/logs/stderr", `{"target":"info"}`, "miroir_unsupported"},
		{"DELETE", "/logs/stream", "", ""}, // see below
		{"GET", "/chats", "", `"total":0`},
		{"GET", "/chats/x", "", "chat_not_found"},
		{"POST", "/chats/x/chat/completions", `{"messages":[],"model":"m","stream":true}`, "chat_not_found"},
		{"POST", "/dynamic-search-rules", `{}`, `"total":0`},
		{"DELETE", "/dynamic-search-rules/x", "", `"type":"dsrUpdate"`},
		{"GET", "/tasks/7/documents", "", "task_not_found"},
		{"POST", "/tasks/compact", "", `"status":"succeeded"`},
	}
	for _, r := range routes {
		expect(r.method, r.path, r.body, "feature_not_enabled")
	}
	expect("POST", "/chats/x/chat/completions", `{}`, "missing field `messages`")
	expect("PATCH", "/network", `{"nope":1}`, "Unknown field `nope`: expected one of `remotes`")
	features := `{"metrics":true,"network":true,"logsRoute":true,"chatCompletions":true,"dynamicSearchRules":true,"getTaskDocumentsRoute":true,"taskQueueCompactionRoute":true}`
	if answer := c.call("PATCH", "/experimental-features", features); answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	for _, r := range routes {
		expect(r.method, r.path, r.body, r.once)
	}
	expect("GET", "/tasks/0/documents", "", "task_file_not_found")
	if answer := c.call("DELETE", "/logs/stream", ""); answer.Code != http.StatusNoContent || answer.Body.Len() > 0 {
		t.Errorf("no stream of logs to end: status %d: %s", answer.Code, answer.Body)
	}
}
