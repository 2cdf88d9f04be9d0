package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// chatRequests is a conversation about workspaces, each with the status a server of Meilisearch v1.50 gives.
var chatRequests = []struct {
	method, path, body string
	status             int
}{
	{"PATCH", "/chats/a/settings", `{}`, 400}, // the feature is off
	{"GET", "/chats", "", 400},
	{"PATCH", "/experimental-features", `{"chatCompletions":true}`, 200},
	{"GET", "/chats", "", 200},
	{"GET", "/chats/a", "", 404},
	{"GET", "/chats/no%20name", "", 400},
	{"DELETE", "/chats/a", "", 404},
	{"GET", "/chats/a/settings", "", 404},
	{"DELETE", "/chats/a/settings", "", 404},
	{"PATCH", "/chats/a/settings", `{}`, 200},
	{"PATCH", "/chats/a/settings", `{"source":"mistral","orgId":"o","apiKey":"a-key-of-twenty-bytes","prompts":{"system":"s","searchQParam":"q"}}`, 200},
	{"GET", "/chats/a/settings", "", 200},
	{"PATCH", "/chats/a/settings", `{"source":"vLlm"}`, 400},
	{"PATCH", "/chats/a/settings", `{"source":"azureOpenAi","baseUrl":"http://x"}`, 400},
	{"PATCH", "/chats/a/settings", `{"source":"other"}`, 400},
	{"PATCH", "/chats/a/settings", `{"orgId":3}`, 400},
	{"PATCH", "/chats/a/settings", `{"prompts":{"system":3}}`, 400},
	{"PATCH", "/chats/a/settings", `{"prompts":{"other":3}}`, 400},
	{"PATCH", "/chats/a/settings", `{"other":3}`, 400},
	{"PATCH", "/chats/a/settings", `{"orgId":null,"prompts":{"system":null}}`, 200},
	{"PATCH", "/chats/a/settings", `{"prompts":null,"source":null}`, 200},
	{"PATCH", "/chats/c%20d/settings", `{}`, 200},
	{"PATCH", "/chats/b/settings", `{"source":"vLlm","baseUrl":"http://x"}`, 200},
	{"GET", "/chats", "", 200},
	{"GET", "/chats?offset=1&limit=1", "", 200},
	{"GET", "/chats?offset=9", "", 200},
	{"GET", "/chats/a", "", 200},
	{"DELETE", "/chats/b/settings", "", 200},
	{"DELETE", "/chats/b", "", 204},
	{"GET", "/chats/b", "", 404},
}

func TestChatWorkspacesAreThoseOfOneServer(t *testing.T) {
	nodes := map[string]*devnode.Node{"a": devnode.New(devnode.Options{MasterKey: testMasterKey}), "b": devnode.New(devnode.Options{MasterKey: testMasterKey})}
	for _, n := range nodes {
		t.Cleanup(n.Close)
	}
	compareChats(t, devnode.Transport(nodes), []string{"http://a", "http://b"})
}

func TestChatWorkspacesAreThoseOfOneRealServer(t *testing.T) {
	rt, addresses := realNodes(t, 2)
	compareChats(t, rt, addresses)
}

// compareChats asks the second server directly, and Miroir over the first.
func compareChats(t *testing.T, rt http.RoundTripper, addresses []string) {
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto}, rt, addresses[:1])
	for _, step := range chatRequests {
		want := askServer(t, rt, step.method, addresses[1]+step.path, step.body)
		got := c.call(step.method, step.path, step.body)
		if got.Code != step.status || want.status != step.status || strings.TrimSpace(got.Body.String()) != strings.TrimSpace(want.body) {
			if !sameFeatures(step.path, got.Body.String()) {
				t.Errorf("%s %s %s\ngot  %d %s\nwant %d %s", step.method, step.path, step.body, got.Code, got.Body, want.status, want.body)
			}
		}
	}
	c.stop()
	c.start()
	if _, err := chatSettingsOf(c.state.View(), "c d"); err != nil {
		t.Error("after a restart:", err)
	}
}

// sameFeatures excuses the answer that shows features: Miroir keeps network, which it uses, to itself.
func sameFeatures(path, got string) bool {
	var features map[string]bool
	return path == "/experimental-features" && json.Unmarshal([]byte(got), &features) == nil && features["chatCompletions"]
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
