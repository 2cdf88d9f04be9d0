package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"miroir/conformance/generate"
	"miroir/scripts/cluster"
)

func escaped(text string) string { return url.PathEscape(text) }

func sortedNames[V any](o map[string]V) []string { return slices.Sorted(maps.Keys(o)) }

var taskFilters = []string{
	"uids=1,2,3", "uids=*", "statuses=failed", "statuses=succeeded,enqueued", "types=indexCreation,settingsUpdate", "types=*", "indexUids=none", "canceledBy=3", "beforeEnqueuedAt=2020-01-01",
	"afterEnqueuedAt=2020-01-01T00:00:00Z", "beforeFinishedAt=2100-01-01", "uids=x", "statuses=nope", "types=nope", "afterStartedAt=x", "indexUids=a%20b", "batchUids=2,4", "batchUids=*", "uids=", "uids=-1",
	"uids=4294967296", "statuses=SUCCEEDED", "beforeEnqueuedAt=2021-12-03T00:00:00%2B01:00", "afterEnqueuedAt=*",
}

func (c *conversation) aboutTasks() step {
	some := func(list ...string) string {
		return c.query(20, append(list, generate.Some(c.g, taskFilters)[:1]...)...)
	}
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/tasks" + some("limit=5", "from=20", "reverse=true", "limit=0", "reverse=x", "from=x", "indexUids="+c.names[0])},
		{method: "GET", path: "/tasks" + some("limit=3", "indexUids="+escaped(c.name()))},
		{method: "GET", path: "/tasks/" + fmt.Sprint(c.pick(c.g.IntN(60), "x", -1, 99999999, "1.5", "4294967296"))},
		{method: "GET", path: "/batches" + some("limit=5", "from=20", "reverse=true", "indexUids="+c.names[0])},
		{method: "GET", path: "/batches/" + fmt.Sprint(c.pick(c.g.IntN(60), "x", -1, 99999999))},
		{method: "POST", path: "/tasks/cancel" + some()}, {method: "DELETE", path: "/tasks" + some("statuses=failed")},
		{method: "DELETE", path: "/tasks?uids=" + fmt.Sprint(c.g.IntN(60))}, {method: "POST", path: "/tasks/cancel?uids=" + fmt.Sprint(c.g.IntN(60))},
		{method: "POST", path: "/tasks/cancel?statuses=enqueued,processing"},
	})
}

