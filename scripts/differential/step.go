package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"miroir/conformance/generate"
	"miroir/scripts/cluster"
)

// step is one request that both servers get.
type step struct {
	kind   string
	method string
	path   string
	body   any    // nil for none; a string is sent as it is
	header string // content type of a string body
	auth   string // "" the master key, "none", or another
	search generate.Object
	wait   bool // for the task that the answer names

	// Of dialogues:
	exact     bool              // the path is sent as it is written
	encoding  string            // of the body: gzip, deflate, br, "" for none
	headers   map[string]string // more of them
	unordered bool              // documents are told, the order of whose members says nothing
	masked    []string          // members that the servers choose
}

// noContentType sends a body without its content type.
const noContentType = "-"

func (s step) String() string {
	text := s.method + " " + s.path
	switch body := s.body.(type) {
	case nil:
	case string:
		text += " " + body
	default:
		encoded, _ := json.Marshal(body)
		text += " " + string(encoded)
	}
	if s.auth != "" {
		text += " (auth: " + s.auth + ")"
	}
	if s.encoding != "" || s.header != "" || len(s.headers) > 0 {
		text += fmt.Sprintf(" (%s %s %v)", s.header, s.encoding, s.headers)
	}
	return text
}

// reply is an answer and, for a step that waits, the task it led to.
type reply struct {
	status int
	header http.Header
	body   []byte
	task   []byte
}

// server is one of the two that are asked.
type server struct {
	url     string
	client  *http.Client
	webhook string // uuid of the one that it told of last
}

func (s *server) do(ctx context.Context, q step) (reply, error) {
	r, err := s.send(ctx, q)
	if err != nil || !q.wait {
		return r, err
	}
	uid := taskUID(r.body)
	if uid < 0 {
		return r, nil
	}
	r.task, err = s.finish(ctx, uid)
	return r, err
}

func (s *server) send(ctx context.Context, q step) (reply, error) {
	body, contentType := io.Reader(nil), q.header
	switch sent := q.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(sent)
	default:
		encoded, err := json.Marshal(sent)
		if err != nil {
			return reply{}, err
		}
		body, contentType = bytes.NewReader(encoded), "application/json"
	}
	body, err := encode(body, q.encoding)
	if err != nil {
		return reply{}, err
	}
	target := s.url + q.path
	if q.exact {
		target = s.url
	}
	request, err := http.NewRequestWithContext(ctx, q.method, target, body)
	if err != nil {
		return reply{}, err
	}
	if q.exact {
		request.Close = true // a server that refuses a body may close the connection without reading it
		request.URL.Opaque = strings.TrimPrefix(s.url, "http:") + strings.ReplaceAll(q.path, "{webhook}", s.webhook)
	}
	if contentType != "" && contentType != noContentType {
		request.Header.Set("Content-Type", contentType)
	}
	if q.encoding != "" {
		request.Header.Set("Content-Encoding", q.encoding)
	}
	switch q.auth {
	case "none":
	case "":
		request.Header.Set("Authorization", "Bearer "+cluster.Key)
	default:
		request.Header.Set("Authorization", "Bearer "+q.auth)
	}
	if !q.wait {
		request.Header["X-Idempotency-Key"] = nil // sends a read again where the server has just closed its connection; is not sent itself
	}
	for name, value := range q.headers {
		request.Header.Set(name, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, err
	}
	text, err = decode(text, response.Header.Get("Content-Encoding"))
	return reply{status: response.StatusCode, header: response.Header, body: s.nameWebhooks(text)}, err
}

// finish waits for a task and returns it.
func (s *server) finish(ctx context.Context, uid int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		r, err := s.send(ctx, step{method: "GET", path: fmt.Sprintf("/tasks/%d", uid)})
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", uid, err)
		}
		var task struct{ Status string }
		if err := json.Unmarshal(r.body, &task); err != nil {
			return nil, fmt.Errorf("task %d: %w", uid, err)
		}
		switch task.Status {
		case "succeeded", "failed", "canceled":
			return r.body, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("task %d does not end: %s", uid, r.body)
		case <-pause.C:
		}
	}
}

// parameters is a search as the query string of a GET.
func parameters(q generate.Object) string {
	values := url.Values{}
	for name, value := range q {
		switch v := value.(type) {
		case []string:
			values.Set(name, strings.Join(v, ","))
		case []any: // a filter in parts
			encoded, _ := json.Marshal(v)
			values.Set(name, string(encoded))
		default:
			values.Set(name, fmt.Sprint(v))
		}
	}
	return values.Encode()
}
