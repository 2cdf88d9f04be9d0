package meili

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestDecodeSearchErrors(t *testing.T) {
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeSearch([]byte(body))
		checkError(t, body, err, code, message)
	}
	f(`{"matchingStrategy":"lats"}`, CodeInvalidSearchMatchingStrategy, "Unknown value `lats` at `.matchingStrategy`: did you mean `last`? expected one of `last`, `all`, `frequency`")
	f(`{"rankingScoreThreshold":1.1}`, CodeInvalidSearchRankingScoreThreshold, "Invalid value at `.rankingScoreThreshold`: the value of `rankingScoreThreshold` is invalid, expected a float between `0.0` and `1.0`.")
	f(`{"rankingScoreThreshold":"a"}`, CodeInvalidSearchRankingScoreThreshold, "Invalid value type at `.rankingScoreThreshold`: expected a number, but found a string: `\"a\"`")
	f(`{"hybrid":{}}`, CodeInvalidSearchHybridQuery, "Missing field `embedder` inside `.hybrid`")
	f(`{"hybrid":{"embedder":1}}`, CodeInvalidSearchEmbedder, "Invalid value type at `.hybrid.embedder`: expected a string, but found a positive integer: `1`")
	f(`{"hybrid":{"embedder":"e","semanticRatio":2}}`, CodeInvalidSearchSemanticRatio, "Invalid value at `.hybrid.semanticRatio`: the value of `semanticRatio` is invalid, expected a float between `0.0` and `1.0`.")
	f(`{"hybrid":{"embeder":"e"}}`, CodeInvalidSearchHybridQuery, "Unknown field `embeder` inside `.hybrid`: did you mean `embedder`? expected one of `semanticRatio`, `embedder`")
	f(`{"personalize":{}}`, CodeInvalidSearchPersonalize, "Missing field `userContext` inside `.personalize`")
	f(`{"vector":[1,"a"]}`, CodeInvalidSearchVector, "Invalid value type at `.vector[1]`: expected a number, but found a string: `\"a\"`")
	f(`{"filter":1}`, "", "") // refused by the filter grammar
}

