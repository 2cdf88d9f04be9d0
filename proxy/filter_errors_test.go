package proxy

import (
	"strings"
	"testing"

	"miroir/fsm"
)

// A node that refuses a filter quotes it. Clients must see their own, not the part that chooses shards: also where it
// narrows the search to one node.
func TestErrorsQuoteTheClientsFilter(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"size":1},{"id":2,"size":2},{"id":3,"size":3}]`))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["size"]}`))
	for _, filter := range []string{"id = 1", "id IN [1, 2]", "id > 1"} {
		for path, body := range map[string]string{
			"/indexes/m/search": `{"filter":"FILTER"}`,
			"/multi-search":     `{"queries":[{"indexUid":"m","filter":"FILTER"}]}`,
			"/multi-search?":    `{"federation":{},"queries":[{"indexUid":"m","filter":"FILTER"}]}`,
		} {
			answer := c.call("POST", path, strings.Replace(body, "FILTER", filter, 1))
			message := text(memberOf(answer.Body.Bytes(), "message"))
			_, quoted, _ := strings.Cut(message, "\n")
			field, _, _ := strings.Cut(filter, " ")
			if answer.Code != 400 || !strings.Contains(quoted, `"`+field+`"`) || strings.Contains(quoted, "AND") || strings.ContainsAny(quoted, "⸰⸱⸲⸳⸴") {
				t.Errorf("%s %s: %d %s", path, filter, answer.Code, message)
			}
		}
	}
}

// Routes that do not know _foreign conditions refuse them at once, whether or not the experimental feature is on.
func TestForeignFiltersAreRefusedWhereNobodyKnowsThem(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	for features, want := range map[string]string{
		`{"editDocumentsByFunction":true,"foreignKeys":false}`: "using a foreign filter requires enabling the `foreign_keys` experimental feature. See https://github.com/orgs/meilisearch/discussions/873",
		`{"editDocumentsByFunction":true,"foreignKeys":true}`:  "Filter condition `_foreign` is not supported for this endpoint.",
	} {
		c.call("PATCH", "/experimental-features", features)
		for path, shape := range map[string][2]string{
			"/indexes/m/documents/delete": {`{"filter":"a = 1 AND _foreign(to, id = 2)"}`, ""},
			"/indexes/m/documents/edit":   {`{"filter":"a = 1 AND _foreign(to, id = 2)","function":"doc.x = 1"}`, "Index `m`: "},
		} {
			answer := c.call("POST", path, shape[0])
			if message := text(memberOf(answer.Body.Bytes(), "message")); answer.Code != 400 || message != shape[1]+want+"\n20:22 _foreign(to, id = 2)" {
				t.Errorf("%s with %s: %d %s", path, features, answer.Code, message)
			}
		}
	}
}