// uid is that of the n-th key of this dialogue.
func (c *conversation) uid(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-%012d", c.seed, n) }

// keyOf is the key of a uid, as Meilisearch derives it.
func keyOf(uid string) string {
	mac := hmac.New(sha256.New, []byte(cluster.Key))
	mac.Write([]byte(uid))
	return hex.EncodeToString(mac.Sum(nil))
}

var actions = []string{
	"*", "search", "documents.add", "documents.*", "documents.get", "documents.delete", "indexes.create", "indexes.get", "indexes.*", "indexes.update", "indexes.delete", "indexes.swap", "tasks.*", "tasks.get",
	"settings.get", "settings.*", "stats.get", "stats.*", "metrics.get", "dumps.create", "version", "keys.get", "keys.create", "keys.update", "keys.delete", "experimental.get", "webhooks.*", "nope", "tasks.cancel",
	"chatCompletions", "chats.*", "*.get", "fields.post",
}

func (c *conversation) aboutKeys() step {
	uid := c.uid(c.g.IntN(4))
	created := generate.Object{
		"uid": c.pick(uid, uid, uid, "x", 1, "11111111-1111-1111-1111-111111111111"), "actions": generate.Some(c.g, actions)[:1+c.g.IntN(2)], "indexes": c.pick([]string{"*"}, []string{c.names[0]}, []string{"films*"}, []string{"a b"}, []string{"*", c.names[1]}, []string{}, []string{"f*s"}),
		"expiresAt": c.pick(nil, "2100-01-01", "2100-01-01T00:00:00Z", "2100-01-01 00:00:00", "2020-01-01", "x", 3, "2100-13-01", "2100-01-01T00:00:00+02:00"),
	}
	maps.Copy(created, c.some(30, generate.Object{"name": c.pick("a key", nil, 3, ""), "description": c.pick("what for", nil, 7)}))
	c.keys = append(c.keys, uid)
	at := "/keys/" + c.text(uid, uid, keyOf(uid), "x", "%20", "99999999-9999-4999-8999-999999999999")
	return generate.Pick(c.g, []step{
		{method: "POST", path: "/keys", body: created}, {method: "POST", path: "/keys", body: created}, {method: "GET", path: at}, {method: "DELETE", path: at},
		{method: "PATCH", path: at, body: c.one(generate.Object{"name": c.pick("new", nil, 3), "description": "d", "actions": []string{"*"}, "uid": "x", "key": "x", "indexes": []string{}, "expiresAt": nil, "createdAt": nil, "updatedAt": 1, "other": 2})},
		{method: "GET", path: "/keys" + c.query(30, "limit=1", "offset=1", "limit=x")},
	})
}

// token is a tenant token, good or bad.
func (c *conversation) token(key, uid string) string {
	claims := jwt.MapClaims{"apiKeyUid": uid, "searchRules": c.pick(generate.Object{"*": generate.Object{}}, generate.Object{c.names[0]: generate.Object{"filter": "genre = drama"}}, []string{"films*"}, []string{"*"},
		generate.Object{"*": generate.Object{"filter": []any{"n > 10", []any{"genre = drama", "genre = War"}}}}, generate.Object{"*": nil}, generate.Object{"films*": generate.Object{"filter": "nope = 1"}}, generate.Object{"*": generate.Object{"filter": "n >"}}, "x", nil,
		generate.Object{"*": generate.Object{"filter": 3}}, generate.Object{"*": generate.Object{"other": 1}})}
	if c.g.Chance(50) {
		claims["exp"] = c.pick(4102444800, 1, "x", nil, 4102444800.5)
	}
	if c.g.Chance(10) {
		delete(claims, "searchRules")
	}
	if c.g.Chance(5) {
		claims["apiKeyUid"] = c.pick("x", nil, 3, c.uid(9))
	}
	method := jwt.SigningMethod(jwt.SigningMethodHS256)
	if c.g.Chance(20) {
		method = jwt.SigningMethodHS512
	}
	signed, err := jwt.NewWithClaims(method, claims).SignedString([]byte(key))
	if err != nil {
		return "not.signed.x"
	}
	return signed
}

// aboutAccess asks under another key than the master's.
func (c *conversation) aboutAccess() step {
	uid := c.uid(c.g.IntN(4))
	s := c.anything()
	switch c.g.IntN(6) {
	case 0:
		s.auth = c.text("none", "wrong", "x.y.z", keyOf("x"))
	case 1, 2:
		s.auth = keyOf(uid)
	case 3:
		s.auth, s.headers = "none", map[string]string{"Authorization": c.text("Basic bWFzdGVyS2V5", "bearer "+cluster.Key, "Bearer  "+cluster.Key, "Bearer", cluster.Key, "Bearer "+cluster.Key+" ", "")}
	default:
		s = c.aboutSearch()
		s.auth = c.token(c.text(keyOf(uid), keyOf(uid), keyOf(uid), cluster.Key, "wrong"), uid)
	}
	return s
}

// anything is a request about anything but access.
func (c *conversation) anything() step {
	return generate.Pick(c.g, []func() step{c.aboutIndexes, c.aboutDocuments, c.aboutPayloads, c.aboutSearch, c.aboutSettings, c.aboutTasks, c.aboutKeys, c.aboutFeatures, c.aboutWebhooks, c.aboutService})()
}

// featureNames are the experimental features that a dialogue switches: all but one, whose route stops a server.
var featureNames = []string{
	"metrics", "logsRoute", "editDocumentsByFunction", "containsFilter", "dynamicSearchRules", "network", "getTaskDocumentsRoute", "compositeEmbedders", "chatCompletions", "multimodal", "foreignKeys",
	"disableDocumentsFetchQueue", "legacySearch", "renderRoute",
}

func (c *conversation) aboutFeatures() step {
	change := generate.Object{}
	for _, name := range generate.Some(c.g, featureNames)[:1] {
		change[name] = c.pick(true, true, false, nil, "x", 1)
	}
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/experimental-features"}, {method: "PATCH", path: "/experimental-features", body: change}, {method: "PATCH", path: "/experimental-features", body: change},
		{method: "GET", path: "/network"}, {method: "PATCH", path: "/network", body: c.one(generate.Object{"self": c.pick("a", nil, 1), "remotes": c.pick(nil, generate.Object{"b": generate.Object{"url": "http://127.0.0.1:9"}}, generate.Object{"b": nil}, generate.Object{"b": generate.Object{"url": 1}}), "leader": "a"})},
		{method: "POST", path: "/render-template", body: generate.Object{"template": generate.Object{"kind": "inlineDocumentTemplate", "inline": "{{doc.t}}"}, "input": generate.Object{"kind": "inlineDocument", "inline": generate.Object{"t": "x"}}}},
	})
}

