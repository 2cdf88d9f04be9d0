package meili

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDocumentIDRecorded(t *testing.T) {
	for _, c := range loadRecorded[struct {
		PrimaryKey, Document string
		recorded
	}](t, "ids.json") {
		t.Run(c.PrimaryKey+" "+c.Document, func(t *testing.T) {
			_, err := DocumentID([]byte(c.Document), c.PrimaryKey)
			c.check(t, err)
		})
	}
}

func TestDocumentID(t *testing.T) {
	f := func(doc, primaryKey, want string) {
		t.Helper()
		id, err := DocumentID([]byte(doc), primaryKey)
		if err != nil || id != want {
			t.Errorf("%s: %q, %v", doc, id, err)
		}
	}
	f(`{"id":1}`, "id", "1")
	f(`{"id":"1"}`, "id", "1")
	f(`{"id":"\u0061-_Z9"}`, "id", "a-_Z9")
	f(`{"x":0,"a":{"b":{"c":-7}}}`, "a.b.c", "-7")
	f(`{"a.b":{"c":"k"}}`, "a.b.c", "k")
	longest := strings.Repeat("x", 511)
	f(`{"id":"`+longest+`"}`, "id", longest)
	if _, err := DocumentID([]byte(`{"id":"`+longest+`x"}`), "id"); err == nil || err.Code != CodeInvalidDocumentID {
		t.Error(err)
	}
}

func TestInferPrimaryKey(t *testing.T) {
	f := func(doc, want, message string) {
		t.Helper()
		key, err := InferPrimaryKey([]byte(doc))
		if key != want || errorMessage(err) != message {
			t.Errorf("%s: %q, %q", doc, key, errorMessage(err))
		}
	}
	const hint = " Please specify the primary key manually using the `primaryKey` query parameter."
	f(`{"t":1,"productID":1}`, "productID", "")
	f(`{"t":1,"x":{"id":1},"idx":1}`, "", "The primary key inference failed as the engine did not find any field ending with `id` in its name."+hint)
	f(`{"movie_id":1,"id":1,"Aid":2}`, "", "The primary key inference failed as the engine found 3 fields ending with `id` in their names: 'Aid' and 'id'."+hint)
}

func TestCheckDocumentRecorded(t *testing.T) {
	settings := &Settings{}
	err := json.Unmarshal([]byte(`{"embedders":{"e":{"source":"userProvided","dimensions":2},"f":{"source":"userProvided","dimensions":3}},
		"sortableAttributes":["_geo"],"filterableAttributes":["_geojson"]}`), settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range loadRecorded[struct {
		Document json.RawMessage
		recorded
	}](t, "documents.json") {
		doc := compactJSON(t, c.Document)
		t.Run(string(doc), func(t *testing.T) {
			id, err := DocumentID(doc, "id")
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, CheckDocument(doc, id, "v", settings))
		})
	}
}

func compactJSON(t *testing.T, raw json.RawMessage) []byte {
	v, err := ParseJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v.Raw()
}

func TestCheckDocumentWithoutSettings(t *testing.T) {
	f := func(doc string, s *Settings, code Code) {
		t.Helper()
		err := CheckDocument([]byte(doc), "1", "", s)
		if err == nil && code != "" || err != nil && err.Code != code {
			t.Errorf("%s: %v", doc, err)
		}
	}
	f(`{"id":1,"_geo":5,"_geojson":5,"_vectors":{"e":[1]}}`, nil, "")
	f(`{"id":1,"_vectors":{"e":1}}`, nil, CodeInvalidVectorsType)
	f(`{"id":1,"_vectors":null}`, nil, CodeInternal)
	patterns := &Settings{FilterableAttributes: SetTo([]FilterableRule{{Patterns: []string{"_geo"}, Equality: true}})}
	f(`{"id":1,"_geo":5}`, patterns, "") // only the plain attribute switches geographic filters on
	geo := &Settings{FilterableAttributes: SetTo([]FilterableRule{LegacyRule("_geo")})}
	f(`{"id":1,"_geo":5}`, geo, CodeInvalidDocumentGeoField)
	f(`{"id":1,"_geo":5,"_vectors":{"e":1}}`, geo, CodeInvalidVectorsType) // vectors are looked at first
}

func TestCheckValues(t *testing.T) {
	deep := strings.Repeat("[", 128) + strings.Repeat("]", 128)
	f := func(doc, want string) {
		t.Helper()
		got := ""
		if err := CheckValues([]byte(doc), "m"); err != nil {
			got = err.Message
			if err.Code != CodeInternal {
				t.Errorf("%s: code %s", doc, err.Code)
			}
		}
		if want != "" {
			want = "Index `m`: internal: " + want + "."
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", doc, got, want)
		}
	}
	f(`{"id":1,"t":"\ud83d"}`, "unexpected end of hex escape at line 1 column 8")
	f(`{"id":1,"t":{"a":["\uDC00"]}}`, "lone leading surrogate in hex escape at line 1 column 13")
	f(`{"id":1,"t":"\ud83d\ude00 \\ud83d 1e999","n":[1e3,-2E-5,"e"]}`, "")
	f(`{"id":1,"n":1e400}`, "number out of range at line 1 column 5")
	f(`{"id":1,"n":[1`+strings.Repeat("0", 310)+`]}`, "number out of range at line 1 column 312")
	f(`{"id":1,"n":`+deep+`}`, "recursion limit exceeded at line 1 column 128")
	f(`{"id":1,"n":`+deep[1:len(deep)-1]+`}`, "")
	f(`{"id":1,"_vectors":{"e":1e400}}`, "") // which CheckDocument looks at
}
