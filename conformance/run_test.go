package conformance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `{"name":"example","steps":[
{"id":"0","request":{"method":"POST","path":"/x","body":{"b":1,"a":"<&>"}},"wait":true,"capture":{"uid":"list.1.uid"},
 "expect":{"status":202,"body":{"taskUid":7,"list":[0,{"uid":"u7"}]},"task":{"status":"failed","error":{"message":"other words","code":"c","type":"t"}}}},
{"id":"1","request":{"method":"GET","path":"/${uid}?x=${unknown}","auth":"none"},"expect":{"status":404,"body":{"message":"gone","code":"c","type":"t"},"headers":{"X-A":"b"}}},
{"id":"2","request":{"method":"POST","path":"/raw","raw":"{","contentType":"text/plain","auth":"key ${uid}"},"expect":{"status":200,"body":null}}
]}`

// recorded answers the example and notes what it was asked.
type recorded struct{ asked []string }

func (s *recorded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, max(0, r.ContentLength))
	r.Body.Read(body)
	s.asked = append(s.asked, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Authorization"), " ", r.Header.Get("Content-Type"), " ", string(body)))
	switch r.URL.Path {
	case "/x":
		w.WriteHeader(202)
		fmt.Fprint(w, `{"taskUid":7,"list":[0,{"uid":"u7"}]}`)
	case "/tasks/7":
		fmt.Fprint(w, `{"status":"failed","error":{"message":"words","code":"c","type":"t"}}`)
	case "/u7":
		w.Header().Set("X-A", "b")
		w.WriteHeader(404)
		fmt.Fprint(w, `{"message":"missing","code":"c","type":"t"}`)
	}
}

func TestRunSendsAndCompares(t *testing.T) {
	path := filepath.Join(t.TempDir(), "example.json")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	server := &recorded{}
	results := Run(t.Context(), Options{Transport: Handler(server), Key: "master"}, c)
	for _, r := range results {
		if !r.OK() {
			t.Errorf("step %s: %q", r.Step, r.Differences)
		}
	}
	if len(results) != 3 || len(results[0].Messages) != 1 || len(results[1].Messages) != 1 {
		t.Errorf("results: %+v", results)
	}
	want := []string{
		`POST http://node/x Bearer master application/json {"b":1,"a":"<&>"}`,
		"GET http://node/tasks/7 Bearer master  ",
		"GET http://node/u7?x=${unknown}   ",
		"POST http://node/raw Bearer key u7 text/plain {",
	}
	if got := strings.Join(server.asked, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("asked:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}
