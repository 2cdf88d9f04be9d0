package devnode

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestPins holds searches against what a server of Meilisearch v1.50 answered over the same documents and rule.
func TestPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		done := func(method, path, body string) {
			t.Helper()
			c.ask(method, path, body, 202)
			synctest.Wait()
		}
		var documents []string
		for i := 1; i <= 20; i++ {
			documents = append(documents, fmt.Sprintf(`{"id":%d,"title":"doc %d %s","g":%q,"n":%d}`, i, i, []string{"blue", "red"}[i%2], "abc"[i%3:i%3+1], i%4))
		}
		done("PATCH", "/indexes/m/settings", `{"filterableAttributes":["id","g","n"]}`)
		done("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]")
		c.ask("PATCH", "/experimental-features", `{"dynamicSearchRules":true}`, 200)
		pin := func(id, position int) string {
			return fmt.Sprintf(`{"selector":{"id":"%d"},"action":{"type":"pin","position":%d}}`, id, position)
		}
		found := func(body, want string) {
			t.Helper()
			answer := c.ask("POST", "/indexes/m/search", body, 200)
			var ids []any
			for _, h := range answer["hits"].([]any) {
				ids = append(ids, h.(map[string]any)["id"])
			}
			total := answer["estimatedTotalHits"]
			if total == nil {
				total = answer["totalHits"]
			}
			if got := fmt.Sprint(ids, " of ", total); got != want {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
		done("PATCH", "/dynamic-search-rules/z", `{"actions":[`+pin(15, 5)+","+pin(19, 1)+","+pin(15, 0)+`]}`)
		found(`{"limit":10}`, "[1 19 2 3 4 15 5 6 7 8] of 20")
		found(`{"q":"red","limit":3}`, "[1 3 5] of 10") // 19 waits for 15
		found(`{"q":"red","limit":3,"offset":1}`, "[3 5 7] of 10")
		found(`{"q":"nothing","limit":10}`, "[19 15] of 2")
		found(`{"q":"nothing","offset":1}`, "[15] of 2")
		found(`{"filter":"n = 1"}`, "[1 5 9 13 17] of 5")
		found(`{"distinct":"g"}`, "[1 19 2 3 15] of 5")
		found(`{"distinct":"g","hitsPerPage":3}`, "[1 2 3] of 3")
		found(`{"distinct":"g","hitsPerPage":3,"page":2}`, "[3 15] of 3")
		found(`{"q":"red","rankingScoreThreshold":0.99}`, "[19 15] of 2")
		done("DELETE", "/dynamic-search-rules", "")
		found(`{"limit":2}`, "[1 2] of 20")

		for i, uid := range []string{"b", "a", "c"} {
			done("PATCH", "/dynamic-search-rules/"+uid, `{"actions":[`+pin(11+i, 0)+`]}`)
		}
		found(`{"limit":4}`, "[11 12 13 1] of 20")
		done("DELETE", "/dynamic-search-rules/b", "")
		done("PATCH", "/dynamic-search-rules/y", `{"actions":[`+pin(14, 0)+`]}`) // in the place of b
		found(`{"limit":4}`, "[14 12 13 1] of 20")
		done("PATCH", "/dynamic-search-rules/c", `{"precedence":5}`)
		found(`{"limit":4}`, "[13 14 12 1] of 20")
		done("PATCH", "/dynamic-search-rules/y", `{"precedence":0}`)
		found(`{"limit":4}`, "[14 13 12 1] of 20")
	})
}
