package meili

import "testing"

func TestDecodeMultiSearchErrors(t *testing.T) {
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeMultiSearch([]byte(body))
		checkError(t, body, err, code, message)
	}
	f(`{}`, CodeBadRequest, "Missing field `queries`")
	f(`{"queries":1}`, CodeBadRequest, "Invalid value type at `.queries`: expected an array, but found a positive integer: `1`")
	f(`{"queries":[{"q":"a"}]}`, CodeMissingIndexUID, "Missing field `indexUid` inside `.queries[0]`")
	f(`{"queries":[{"indexUid":"a b"}]}`, CodeInvalidIndexUID, "Invalid value at `.queries[0].indexUid`: "+indexUIDMessage("a b"))
	f(`{"queries":[{"indexUid":"m","limit":null}]}`, "", "")
	f(`{"queries":[{"indexUid":"m","limit":-1}]}`, CodeInvalidSearchLimit, "Invalid value type at `.queries[0].limit`: expected a positive integer, but found a negative integer: `-1`")
	f(`{"queries":[{"indexUid":"m"},{"indexUid":"m","federationOptions":{}}]}`, CodeInvalidMultiSearchFederationOptions,
		"Inside `.queries[1]`: Using `federationOptions` is not allowed in a non-federated search.\n - Hint: remove `federationOptions` from the query or add `federation` to the request.")
	f(`{"federation":{},"queries":[{"indexUid":"m","federationOptions":{"weight":-1}}]}`, CodeInvalidMultiSearchWeight,
		"Invalid value at `.queries[0].federationOptions.weight`: the value of `weight` is invalid, expected a positive float (>= 0.0).")
	f(`{"federation":{},"queries":[{"indexUid":"m","facets":[]}]}`, "", "")
	f(`{"federation":{},"queries":[{"indexUid":"m","facets":["a","b"],"limit":1}]}`, CodeInvalidMultiSearchQueryPagination,
		"Inside `.queries[0]`: Using pagination options is not allowed in federated queries.\n - Hint: remove `limit` from the query or remove `federation` from the request\n - Hint: pass `federation.limit` and `federation.offset` for pagination in federated search")
	f(`{"federation":{},"queries":[{"indexUid":"m","facets":["a","b"]}]}`, CodeInvalidMultiSearchQueryFacets,
		"Inside `.queries[0]`: Using facet options is not allowed in federated queries.\n - Hint: remove `facets` from the query or remove `federation` from the request\n - Hint: pass `federation.facetsByIndex.m: [\"a\", \"b\"]` for facets in federated search")
	f(`{"federation":{"distinct":"a"},"queries":[{"indexUid":"m","distinct":"b"}]}`, CodeInvalidMultiSearchDistinct,
		"Inside `.queries[0]`: Using `distinct` options is not allowed in federated queries when it also appears in `.federation.distinct`.\n - Hint: remove `distinct` from the query or remove `federation` from the request\n  - Note: `distinct` at the query level is discouraged in federated search.")
	f(`{"federation":{},"queries":[{"indexUid":"m","showPerformanceDetails":false}]}`, CodeInvalidMultiSearchQueryShowPerformanceDetails,
		"Inside `.queries[0]`: Using `.showPerformanceDetails` is not allowed in federated queries.\n - Hint: remove `showPerformanceDetails` from the query or remove `federation` from the request")
	f(`{"federation":{"limit":null},"queries":[]}`, CodeInvalidSearchLimit, "Invalid value type at `.federation.limit`: expected a positive integer, but found null")
	f(`{"federation":{"facetsByIndex":{"a b":null}},"queries":[]}`, CodeInvalidMultiSearchFacetsByIndex,
		"Invalid value at `.federation.facetsByIndex`: the key \"a b\" could not be deserialized into the key type `meilisearch_types::index_uid::IndexUid`")
	f(`{"federation":{"mergeFacets":{"maxValuesPerFacet":"a"}},"queries":[]}`, CodeInvalidMultiSearchMaxValuesPerFacet,
		"Invalid value type at `.federation.mergeFacets.maxValuesPerFacet`: expected a positive integer, but found a string: `\"a\"`")
	f(`{"queries":[],"querys":1}`, CodeBadRequest, "Unknown field `querys`: expected one of `queries`, `federation`")
}

func TestParseMultiSearchLeavesChecksToTheCaller(t *testing.T) {
	m, err := ParseMultiSearch([]byte(`{"federation":{"page":2},"queries":[{"indexUid":"m"},{"indexUid":"n","limit":1}]}`))
	if err != nil || len(m.Queries) != 2 || m.Queries[1].IndexUID != "n" {
		t.Fatal(m, err)
	}
	if err := m.CheckQuery(0); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckQuery(1); err == nil || err.Code != CodeInvalidMultiSearchQueryPagination {
		t.Fatal(err)
	}
	if from, to := m.Federation.Window(); from != 20 || to != 40 {
		t.Fatal(from, to)
	}
	if weight := m.Queries[0].FederationOptions.EffectiveWeight(); weight != 1 {
		t.Fatal(weight)
	}
}
