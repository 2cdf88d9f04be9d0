package meili

import (
	"strings"
	"testing"
)

func TestMalformedJSON(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseJSON([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	f(" ", "EOF while parsing a value at line 1 column 1")
	f("\n\n", "EOF while parsing a value at line 3 column 0")
	f("{", "EOF while parsing an object at line 1 column 1")
	f("[1", "EOF while parsing a list at line 1 column 2")
	f(`{"a`, "EOF while parsing a string at line 1 column 3")
	f("nul", "EOF while parsing a value at line 1 column 3")
	f("{\n\"a\":\ttru}", "expected ident at line 2 column 9")
	f("'a'", "expected value at line 1 column 1")
	f("[1,]", "trailing comma at line 1 column 4")
	f(`{"a":1,}`, "trailing comma at line 1 column 8")
	f("[1 2]", "expected `,` or `]` at line 1 column 4")
	f(`{"a":1 "b":2}`, "expected `,` or `}` at line 1 column 8")
	f(`{"a"}`, "expected `:` at line 1 column 5")
	f(`{a:1}`, "key must be a string at line 1 column 2")
	f("1 2", "trailing characters at line 1 column 3")
	f("01", "invalid number at line 1 column 2")
	f("1.", "EOF while parsing a value at line 1 column 2")
	f("1.x", "invalid number at line 1 column 3")
	f("-", "EOF while parsing a value at line 1 column 1")
	f("-a", "invalid number at line 1 column 2")
	f("1e999", "number out of range at line 1 column 5")
	f(`"\x"`, "invalid escape at line 1 column 3")
	f(`"\u12"`, "EOF while parsing a string at line 1 column 6")
	f(`"\udc00"`, "lone leading surrogate in hex escape at line 1 column 7")
	f(`"\ud800"`, "unexpected end of hex escape at line 1 column 8")
	f("\"\x01\"", "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 2")
	f("\"\xff\"", "invalid unicode code point at line 1 column 3")
	f(strings.Repeat("[", 128), "recursion limit exceeded at line 1 column 128")
}

func TestJSONIsPrintedAsSerdeDoes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		v, err := ParseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.JSON(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	f(` { "b" : [ 1 , -2 , null ] , "a" : true } `, `{"b":[1,-2,null],"a":true}`)
	f(`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`)
	f("[18446744073709551615,18446744073709551616,-9223372036854775809]", "[18446744073709551615,1.8446744073709552e+19,-9.223372036854776e+18]")
	f("[1.0,-0,1e3,1e15,1e16,1e20,0.00001,0.000001,1.5e-9]", "[1.0,-0.0,1000.0,1000000000000000.0,1e+16,1e+20,0.00001,1e-6,1.5e-9]")
	f(`"<é\u0001\n\"\ud83d\ude00\/"`, `"<é\u0001\n\"😀/"`)
}

func TestRawKeepsTheSpelling(t *testing.T) {
	v, err := ParseJSON([]byte(` {"a" : 1.50 , "b":"\u00e9"} `))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(v.Raw()); got != `{"a":1.50,"b":"\u00e9"}` {
		t.Fatal(got)
	}
	if got := v.Member("b"); got == nil || got.Text != "é" || v.Member("c") != nil {
		t.Fatal(got)
	}
}

func TestManyMembersAreStillUnique(t *testing.T) {
	var text strings.Builder
	text.WriteString("{")
	for i := range 100 {
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString(`"` + strings.Repeat("k", i%50+1) + `":1`)
	}
	v, err := ParseJSON([]byte(text.String() + "}"))
	if err != nil || len(v.Members) != 50 {
		t.Fatal(len(v.Members), err)
	}
}
