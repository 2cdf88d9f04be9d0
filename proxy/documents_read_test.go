package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/fsm"
)

// A list over several nodes is counted, then read. A document that was there throughout is in it whatever is written in
// between, and its total counts what it shows. Red when the parts are read by the numbers of the first count.
func TestDocumentListIsWholeWhileItIsWritten(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll})
	var old, later []string
	for id := range 30 {
		old = append(old, fmt.Sprintf(`{"id":%d}`, id))
		later = append(later, fmt.Sprintf(`{"id":%d}`, 100+id))
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(old, ",")+"]"))
	succeeded(t, c.do("POST", "/indexes/m/documents/delete-batch", `[0,1,2,3,4,5,6,7,8,9]`)) // their places are free
	c.stop()
	var between atomic.Pointer[func()]
	c.options.NodeTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/documents/fetch") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if !bytes.Contains(body, []byte(`"fields":["`)) {
				if write := between.Swap(nil); write != nil {
					(*write)()
				}
			}
		}
		return c.rt.RoundTrip(r)
	})
	c.start()
	writes := []func(){
		func() { succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(later, ",")+"]")) },
		func() { succeeded(t, c.do("POST", "/indexes/m/documents/delete-batch", `[100,101,102,103,104,105]`)) },
	}
	for n, name := range []string{"add", "delete"} {
		between.Store(&writes[n])
		list := c.get("/indexes/m/documents?limit=1000")
		if between.Load() != nil {
			t.Fatalf("%s: nothing was read in a second round", name)
		}
		shown := map[float64]bool{}
		for _, d := range list["results"].([]any) {
			shown[d.(map[string]any)["id"].(float64)] = true
		}
		for id := 10; id < 30; id++ {
			if !shown[float64(id)] {
				t.Errorf("%s: document %d is missing", name, id)
			}
		}
		if total := int(list["total"].(float64)); total != len(shown) || total != len(list["results"].([]any)) {
			t.Errorf("%s: %d documents of %d", name, len(shown), total)
		}
	}
}

// Pages far behind the end are empty, and pages without an end hold all: no sum of the two may overflow.
func TestPagesOfAnySize(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll})
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"sortableAttributes":["n"],"embedders":{"e":{"source":"userProvided","dimensions":2}}}`))
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"n":1,"_vectors":{"e":[1,0]}},{"id":2,"n":2,"_vectors":{"e":[0,1]}},{"id":3,"n":3,"_vectors":{"e":[1,1]}}]`))
	const huge = "9223372036854775807"
	f := func(list, method, path, body string, want int) {
		t.Helper()
		answer := c.call(method, path, body)
		if shown := len(itemsOf(memberOf(answer.Body.Bytes(), list))); answer.Code != 200 || shown != want {
			t.Errorf("%s %s %s: status %d, %d shown, want %d: %s", method, path, body, answer.Code, shown, want, answer.Body)
		}
	}
	for page, rest := range map[string]int{"offset=" + huge + "&limit=" + huge: 0, "offset=1&limit=" + huge: 2, "offset=" + huge: 0} {
		f("results", "GET", "/indexes/m/documents?"+page, "", rest)
		f("results", "GET", "/indexes/m/documents?sort=n:asc&"+page, "", rest)
		f("hits", "GET", "/indexes/m/search?"+page, "", rest)
		f("hits", "GET", "/indexes/m/search?sort=n:asc&"+page, "", rest)
		f("hits", "GET", "/indexes/m/similar?id=3&embedder=e&"+page, "", max(rest-1, 0))
		f("results", "GET", "/indexes?"+page, "", 0)
		body := `{"` + strings.NewReplacer("=", `":`, "&", `,"`).Replace(page) + `}`
		f("results", "POST", "/indexes/m/documents/fetch", body, rest)
		f("hits", "POST", "/multi-search", `{"federation":`+body+`,"queries":[{"indexUid":"m"}]}`, rest)
	}
	f("hits", "GET", "/indexes/m/search?page="+huge+"&hitsPerPage="+huge, "", 0)
	f("hits", "GET", "/indexes/m/search?hitsPerPage="+huge, "", 3)
	f("results", "POST", "/indexes/m/fields", `{"offset":`+huge+`,"limit":`+huge+`}`, 0)
}
