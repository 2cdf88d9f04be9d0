package proxy

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"miroir/fsm"
	"miroir/meili"
)

// What is wrong with the rest of a request comes before a name that no index can have.
func TestNamesOfIndexesAreCheckedLast(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	f := func(method, path, body, code string) {
		t.Helper()
		answer := c.call(method, path, body)
		if got := strings.Trim(string(memberOf(answer.Body.Bytes(), "code")), `"`); got != code {
			t.Errorf("%s %s %s: %s, want %s", method, path, body, answer.Body, code)
		}
	}
	for _, r := range []struct{ method, path, bad, code, good string }{
		{"PATCH", "", `{"primaryKey":1}`, "invalid_index_primary_key", `{"primaryKey":"id"}`},
		{"POST", "/search", `{"q":1}`, "invalid_search_q", `{}`},
		{"POST", "/facet-search", `{"facetName":1}`, "invalid_facet_search_facet_name", `{"facetName":"x"}`},
		{"POST", "/similar", `{"id":1,"embedder":3}`, "invalid_similar_embedder", `{"id":1,"embedder":"e"}`},
		{"POST", "/documents/fetch", `{"limit":"x"}`, "invalid_document_limit", `{}`},
		{"POST", "/documents/delete-batch", `[1`, "malformed_payload", `[1]`},
		{"POST", "/documents/delete", `{}`, "missing_document_filter", `{"filter":7}`},
		{"PATCH", "/settings", `{"pagination":1}`, "invalid_settings_pagination", `{"chat":{}}`},
		{"PUT", "/settings/stop-words", `1`, "invalid_settings_stop_words", `["a"]`},
		{"PATCH", "/settings", `{"rankingRules":["x"]}`, "invalid_settings_ranking_rules", `{"rankingRules":["attribute","attributeRank"]}`},
		{"PATCH", "/settings", `{"embedders":{"e":{"source":"x"}}}`, "invalid_settings_embedders", `{"embedders":{"e":{"source":"rest","url":"http://x","dimensions":0}}}`},
		{"PATCH", "/settings/embedders", `{"e":7}`, "invalid_settings_embedders", `{"e":{"source":"userProvided","apiKey":"k"}}`},
	} {
		f(r.method, "/indexes/a%20b"+r.path, r.bad, r.code)
		f(r.method, "/indexes/a%20b"+r.path, r.good, "invalid_index_uid")
	}
	f("GET", "/indexes/a%20b/documents?limit=x", "", "invalid_document_limit")
	f("GET", "/indexes/a%20b/search?vector=1,0", "", "invalid_index_uid")
	f("GET", "/indexes/a%20b/search?hybridSemanticRatio=0.5", "", "invalid_index_uid")
	f("GET", "/indexes/none/search?hybridSemanticRatio=0.5", "", "invalid_search_hybrid_query")
	f("GET", "/indexes/none/search?useNetwork=true", "", "feature_not_enabled")
	f("GET", "/indexes/%C3%A9/search?useNetwork=true", "", "invalid_index_uid")
	f("POST", "/indexes/%C3%A9/search", `{"filter":"a >"}`, "invalid_index_uid")
	f("DELETE", "/dynamic-search-rules/a%20b?x=1", "", "bad_request")
	f("PATCH", "/dynamic-search-rules/a%20b?x=1", "{}", "")
	f("GET", "/indexes/none/documents?sort=n", "", "invalid_document_sort")
	f("GET", "/indexes/a%20b/documents?sort=n", "", "invalid_index_uid")
	f("POST", "/indexes/a%20b/documents/delete?unknown=1", `{`, "bad_request")
	f("POST", "/indexes/a%20b/documents/delete-batch?unknown=1", `{`, "bad_request")
	f("DELETE", "/indexes/a%20b", "", "invalid_index_uid")
	f("POST", "/indexes/a%20b/compact", "", "invalid_index_uid")
	if got := c.get("/tasks")["total"]; fmt.Sprint(got) != "0" {
		t.Errorf("%v tasks, want none", got)
	}
	f("PATCH", "/indexes/a%20b", `{"uid":"c d"}`, "invalid_index_uid")
	if answer := c.call("PATCH", "/indexes/a%20b", `{"uid":"c d"}`); !strings.Contains(answer.Body.String(), "`a b`") {
		t.Errorf("both names are bad: %s", answer.Body)
	}
	if answer := c.call("POST", "/indexes/a/documents/delete", `{"filter":null}`); !strings.Contains(answer.Body.String(), "found: null") {
		t.Errorf("no filter: %s", answer.Body)
	}
	f("PATCH", "/webhooks/x", `{"url":1}`, "invalid_webhook_url")
	f("PATCH", "/webhooks/x", `{}`, "invalid_webhook_uuid")
}