func (c *conversation) aboutWebhooks() step {
	hook := generate.Object{"url": c.pick("http://127.0.0.1:9/hook", "x", "", 3, nil, "ftp://h/x", "http://")}
	maps.Copy(hook, c.some(40, generate.Object{"headers": c.pick(generate.Object{"authorization": "Bearer abcdefghijk"}, generate.Object{"x y": "z"}, generate.Object{"a": nil}, nil, 3, generate.Object{"a": "b\nc"})}))
	at := "/webhooks/" + c.text("{webhook}", "{webhook}", "x", "99999999-9999-4999-8999-999999999999", "00000000-0000-0000-0000-000000000000")
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/webhooks"}, {method: "POST", path: "/webhooks", body: hook}, {method: "GET", path: at}, {method: "PATCH", path: at, body: hook}, {method: "DELETE", path: at},
		{method: "PATCH", path: at, body: generate.Object{"headers": generate.Object{"authorization": c.pick(nil, "x", 1)}}},
	})
}

func (c *conversation) aboutRules() step {
	at := "/dynamic-search-rules/" + c.text("r1", "r2", "a%20b", "none")
	rule := c.some(60, generate.Object{
		"description": c.pick("d", nil, 3), "precedence": c.pick(1, nil, -1, "x"), "active": c.pick(true, false, nil),
		"conditions": generate.Object{"query": generate.Object{"isEmpty": c.pick(true, 3)}},
		"actions":    c.pick([]any{generate.Object{"selector": generate.Object{"id": "1"}, "action": generate.Object{"type": "pin", "position": 1}}}, []any{}, nil, 3),
	})
	return generate.Pick(c.g, []step{
		{method: "POST", path: "/dynamic-search-rules", body: c.some(30, generate.Object{"limit": 2, "offset": 0, "filter": generate.Object{"attributePatterns": []string{"r*"}}})},
		{method: "GET", path: at}, {method: "PATCH", path: at, body: rule}, {method: "DELETE", path: at}, {method: "DELETE", path: "/dynamic-search-rules"},
	})
}

func (c *conversation) aboutChats() step {
	at := "/chats/" + c.text("w1", "w2", "a%20b", "none")
	settings := c.some(30, generate.Object{"source": c.pick("openAi", "mistral", "vLlm", "azureOpenAi", "x", nil, 3), "apiKey": c.pick("abcdefghijklmnop", nil, 3), "baseUrl": c.pick("http://127.0.0.1:9", nil, 1),
		"orgId": c.pick("o", nil), "prompts": c.pick(generate.Object{"system": "s"}, generate.Object{"searchQParam": nil}, nil, generate.Object{"x": 1}, 3)})
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/chats" + c.query(30, "limit=1", "offset=1")}, {method: "GET", path: at}, {method: "DELETE", path: at}, {method: "GET", path: at + "/settings"},
		{method: "PATCH", path: at + "/settings", body: settings}, {method: "PATCH", path: at + "/settings", body: settings}, {method: "DELETE", path: at + "/settings"},
		{method: "POST", path: at + "/chat/completions", body: c.some(80, generate.Object{"model": "m", "messages": c.pick([]any{}, nil, []any{generate.Object{"role": "user", "content": "x"}}), "stream": c.pick(false, nil), "n": c.pick(2, 1)})},
		{method: "POST", path: at + "/chat/completions", header: "application/json", body: c.text("[]", "null", "3", "\"x\"", "{", "", "true", "[1,2]")},
	})
}

