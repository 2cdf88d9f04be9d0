package proxy

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"miroir/fsm"
)

func TestRequestsAreCounted(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1, spread: fsm.SpreadAuto})
	for range 3 {
		c.call("GET", "/indexes", "")
	}
	for _, method := range []string{"BREW", "STEEP"} {
		c.server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/tea", nil))
	}
	var out bytes.Buffer
	c.server.opts.Metrics.WritePrometheus(&out)
	for _, want := range []string{
		`miroir_requests_total{method="GET",path_template="/indexes",status="200"} 3`,
		`miroir_request_duration_seconds_count{method="GET",path_template="/indexes",status="200"} 3`,
		`miroir_requests_total{method="other",path_template="unmatched",status="404"} 2`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// Long answers say how long they are: in chunks, their end would be a write of its own.
func TestAnswersSayTheirLength(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1, spread: fsm.SpreadAuto})
	server := httptest.NewServer(c.server)
	t.Cleanup(server.Close)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"text":"`+strings.Repeat("long ", 5000)+`"}]`))
	request := httptest.NewRequest("POST", server.URL+"/indexes/m/search", strings.NewReader(`{}`))
	request.RequestURI = ""
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || answer.ContentLength < 25_000 || len(answer.TransferEncoding) > 0 {
		t.Errorf("status %d, length %d, transfer encoding %v", answer.StatusCode, answer.ContentLength, answer.TransferEncoding)
	}
}
