package devnode

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// client asks one node through the in-process transport.
type client struct {
	t    *testing.T
	node *Node
	key  string
}

// start runs a node for the length of a test; inside a synctest bubble its worker ends with the bubble.
func start(t *testing.T, o Options) *client {
	t.Helper()
	n := New(o)
	t.Cleanup(n.Close)
	return &client{t: t, node: n, key: o.MasterKey}
}

// try sends a request and returns status and body, or the transport's error.
func (c *client) try(ctx context.Context, method, path, body string) (int, string, error) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://a"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	response, err := Transport(map[string]*Node{"a": c.node}).RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answered, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answered), err
}

// ask sends a request that must be answered with a status and returns the decoded body.
func (c *client) ask(method, path, body string, status int) map[string]any {
	c.t.Helper()
	got, answered, err := c.try(context.Background(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if got != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, answered)
	}
	decoded := map[string]any{}
	if answered != "" {
		if err := json.Unmarshal([]byte(answered), &decoded); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, answered)
		}
	}
	return decoded
}

// enqueue sends a request that enqueues a task and returns the task's uid.
func (c *client) enqueue(method, path, body string) int {
	c.t.Helper()
	status := http.StatusAccepted
	if strings.HasPrefix(path, "/tasks") {
		status = http.StatusOK
	}
	return int(c.ask(method, path, body, status)["taskUid"].(float64))
}

// task returns a task as GET /tasks/{uid} shows it.
func (c *client) task(uid int) map[string]any {
	c.t.Helper()
	return c.ask("GET", "/tasks/"+text(uid), "", http.StatusOK)
}

// done sends a request that enqueues a task and returns the task once nothing is left to do. Call inside a bubble.
func (c *client) done(method, path, body string) map[string]any {
	c.t.Helper()
	uid := c.enqueue(method, path, body)
	synctest.Wait()
	return c.task(uid)
}

func text(v any) string {
	encoded, _ := json.Marshal(v)
	return string(encoded)
}

// equal fails the test unless both values have the same JSON text.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if text(got) != text(want) {
		t.Errorf("%s: got %s, want %s", what, text(got), text(want))
	}
}