// Nodes with parts of an index get another filter than the client's, which errors must not quote.
func TestListsQuoteTheClientsFilter(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3}]`))
	for filter, want := range map[string]string{
		`true`:   "Invalid syntax for the filter parameter: `expected String, Array, found: true`.",
		`"id ="`: "Was expecting a value but instead got nothing.\\n5:5 id =",
	} {
		answer := c.call("POST", "/indexes/m/documents/fetch", `{"ids":[1,2],"filter":`+filter+`}`)
		if got := string(memberOf(answer.Body.Bytes(), "message")); got != `"`+want+`"` || string(memberOf(answer.Body.Bytes(), "code")) != `"invalid_document_filter"` {
			t.Errorf("%s: %s", filter, answer.Body)
		}
	}
}

func TestEscapedSlashesAreParts(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	answer := c.call("GET", "/indexes/m/documents/a%2fb", "")
	if got := string(memberOf(answer.Body.Bytes(), "message")); got != "\"Document `a/b` not found.\"" {
		t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	answer = c.call("PUT", "/indexes/m%2Fstats", "")
	if got := answer.Header().Get("Allow"); answer.Code != 405 || got != "GET, PATCH, DELETE" {
		t.Errorf("status %d, allowed %q", answer.Code, got)
	}
}

// A tenant's filter that an index cannot evaluate is found while looking for the document.
func TestSimilarWithABadTenantFilter(t *testing.T) {
	for _, spread := range []int{fsm.SpreadAuto, fsm.SpreadAll} {
		c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: spread})
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["genre"],"embedders":{"e":{"source":"userProvided","dimensions":2}}}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"_vectors":{"e":[1,0]}},{"id":2,"_vectors":{"e":[0,1]}}]`))
		f := func(rule, body, code string) {
			t.Helper()
			request := httptest.NewRequest("POST", "/indexes/m/similar", strings.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Authorization", "Bearer "+tenantToken(t, c, rule))
			answer := httptest.NewRecorder()
			c.server.ServeHTTP(answer, request)
			if got := strings.Trim(string(memberOf(answer.Body.Bytes(), "code")), `"`); got != code {
				t.Errorf("rule %s, %s: %s, want %s", rule, body, answer.Body, code)
			}
		}
		f("nope = 1", `{"id":1,"embedder":"e"}`, "invalid_search_filter")
		f("nope = 1", `{"id":1,"embedder":"e","filter":"other = 1"}`, "invalid_search_filter")
		f("nope =", `{"id":1,"embedder":"e"}`, "invalid_similar_filter")
		f("nope =", `{"id":1,"embedder":"e","filter":"other ="}`, "invalid_similar_filter")
		f("NOT genre = x", `{"id":1,"embedder":"e","filter":"other = 1"}`, "invalid_similar_filter")
		f("genre = x", `{"id":1,"embedder":"e","filter":"other = 1"}`, "not_found_similar_id")
	}
}

func TestEmptyPrimaryKey(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	missing := func(task map[string]any) {
		t.Helper()
		failure, _ := task["error"].(map[string]any)
		if message := fmt.Sprint(failure["message"]); failure["code"] != "missing_document_id" || !strings.HasPrefix(message, "Document doesn't have a `` attribute") {
			t.Errorf("task %v", task)
		}
	}
	key := func(uid string, want any) {
		t.Helper()
		if got := c.get("/indexes/" + uid)["primaryKey"]; got != want {
			t.Errorf("primary key of %s: %v, want %v", uid, got, want)
		}
	}
	succeeded(t, c.do("POST", "/indexes", `{"uid":"a","primaryKey":""}`))
	key("a", "")
	missing(c.do("POST", "/indexes/a/documents", `[{"id":1}]`))
	succeeded(t, c.do("PATCH", "/indexes/a", `{"primaryKey":"id"}`))
	key("a", "id")
	succeeded(t, c.do("PATCH", "/indexes/a", `{"primaryKey":""}`))
	key("a", "")

	missing(c.do("POST", "/indexes/b/documents?primaryKey=", `[{"id":1}]`))
	key("b", nil)
	succeeded(t, c.do("POST", "/indexes/b/documents?primaryKey=", `[]`))
	key("b", "")
	c.stop()
	c.start()
	key("b", "")
	succeeded(t, c.do("PATCH", "/indexes/b", `{"primaryKey":"id"}`))
	succeeded(t, c.do("POST", "/indexes/b/documents", `[{"id":1}]`))
}

