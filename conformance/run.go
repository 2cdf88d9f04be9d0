package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Options says whom to ask and how.
type Options struct {
	BaseURL     string            // "" = http://node
	Transport   http.RoundTripper // nil = http.DefaultTransport
	Key         string            // sent as bearer where a step asks for the master key; "" sends none
	TaskTimeout time.Duration     // how long one task may take; 0 = two minutes
}

// Result is what came of one step.
type Result struct {
	Step        string   // the step's id
	Request     string   // method and path, for reports
	Differences []string // empty when the answer agrees
	Messages    []string // error texts that are worded differently: not a difference by default
}

// OK tells whether the step's answer agreed with the recording.
func (r Result) OK() bool { return len(r.Differences) == 0 }

// Passed counts the results that agree.
func Passed(results []Result) int {
	n := 0
	for _, r := range results {
		if r.OK() {
			n++
		}
	}
	return n
}

// Run sends a case's requests in order and compares the answers. The server must have started empty. It returns one
// result per step; a request that failed is a step that failed.
func Run(ctx context.Context, o Options, c *Case) []Result {
	r := &replay{options: o, variables: map[string]string{}, folder: c.folder}
	if r.options.BaseURL == "" {
		r.options.BaseURL = "http://node"
	}
	if r.options.Transport == nil {
		r.options.Transport = http.DefaultTransport
	}
	if r.options.TaskTimeout == 0 {
		r.options.TaskTimeout = 2 * time.Minute
	}
	results := make([]Result, 0, len(c.Steps))
	for i := range c.Steps {
		results = append(results, r.step(ctx, &c.Steps[i]))
	}
	return results
}

// replay is one run in progress.
type replay struct {
	options   Options
	variables map[string]string // captured values
	folder    string
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   any // decoded JSON, the text when it is not JSON, nil when empty
}

func (r *replay) step(ctx context.Context, s *Step) Result {
	result := Result{Step: s.ID, Request: s.Request.Method + " " + s.Request.Path}
	fail := func(err error) Result {
		result.Differences = append(result.Differences, err.Error())
		return result
	}
	got, err := r.send(ctx, s.Request)
	if err != nil {
		return fail(err)
	}
	c := newComparison(s)
	if err := r.check(c, s, got, &result); err != nil {
		return fail(err)
	}
	if uid, ok := member(got.body, "taskUid").(float64); ok && s.Wait {
		if err := r.checkTask(ctx, c, s, int64(uid), &result); err != nil {
			return fail(err)
		}
	}
	for name, path := range s.Capture {
		value, err := dig(got.body, path)
		if err != nil {
			return fail(fmt.Errorf("capture %s: %w", name, err))
		}
		r.variables[name] = value
	}
	result.Differences = append(result.Differences, c.found...)
	return result
}

// check compares status, body and headers of an answer.
func (r *replay) check(c *comparison, s *Step, got answer, result *Result) error {
	if got.status != s.Expect.Status {
		return fmt.Errorf("status: expected %d, got %d: %s", s.Expect.Status, got.status, short(got.body))
	}
	if s.Expect.Body != nil {
		var want any
		if err := json.Unmarshal(s.Expect.Body, &want); err != nil {
			return err
		}
		object, _ := want.(map[string]any)
		_, hasHits := object["hits"]
		if hasHits && s.Expect.Ranks != nil {
			c.rankedAnswer(object, got.body, s)
		} else {
			c.values(setMessageApart(want, got.body, "", result), messageless(want, got.body), "$")
		}
	}
	for name, value := range s.Expect.Headers {
		if actual := got.header.Get(name); actual != value {
			c.addf("header %s: expected %q, got %q", name, value, actual)
		}
	}
	return nil
}

// checkTask waits for the task and compares it.
func (r *replay) checkTask(ctx context.Context, c *comparison, s *Step, uid int64, result *Result) error {
	task, err := r.waitTask(ctx, uid)
	if err != nil || s.Expect.Task == nil {
		return err
	}
	var want map[string]any
	if err := json.Unmarshal(s.Expect.Task, &want); err != nil {
		return err
	}
	wantError, gotError := want["error"], task["error"]
	want["error"] = setMessageApart(wantError, gotError, "task ", result)
	task["error"] = messageless(wantError, gotError)
	c.values(want, task, "task")
	return nil
}

