package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// A function gives documents anew, without the hidden fields that it does not see either. Topology: parts with two copies each, so that
// reads filter by shard. Red when documents lose their shards: they are on their nodes, and nobody finds them.
func TestEditsThatGiveDocumentsAnewKeepThem(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	var documents []string
	for n := range 12 {
		documents = append(documents, fmt.Sprintf(`{"id":%[1]d,"n":%[1]d}`, n+1))
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc = #{id: doc.id, k: \"_miroir_shard\" in doc}"}`))
	found := c.get("/indexes/m/documents?limit=100")["results"].([]any)
	if len(found) != 12 {
		t.Errorf("%d documents are found", len(found))
	}
	for _, document := range found {
		if got := document.(map[string]any); len(got) != 2 || got["k"] != false {
			t.Errorf("%v", got)
		}
	}
}

func TestFunctionsThatCanBeWrapped(t *testing.T) {
	f := func(function, want string) {
		t.Helper()
		e := newEditFunction(function)
		got := ""
		if e.wrappable {
			got = e.text[e.at:]
			got = got[:strings.Index(got, "\n;if type_of(doc)")]
		}
		if got != want {
			t.Errorf("%s:\n got %q\nwant %q", function, got, want)
		}
	}
	asIs := func(function string) { f(function, function) }
	asIs("doc.a = 1 // return")
	asIs("doc.a = 1 /* return /* exit */ return */")
	asIs(`doc.a = "return \" exit"`)
	asIs("doc.a = `return ``x`` ${doc.b + \"}\"} exit`")
	asIs(`doc.a = '"'; doc.b = ##"exit"# "##; doc.c = #{return_: 1}`)
	asIs("fn f(x) { if x { return 1 } for y in 0..2 { return y } } doc.a = f(2)")
	asIs("doc.a = doc.a.map(|x| x + 1)")
	f("if doc.a { return; } doc.b = 1", "if doc.a { break ; } doc.b = 1\n;break;}")
	f("if doc.a || doc[0] | x { return 5 }", "if doc.a || doc[0] | x { break  5 }\n;break;}")
	f("if doc.a > 1 { return } fn f() {}", "")
	f("for x in doc.a { return }", "")
	f("let f = |x| x; return", "")
	f("let f = || x; return", "")
	f("doc.a = `${ return }`; while true {}", "")
	f("exit()", "")
	f("fn f() { exit(1) }", "")
}

func TestFunctionsThatMayLoseHiddenFields(t *testing.T) {
	for function, want := range map[string]bool{
		"doc = #{id: doc.id}": false, "for x in doc.a { return; } doc.b = 1": false, "for x in doc.a { return; } doc.b == 1": false,
		"for x in doc.a { return; } doc = #{id: doc.id}": true, "if doc.a { exit() } doc.clear()": true,
		"for x in doc.a { doc = (); return; }": false, "for x in doc.a { doc=( ) ; return; }": false, "for x in doc.a { doc = (x); return; }": true,
	} {
		if got := newEditFunction(function).mayLoseHidden(); got != want {
			t.Errorf("%s: %t", function, got)
		}
	}
}

func FuzzEditFunction(f *testing.F) {
	f.Add("fn f() { return } /* ` */ doc.a = `${#\"x\"#}` | 'c'")
	f.Fuzz(func(t *testing.T, function string) {
		if e := newEditFunction(function); e.wrappable && len(e.text)-e.at < len(function) {
			t.Errorf("something is lost of %q: %q", function, e.text)
		}
	})
}
