package edit

import (
	"errors"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const doc = `{"id":1,"title":"Carol","year":2015,"rating":7.5,"tags":["a","b"],"sub":{"n":1},"none":null}`
	f := func(function, want string) {
		t.Helper()
		compiled, err := Compile(function)
		if err != nil {
			t.Errorf("%s: %v", function, err)
			return
		}
		got, err := compiled.Run([]byte(doc), []byte(`{"by":10,"list":[1]}`))
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", function, got, want)
		}
	}
	const rest = `"rating":7.5,"sub":{"n":1},"tags":["a","b"],`
	f(``, `{"id":1,"none":null,`+rest+`"title":"Carol","year":2015}`)
	f(`doc.title = doc.title.to_upper()`, `{"id":1,"none":null,`+rest+`"title":"CAROL","year":2015}`)
	f(`doc.year += context.by; doc.title = "x";`, `{"id":1,"none":null,`+rest+`"title":"x","year":2025}`)
	f(`if doc.year > 2000 && doc.title != "" { doc.year = 1 } else { doc.year = 2 }`, `{"id":1,"none":null,`+rest+`"title":"Carol","year":1}`)
	f(`if doc.year < 5 { doc.a = 1 } else if "b" in doc.tags { doc.year = -3 } doc.remove("title")`, `{"id":1,"none":null,`+rest+`"year":-3}`)
	f(`let x = doc.year * 2 + 1; doc = #{id: doc.id, "x y": x, list: [x / 2, 1.5]}`, `{"id":1,"list":[2015,1.5],"x y":4031}`)
	f(`doc.tags.push("c"); doc = #{id: doc.tags}`, `{"id":["a","b","c"]}`)
	f(`doc.sub.n -= 1; doc["sub"]["m"] = doc.tags[-1] + 1; doc = doc.sub`, `{"m":"b1","n":0}`)
	f(`doc = ()`, ``)
	f(`doc = 5`, ErrNotObject.Error())
	f(`doc.title += nope`, `Variable not found: nope`)
	f(`context.by = 1; context = 2`, `Cannot modify constant: context`)
	f(`doc.year = doc.title * 2`, `Function not found: * (string, i64)`)
	f(`if doc.year { }`, `Data type incorrect: i64 (expecting bool)`)
	f(`doc = #{id: type_of(doc.tags), a: type_of(()), b: parse_float("1.5") + 1}`, `{"a":"()","b":2.5,"id":"array"}`)
	f(`if doc.year > 1 { throw "too " + doc.year; } doc = ()`, `Runtime error: too 2015`)
	f(`doc.year = parse_float("x")`, `Function not found: parse_float`)
	f(`doc.year = 1 / 0`, `Function not found: / (i64, i64)`)
}

func TestFunctionsThatDoNotCompile(t *testing.T) {
	for function, want := range map[string]string{
		`doc.year = 1 +`:         "Script is incomplete (line 1, position 15)",
		"doc.a = 1;\nfor x":      "The embedded node does not support `for` in functions (line 2, position 1)",
		`doc.a.split(" ")`:       "The embedded node does not support `split` in functions (line 1, position 7)",
		`doc.a = "x`:             "Open string is not terminated (line 1, position 9)",
		`5 = doc.a`:              "Expression cannot be assigned to (line 1, position 3)",
		`doc.a = 1 doc.b = 2`:    "The embedded node does not support `doc` in functions (line 1, position 11)",
		`doc.a = ~1`:             "Unexpected '~' (line 1, position 9)",
		`if true { doc.a = 1`:    "Script is incomplete (line 1, position 20)",
		strings.Repeat("(", 1e6): "Expression exceeds maximum complexity (line 1, position 65)",
	} {
		if _, err := Compile(function); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", function, err, want)
		}
	}
}

func TestErrorsAreKnown(t *testing.T) {
	f, err := Compile(`doc = []`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Run([]byte(`{}`), nil); !errors.Is(err, ErrNotObject) {
		t.Errorf("%v", err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`let x = #{a: [1, "b"]}; if !(x.a[0] == 1) { doc.b -= 2.5 } else { doc = () }`)
	f.Fuzz(func(t *testing.T, source string) {
		compiled, err := Compile(source)
		if err == nil {
			compiled.Run([]byte(`{"a":1,"b":"x"}`), nil)
		}
	})
}