// waitTask polls a task until it has ended.
func (r *replay) waitTask(ctx context.Context, uid int64) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.TaskTimeout)
	defer cancel()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		got, err := r.send(ctx, Request{Method: http.MethodGet, Path: "/tasks/" + strconv.FormatInt(uid, 10)})
		if err != nil {
			return nil, fmt.Errorf("task %d: %w", uid, err)
		}
		task, _ := got.body.(map[string]any)
		switch task["status"] {
		case "succeeded", "failed", "canceled":
			return task, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("task %d still %s: %w", uid, short(got.body), ctx.Err())
		case <-pause.C:
		}
	}
}

// isError tells whether a decoded value has the shape of Meilisearch's error object.
func isError(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["message"] != nil && m["code"] != nil && m["type"] != nil
}

// setMessageApart returns want without its message when both sides are errors, noting a different wording.
func setMessageApart(want, got any, prefix string, result *Result) any {
	g, ok := got.(map[string]any)
	if !ok || !isError(want) {
		return want
	}
	w := want.(map[string]any)
	if w["message"] != g["message"] {
		result.Messages = append(result.Messages,
			fmt.Sprintf("%smessage: expected %s, got %s", prefix, text(w["message"]), text(g["message"])))
	}
	return without(w, "message")
}

// messageless returns got without its message when want is an error.
func messageless(want, got any) any {
	if g, ok := got.(map[string]any); ok && isError(want) {
		return without(g, "message")
	}
	return got
}

var variable = regexp.MustCompile(`\$\{(\w+)\}`)

// substitute replaces ${name} by what was captured under that name; unknown names stay.
func (r *replay) substitute(s string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		if value, ok := r.variables[m[2:len(m)-1]]; ok {
			return value
		}
		return m
	})
}

// send makes the request and reads the answer.
func (r *replay) send(ctx context.Context, q Request) (answer, error) {
	body, contentType, err := r.body(q)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, q.Method, r.options.BaseURL+r.substitute(q.Path), body)
	if err != nil {
		return answer{}, err
	}
	for name, value := range q.Headers {
		request.Header.Set(name, r.substitute(value))
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	switch {
	case q.Auth != "" && q.Auth != "none" && q.Auth != "master":
		request.Header.Set("Authorization", "Bearer "+r.substitute(q.Auth))
	case q.Auth != "none" && r.options.Key != "":
		request.Header.Set("Authorization", "Bearer "+r.options.Key)
	}
	response, err := r.options.Transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(response)
}

// body returns what to send and its content type.
func (r *replay) body(q Request) (io.Reader, string, error) {
	switch {
	case q.BodyFile != "":
		data, err := readFile(filepath.Join(r.folder, q.BodyFile))
		if q.ContentType == "" {
			q.ContentType = "application/x-ndjson"
		}
		return bytes.NewReader(data), q.ContentType, err
	case q.Raw != nil:
		return strings.NewReader(r.substitute(*q.Raw)), q.ContentType, nil
	case q.Body != nil:
		if q.ContentType == "" {
			q.ContentType = "application/json"
		}
		return strings.NewReader(r.substitute(string(q.Body))), q.ContentType, nil
	}
	return http.NoBody, q.ContentType, nil
}

// readAnswer reads a response to its end and closes it.
func readAnswer(response *http.Response) (answer, error) {
	defer response.Body.Close()
	reader := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(response.Body)
		if err != nil {
			return answer{}, err
		}
		reader = unzipped
	}
	data, err := io.ReadAll(reader)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if len(data) > 0 && json.Unmarshal(data, &a.body) != nil {
		a.body = string(data)
	}
	return a, nil
}

// dig follows a dotted path into a decoded value and returns what is there as text.
func dig(v any, path string) (string, error) {
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(x) {
				return "", fmt.Errorf("no %s in %s", path, short(x))
			}
			v = x[i]
		default:
			return "", fmt.Errorf("no %s", path)
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	return text(v), nil
}
