package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"miroir/meili"
)

// Functions that models and front ends know by name (routes/chats of Meilisearch v1.50): the search a model calls, and
// what a front end may ask to be told of it.
const (
	searchFunction   = "_meiliSearchInIndex"
	progressFunction = "_meiliSearchProgress"
	sourcesFunction  = "_meiliSearchSources"
	appendFunction   = "_meiliAppendConversationMessage"
)

// maxRounds bounds how often a model may ask for searches before it answers.
const maxRounds = 20

// conversation is one request to complete a chat: the model of the workspace is asked, what it wants to search is searched
// in the whole cluster under the caller's key, and what it says is passed on as it comes.
type conversation struct {
	s         *Server
	r         *request
	workspace string
	settings  meili.ChatSettings
	members   map[string]json.RawMessage // of the client's request; what is not ours goes to the model as it came
	model     string
	messages  []json.RawMessage
	tools     []json.RawMessage // functions for the model, the search last
	tells     map[string]bool   // functions of the front end
	out       *eventStream
}

func (s *Server) handleChatCompletion(w http.ResponseWriter, r *request) error {
	c, err := s.newConversation(r)
	if err != nil {
		return err
	}
	if err := c.offerSearch(r.Context()); err != nil {
		return err
	}
	if c.out, err = newEventStream(w); err != nil {
		return nil // the client has gone
	}
	c.run(r.Context())
	return nil
}

// completionRequest is what the body of a request is to Meilisearch.
var completionRequest = meili.SerdeStruct{Name: "CreateChatCompletionRequest", NumFields: 30, Fields: []meili.SerdeField{
	{Name: "messages", Required: true, Expected: "a sequence", Kinds: []meili.Kind{meili.KindArray}, Tag: &meili.SerdeTag{
		Enum: "ChatCompletionRequestMessage", Member: "role", Variants: []string{"developer", "system", "user", "assistant", "tool", "function"},
	}},
	{Name: "model", Required: true, Expected: "a string", Kinds: []meili.Kind{meili.KindString}},
	{Name: "n", Expected: "u8", Kinds: []meili.Kind{meili.KindUint}},
	{Name: "stream", Expected: "a boolean", Kinds: []meili.Kind{meili.KindBool}},
	{Name: "tools", Expected: "a sequence", Kinds: []meili.Kind{meili.KindArray}},
	{Name: "temperature", Expected: "f32", Kinds: []meili.Kind{meili.KindUint, meili.KindInt, meili.KindFloat}},
}}

