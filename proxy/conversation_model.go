package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"miroir/meili"
)

// maxEventBytes bounds one event of a model, and one answer of it that is no stream of events.
const maxEventBytes = 1 << 20

// modelCall is a function that a model calls.
type modelCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

func (c *modelCall) message() any {
	return map[string]any{"id": c.ID, "type": "function", "function": c.Function}
}

// modelTurn is what a model said in one answer, apart from what was passed on.
type modelTurn struct {
	calls  []modelCall // of the search, in the model's order
	finish string      // why the model stopped, "" for unknown
	chunk  modelChunk  // the last one
}

// modelChunk is one event of a model's answer as far as it is read.
type modelChunk struct {
	raw     json.RawMessage
	Choices []struct {
		FinishReason *string `json:"finish_reason"`
		Delta        struct {
			ToolCalls []struct {
				Index int `json:"index"`
				modelCall
			} `json:"tool_calls"`
		} `json:"delta"`
	} `json:"choices"`
}

// calling is the chunk made into a call of a function of the front end.
func (t *modelTurn) calling(function, arguments string) any {
	chunk := map[string]json.RawMessage{}
	_ = json.Unmarshal(t.chunk.raw, &chunk) // it was read before, as an object
	chunk["choices"], _ = marshal([]any{map[string]any{
		"index": 0, "finish_reason": nil, "logprobs": nil,
		"delta": map[string]any{"content": nil, "function_call": nil, "role": "assistant", "refusal": nil, "tool_calls": []any{map[string]any{
			"index": 0, "id": uuid.NewString(), "type": "function", "function": map[string]string{"name": function, "arguments": arguments},
		}}},
	}}) // strings always marshal
	return chunk
}

// askModel sends the conversation so far and passes on what the model says, save for its calls of the search. Errors:
// *modelError.
func (c *conversation) askModel(ctx context.Context) (*modelTurn, error) {
	answer, err := c.callModel(ctx)
	if err != nil {
		return nil, &modelError{Type: "transport_error", Message: unreachable(err)}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		return nil, refusalOfModel(answer)
	}
	turn, calls := &modelTurn{}, map[int]*modelCall{}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxEventBytes)
	for lines.Scan() {
		data, is := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if data = bytes.TrimSpace(data); !is || len(data) == 0 {
			continue
		}
		if string(data) == "[DONE]" {
			break
		}
		chunk := modelChunk{raw: bytes.Clone(data)}
		if err := json.Unmarshal(data, &chunk); err != nil {
			return nil, &modelError{Type: "json_deserialize_error", Code: new("internal"), Message: err.Error()}
		}
		if len(chunk.Choices) == 0 {
			continue // usage
		}
		turn.chunk, turn.finish = chunk, deref(chunk.Choices[0].FinishReason)
		switch parts := chunk.Choices[0].Delta.ToolCalls; {
		case len(parts) > 0:
			for _, part := range parts {
				known := calls[part.Index]
				if known == nil {
					known = &modelCall{ID: part.ID}
					known.Function.Name = part.Function.Name
					calls[part.Index] = known
				}
				known.Function.Arguments += part.Function.Arguments
			}
		case len(calls) == 0:
			if c.out.send(chunk.raw); c.out.err != nil {
				return turn, nil // the client has gone
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, &modelError{Type: "transport_error", Message: err.Error()}
	}
	for _, i := range slices.Sorted(maps.Keys(calls)) {
		if calls[i].Function.Name == searchFunction {
			turn.calls = append(turn.calls, *calls[i])
		}
	}
	return turn, nil
}

// callModel sends the conversation to the provider of the model.
func (c *conversation) callModel(ctx context.Context) (*http.Response, error) {
	body, err := c.request()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, modelURL(&c.settings), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	header := request.Header
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "text/event-stream")
	key := deref(c.settings.APIKey)
	if c.settings.Source == meili.ChatAzure {
		header.Set("Api-Key", key)
		return c.s.models.Do(request)
	}
	header.Set("Authorization", "Bearer "+key)
	if c.settings.OrgID != nil {
		header.Set("OpenAI-Organization", *c.settings.OrgID)
	}
	if c.settings.ProjectID != nil {
		header.Set("OpenAI-Project", *c.settings.ProjectID)
	}
	return c.s.models.Do(request)
}

// unreachable words why a provider could not be asked.
func unreachable(err error) string {
	if errors.Is(err, errRejectedIP) {
		return errRejectedIP.Error()
	}
	return err.Error()
}

// modelURL is where a provider completes chats.
func modelURL(s *meili.ChatSettings) string {
	base := strings.TrimRight(deref(s.BaseURL), "/")
	switch s.Source {
	case meili.ChatAzure:
		return fmt.Sprintf("%s/openai/deployments/%s/chat/completions?api-version=%s", base, url.PathEscape(deref(s.DeploymentID)), url.QueryEscape(deref(s.APIVersion)))
	case meili.ChatMistral:
		base = cmp.Or(base, "https://api.mistral.ai/v1")
	default:
		base = cmp.Or(base, "https://api.openai.com/v1")
	}
	return base + "/chat/completions"
}

// modelError is what went wrong with a model, as clients are shown it.
type modelError struct {
	Type    string  `json:"type"`
	Code    *string `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
	EventID *string `json:"event_id"`
}

func (e *modelError) Error() string { return e.Message }

// refusalOfModel reads the error of a provider: in a member of its own, or as the whole answer.
func refusalOfModel(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxEventBytes))
	if err != nil {
		return &modelError{Type: "transport_error", Message: err.Error()}
	}
	var wrapped struct {
		Error *modelError `json:"error"`
	}
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Error != nil {
		return wrapped.Error
	}
	plain := &modelError{}
	if json.Unmarshal(body, plain) == nil && plain.Message != "" {
		return plain
	}
	return &modelError{Type: "reqwest_error", Message: fmt.Sprintf("the model's provider answered with status %d and no error that could be read", answer.StatusCode)}
}

// eventOf is the event that tells of an error.
func eventOf(err error) any {
	shown, ofModel := err.(*modelError)
	if !ofModel {
		known := asError(err)
		shown = &modelError{Type: "response_error", Code: new(strconv.Itoa(known.Status)), Message: known.Message}
	}
	return struct {
		EventID string      `json:"event_id"`
		Type    string      `json:"type"`
		Error   *modelError `json:"error"`
	}{uuid.NewString(), "error", shown}
}

// eventStream writes server-sent events. After its first error it writes nothing.
type eventStream struct {
	w     io.Writer
	flush func() error
	err   error
}

func newEventStream(w http.ResponseWriter) (*eventStream, error) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Encoding", "identity")
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	e := &eventStream{w: w, flush: http.NewResponseController(w).Flush}
	e.write("retry: 10000\n\n")
	return e, e.err
}

func (e *eventStream) send(event any) {
	text, err := marshal(event)
	if err != nil {
		e.fail(err)
		return
	}
	e.write("data: " + string(bytes.TrimSpace(text)) + "\n\n")
}

// end tells that nothing follows, as models do.
func (e *eventStream) end() { e.write("data: [DONE]\n\n") }

func (e *eventStream) write(text string) {
	if e.err != nil {
		return
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		e.fail(err)
		return
	}
	e.err = e.flush()
}

func (e *eventStream) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
