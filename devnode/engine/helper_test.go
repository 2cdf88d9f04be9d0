package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"miroir/meili"
)

// newIndex is an index with settings (a JSON object, "" for defaults) and documents, one JSON object each, with primary key id.
func newIndex(t testing.TB, settings string, documents ...string) *Index {
	t.Helper()
	ix := New()
	ix.SetPrimaryKey("id")
	if settings != "" {
		applySettings(t, ix, settings)
	}
	put(t, ix, documents...)
	return ix
}

func applySettings(t testing.TB, ix *Index, settings string) {
	t.Helper()
	delta, err := meili.DecodeSettings([]byte(settings), meili.Features{})
	if err != nil {
		t.Fatal(err.Message)
	}
	full, err := ix.Settings().Apply(delta)
	if err == nil {
		err = ix.Apply(full)
	}
	if err != nil {
		t.Fatal(err.Message)
	}
}

func put(t testing.TB, ix *Index, documents ...string) {
	t.Helper()
	var docs []Document
	for _, text := range documents {
		id, err := meili.DocumentID([]byte(text), "id")
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, Document{id, []byte(text)})
	}
	if _, err := ix.PutDocuments(docs, false); err != nil {
		t.Fatal(err.Message)
	}
}

// search runs a search body.
func search(t testing.TB, ix *Index, body string) *Result {
	t.Helper()
	q, err := meili.DecodeSearch([]byte(body))
	if err != nil {
		t.Fatal(err.Message)
	}
	result, err := ix.Search(SearchContext{Features: meili.Features{ContainsFilter: true}}, q)
	if err != nil {
		t.Fatalf("%s: %s", body, err.Message)
	}
	return result
}

// refusal is the code and message with which a search is refused.
func refusal(t testing.TB, ix *Index, body string) string {
	t.Helper()
	q, err := meili.DecodeSearch([]byte(body))
	if err == nil {
		_, err = ix.Search(SearchContext{IndexUID: "x"}, q)
	}
	if err == nil {
		t.Fatalf("%s: not refused", body)
	}
	return string(err.Code) + ": " + err.Message
}

// ids are the ids of hits in order, joined by spaces.
func ids(r *Result) string {
	var out []string
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	return strings.Join(out, " ")
}

// ranked lists hits as id=detail, where detail is one member of one rule's score details.
func ranked(t testing.TB, r *Result, rule, member string) string {
	t.Helper()
	var out []string
	for _, h := range r.Hits {
		var details map[string]map[string]any
		if err := json.Unmarshal(h.Details, &details); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s=%.4v", h.ID, details[rule][member]))
	}
	return strings.Join(out, " ")
}

func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s\n got %s\nwant %s", what, got, want)
	}
}