// newConversation decodes and checks a request. Errors: bad_request, chat_not_found, unimplemented_*.
func (s *Server) newConversation(r *request) (*conversation, error) {
	body, err := r.readStruct(completionRequest)
	if err != nil {
		return nil, err
	}
	var request struct {
		Model    string            `json:"model"`
		Messages []json.RawMessage `json:"messages"`
		N        *int              `json:"n"`
		Stream   *bool             `json:"stream"`
		Tools    []json.RawMessage `json:"tools"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, meili.SerdeError(body, err.Error())
	}
	if err := chatRoute("using the /chats chat completions route").check(r.View); err != nil {
		return nil, err
	}
	if request.N != nil && *request.N != 1 {
		return nil, meili.Errorf(meili.CodeUnimplementedMultiChoiceChatCompletions,
			"You tried to specify n = %d but only single choices are supported (n = 1).", *request.N)
	}
	if !isTrue(request.Stream) {
		return nil, meili.Errorf(meili.CodeUnimplementedNonStreamingChatCompletions, "Non-streamed chat completions is not implemented")
	}
	c := &conversation{s: s, r: r, workspace: r.workspace(), model: request.Model, messages: request.Messages, tells: map[string]bool{}}
	if c.settings, err = chatSettingsOf(r.View, c.workspace); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &c.members); err != nil {
		return nil, meili.SerdeError(body, err.Error())
	}
	return c, c.sortTools(body, request.Tools)
}

// sortTools takes what is meant for the front end out of the client's tools. There may be no others.
func (c *conversation) sortTools(body []byte, tools []json.RawMessage) error {
	for _, raw := range tools {
		var tool struct {
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		}
		if err := json.Unmarshal(raw, &tool); err != nil {
			return meili.SerdeError(body, err.Error())
		}
		switch name := tool.Function.Name; name {
		case progressFunction, sourcesFunction, appendFunction:
			c.tells[name] = true
		case searchFunction:
			return meili.Errorf(meili.CodeBadRequest, "%s function is already defined.", name)
		default:
			return meili.Errorf(meili.CodeUnimplementedExternalFunctionCalling, "%s: External functions are not supported yet.", name)
		}
	}
	return nil
}

// run asks the model until it has no more to search. Errors become events: the status has been sent.
func (c *conversation) run(ctx context.Context) {
	for range maxRounds {
		turn, err := c.askModel(ctx)
		if err != nil {
			c.out.send(eventOf(err))
			break
		}
		if len(turn.calls) == 0 {
			break
		}
		c.search(ctx, turn)
		if turn.finish != "tool_calls" || c.out.err != nil {
			break
		}
	}
	c.out.end()
}

// search does what the model asked for, tells the front end what it wants to know, and adds both to the messages.
func (c *conversation) search(ctx context.Context, turn *modelTurn) {
	calls := make([]any, len(turn.calls))
	for i, call := range turn.calls {
		calls[i] = call.message()
	}
	c.add(assistantMessage(calls))
	for _, call := range turn.calls {
		arguments := call.Function.Arguments
		c.tell(turn, progressFunction, map[string]string{"call_id": call.ID, "function_name": call.Function.Name, "function_arguments": arguments})
		c.tell(turn, appendFunction, assistantMessage([]any{call.message()}))
		found, err := c.searchFor(ctx, arguments)
		switch {
		case err != nil:
			found = &findings{text: "the search tool call failed with " + asError(err).Message}
		case found.documents != nil:
			c.tell(turn, sourcesFunction, struct {
				CallID  string            `json:"call_id"`
				Sources []json.RawMessage `json:"sources"`
			}{call.ID, found.documents})
		}
		answer := map[string]string{"role": "tool", "tool_call_id": call.ID, "content": found.text}
		c.tell(turn, appendFunction, answer)
		c.add(answer)
		if err != nil {
			c.out.send(eventOf(err))
		}
	}
}

// assistantMessage is what the model said when it called functions.
func assistantMessage(calls []any) map[string]any {
	return map[string]any{"role": "assistant", "tool_calls": calls}
}

// add appends a message to the conversation.
func (c *conversation) add(message any) {
	raw, err := marshal(message)
	if err != nil {
		c.out.fail(fmt.Errorf("message of a conversation: %w", err))
		return
	}
	c.messages = append(c.messages, raw)
}

// tell calls a function of the front end, if it has it, in a chunk like those of the model.
func (c *conversation) tell(turn *modelTurn, function string, arguments any) {
	if !c.tells[function] {
		return
	}
	text, err := marshal(arguments)
	if err != nil {
		c.out.fail(fmt.Errorf("arguments of %s: %w", function, err))
		return
	}
	c.out.send(turn.calling(function, string(text)))
}

// request is the body that is sent to the model.
func (c *conversation) request() ([]byte, error) {
	members := map[string]any{}
	for name, value := range c.members {
		members[name] = value
	}
	role := c.settings.SystemRole(c.model)
	system, err := marshal(map[string]string{"role": role, "content": c.settings.Prompts.System})
	if err != nil {
		return nil, err
	}
	members["messages"] = slices.Concat([]json.RawMessage{system}, c.messages)
	members["tools"] = c.tools
	members["stream"] = true
	if c.settings.Source == meili.ChatOpenAI || c.settings.Source == meili.ChatAzure {
		members["stream_options"] = map[string]bool{"include_usage": true}
	}
	return marshal(members)
}
