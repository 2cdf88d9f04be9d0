package meili

import "testing"

// Messages as Meilisearch v1.50 gives them.
func TestSerdeStruct(t *testing.T) {
	s := SerdeStruct{Name: "Request", NumFields: 30, Fields: []SerdeField{
		{Name: "messages", Required: true, Expected: "a sequence", Kinds: []Kind{KindArray}, Tag: &SerdeTag{"Message", "role", []string{"system", "user"}}},
		{Name: "model", Required: true, Expected: "a string", Kinds: []Kind{KindString}},
		{Name: "n", Expected: "u8", Kinds: []Kind{KindUint}},
		{Name: "tools", Expected: "a sequence", Kinds: []Kind{KindArray}},
	}}
	f := func(body, want string) {
		t.Helper()
		got := ""
		if refused := s.Check([]byte(body)); refused != nil {
			got = refused.Message
		}
		if want != "" {
			want = "Json deserialize error: " + want
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	f(`{"model":"m","messages":[{"role":"user","content":"x"}],"n":null,"other":3}`, "")
	f(`"x"`, "invalid type: string \"x\", expected struct Request at line 1 column 3")
	f(`1.5`, "invalid type: floating point `1.5`, expected struct Request at line 1 column 3")
	f(`null`, "invalid type: null, expected struct Request at line 1 column 4")
	f(`[]`, "invalid length 0, expected struct Request with 30 elements at line 1 column 2")
	f(`[1,2]`, "invalid type: integer `1`, expected a sequence at line 1 column 2")
	f(`[[],2]`, "invalid type: integer `2`, expected a string at line 1 column 5")
	f("\n\t{\"n\":1,\"stream\":null}", "missing field `messages` at line 2 column 22")
	f(`{"messages": 3, "model": "x"}`, "invalid type: integer `3`, expected a sequence at line 1 column 14")
	f(`{"messages": [], "model": 3}`, "invalid type: integer `3`, expected a string at line 1 column 27")
	f(`{"messages": [3], "model": "m"}`, "invalid type: integer `3`, expected internally tagged enum Message at line 1 column 15")
	f(`{"messages": [{"role": "x"}], "model": "m"}`, "unknown variant `x`, expected one of `system`, `user` at line 1 column 26")
	f(`{"messages": [], "model": "m", "n": "x"}`, "invalid type: string \"x\", expected u8 at line 1 column 39")
	f(`{"messages": [], "model": "m", "tools": {}}`, "invalid type: map, expected a sequence at line 1 column 40")
}
