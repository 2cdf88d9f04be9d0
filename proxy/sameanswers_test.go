package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// exchangeStep is one request of a conversation, and the status a server of Meilisearch v1.50 answers it with.
type exchangeStep struct {
	method, path, body string
	status             int
}

// againstOneServer runs a comparison over embedded nodes and, where there is a program, over real ones.
func againstOneServer(t *testing.T, compare func(t *testing.T, rt http.RoundTripper, addresses []string)) {
	t.Run("embedded", func(t *testing.T) {
		nodes := map[string]*devnode.Node{"a": devnode.New(devnode.Options{MasterKey: testMasterKey}), "b": devnode.New(devnode.Options{MasterKey: testMasterKey})}
		for _, n := range nodes {
			t.Cleanup(n.Close)
		}
		compare(t, devnode.Transport(nodes), []string{"http://a", "http://b"})
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 2)
		compare(t, rt, addresses)
	})
}

// sameAnswers holds a conversation with the second server directly, and with Miroir over the first, which it returns.
func sameAnswers(t *testing.T, rt http.RoundTripper, addresses []string, steps []exchangeStep) *writeCluster {
	t.Helper()
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto}, rt, addresses[:1])
	for _, step := range steps {
		want := askServer(t, rt, step.method, addresses[1]+step.path, step.body)
		got := c.call(step.method, step.path, step.body)
		if got.Code != step.status || want.status != step.status || steady(got.Body.String()) != steady(want.body) {
			if !sameFeatures(step, got.Body.Bytes()) {
				t.Errorf("%s %s %s\ngot  %d %s\nwant %d %s", step.method, step.path, step.body, got.Code, got.Body, want.status, want.body)
			}
		}
		if step.status == http.StatusAccepted {
			sameTask(t, c, rt, addresses[1], got.Body.Bytes())
		}
	}
	return c
}

// sameTask waits for a task of both, which begin with the same number, and compares them.
func sameTask(t *testing.T, c *writeCluster, rt http.RoundTripper, address string, summary []byte) {
	t.Helper()
	if got, want := finishedTasks(t, c, rt, address, summary); steady(got) != steady(want) {
		t.Errorf("task\ngot  %s\nwant %s", got, want)
	}
}

// finishedTasks waits for a task on both servers.
func finishedTasks(t *testing.T, c *writeCluster, rt http.RoundTripper, address string, summary []byte) (got, want string) {
	t.Helper()
	path := "/tasks/" + string(memberOf(summary, "taskUid"))
	finished := func(task string) bool { return !strings.Contains(task, `"finishedAt":null`) }
	got = `"finishedAt":null`
	for deadline := time.Now().Add(patience); !finished(got) || !finished(want); {
		if got, want = c.call("GET", path, "").Body.String(), askServer(t, rt, "GET", address+path, "").body; time.Now().After(deadline) {
			t.Fatalf("not finished: %s, %s", got, want)
		}
	}
	return got, want
}

// changing is what two servers do not agree on: versions made of the time, times of the last years, durations.
var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|"202[5-9]-[0-9T:.-]+Z"|"PT[0-9.]+S"|"processingTimeMs":[0-9]+`)

func steady(body string) string { return changing.ReplaceAllString(strings.TrimSpace(body), "<now>") }

// sameFeatures excuses the answer that shows features: Miroir keeps network, which it uses, to itself.
func sameFeatures(s exchangeStep, got []byte) bool {
	var asked, features map[string]bool
	if s.path != "/experimental-features" || json.Unmarshal([]byte(s.body), &asked) != nil || json.Unmarshal(got, &features) != nil {
		return false
	}
	for name, on := range asked {
		if features[name] != on {
			return false
		}
	}
	return true
}

type plainAnswer struct {
	status int
	body   string
}

// askServer sends one request to a server as its master.
func askServer(t *testing.T, rt http.RoundTripper, method, url, body string) plainAnswer {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := rt.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return plainAnswer{answer.StatusCode, string(text)}
}
