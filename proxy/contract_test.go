package proxy

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"miroir/fsm"
	"miroir/meili"
)

// What the nodes need for Miroir is not on for clients.
func TestShardFiltersAreBehindTheirFeature(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	for path, body := range map[string]string{
		"/indexes/m/search":          `{"filter":"_shard = 1"}`,
		"/indexes/m/facet-search":    `{"facetName":"id","filter":["id = 1","_shard = 1"]}`,
		"/indexes/m/documents/fetch": `{"filter":"_shard = 1"}`,
		"/indexes/m/similar":         `{"id":1,"embedder":"x","filter":"_shard = 1"}`,
		"/multi-search":              `{"queries":[{"indexUid":"m","filter":"_shard = 1"}]}`,
	} {
		answer := c.call("POST", path, body)
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "using a shard filter requires enabling the `network`") {
			t.Errorf("%s: status %d: %s", path, answer.Code, answer.Body)
		}
	}
}

// The hidden fields can be filtered by on nodes, but not by clients.
func TestHiddenFieldsAreNotFilterable(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	for path, body := range map[string]string{
		"/indexes/m/search":          `{"filter":"_miroir_shard = 1"}`,
		"/indexes/m/facet-search":    `{"facetName":"id","filter":["id = 1","_miroir_order EXISTS"]}`,
		"/indexes/m/documents/fetch": `{"filter":"_miroir_shard = 1"}`,
		"/multi-search":              `{"queries":[{"indexUid":"m","filter":"NOT _miroir_shard = 1"}]}`,
		"/multi-search?":             `{"federation":{},"queries":[{"indexUid":"m","filter":"_miroir_shard = 1"}]}`,
	} {
		answer := c.call("POST", path, body)
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "is not filterable. This index does not have configured filterable attributes") {
			t.Errorf("%s: status %d: %s", path, answer.Code, answer.Body)
		}
	}
}

func TestQueryPositionsAreBehindTheirFeature(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	answer := c.call("POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"m","federationOptions":{"queryPosition":1}}]}`)
	if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "Using `federationOptions.queryPosition` requires enabling the `network`") {
		t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
}

func TestBodiesThatAreNotWhatTheyAreSaidToBe(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	send := func(path, coding, body string) *httptest.ResponseRecorder {
		request := httptest.NewRequest("POST", path, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+testMasterKey)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Content-Encoding", coding)
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		return answer
	}
	encoded := func(w io.WriteCloser, out *bytes.Buffer, body string) string {
		_, _ = io.WriteString(w, body) // into memory
		_ = w.Close()
		return out.String()
	}
	zipped := func(body string) string {
		var out bytes.Buffer
		return encoded(gzip.NewWriter(&out), &out, body)
	}
	deflated := func(body string) string {
		var out bytes.Buffer
		return encoded(zlib.NewWriter(&out), &out, body)
	}
	const checksum, trailing = `Custom { kind: InvalidInput, error: "corrupt gzip stream does not have a matching checksum" }`, `Error { kind: WriteZero, message: "failed to write whole buffer" }`
	for _, test := range []struct{ coding, documents, search, fault string }{
		{"gzip", `[{"id":1}]`, `{"limit":1}`, `Custom { kind: InvalidInput, error: "invalid gzip header" }`},
		{"gzip", "", "", checksum},
		{"gzip", zipped(`[{"id":1}]`)[:20], zipped(`{}`)[:15], checksum},
		{"gzip", zipped(`[{"id":1}]`) + zipped(` `), zipped(`{}`) + zipped(` `), trailing},
		{"deflate", `[{"id":1}]`, `{}`, `Custom { kind: InvalidInput, error: "corrupt deflate stream" }`},
		{"deflate", deflated(`[{"id":1}]`) + " ", deflated(`{}`) + " ", trailing},
		{"br", `[{"id":1}]`, `{"limit":1}`, `Custom { kind: InvalidData, error: "Invalid Data" }`},
		{"zstd", `[{"id":1}]`, `{}`, ""},
	} {
		for path, want := range map[string]string{
			"/indexes/m/documents": "The provided payload is incomplete and cannot be parsed",
			"/indexes/m/search":    "Error that occur during reading payload: payload reached EOF before completing: Some(" + test.fault,
		} {
			body := test.documents
			if strings.HasSuffix(path, "search") {
				body = test.search
			}
			answer := send(path, test.coding, body)
			var refused meili.Error
			if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil || answer.Code != http.StatusBadRequest || !strings.HasPrefix(refused.Message, want) {
				t.Errorf("%s in %s %q: status %d: %s, want %s", path, test.coding, body, answer.Code, answer.Body, want)
			}
		}
	}
	if answer := send("/indexes/m/documents", "x-gzip", zipped(`[{"id":1}]`)); !strings.Contains(answer.Body.String(), "malformed_payload") {
		t.Errorf("x-gzip, which is read as it is: %s", answer.Body) // as by one server
	}
}

func TestNormalPath(t *testing.T) {
	for path, want := range map[string]string{"/": "/", "//": "/", "/a/": "/a", "/a//b///": "/a/b", "/a/b": "/a/b"} {
		if got := normalPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// A bad body is judged before the feature is.
func TestEditWithoutFunction(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	for body, code := range map[string]string{`{}`: "missing_document_edition_function", `{"function":"doc.a=1"}`: "feature_not_enabled"} {
		if answer := c.call("POST", "/indexes/m/documents/edit", body); !strings.Contains(answer.Body.String(), code) {
			t.Errorf("%s: status %d: %s", body, answer.Code, answer.Body)
		}
	}
}

// A key for some indexes gets what it may see of the page, and the total of all.
func TestBatchesOfAKeyForSomeIndexes(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	for _, uid := range []string{"mine", "other", "mine2"} {
		succeeded(t, c.do("POST", "/indexes", `{"uid":"`+uid+`"}`))
	}
	key := textOf(memberOf(c.call("POST", "/keys", `{"actions":["tasks.get"],"indexes":["mine*"],"expiresAt":null}`).Body.Bytes(), "key"))
	for query, want := range map[string]string{"": "2 0 ", "?limit=1": "2", "?limit=1&from=1": "0", "?limit=0": ""} {
		request := httptest.NewRequest("GET", "/batches"+query, nil)
		request.Header.Set("Authorization", "Bearer "+key)
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		body, uids := answer.Body.Bytes(), []string{}
		for _, batch := range itemsOf(memberOf(body, "results")) {
			uids = append(uids, string(memberOf(batch, "uid")))
		}
		if got := strings.Join(uids, " "); got != strings.TrimSpace(want) || string(memberOf(body, "total")) != "3" {
			t.Errorf("%q: batches %s: %s", query, got, body)
		}
	}
	if answer := c.call("GET", "/webhooks/nope", ""); !strings.Contains(answer.Body.String(), "Invalid UUID: invalid character: found `n` at 0") {
		t.Errorf("webhook: %s", answer.Body)
	}
}
