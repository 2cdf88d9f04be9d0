package proxy

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSkipValue: the end of a value is where a decoder finds it.
func FuzzSkipValue(f *testing.F) {
	for _, text := range []string{
		`"a\"b"`, `"\\"`, `"\\\"",1`, `"1234567\"90"`, `"éèü⸰⸱\\"`, `["a\\",{"b":"]}"}],"x"`, `{"a":[1,2,"\\\\\""]} `, `12 `, `null,`, `"`, `"\`, `"12345678\`, `[`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := skipValue(text, 0)
		if got < 0 || got > len(text) {
			t.Fatalf("skipValue(%q) is %d", text, got)
		}
		var value json.RawMessage
		decoder := json.NewDecoder(bytes.NewReader(text))
		if len(text) == 0 || skipSpace(text, 0) != 0 || decoder.Decode(&value) != nil {
			return
		}
		if want := len(value); got != want && !(text[0] != '"' && text[0] != '{' && text[0] != '[' && got > want) { // numbers may run into garbage
			t.Fatalf("skipValue(%q) is %d, want %d", text, got, want)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	body := bytes.Repeat([]byte(`{"id":4726206,"name":"San Antonio","country":"United States","languages":["English"],"population":1434625,`+
		`"description":"San Antonio is a city in Texas, United States. About 1.4 million people live there, 198 metres above the sea.",`+
		`"other_names":["SAT","San Antonijus","Сан Антонио","Սան Անտոնիո","סאן אנטאניא","سان آنتونیو"],"_miroir_shard":"⸰⸱⸲"},`), 30)
	body = append(append([]byte(`{"hits":[`), bytes.TrimSuffix(body, []byte(","))...), `],"query":"san","facetDistribution":{"a":{"b":1}}}`...)
	b.Run("plausible", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			plausible("/indexes/a/search", body)
		}
	})
	b.Run("strip", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		copied := make([]byte, len(body))
		for b.Loop() {
			stripOwn(copied[:copy(copied, body)], searchShape)
		}
	})
}