func (c *conversation) aboutService() step {
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/health"}, {method: "GET", path: "/version"}, {method: "GET", path: "/"}, {method: "GET", path: "/health?x=1"}, {method: "HEAD", path: "/health"},
		{method: "GET", path: "/stats"}, {method: "POST", path: "/dumps"}, {method: "POST", path: "/snapshots"}, {method: "POST", path: "/logs/stderr", body: generate.Object{"target": 3}},
		{method: "DELETE", path: "/logs/stream"}, {method: "POST", path: "/logs/stream", body: generate.Object{"mode": "x"}}, {method: "POST", path: "/tasks/compact", body: generate.Object{}},
		{method: "POST", path: "/network/control", body: generate.Object{}},
		{method: "POST", path: "/export", body: c.one(generate.Object{"url": 3, "apiKey": 1, "payloadSize": "x", "indexes": c.pick(3, generate.Object{"a b": nil}), "other": 1})},
		{method: "POST", path: "/export", body: c.pick(generate.Object{"url": nil}, generate.Object{"url": "http://127.0.0.1:9", "payloadSize": c.pick("1 MiB", nil, 1000000), "indexes": generate.Object{"none*": generate.Object{}}}, generate.Object{"url": "http://127.0.0.1:9", "indexes": generate.Object{"*": generate.Object{"filter": c.pick("n >", 3), "overrideSettings": "x"}}})},
		{method: "OPTIONS", path: c.index("/search"), headers: map[string]string{"Origin": "http://x.y", "Access-Control-Request-Method": c.text("POST", "PATCH", "NOPE", "TRACE"), "Access-Control-Request-Headers": "authorization, x-a"}},
		{method: c.text("OPTIONS", "GET", "POST"), path: c.text("/health", "/none", c.index("/documents")), headers: map[string]string{"Origin": c.text("http://x.y", "null", "")}},
		{method: "OPTIONS", path: c.text("/health", "/none"), headers: map[string]string{"Access-Control-Request-Method": "GET"}},
		{method: "GET", path: "/stats", headers: map[string]string{"Accept-Encoding": c.text("gzip", "br", "deflate", "identity", "*", "gzip;q=0, br;q=0.5", "x", "")}},
		{method: "GET", path: "/stats", headers: map[string]string{"Accept": "text/html", "If-None-Match": "*", "If-Modified-Since": time.Unix(0, 0).UTC().Format(time.RFC1123), "Range": "bytes=0-1"}},
	})
}

// aboutPaths asks for what is there in another spelling, and for what is not.
func (c *conversation) aboutPaths() step {
	s := c.anything()
	if c.g.Chance(40) {
		s.path = c.text("/nothing", "/indexes/", "//indexes", "/indexes//"+c.names[0], "/INDEXES", "/indexes/"+c.names[0]+"/", "/indexes/"+c.names[0]+"/nothing", "/indexes/"+c.names[0]+"/documents/1/2", "/index%65s", "/indexes%2F"+c.names[0],
			"/indexes/%66ilms", "/indexes/"+c.names[0]+"%2Fstats", "/indexes/%FF", "/tasks/1/", "/tasks/1/x", "/indexes/..", "/indexes/../health", "/./health", "/health/.", "/indexes/"+c.names[0]+"/documents/a%2Fb",
			"/indexes/"+c.names[0]+"/documents/%20", "/indexes/"+c.names[0]+"/settings/nothing", "/metrics", "/health?", "/tasks?limit", "/tasks?&&", "/tasks?limit=1&limit=2", "/tasks?=1", "/tasks?limit=%31", "/tasks?lim%69t=1", "/tasks?limit=1;from=2", "/tasks?limit=+1", "/tasks?limit=%zz", "/tasks?statuses=succeeded&statuses=failed", "/indexes?limit=%20",
			"/indexes/"+c.names[0]+"/search?q=%FF", "/indexes/"+c.names[0]+"/search?q=a&q=b", "/indexes/"+c.names[0]+"/search?q=a+b", "/indexes/"+c.names[0]+"/search?q[]=x", "/indexes/"+c.names[0]+"/search?filter=", "/keys/", "/keys/%2A", "/webhooks/", "/chats/", "/batches/")
	}
	s.method = c.text("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", s.method, s.method, s.method)
	if c.g.Chance(3) {
		s.method = c.text("TRACE", "PROPFIND", "get")
	}
	if s.method == "POST" && (s.path == "/dumps" || s.path == "/snapshots") {
		s.method = "GET"
	}
	return s
}
