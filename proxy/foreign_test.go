package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"miroir/fsm"
)

// Books name their authors, who live in another index and mostly on another node.
func TestForeignKeysJoinIndexesAcrossNodes(t *testing.T) {
	for name, shape := range map[string]clusterShape{
		"whole":  {groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAuto},
		"spread": {groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, shape)
			c.setUpBooks()
			one := `{"title":"one","author":{"id":"a1","name":"Ann"},"also":[{"id":7,"name":"Seven"},{}],"_formatted":` +
				`{"title":"one","author":{"id":"a1","name":"Ann"},"also":[{"id":7,"name":"Seven"},{}]}}`
			for request, want := range map[string]string{
				`{"q":"one","attributesToRetrieve":["title","author","also"],"attributesToHighlight":["author"]}`:  one,
				`{"filter":"_foreign(author, born < 1960)","attributesToRetrieve":["author"]}`:                     `{"author":{"id":"a1","name":"Ann"}}`,
				`{"filter":["x = 2","_foreign(author, born > 1960)"],"attributesToRetrieve":["author","x"]}`:       `{"author":{"id":"a2","name":"Bob"},"x":2}`,
				`{"filter":"NOT _foreign(author, born > 1900)","attributesToRetrieve":["title","author"]}`:         `{"title":"three","author":{"no":["id"]}}`,
				`{"filter":"_foreign(author, born = 3)"}`:                                                          ``,
				`{"q":"one","attributesToRetrieve":["title"],"filter":"_foreign(also, id = 7) OR x EXISTS"}`:       `{"title":"one"}`,
				`{"q":"two","attributesToRetrieve":["author"],"showRankingScore":true,"filter":"x = 2","limit":1}`: `{"author":{"id":"a2","name":"Bob"},"_rankingScore":1.0}`,
			} {
				body := c.ok("/indexes/books/search", request)
				if got := memberText(body, "hits"); got != "["+want+"]" {
					t.Errorf("%s\n hits %s\n want [%s]", request, got, want)
				}
				alone := `{"indexUid":"books",` + request[1:]
				results := itemsOf(memberOf(c.ok("/multi-search", `{"queries":[`+alone+`,{"indexUid":"authors"}]}`), "results"))
				if got := memberText(results[0], "hits"); got != "["+want+"]" {
					t.Errorf("multi-search %s\n hits %s\n want [%s]", request, got, want)
				}
				if strings.Contains(request, "limit") {
					continue // belongs to the federation there
				}
				for _, hit := range itemsOf(memberOf(c.ok("/multi-search", `{"federation":{},"queries":[`+alone+`]}`), "hits")) {
					if got, want := memberText(hit, "author"), memberText([]byte(want), "author"); got != want {
						t.Errorf("federated %s\n author %s, want %s", request, got, want)
					}
				}
			}
			if got := memberText(c.ok("/indexes/books/facet-search", `{"facetName":"author","filter":"_foreign(author, born < 1960)"}`), "facetHits"); got != `[{"value":"a1","count":1}]` {
				t.Errorf("facet search: %s", got)
			}
			if got := memberText(c.ok("/indexes/books/documents/fetch", `{"filter":"_foreign(author, born < 1960)","fields":["author"]}`), "results"); got != `[{"author":"a1"}]` {
				t.Errorf("documents: %s", got)
			}
			if got := c.call("GET", "/indexes/books/settings/foreign-keys", "").Body.String(); !strings.Contains(got, `{"foreignIndexUid":"authors","fieldName":"author"}`) {
				t.Errorf("settings: %s", got)
			}
		})
	}
}

func TestForeignFilterErrors(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	c.setUpBooks()
	for filter, want := range map[string]string{
		`_foreign(title, id = 1)`:                          "Index `books`: Field `title` is not a foreign key invalid_search_filter",
		`_foreign(author, _foreign(also, id = 7))`:         "Index `books`: Nested foreign filters are not supported invalid_search_filter",
		`_foreign(author, name = Ann)`:                     "Index `authors`: Attribute `name` is not filterable. Available filterable attribute patterns are: `born`, `id`.\n18:22 _foreign(author, name = Ann) invalid_document_filter",
		`_foreign(author, born > 0) AND _foreign(also, x)`: "",
	} {
		answer := c.call("POST", "/indexes/books/search", `{"filter":`+strconv.Quote(filter)+`}`)
		if got := textOf(memberOf(answer.Body.Bytes(), "message")) + " " + textOf(memberOf(answer.Body.Bytes(), "code")); answer.Code != http.StatusBadRequest || want != "" && got != want {
			t.Errorf("%s: status %d: %q", filter, answer.Code, got)
		}
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = `{"id":"m` + strconv.Itoa(i) + `","born":2000}`
	}
	succeeded(t, c.do("POST", "/indexes/authors/documents", "["+strings.Join(many, ",")+"]"))
	if answer := c.call("POST", "/indexes/books/search", `{"filter":"_foreign(author, born = 2000)"}`); !strings.Contains(answer.Body.String(), "too many documents") {
		t.Errorf("101 documents: %s", answer.Body)
	}
	c.call("PATCH", "/experimental-features", `{"foreignKeys":false}`)
	if got := memberText(c.ok("/indexes/books/search", `{"q":"one","attributesToRetrieve":["author"]}`), "hits"); got != `[{"author":"a1"}]` {
		t.Errorf("switched off: %s", got)
	}
}

// setUpBooks makes an index whose documents name documents of another.
func (c *writeCluster) setUpBooks() {
	c.call("PATCH", "/experimental-features", `{"foreignKeys":true}`)
	succeeded(c.t, c.do("PATCH", "/indexes/authors/settings", `{"filterableAttributes":["id","born"],"displayedAttributes":["id","name"]}`))
	succeeded(c.t, c.do("POST", "/indexes/authors/documents", `[{"id":"a1","name":"Ann","born":1950},{"id":"a2","name":"Bob","born":1970},{"id":7,"name":"Seven","born":1}]`))
	succeeded(c.t, c.do("PATCH", "/indexes/books/settings", `{"filterableAttributes":["author","also","x"],"foreignKeys":`+
		`[{"foreignIndexUid":"authors","fieldName":"author"},{"foreignIndexUid":"authors","fieldName":"also"}]}`))
	succeeded(c.t, c.do("POST", "/indexes/books/documents", `[{"id":1,"title":"one","author":"a1","also":[7,"nobody"],"x":1},`+
		`{"id":2,"title":"two","author":"a2","also":null,"x":2},{"id":3,"title":"three","author":{"no":["id"]}}]`))
}

// ok is the body of a successful answer.
func (c *writeCluster) ok(path, body string) []byte {
	c.t.Helper()
	answer := c.call("POST", path, body)
	if answer.Code != http.StatusOK {
		c.t.Errorf("POST %s %s: status %d: %s", path, body, answer.Code, answer.Body)
	}
	return answer.Body.Bytes()
}

func memberText(text []byte, name string) string { return string(memberOf(text, name)) }
