package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// fakeModel is a provider of language models: it searches first, in two calls, then repeats what it was told.
type fakeModel struct {
	mu       sync.Mutex
	requests []map[string]any // as they came, oldest first
	headers  []http.Header
}

func (m *fakeModel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request map[string]any
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	m.requests, m.headers = append(m.requests, request), append(m.headers, r.Header.Clone())
	m.mu.Unlock()
	if request["model"] == "unknown" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":"model_not_found"}}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	chunk := func(delta, finish string) {
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s,\"logprobs\":null}],\"service_tier\":null,\"system_fingerprint\":null,\"usage\":null}\n\n", delta, finish)
	}
	text := func(role, content string) string {
		encoded, _ := json.Marshal(content)
		return fmt.Sprintf(`{"content":%s,"function_call":null,"tool_calls":null,"role":%s,"refusal":null}`, encoded, role)
	}
	messages := request["messages"].([]any)
	if last := messages[len(messages)-1].(map[string]any); last["role"] == "tool" {
		chunk(text(`"assistant"`, ""), "null")
		chunk(text("null", last["content"].(string)), "null")
		chunk(text("null", ""), `"stop"`)
	} else {
		call := func(index int, id, arguments string) string {
			encoded, _ := json.Marshal(arguments)
			return fmt.Sprintf(`{"content":null,"tool_calls":[{"index":%d,"id":%s,"type":"function","function":{"name":"%s","arguments":%s}}]}`, index, id, searchFunction, encoded)
		}
		question := last["content"].(string)
		chunk(call(0, `"call-1"`, question[:len(question)/2]), "null")
		chunk(call(0, "null", question[len(question)/2:]), "null")
		chunk(`{}`, `"tool_calls"`)
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

// take returns the requests since the last call.
func (m *fakeModel) take() []map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	requests := m.requests
	m.requests = nil
	return requests
}

const chatBooks = `[{"id":1,"title":"Rust in a nutshell","genre":"science"},{"id":2,"title":"Go far","genre":"travel"},{"id":3,"title":"Going home","genre":"travel"}]`

// chatQuestions are what a caller asks; the model calls the search with its last message as arguments.
var chatQuestions = map[string]string{
	"a search":            `{"model":"gpt-4o","stream":true,"temperature":0.5,"messages":[{"role":"user","content":"{\"index_uid\":\"books\",\"q\":\"go\",\"filter\":\"genre = travel\"}"}]}`,
	"told to a front end": `{"model":"o1","stream":true,"messages":[{"role":"user","content":"{\"index_uid\":\"books\",\"q\":\"rust\",\"filter\":\"\"}"}],"tools":[{"type":"function","function":{"name":"_meiliSearchProgress"}},{"type":"function","function":{"name":"_meiliSearchSources"}},{"type":"function","function":{"name":"_meiliAppendConversationMessage"}}]}`,
	"an unknown index":    `{"model":"o1","stream":true,"messages":[{"role":"user","content":"{\"index_uid\":\"nope\",\"q\":\"rust\",\"filter\":\"\"}"}]}`,
	"a bad filter":        `{"model":"o1","stream":true,"messages":[{"role":"user","content":"{\"index_uid\":\"books\",\"q\":\"rust\",\"filter\":\"genre <>\"}"}]}`,
	"no such model":       `{"model":"unknown","stream":true,"messages":[{"role":"user","content":"hello"}]}`,
	"not streamed":        `{"model":"o1","messages":[{"role":"user","content":"hello"}]}`,
	"two choices":         `{"model":"o1","n":2,"stream":true,"messages":[]}`,
	"another tool":        `{"model":"o1","stream":true,"messages":[],"tools":[{"type":"function","function":{"name":"weather"}}]}`,
	"the search as tool":  `{"model":"o1","stream":true,"messages":[],"tools":[{"type":"function","function":{"name":"_meiliSearchInIndex"}}]}`,
	"no messages":         `{"model":"o1","stream":true}`,
	"no model":            `{"messages":[]}`,
}

// A conversation through Miroir is the one that a server has: what the model is sent, and what the caller is.
func TestConversationsAreThoseOfOneRealServer(t *testing.T) {
	rt, addresses := realNodes(t, 2)
	model := &fakeModel{}
	provider := httptest.NewServer(model)
	t.Cleanup(provider.Close)
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto}, rt, addresses[:1])
	c.setUpChat(provider.URL)
	askServer(t, rt, "PATCH", addresses[1]+"/experimental-features", `{"chatCompletions":true}`)
	askServer(t, rt, "PATCH", addresses[1]+"/chats/w/settings", chatSettingsFor(provider.URL))
	askServer(t, rt, "PATCH", addresses[1]+"/indexes/books/settings", chatBookSettings)
	askServer(t, rt, "POST", addresses[1]+"/indexes/books/documents", chatBooks)
	c.until("the server's documents", func() bool {
		return strings.Contains(askServer(t, rt, "GET", addresses[1]+"/tasks?statuses=succeeded", "").body, `"total":2`)
	})
	for name, question := range chatQuestions {
		t.Run(name, func(t *testing.T) {
			want := askServer(t, rt, "POST", addresses[1]+"/chats/w/chat/completions", question)
			wantSent := model.take()
			got := c.call("POST", "/chats/w/chat/completions", question)
			gotSent := model.take()
			if got.Code != want.status || eventsOf(got.Body.String()) != eventsOf(want.body) {
				t.Errorf("got  %d %s\nwant %d %s", got.Code, eventsOf(got.Body.String()), want.status, eventsOf(want.body))
			}
			if !reflect.DeepEqual(gotSent, wantSent) {
				t.Errorf("sent %s\nwant %s", encodeForTest(gotSent), encodeForTest(wantSent))
			}
		})
	}
}

