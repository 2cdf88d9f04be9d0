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
}

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
	return text
}

// reply is an answer and, for a step that waits, the task it led to.
type reply struct {
	status int
	body   []byte
	task   []byte
}

// server is one of the two that are asked.
type server struct {
	url    string
	client *http.Client
}

func (s *server) do(ctx context.Context, q step) (reply, error) {
	r, err := s.send(ctx, q)
	if err != nil || !q.wait {
		return r, err
	}
	var summary struct{ TaskUID *int64 }
	if json.Unmarshal(r.body, &summary) != nil || summary.TaskUID == nil {
		return r, nil
	}
	r.task, err = s.finish(ctx, *summary.TaskUID)
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
	request, err := http.NewRequestWithContext(ctx, q.method, s.url+q.path, body)
	if err != nil {
		return reply{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	switch q.auth {
	case "none":
	case "":
		request.Header.Set("Authorization", "Bearer "+cluster.Key)
	default:
		request.Header.Set("Authorization", "Bearer "+q.auth)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, body: text}, err
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
