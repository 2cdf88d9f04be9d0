package meili

import (
	"encoding/json"
	"os"
	"testing"
)

// recorded is what a Meilisearch v1.50.0 server answered to one request; Code is empty where it accepted it.
type recorded struct {
	Code    Code
	Message string
}

// check compares an error of ours with the recorded one.
func (r recorded) check(t *testing.T, err *Error) {
	t.Helper()
	got := recorded{}
	if err != nil {
		got = recorded{err.Code, err.Message}
	}
	if got != r {
		t.Errorf("\n got %q\nwant %q", got, r)
	}
}

// loadRecorded reads a file of testdata that holds a list of cases.
func loadRecorded[T any](t testing.TB, name string) []T {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}
