package meili

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var keyNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestDeriveKey uses a pair seen on a Meilisearch server.
func TestDeriveKey(t *testing.T) {
	const uid, want = "6062abda-a5aa-4414-ac91-ecd7944c0f8d", "0d030b69eea2dde1af6e6b714146c4dc942d4b2725c173e5d132c60aad9782f5"
	if got := DeriveKey("masterKey", uid); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if DeriveKey("", uid) != "" {
		t.Error("a key has no value without a master key")
	}
}

func TestDecodeKeyCreate(t *testing.T) {
	key, err := DecodeKeyCreate([]byte(`{"uid":"6062ABDAA5AA4414AC91ECD7944C0F8D","name":"<n>","actions":["search","*.get"],"indexes":["a","b*"],"expiresAt":"2030-01-01T00:00:00.10+02:00"}`), keyNow)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"<n>","description":null,"key":"0d030b69eea2dde1af6e6b714146c4dc942d4b2725c173e5d132c60aad9782f5","uid":"6062abda-a5aa-4414-ac91-ecd7944c0f8d",` +
		`"actions":["search","*.get"],"indexes":["a","b*"],"expiresAt":"2030-01-01T00:00:00.1+02:00","createdAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}`
	if got := string(key.View("masterKey")); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if key, err = DecodeKeyCreate([]byte(`{"actions":[],"indexes":[],"expiresAt":null}`), keyNow); err != nil || len(key.UID) != 36 {
		t.Error(key, err)
	}
}

func TestDecodeKeyCreateErrors(t *testing.T) {
	f := func(members string, code Code, message string) {
		t.Helper()
		body := `{"actions":["search"],"indexes":["*"],"expiresAt":null`
		if _, err := DecodeKeyCreate([]byte(body+members+"}"), keyNow); err == nil || err.Code != code || !strings.HasPrefix(err.Message, message) {
			t.Errorf("%s: %+v", members, err)
		}
	}
	f(`,"uid":"x"`, CodeInvalidAPIKeyUID, "Invalid value at `.uid`: invalid character: found `x` at 0")
	f(`,"uid":"d85ec69e-18c54-c27-9b6d-1d2b4e2f1c11"`, CodeInvalidAPIKeyUID, "Invalid value at `.uid`: invalid group length in group 1: expected 4, found 5")
	f(`,"uid":"d85ec69e18c54c27"`, CodeInvalidAPIKeyUID, "Invalid value at `.uid`: invalid length: found 16")
	f(`,"uid":"d8-1"`, CodeInvalidAPIKeyUID, "Invalid value at `.uid`: invalid group count: expected 5, found 2")
	f(`,"actions":["documents.ad"]`, CodeInvalidAPIKeyActions, "Unknown value `documents.ad` at `.actions[0]`: did you mean `documents.add`? expected one of `*`, `search`, ")
	f(`,"actions":[1]`, CodeInvalidAPIKeyActions, "Invalid value type at `.actions[0]`: expected a string, but found a positive integer: `1`")
	f(`,"indexes":["a*b"]`, CodeInvalidAPIKeyIndexes, "Invalid value at `.indexes[0]`: `a*b` is not a valid index uid pattern. Index uid patterns can be")
	f(`,"indexes":["a b*"]`, CodeInvalidAPIKeyIndexes, "Invalid value at `.indexes[0]`: `a b` is not a valid index uid pattern. Index uid patterns can be")
	f(`,"expiresAt":"2025-12-31"`, CodeInvalidAPIKeyExpiresAt, "Invalid value at `.expiresAt`: `2025-12-31` is not a valid date. It should follow the RFC 3339 format")
	f(`,"expiresAt":"2030-02-30"`, CodeInvalidAPIKeyExpiresAt, "Invalid value at `.expiresAt`: `2030-02-30` is not a valid date.")
	f(`,"nope":1`, CodeBadRequest, "Unknown field `nope`: expected one of `description`, `name`, `uid`, `actions`, `indexes`, `expiresAt`")
	f(`,"actions":["search","keys.get"],"indexes":["a"]`, CodeIndexScopedAPIKeyWithGlobalAction,
		"cannot create index-scoped API key with global action `\"keys.get\"`\n  - Hint: remove action `\"keys.get\"` from the action list, or remove `indexes` to make the key global")
	for _, missing := range []struct {
		body string
		code Code
	}{
		{`{}`, CodeMissingAPIKeyActions}, {`{"actions":[]}`, CodeMissingAPIKeyIndexes}, {`{"actions":[],"indexes":[]}`, CodeMissingAPIKeyExpiresAt},
	} {
		if _, err := DecodeKeyCreate([]byte(missing.body), keyNow); err == nil || err.Code != missing.code {
			t.Errorf("%s: %v", missing.body, err)
		}
	}
}

func TestExpiryForms(t *testing.T) {
	for text, want := range map[string]bool{
		"2030-01-01": true, "2030-01-01T10:00:00": true, "2030-01-01 10:00:00": true, "2030-01-01T10:00:00Z": true, "2030-01-01x10:00:00.5+01:00": true, "2030-01-01t10:00:00z": true,
		"2030-1-1": false, "2030-01-01T10:00": false, "2030-01-01T1:00:00Z": false, "2030-01-01T10:00:00,5Z": false, "2030-01-01T10:00:00.Z": false, "2030-01-01 10:00:00.5": false, "": false,
	} {
		if _, ok := parseExpiry(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

func TestKeyPatch(t *testing.T) {
	name := "old"
	p, err := DecodeKeyPatch([]byte(`{"description":"new","name":null}`))
	if err != nil {
		t.Fatal(err)
	}
	patched := p.Apply(Key{Name: &name, CreatedAt: keyNow}, keyNow.Add(time.Hour))
	if patched.Name != nil || *patched.Description != "new" || !patched.UpdatedAt.Equal(keyNow.Add(time.Hour)) || name != "old" {
		t.Errorf("%+v", patched)
	}
	f := func(body string, code Code, message string) {
		t.Helper()
		if _, err := DecodeKeyPatch([]byte(body)); err == nil || err.Code != code || err.Message != message {
			t.Errorf("%s: %+v", body, err)
		}
	}
	f(`{"actions":[]}`, CodeImmutableAPIKeyActions, "Immutable field `actions`: expected one of `description`, `name`")
	f(`{"createdAt":1}`, CodeImmutableAPIKeyCreatedAt, "Immutable field `createdAt`: expected one of `description`, `name`")
	f(`{"key":""}`, CodeBadRequest, "Unknown field `key`: expected one of `description`, `name`")
	f(`{"name":1}`, CodeInvalidAPIKeyName, "Invalid value type at `.name`: expected a string, but found a positive integer: `1`")
}

func TestDefaultKeysAndFindKey(t *testing.T) {
	n := 0
	keys := DefaultKeys(keyNow, func() string { n++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) })
	SortKeys(keys)
	var names []string
	for _, k := range keys {
		names = append(names, *k.Name)
	}
	if got := strings.Join(names, ", "); got != "Default Search API Key, Default Admin API Key, Default Read-Only Admin API Key, Default Chat API Key" {
		t.Error(got)
	}
	for _, ref := range []string{"00000000-0000-4000-8000-000000000004", "00000000000040008000000000000004", DeriveKey("mk", keys[0].UID)} {
		if k, err := FindKey(keys, ref, "mk"); err != nil || k.UID != keys[0].UID {
			t.Error(ref, k, err)
		}
	}
	if _, err := FindKey(keys, "nope", "mk"); err == nil || err.Message != "API key `nope` not found." {
		t.Error(err)
	}
}
