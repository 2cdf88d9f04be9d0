package meili

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func TestDecodeDocumentsFetch(t *testing.T) {
	q, err := DecodeDocumentsFetch([]byte(`{"ids":[1,"b-2"],"fields":[],"sort":["a:asc"],"filter":"a = 1"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &DocumentsQuery{Limit: 20, Fields: &[]string{}, IDs: &[]string{"1", "b-2"}, Sort: &[]string{"a:asc"}, Filter: json.RawMessage(`"a = 1"`)}
	if !reflect.DeepEqual(q, want) {
		t.Fatalf("%+v", q)
	}
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeDocumentsFetch([]byte(body))
		checkError(t, body, err, code, message)
	}
	f(`{"limit":"a"}`, CodeInvalidDocumentLimit, "Invalid value type at `.limit`: expected a positive integer, but found a string: `\"a\"`")
	f(`{"nope":1}`, CodeBadRequest, "Unknown field `nope`: expected one of `offset`, `limit`, `fields`, `retrieveVectors`, `ids`, `filter`, `sort`, `useNetwork`")
	f(`{"ids":[1,1.5]}`, CodeInvalidDocumentIDs, "In `.ids[1]`: Document identifier `1.5` is invalid. A document identifier can be of type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes.")
}

func TestDecodeDocumentsParams(t *testing.T) {
	q, err := DecodeDocumentsParams("fields=a,b&ids=1,x&filter=%5B%5D&sort=a:asc,_geoPoint(1,2):desc&retrieveVectors=true&limit=3")
	want := &DocumentsQuery{Limit: 3, Fields: &[]string{"a", "b"}, IDs: &[]string{"1", "x"}, Filter: json.RawMessage(`[]`), Sort: &[]string{"a:asc", "_geoPoint(1,2):desc"}, RetrieveVectors: true}
	if err != nil || !reflect.DeepEqual(q, want) {
		t.Fatalf("%+v %v", q, err)
	}
	if q, err = DecodeDocumentsParams("fields=a,*"); err != nil || q.Fields != nil {
		t.Fatalf("%+v %v", q, err)
	}
	_, err = DecodeDocumentsParams("useNetwork=true")
	checkError(t, "useNetwork", err, CodeInvalidDocumentUseNetwork, "Invalid value type for parameter `useNetwork`: expected a string, but found a string: `true`")
}

func TestDecodeAddDocumentsParams(t *testing.T) {
	p, err := DecodeAddDocumentsParams("primaryKey=id&csvDelimiter=%3B&skipCreation=TRUE&customMetadata=x")
	if err != nil || *p.PrimaryKey != "id" || *p.CSVDelimiter != ';' || !p.SkipCreation || *p.CustomMetadata != "x" {
		t.Fatalf("%+v %v", p, err)
	}
	f := func(query string, code Code, message string) {
		t.Helper()
		_, err := DecodeAddDocumentsParams(query)
		checkError(t, query, err, code, message)
	}
	f("csvDelimiter=", CodeInvalidDocumentCSVDelimiter, "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found an empty string")
	f("csvDelimiter=abc", CodeInvalidDocumentCSVDelimiter, "Invalid value in parameter `csvDelimiter`: expected a string of one character, but found the following string of 3 characters: `abc`")
	f("csvDelimiter=%F0%9F%8D%B0", CodeInvalidDocumentCSVDelimiter, "csv delimiter must be an ascii character. Found: `🍰`")
	f("skipCreation=1", CodeInvalidSkipCreation, "skipCreation must be either `true` or `false`. Found: `1`")
	f("primary=id", CodeBadRequest, "Unknown parameter `primary`: expected one of `primaryKey`, `csvDelimiter`, `customMetadata`, `skipCreation`")
}

func TestEachDeletedID(t *testing.T) {
	var ids []string
	err := EachDeletedID([]byte(` ["a", 1, {"b":2.0}, null] `), func(id string) error {
		ids = append(ids, id)
		return nil
	})
	if err != nil || !reflect.DeepEqual(ids, []string{"a", "1", `{"b":2.0}`, "null"}) {
		t.Fatal(ids, err)
	}
	full := errors.New("full")
	if err := EachDeletedID([]byte(`["a",`), func(string) error { return full }); err != full {
		t.Errorf("the visitor's error came back as %v", err)
	}
	f := func(body string, code Code, message string) {
		t.Helper()
		var refused *Error
		errors.As(EachDeletedID([]byte(body), func(string) error { return nil }), &refused)
		checkError(t, body, refused, code, message)
	}
	const start = "Json deserialize error: invalid type: "
	f("{", CodeBadRequest, start+"map, expected a sequence at line 1 column 0")
	f("\n {}", CodeBadRequest, start+"map, expected a sequence at line 2 column 1")
	f(`"a" x`, CodeBadRequest, start+`string "a", expected a sequence at line 1 column 3`)
	f("5", CodeBadRequest, start+"integer `5`, expected a sequence at line 1 column 1")
	f("1.5", CodeBadRequest, start+"floating point `1.5`, expected a sequence at line 1 column 3")
	f("null", CodeBadRequest, start+"null, expected a sequence at line 1 column 4")
	f("[1,]", CodeMalformedPayload, "The json payload provided is malformed. `trailing comma at line 1 column 4`.")
	f("[1] x", CodeMalformedPayload, "The json payload provided is malformed. `trailing characters at line 1 column 5`.")
	f("  ", CodeMalformedPayload, "The json payload provided is malformed. `EOF while parsing a value at line 1 column 2`.")
	f("", CodeMissingPayload, "A json payload is missing.")
}

func TestDeleteAndEditBodies(t *testing.T) {
	filter, err := DecodeDeleteByFilter([]byte(`{"filter":[ "a \u003e '\u00e9'" ]}`))
	if want := `["a > 'é'"]`; err != nil || string(filter) != want {
		t.Fatalf("%s %v, want the filter as Meilisearch prints it: %s", filter, err, want)
	}
	_, err = DecodeDeleteByFilter([]byte(`{}`))
	checkError(t, "filter", err, CodeMissingDocumentFilter, "Missing field `filter`")
	_, err = DecodeEdit([]byte(`{}`))
	checkError(t, "function", err, CodeMissingDocumentEditionFunction, "Missing field `function`")
	e, err := DecodeEdit([]byte(`{"function":"doc.a = 1","context":[1],"filter":"a \u003c 1"}`))
	if err != nil || string(e.Filter) != `"a < 1"` {
		t.Fatal(string(e.Filter), err)
	}
	checkError(t, "context", e.CheckContext(), CodeInvalidDocumentEditionContext, "The context must be an object")
}

func TestSimilarAndFacetSearchBodies(t *testing.T) {
	q, err := DecodeSimilar([]byte(`{"id":7,"embedder":"e"}`))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := q.DocumentID(); err != nil || id != "7" || q.EffectiveLimit() != 20 {
		t.Fatal(id, err)
	}
	q, err = DecodeSimilarParams("id=a+b&embedder=e&limit=2")
	if err != nil || q.EffectiveLimit() != 2 {
		t.Fatal(q, err)
	}
	if _, err := q.DocumentID(); err == nil || err.Code != CodeInvalidSimilarID {
		t.Fatal(err)
	}
	_, err = DecodeSimilar([]byte(`{"id":1}`))
	checkError(t, "embedder", err, CodeBadRequest, "Missing field `embedder`")
	_, err = DecodeSimilarParams("id=1")
	checkError(t, "embedder", err, CodeBadRequest, "Missing parameter `embedder`")
	_, err = DecodeFacetSearch([]byte(`{"facetQuery":"a","offset":"ignored"}`))
	checkError(t, "facetName", err, CodeMissingFacetSearchFacetName, "Missing field `facetName`")
	_, err = DecodeFacetSearch([]byte(`{"facetName":1}`))
	checkError(t, "facetName", err, CodeInvalidFacetSearchFacetName, "Invalid value type at `.facetName`: expected a string, but found a positive integer: `1`")
}
