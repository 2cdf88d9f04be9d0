package proxy

import (
	"net/http"
	"testing"
)

// chatRequests is a conversation about workspaces.
var chatRequests = []exchangeStep{
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
	againstOneServer(t, func(t *testing.T, rt http.RoundTripper, addresses []string) {
		c := sameAnswers(t, rt, addresses, chatRequests)
		c.stop()
		c.start()
		if _, err := chatSettingsOf(c.state.View(), "c d"); err != nil {
			t.Error("after a restart:", err)
		}
	})
}
