package devnode

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// library is a node with two indexes whose titles share words.
func library(t *testing.T) *client {
	c := start(t, Options{})
	c.done("POST", "/indexes/films/documents?primaryKey=id", `[
		{"id":1,"title":"ocean deep","genre":"Drama","by":"A","year":2001},
		{"id":2,"title":"blue ocean","genre":"Horror","by":"B","year":2005},
		{"id":3,"title":"desert storm","genre":"Action","by":"A","year":2001}]`)
	c.done("POST", "/indexes/books/documents?primaryKey=id", `[
		{"id":10,"title":"ocean tales","genre":"drama","by":"A","year":2003},
		{"id":11,"title":"sea","genre":"Drama","by":"C","year":2001}]`)
	settings := `{"filterableAttributes":["genre","by","year"],"sortableAttributes":["year"]}`
	c.done("PATCH", "/indexes/films/settings", settings)
	c.done("PATCH", "/indexes/books/settings", settings)
	return c
}

// federated sends a federated search and returns its answer.
func (c *client) federated(federation string, queries ...string) map[string]any {
	c.t.Helper()
	body := `{"federation":` + federation + `,"queries":[` + strings.Join(queries, ",") + `]}`
	return c.ask("POST", "/multi-search", body, 200)
}

// ids lists the ids of an answer's hits.
func ids(answer map[string]any) []any {
	list := []any{}
	for _, hit := range answer["hits"].([]any) {
		list = append(list, hit.(map[string]any)["id"])
	}
	return list
}

func TestFederationMergesQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := library(t)
		const films, books = `{"indexUid":"films","q":"ocean"}`, `{"indexUid":"books","q":"ocean"}`
		f := func(federation string, queries []string, wantIDs []any, wantTotal int) {
			t.Helper()
			answer := c.federated(federation, queries...)
			equal(t, "hits", ids(answer), wantIDs)
			total := answer["estimatedTotalHits"]
			if total == nil {
				total = answer["totalHits"]
			}
			equal(t, "total", total, wantTotal)
		}
		f(`{}`, []string{films, books}, []any{1, 10, 2}, 3)
		f(`{}`, []string{books, films}, []any{10, 1, 2}, 3)
		f(`{}`, []string{films, `{"indexUid":"books","q":"ocean","federationOptions":{"weight":2}}`}, []any{10, 1, 2}, 3)
		f(`{}`, []string{`{"indexUid":"films","q":""}`, `{"indexUid":"books","q":"","federationOptions":{"weight":2}}`}, // nothing ranks: no weight counts
			[]any{1, 2, 3, 10, 11}, 5)
		f(`{"offset":1,"limit":1}`, []string{films, books}, []any{10}, 3)
		f(`{"page":2,"hitsPerPage":2}`, []string{films, books}, []any{2}, 3)
		f(`{"page":0}`, []string{films, books}, []any{}, 3)
		f(`{}`, []string{films, `{"indexUid":"films","q":"desert"}`, films}, []any{1, 3, 2}, 3)
		f(`{"distinct":"by"}`, []string{films, books}, []any{1, 2}, 2)
		f(`{"distinct":"genre"}`, []string{films, books}, []any{1, 2}, 2)
		f(`{}`, []string{`{"indexUid":"films","q":"","sort":["year:desc"]}`, `{"indexUid":"books","q":"","sort":["year:desc"]}`},
			[]any{2, 10, 1, 3, 11}, 5)
	})
}

func TestFederationCountsFacetsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := library(t)
		const films, desert, books = `{"indexUid":"films","q":"ocean"}`, `{"indexUid":"films","q":"desert"}`, `{"indexUid":"books","q":""}`
		byIndex := c.federated(`{"facetsByIndex":{"films":["by","year"]}}`, films, desert, films)["facetsByIndex"]
		equal(t, "by index", byIndex, map[string]any{"films": map[string]any{
			"distribution": map[string]any{"by": map[string]any{"A": 2, "B": 1}, "year": map[string]any{"2001": 2, "2005": 1}},
			"stats":        map[string]any{"year": map[string]any{"min": 2001, "max": 2005}},
		}})
		const everywhere = `"facetsByIndex":{"films":["by"],"books":["by"]},"mergeFacets":`
		merged := c.federated(`{`+everywhere+`{}}`, films, `{"indexUid":"books","q":"ocean"}`)["facetDistribution"]
		equal(t, "merged", merged, map[string]any{"by": map[string]any{"A": 2, "B": 1}})
		cut := c.federated(`{`+everywhere+`{"maxValuesPerFacet":1}}`, films, `{"indexUid":"books","q":"ocean"}`)["facetDistribution"]
		equal(t, "merged and cut", cut, map[string]any{"by": map[string]any{"A": 2}})
		distinct := c.federated(`{"distinct":"by",`+everywhere+`{}}`, films, `{"indexUid":"books","q":"ocean"}`)["facetDistribution"]
		equal(t, "merged without the hits another replaced", distinct, map[string]any{"by": map[string]any{"A": 1, "B": 1}})

		c.done("PATCH", "/indexes/books/settings", `{"faceting":{"sortFacetValuesBy":{"*":"count"}}}`)
		refused := c.ask("POST", "/multi-search", `{"federation":{`+everywhere+`{}},"queries":[`+films+`,`+books+`]}`, 400)
		equal(t, "orders that differ", refused["code"], "invalid_multi_search_facet_order")
	})
}

func TestFederationServesCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := library(t)
		header := map[string][]string{"Meili-Proxy-Search": {"true"}, "Content-Type": {"application/json"}}
		ask := func() string {
			body := `{"federation":{"distinct":"by"},"queries":[{"indexUid":"films","q":"storm","attributesToRetrieve":["id"],` +
				`"sort":["year:asc"],"federationOptions":{"queryPosition":7}}]}`
			response := c.serve("POST", "/multi-search", header, strings.NewReader(body))
			defer response.Body.Close()
			var answered strings.Builder
			if _, err := io.Copy(&answered, response.Body); err != nil {
				t.Fatal(err)
			}
			return answered.String()
		}
		if refused := ask(); !strings.Contains(refused, "feature_not_enabled") {
			t.Errorf("without the feature: %s", refused)
		}
		c.ask("PATCH", "/experimental-features", `{"network":true}`, 200)
		const want = `"_federation":{"indexUid":"films","queriesPosition":7,"weightedRankingScore":`
		answered := ask()
		for _, part := range []string{want, `"weightedScoreValues":[{"weightedScore":1},{"sort":{"asc":true,"value":2001`, `"extra_document":{"by":"A"}`} {
			if !strings.Contains(answered, part) {
				t.Errorf("no %s in %s", part, answered)
			}
		}
	})
}

// Statistics are floating-point numbers, and a distinct hit tells the values of nested fields that are counted.
func TestFederatedNumbersAndNestedFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes/films/documents?primaryKey=id", `[{"id":1,"by":{"name":"A","age":40},"year":2001,"note":"x"}]`)
		c.done("PATCH", "/indexes/films/settings", `{"filterableAttributes":["by.name","year"]}`)
		c.ask("PATCH", "/experimental-features", `{"network":true}`, 200)
		response := c.serve("POST", "/multi-search", map[string][]string{"Meili-Proxy-Search": {"true"}, "Content-Type": {"application/json"}},
			strings.NewReader(`{"federation":{"distinct":"year","facetsByIndex":{"films":["*"]}},"queries":[{"indexUid":"films","attributesToRetrieve":["id"]}]}`))
		defer response.Body.Close()
		answered, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`"stats":{"year":{"min":2001.0,"max":2001.0}}`, `"extra_document":{"by":{"name":"A"},"year":2001}`} {
			if !strings.Contains(string(answered), part) {
				t.Errorf("no %s in %s", part, answered)
			}
		}
	})
}

func TestRulesThatCannotBeCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := library(t)
		query := func(index, q, sort string) string {
			return `{"indexUid":"` + index + `","q":"` + q + `","sort":[` + sort + `]}`
		}
		f := func(a, b, reason string) {
			t.Helper()
			status, answered, err := c.try(t.Context(), "POST", "/multi-search", `{"federation":{},"queries":[`+a+`,`+b+`]}`)
			if err != nil {
				t.Fatal(err)
			}
			if reason == "" && status != 200 || reason != "" && !strings.Contains(answered, reason) {
				t.Errorf("%s with %s: %d %s, want %q", a, b, status, answered, reason)
			}
		}
		f(query("films", "ocean", ``), query("books", "", ``), "")
		f(query("films", "", `"year:asc"`), query("books", "", `"year:asc"`), "")
		f(query("films", "", `"year:asc"`), query("books", "", `"year:desc"`), "cannot compare two sort rules in opposite directions")
		f(query("films", "ocean", `"year:asc"`), query("books", "", `"year:asc"`), "cannot compare a relevancy rule with a sort rule")
	})
}
