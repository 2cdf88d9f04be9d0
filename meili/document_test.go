package meili

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestDocumentFields(t *testing.T) {
	doc := []byte(` { "a" : [1, {"b":"}"}] ,"\u0062":"x\"y", "c.d":null,"e":{},"f":-1.5e3 } `)
	var got []string
	for name, value := range Fields(doc) {
		got = append(got, string(name)+"="+string(value))
	}
	want := []string{"a=[1, {\"b\":\"}\"}]", `b="x\"y"`, "c.d=null", "e={}", "f=-1.5e3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for range Fields([]byte(`[{"a":1}]`)) {
		t.Error("an array has no fields")
	}
}

func TestDocumentStripAppendGet(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(Strip([]byte(`{"a":1,"b":2,"c":3}`), "b"), `{"a":1,"c":3}`)
	f(Strip([]byte(`{"b":2}`), "b"), `{}`)
	f(Strip([]byte(`{ "x":1 }`), "b"), `{ "x":1 }`)
	f(Strip([]byte(`{"\u0062":2,"d":4}`), "b"), `{"d":4}`)
	f(Append([]byte(`{}`), "s", []byte(`1`)), `{"s":1}`)
	f(Append([]byte(`{ "a": 1 } `), `q"`, []byte(`"x"`)), `{ "a": 1,"q\"":"x"}`)
	value, ok := Get([]byte(`{"a.b":1,"a":{"b":2}}`), "a.b")
	if !ok {
		t.Error("not found")
	}
	f(value, "1")
	value, _ = GetPath([]byte(`{"a":{"b.c":{"d":[7]}}}`), "a.b.c.d")
	f(value, "[7]")
	if _, ok := GetPath([]byte(`{"a":1}`), "a.b"); ok {
		t.Error("found a field inside a number")
	}
}

// FuzzDocument appends, reads back and strips a field of any object.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"a":1, "b":[{"c":"\"}"}]}`), "s")
	f.Fuzz(func(t *testing.T, doc []byte, field string) {
		var members map[string]json.RawMessage
		if json.Unmarshal(doc, &members) != nil || members == nil {
			return
		}
		stripped := Strip(doc, field)
		appended := Append(stripped, field, []byte(`[1]`))
		if !json.Valid(stripped) || !json.Valid(appended) {
			t.Fatalf("%s, %s", stripped, appended)
		}
		key := string(unquote(AppendString(nil, field)))
		if value, ok := Get(appended, key); !ok || string(value) != "[1]" {
			t.Fatalf("%s in %s", value, appended)
		}
		if _, ok := Get(stripped, field); ok {
			t.Fatalf("%q is still in %s", field, stripped)
		}
	})
}
