package engine

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokenize(t *testing.T) {
	kinds := map[tokenKind]string{wordToken: "w", stopWordToken: "x", softSeparator: "-", hardSeparator: "="}
	f := func(tok *tokenizer, text, want string) {
		t.Helper()
		var out []string
		rebuilt := ""
		for _, token := range tok.tokenize(text, true) {
			out = append(out, kinds[token.kind]+token.lemma)
			rebuilt += text[token.byteStart:token.byteEnd]
		}
		expect(t, text, strings.Join(out, "|"), want)
		expect(t, "tokens cover the text", rebuilt, text)
	}
	f(defaultTokenizer, "The quick (\"brown\") fox can’t jump, right? 3.14", `wthe|- |wquick|- |-(|-"|wbrown|-"|-)|- |wfox|- |wcan|-'|wt|- |wjump|=, |wright|=?|- |w3|-.|w14`)
	f(defaultTokenizer, "kebab-case snake_case a+b c++", "wkebab|--|wcase|- |wsnake|-_|wcase|- |wa|-+|wb|- |wc|-+|-+")
	f(defaultTokenizer, "Café ÅNGSTRÖM œuvre Đà", "wcafe|- |wangstrom|- |woeuvre|- |wda")
	f(defaultTokenizer, "Привет мир", "wпривет|- |wмир")
	f(newTokenizer([]string{"the"}, []string{"<br>", "="}, []string{"-"}, []string{"J. R."}), "the The J. R.<br>a-b=c", "xthe|- |wthe|- |wj. r.|-<br>|wa-b|-=|wc")
}

func TestPositions(t *testing.T) {
	f := func(document, want string) {
		t.Helper()
		ix := newIndex(t, "", document)
		var out []string
		for _, w := range ix.state.docs[0].words {
			if name := ix.state.fields.names[w.field]; name != "id" {
				out = append(out, fmt.Sprintf("%s:%s:%d", name, ix.state.words.words[w.word], w.position))
			}
		}
		expect(t, document, strings.Join(out, " "), want)
	}
	f(`{"id": 0, "t": "one two. three, four-five"}`, "t:one:0 t:two:1 t:three:9 t:four:17 t:five:18")
	f(`{"id": 0, "t": ["a", "b c", "d"]}`, "t:a:0 t:b:8 t:c:9 t:d:17")
	f(`{"id": 0, "t": [{"x": "a", "y": 1}, {"x": "b"}]}`, "t.x:a:0 t.y:1:0 t.x:b:8")
	f(`{"id": 0, "t": {"x": ["a", "b"]}, "n": null, "b": true}`, "t.x:a:8 t.x:b:16 b:true:0") // a nested array itself takes a place
	f(`{"id": 0, "t": "  - first", "_geo": {"lat": 1, "lng": 2}}`, "t:first:0")
}

func TestBucketPosition(t *testing.T) {
	for position, want := range map[uint16]uint16{0: 0, 15: 15, 16: 24, 23: 24, 24: 32, 32: 32, 33: 64, 1000: 1024, 65535: 65535} {
		if got := bucketPosition(position); got != want {
			t.Errorf("bucketPosition(%d) = %d, want %d", position, got, want)
		}
	}
}

func TestNormalizeFacet(t *testing.T) {
	expect(t, "accents stay, case does not", normalizeFacet("  ÉLAN Vital "), decompose("élan vital"))
	expect(t, "truncated at a character", fmt.Sprint(len(truncateFacet(strings.Repeat("é", 300)))), "478")
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "-7": "-7", "18446744073709551615": "18446744073709551615", "18446744073709551616": "1.8446744073709552e+19",
		"1.0": "1.0", "1e2": "100.0", "1e16": "1e+16", "1.5e-7": "1.5e-7", "-0": "-0.0", "9.209401551765723": "9.209401551765724",
	} {
		if got := parseJSON([]byte(text)).text; got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
