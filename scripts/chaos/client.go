package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"miroir/scripts/cluster"
)

// client is one caller of the pods, each call to one of them by chance. It is used by one goroutine.
type client struct {
	t    *trial
	rng  *rand.Rand
	http *http.Client
}

// callTimeout is how long a client waits for an answer.
const callTimeout = 20 * time.Second

func (t *trial) client(number uint64) *client {
	return &client{t: t, rng: rand.New(rand.NewPCG(t.Seed, number)), http: &http.Client{Timeout: callTimeout}}
}

// answer is what came back. err says that nothing did.
type answer struct {
	pod    string
	status int
	header http.Header
	body   []byte
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return short(a.pod + ": " + a.err.Error())
	}
	return short(fmt.Sprintf("%s: %d %s %s", a.pod, a.status, a.header.Get("X-Miroir-Degraded"), a.body))
}

// incomplete reports that shards are missing. A pod that has heard no leader says no-leader, and may still know all.
func (a answer) incomplete() bool {
	return strings.Contains(a.header.Get("X-Miroir-Degraded"), "shards=")
}

// unsure reports that a pod without a leader answered: what it knows may be old.
func (a answer) unsure() bool {
	return strings.Contains(a.header.Get("X-Miroir-Degraded"), "no-leader")
}

// reason is why there is no good answer, in a word or two.
func (a answer) reason() string {
	var known struct {
		Code string `json:"code"`
	}
	switch {
	case a.err != nil && errors.Is(a.err, os.ErrDeadlineExceeded):
		return "timeout"
	case a.err != nil:
		return "no answer"
	case json.Unmarshal(a.body, &known) == nil && known.Code != "":
		return known.Code
	case a.incomplete():
		return "shards missing"
	}
	return fmt.Sprint(a.status)
}

// send sends one request to some pod that is not known to be down.
func (c *client) send(ctx context.Context, method, path, body string) answer {
	return c.sendTo(ctx, c.pod(), method, path, body)
}

func (c *client) pod() *machine {
	for range 10 {
		if pod := oneOf(c.rng, c.t.fleet.pods); !c.t.weather.isDown(pod.name) {
			return pod
		}
	}
	return oneOf(c.rng, c.t.fleet.pods)
}

func (c *client) sendTo(ctx context.Context, pod *machine, method, path, body string) answer {
	a := answer{pod: pod.name}
	a.status, a.header, a.body, a.err = request(ctx, c.http, method, pod.URL+path, body)
	return a
}

func request(ctx context.Context, client *http.Client, method, url, body string) (int, http.Header, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+cluster.Key)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, content, err
}

// awaitTask follows the task of an accepted write to its end and returns its status, "unknown" when it is not known in time,
// and with all of it when it has not succeeded.
func (c *client) awaitTask(ctx context.Context, accepted answer, limit time.Duration) string {
	uid, ok := accepted.task()
	if !ok {
		return "refused"
	}
	return c.taskStatus(ctx, uid, limit)
}

// task is the uid of the task that an answer has accepted.
func (a answer) task() (uint32, bool) {
	var accepted struct {
		TaskUID *uint32 `json:"taskUid"`
	}
	if a.err != nil || a.status != http.StatusAccepted || json.Unmarshal(a.body, &accepted) != nil || accepted.TaskUID == nil {
		return 0, false
	}
	return *accepted.TaskUID, true
}

func (c *client) taskStatus(ctx context.Context, uid uint32, limit time.Duration) string {
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		a := c.send(ctx, http.MethodGet, fmt.Sprintf("/tasks/%d", uid), "")
		var task struct {
			Status string `json:"status"`
		}
		if a.err == nil && a.status == http.StatusOK && json.Unmarshal(a.body, &task) == nil && task.Status != "enqueued" && task.Status != "processing" {
			if task.Status != "succeeded" {
				return task.Status + ": " + short(string(a.body))
			}
			return task.Status
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return "unknown"
}