const chatBookSettings = `{"filterableAttributes":["genre"],"chat":{"description":"Books.","documentTemplate":"{{doc.title}}","documentTemplateMaxBytes":100,"searchParameters":{"limit":5}}}`

func chatSettingsFor(url string) string {
	return `{"source":"vLlm","baseUrl":"` + url + `","apiKey":"secret"}`
}

// setUpChat fills an index and a workspace w.
func (c *writeCluster) setUpChat(url string) {
	c.call("PATCH", "/experimental-features", `{"chatCompletions":true}`)
	if answer := c.call("PATCH", "/chats/w/settings", chatSettingsFor(url)); answer.Code != http.StatusOK {
		c.t.Fatal(answer.Body)
	}
	succeeded(c.t, c.do("PATCH", "/indexes/books/settings", chatBookSettings))
	succeeded(c.t, c.do("POST", "/indexes/books/documents", chatBooks))
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// eventsOf is a stream with its uuids made equal and each event's members sorted.
func eventsOf(stream string) string {
	var out strings.Builder
	for line := range strings.Lines(uuids.ReplaceAllString(stream, "uuid")) {
		data, is := strings.CutPrefix(line, "data: ")
		var value map[string]any
		if !is || json.Unmarshal([]byte(data), &value) != nil {
			out.WriteString(line)
			continue
		}
		for _, choice := range anyList(value["choices"]) {
			for _, call := range anyList(choice.(map[string]any)["delta"].(map[string]any)["tool_calls"]) {
				function := call.(map[string]any)["function"].(map[string]any)
				function["arguments"] = sortedMembers(function["arguments"].(string))
			}
		}
		fmt.Fprintln(&out, encodeForTest(value))
	}
	return strings.TrimSpace(out.String())
}

func anyList(value any) []any {
	list, _ := value.([]any)
	return list
}

func sortedMembers(text string) any {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return text
	}
	return value
}

func encodeForTest(value any) string {
	text, _ := json.Marshal(value) // of what was decoded
	return string(text)
}

// Each caller's model searches what the caller's key allows, in the whole cluster.
func TestConversationsKeepToTheirKey(t *testing.T) {
	model := &fakeModel{}
	provider := httptest.NewServer(model)
	t.Cleanup(provider.Close)
	nodes := map[string]*devnode.Node{}
	var addresses []string
	for _, id := range []string{"a", "b", "c"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
		addresses = append(addresses, "http://"+id)
	}
	embedded := devnode.Transport(nodes)
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/render-template" { // which embedded nodes do not know
			return embedded.RoundTrip(r)
		}
		body, _ := io.ReadAll(r.Body)
		return jsonAnswer(`{"rendered":` + string(memberOf(memberOf(memberOf(body, "input"), "inline"), "title")) + `}`), nil
	})
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, addresses)
	c.setUpChat(provider.URL)
	succeeded(t, c.do("POST", "/indexes/secrets/documents", `[{"id":1,"title":"secret"}]`))
	succeeded(t, c.do("POST", "/indexes/plain/documents", `[{"id":1,"title":"nothing to filter by"}]`))
	key := c.call("POST", "/keys", `{"actions":["search","chatCompletions"],"indexes":["books","plain"],"expiresAt":null}`)
	complete := func(arguments string) string {
		question, _ := json.Marshal(arguments)
		request := httptest.NewRequest("POST", "/chats/w/chat/completions", bytes.NewReader([]byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":`+string(question)+`}]}`)))
		request.Header.Set("Authorization", "Bearer "+textOf(memberOf(key.Body.Bytes(), "key")))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		return answer.Body.String()
	}
	if answer := complete(`{"index_uid":"books","q":"go","filter":null}`); !strings.Contains(answer, `Go far\nGoing home`) {
		t.Errorf("answer %s", answer)
	}
	if answer := complete(`{"index_uid":"secrets","q":"","filter":null}`); !strings.Contains(answer, `"code":"403"`) || strings.Contains(answer, `"secret"`) {
		t.Errorf("answer %s", answer)
	}
	if answer := complete(`{"index_uid":3}`); !strings.Contains(answer, "cannot unmarshal") || strings.Contains(answer, "error") {
		t.Errorf("a model that calls wrongly is told, and nobody else: %s", answer)
	}
	if sent := encodeForTest(model.take()); strings.Contains(sent, "secrets:") || strings.Contains(sent, `"secret"`) || strings.Contains(sent, shardField) {
		t.Errorf("the model was told %s", sent)
	}
	if got := model.headers[0].Get("Authorization"); got != "Bearer secret" {
		t.Errorf("the provider saw %q", got)
	}
}

// Who may name the provider of a model must not reach what only this machine can.
func TestModelsAreNotInside(t *testing.T) {
	allowed := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "10.1.2.3": true, "::ffff:10.1.2.3": true,
		"10.2.0.1": false, "127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "169.254.169.254": false, "192.168.1.1": false,
		"100.64.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "fe80::1": false, "fd00::1": false, "2002:7f00:1::": false,
	} {
		if got := mayReach(netip.MustParseAddr(ip), allowed); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
	provider := httptest.NewServer(&fakeModel{})
	t.Cleanup(provider.Close)
	if _, err := (&http.Client{Transport: modelTransport(nil)}).Get(provider.URL); !errors.Is(err, errRejectedIP) {
		t.Errorf("a loopback address was dialled: %v", err)
	}
}
