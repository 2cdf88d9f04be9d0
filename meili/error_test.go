package meili

import (
	"encoding/json"
	"testing"
)

func TestErrorBody(t *testing.T) {
	for _, c := range []struct {
		code   Code
		kind   string
		status int
	}{
		{CodeInvalidSearchQ, "invalid_request", 400},
		{CodeIndexNotFound, "invalid_request", 404},
		{CodeInvalidAPIKey, "auth", 403},
		{CodeMissingMasterKey, "auth", 401},
		{CodeIndexAlreadyExists, "invalid_request", 409},
		{CodeTooManySearchRequests, "system", 503},
		{CodeRequiresEnterpriseEdition, "invalid_request", 451},
		{CodeUnretrievableDocument, "internal", 400},
		{Code("invalid_s_3_snapshot_request"), "internal", 400},
	} {
		e := Errorf(c.code, "100%% of %s", "it")
		if e.Message != "100% of it" || e.Type != c.kind || e.Status != c.status || e.Link != "https://docs.meilisearch.com/errors#"+string(c.code) {
			t.Errorf("%s: %+v", c.code, e)
		}
	}
}

func TestErrorIsPrintedInOrderAndCopied(t *testing.T) {
	e := IndexNotFound("m")
	prefixed := e.WithPrefix("Inside `.queries[1]`: ").WithStatus(400)
	if e.Status != 404 || prefixed.Status != 400 || prefixed.Message != "Inside `.queries[1]`: Index `m` not found." {
		t.Fatalf("%+v %+v", e, prefixed)
	}
	text, err := json.Marshal(e)
	want := "{\"message\":\"Index `m` not found.\",\"code\":\"index_not_found\",\"type\":\"invalid_request\",\"link\":\"https://docs.meilisearch.com/errors#index_not_found\"}"
	if err != nil || string(text) != want {
		t.Fatalf("%s %v", text, err)
	}
}

func TestIOErrorExplainsItself(t *testing.T) {
	want := "disk. This error generally happens when you have no space left on device or when your database doesn't have read or write right."
	if got := Errorf(CodeIOError, "disk").Message; got != want {
		t.Fatal(got)
	}
}
