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