// Tasks go by the names that indexes have now, and by all that they were given; batches by the names of then. Swaps go by none.
func TestTasksAndBatchesAfterASwap(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"a"}`)) // 0
	succeeded(t, c.do("POST", "/indexes", `{"uid":"b"}`)) // 1
	if task := c.do("PATCH", "/indexes/a", `{"uid":"b"}`); task["status"] != "failed" {
		t.Fatalf("task %v", task) // 2
	}
	if task := c.do("POST", "/swap-indexes", `[{"indexes":["a","c"]}]`); task["status"] != "failed" {
		t.Fatalf("task %v", task) // 3
	}
	uids := func(path string) string {
		var list []any
		for _, entry := range c.get(path)["results"].([]any) {
			list = append(list, entry.(map[string]any)["uid"])
		}
		return fmt.Sprint(list)
	}
	f := func(path, want string) {
		t.Helper()
		if got := uids(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	f("/tasks?indexUids=a", "[2 0]")
	f("/tasks?indexUids=b", "[2 1]")
	f("/tasks?indexUids=c", "[]")
	f("/batches?indexUids=a", "[2 0]")
	f("/batches?indexUids=b", "[2 1]")
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`)) // 4
	f("/tasks?indexUids=a", "[2 1]")
	f("/tasks?indexUids=b", "[2 0]")
	f("/batches?indexUids=a", "[2 0]")
	f("/batches?indexUids=b", "[2 1]")
	f("/batches?indexUids=c", "[]")
	succeeded(t, c.do("POST", "/indexes", `{"uid":"c"}`))    // 5
	succeeded(t, c.do("PATCH", "/indexes/c", `{"uid":"d"}`)) // 6
	succeeded(t, c.do("POST", "/indexes", `{"uid":"c"}`))    // 7
	f("/batches?indexUids=c", "[7 6 5]")
	f("/batches?indexUids=d", "[6]")
	if got := fmt.Sprint(c.get("/batches/3")["details"]); got != "map[swaps:[map[indexes:[a c] rename:false]]]" {
		t.Errorf("the batch of a swap that was refused: %s", got)
	}
	if got := fmt.Sprint(c.get("/tasks/3")["details"], c.get("/batches/0")["stats"].(map[string]any)["indexUids"]); got != "map[swaps:[map[indexes:[b d] rename:false]]] map[a:1]" {
		t.Errorf("a swap that was refused, and a batch of before: %s", got)
	}
}

func TestEmptyIDFailsADeletion(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	task := c.do("POST", "/indexes/m/documents/delete-batch", `[1,""]`)
	if failure, _ := task["error"].(map[string]any); failure["code"] != "internal" || !strings.HasPrefix(fmt.Sprint(failure["message"]), "MDB_BAD_VALSIZE") {
		t.Errorf("task %v", task)
	}
	if got := c.get("/indexes/m/stats")["numberOfDocuments"]; fmt.Sprint(got) != "1" {
		t.Errorf("%v documents, want 1", got)
	}
}

// Documents that would be created are passed over before they are looked at.
func TestSkippedDocumentsMayBeBad(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["_geo"]}`))
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	task := c.do("POST", "/indexes/m/documents?skipCreation=true", `[{"id":1,"v":2},{"id":9,"_geo":"x"}]`)
	succeeded(t, task)
	if got := c.get("/indexes/m/documents/1")["v"]; fmt.Sprint(got) != "2" {
		t.Errorf("the known document was not written: %v", got)
	}
	if task := c.do("POST", "/indexes/m/documents?skipCreation=true", `[{"id":1,"_geo":"x"}]`); task["status"] != "failed" {
		t.Errorf("a known document with a bad field: %v", task)
	}
}

func TestEmptyBodiesWithACoding(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	for coding, want := range map[string]string{"gzip": "bad_request", "deflate": "missing_payload", "br": "missing_payload"} {
		request := httptest.NewRequest("POST", "/indexes/m/documents", strings.NewReader(""))
		request.Header.Set("Authorization", "Bearer "+testMasterKey)
		request.Header.Set("Content-Type", "text/csv")
		request.Header.Set("Content-Encoding", coding)
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		if got := strings.Trim(string(memberOf(answer.Body.Bytes(), "code")), `"`); got != want {
			t.Errorf("%s: %s, want %s", coding, answer.Body, want)
		}
	}
}