func TestSearchMarshalsAsGiven(t *testing.T) {
	body := `{"q":"<b>","vector":[1,2.50],"hybrid":{"embedder":"e"},"offset":0,"attributesToRetrieve":[],"highlightPreTag":"<em>","filter":["a = 1",["b = 2"]],"facets":["*"],"rankingScoreThreshold":0.5,"personalize":{"userContext":"x"}}`
	q, err := DecodeSearch([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := marshal(q)
	var got, want any
	if json.Unmarshal(text, &got) != nil || json.Unmarshal([]byte(body), &want) != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %s", text)
	}
}

func TestSearchWindow(t *testing.T) {
	f := func(body string, from, to int) {
		t.Helper()
		q, err := DecodeSearch([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if gotFrom, gotTo := q.Window(); gotFrom != from || gotTo != to {
			t.Errorf("%s: got %d..%d, want %d..%d", body, gotFrom, gotTo, from, to)
		}
	}
	f(`{}`, 0, 20)
	f(`{"offset":5,"limit":3}`, 5, 8)
	f(`{"offset":5,"limit":18446744073709551615}`, 5, 5+FarEnd)
	f(`{"offset":5,"limit":3,"page":2}`, 20, 40)
	f(`{"hitsPerPage":7}`, 0, 7)
	f(`{"page":3,"hitsPerPage":7}`, 14, 21)
	f(`{"page":0,"hitsPerPage":7}`, 0, 0)
	f(`{"page":1,"hitsPerPage":0}`, 0, 0)
	f(`{"page":9223372036854775807,"hitsPerPage":1000}`, FarEnd, FarEnd+1000)
}

func TestSearchKind(t *testing.T) {
	f := func(body string, features Features, want SearchKind, code Code) {
		t.Helper()
		q, err := DecodeSearch([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Kind(features)
		if err == nil && (code != "" || got != want) || err != nil && err.Code != code {
			t.Errorf("%s: %v %v", body, got, err)
		}
	}
	multimodal := Features{Multimodal: true}
	f(`{"q":"a"}`, Features{}, KeywordSearch, "")
	f(`{"q":"a","hybrid":{"embedder":"e"}}`, Features{}, HybridSearch, "")
	f(`{"q":" ","hybrid":{"embedder":"e"}}`, Features{}, KeywordSearch, "")
	f(`{"q":"a","hybrid":{"embedder":"e","semanticRatio":0}}`, Features{}, KeywordSearch, "")
	f(`{"q":"a","hybrid":{"embedder":"e","semanticRatio":1}}`, Features{}, SemanticSearch, "")
	f(`{"vector":[1],"hybrid":{"embedder":"e"}}`, Features{}, SemanticSearch, "")
	f(`{"vector":[1]}`, Features{}, 0, CodeMissingSearchHybrid)
	f(`{"vector":[1],"media":1}`, multimodal, 0, CodeInvalidSearchMediaAndVector)
	f(`{"media":1,"hybrid":{"embedder":"e"}}`, Features{}, 0, CodeFeatureNotEnabled)
	f(`{"media":1,"hybrid":{"embedder":"e"}}`, multimodal, SemanticSearch, "")
}

func TestDecodeSearchParams(t *testing.T) {
	_, err := DecodeSearchParams("q=a+b&limit=+3&offset=%2B2&facets=x,,y&filter=%5B%22a+%3D+1%22%5D&sort=_geoPoint(1,2):asc,b:desc&hybridEmbedder=e&hybridSemanticRatio=.5&vector=1,2.5&showRankingScore=true&personalizeUserContext=%22")
	checkError(t, "limit", err, CodeInvalidSearchLimit, "Invalid value in parameter `limit`: could not parse ` 3` as a positive integer")
	q, err := DecodeSearchParams("q=a+b&offset=%2B2&facets=x,,y&filter=%5B%22a+%3D+1%22%5D&sort=_geoPoint(1,2):asc,b:desc&hybridEmbedder=e&hybridSemanticRatio=.5&vector=1,2.5&showRankingScore=true&personalizeUserContext=%22")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(q)
	want := `{"q":"a b","vector":[1.0,2.5],"hybrid":{"semanticRatio":0.5,"embedder":"e"},"offset":2,"showRankingScore":true,"filter":["a = 1"],"sort":["_geoPoint(1,2):asc","b:desc"],"facets":["x","y"],"personalize":{"userContext":"\""}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestDecodeSearchParamsErrors(t *testing.T) {
	f := func(query string, code Code, message string) {
		t.Helper()
		_, err := DecodeSearchParams(query)
		checkError(t, query, err, code, message)
	}
	f("limit=x", CodeInvalidSearchLimit, "Invalid value in parameter `limit`: could not parse `x` as a positive integer")
	f("showRankingScore=1", CodeInvalidSearchShowRankingScore, "Invalid value in parameter `showRankingScore`: could not parse `1` as a boolean, expected either `true` or `false`")
	f("matchingStrategy=lats", CodeInvalidSearchMatchingStrategy, "Unknown value `lats` for parameter `matchingStrategy`: did you mean `last`? expected one of `last`, `all`, `frequency`")
	f("hybridSemanticRatio=0.5", CodeInvalidSearchHybridQuery, "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present")
	f("vector=1", CodeMissingSearchHybrid, "`hybridEmbedder` is mandatory when `vector` is present")
	f("vector=a", CodeInvalidSearchVector, "Invalid value in parameter `vector`: invalid float literal")
	f("hybridSemanticRatio=2&hybridEmbedder=e", CodeInvalidSearchSemanticRatio, "Invalid value in parameter `hybridSemanticRatio`: the value of `semanticRatio` is invalid, expected a float between `0.0` and `1.0`.")
	_, err := DecodeSearchParams("limits=1")
	if err == nil || err.Code != CodeBadRequest || err.Message[:70] != "Unknown parameter `limits`: did you mean `limit`? expected one of `q`, "[:70] {
		t.Error(err)
	}
	_, err = DecodeSearchParams("locales=fr,xx")
	if err == nil || err.Message[:90] != "Invalid value in parameter `locales`: Unsupported locale `xx`, expected one of af, ak, am, ar"[:90] {
		t.Error(err)
	}
}

func TestSplitSort(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		if got := SplitSort(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
	f("a:asc, b:desc", "a:asc", "b:desc")
	f("_geoPoint(12.13,14.15):asc,doggo:asc,_geoPoint(1,2):desc", "_geoPoint(12.13,14.15):asc", "doggo:asc", "_geoPoint(1,2):desc")
	f("doggo , _geoPoint(1, 2", "doggo", "_geoPoint(1,2")
	f(`"x:asc"`, "x:asc")
}