// tenantToken makes a token for a filter on all indexes, signed by a new key.
func tenantToken(t *testing.T, c *writeCluster, rule string) string {
	t.Helper()
	uid := "74c9c733-3368-4738-bbe5-1d18a5fecb37"
	if answer := c.call("POST", "/keys", `{"uid":"`+uid+`","actions":["*"],"indexes":["*"],"expiresAt":null}`); answer.Code != 201 && answer.Code != 409 {
		t.Fatalf("key: %s", answer.Body)
	}
	claims := jwt.MapClaims{"apiKeyUid": uid, "searchRules": map[string]any{"*": map[string]any{"filter": rule}}}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(meili.DeriveKey(testMasterKey, uid)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Of two faults in a request one server tells that which it reads first.
func TestFaultsAreToldInOrder(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"genre":"x"}]`))
	c.do("PATCH", "/experimental-features", `{"editDocumentsByFunction":true,"renderRoute":true}`)
	f := func(method, path, body, code, message string) {
		t.Helper()
		answer := c.call(method, path, body)
		if got := string(memberOf(answer.Body.Bytes(), "message")); got != `"`+message+`"` || string(memberOf(answer.Body.Bytes(), "code")) != `"`+code+`"` {
			t.Errorf("%s %s %s: %s, want %s", method, path, body, answer.Body, message)
		}
	}
	const unknown = "Unknown parameter `x`: expected one of `customMetadata`"
	f("POST", "/indexes/m/documents/delete-batch?x=1", `{}`, "bad_request", "Json deserialize error: invalid type: map, expected a sequence at line 1 column 0")
	f("POST", "/indexes/m/documents/delete-batch", `\{}`, "malformed_payload", "The json payload provided is malformed. `expected value at line 1 column 1`.")
	f("POST", "/indexes/m/documents/delete-batch?x=1", `[1]`, "bad_request", unknown)
	f("POST", "/indexes/m/documents/delete?x=1", `{}`, "bad_request", unknown)
	f("POST", "/indexes/m/documents/edit?x=1", `{}`, "bad_request", unknown)
	f("POST", "/indexes/m/documents/edit", `{"function":"doc.a = 1","filter":"a >"}`, "invalid_document_filter", "Index `m`: Was expecting a value but instead got nothing.\\n4:4 a >")
	f("POST", "/indexes/m/documents/edit", `{"function":"doc.a = 1","filter":[]}`, "invalid_document_filter", "Sending an empty filter is forbidden.")
	f("POST", "/indexes/m/search", `{"facets":["*"]}`, "invalid_search_facets", "Invalid facet distribution: Pattern `*` is not filterable. This index does not have configured filterable attributes.")
	f("POST", "/multi-search", `{"queries":[{"indexUid":"m"},{"indexUid":"m","facets":["_m*"]}]}`, "invalid_search_facets", "Inside `.queries[1]`: Invalid facet distribution: Pattern `_m*` is not filterable. This index does not have configured filterable attributes.")
	f("POST", "/multi-search", `{"federation":{"facetsByIndex":{"m":["*"]}},"queries":[{"indexUid":"m"}]}`, "invalid_search_facets",
		"Inside `.queries[0]`: Inside `.federation.facetsByIndex.m`: Invalid facet distribution: Pattern `*` is not filterable. This index does not have configured filterable attributes.")
	const unfinished = "Was expecting a value but instead got nothing.\\n4:4 a >"
	f("POST", "/indexes/none/search", `{"filter":"a >"}`, "invalid_search_filter", unfinished)
	f("GET", "/indexes/none/search?useNetwork=true&filter=a%20%3E", "", "invalid_search_filter", unfinished)
	f("GET", "/indexes/none/search?filter=a", "", "invalid_search_filter", "Was expecting an operation `=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, `IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, `CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, `_geoBoundingBox` or `_geoPolygon` at `a`.\\n1:2 a")
	f("POST", "/indexes/none/search", `{"filter":"a = 1"}`, "index_not_found", "Index `none` not found.")
	f("POST", "/multi-search", `{"queries":[{"indexUid":"none","filter":"a >"}]}`, "invalid_search_filter", "Inside `.queries[0]`: "+unfinished)
	succeeded(t, c.do("PUT", "/indexes/m/settings/filterable-attributes", `["genre","none"]`))
	if answer := c.call("POST", "/indexes/m/search", `{"facets":["*"]}`); string(memberOf(answer.Body.Bytes(), "facetDistribution")) != `{"genre":{"x":1}}` {
		t.Errorf("%s", answer.Body)
	}
	if answer := c.call("GET", "/indexes/m/search?facets=none", ""); string(memberOf(answer.Body.Bytes(), "facetDistribution")) != `{}` {
		t.Errorf("%s", answer.Body)
	}
}

// TestDeletedTasksAreGoneWhenAnswered: a client that deletes tasks and lists batches at once finds none that is about to go. Red without
// the wait: one of the batches listed is not found a moment later.
func TestDeletedTasksAreGoneWhenAnswered(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAuto})
	for range 10 {
		succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":1}]`))
		deletion := c.call("DELETE", "/tasks?statuses=succeeded,failed,canceled", "")
		newest := c.get("/batches?limit=1")["results"].([]any)[0].(map[string]any)
		if uid := fmt.Sprint(newest["uid"]); fmt.Sprint(newest["stats"].(map[string]any)["types"]) != "map[taskDeletion:1]" {
			t.Fatalf("%s: the newest batch is %s, %v", deletion.Body, uid, newest["stats"])
		}
	}
}
