package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"miroir/cli"
)

// load is four writers that load documents into the index `load` of a pod, and what was acknowledged to them.
type load struct {
	t            *testing.T
	client       *cli.Client
	acknowledged sync.Map     // document id → task uid
	count        atomic.Int64 // of acknowledged documents
	ended        chan struct{}
	writers      sync.WaitGroup
}

// startLoad creates the index and starts the writers.
func startLoad(t *testing.T, client *cli.Client) *load {
	t.Helper()
	if err := client.DoTask(t.Context(), http.MethodPost, "/indexes", "application/json", []byte(`{"uid":"load","primaryKey":"id"}`)); err != nil {
		t.Fatal(err)
	}
	l := &load{t: t, client: client, ended: make(chan struct{})}
	for writer := range 4 {
		l.writers.Go(func() {
			for batch := 0; ; batch++ {
				select {
				case <-l.ended:
					return
				default:
					l.send(writer, batch)
				}
			}
		})
	}
	return l
}

// stop ends the writers.
func (l *load) stop() {
	close(l.ended)
	l.writers.Wait()
}

// send sends ten documents; a failure is fine (the pod may be dead), an acknowledgement is a promise.
func (l *load) send(writer, batch int) {
	var ids []string
	var body []byte
	for i := range 10 {
		id := fmt.Sprintf("w%d-%d-%d", writer, batch, i)
		ids = append(ids, id)
		body = fmt.Appendf(body, "{\"id\":%q,\"writer\":%d}\n", id, writer)
	}
	answer, err := l.client.Call(l.t.Context(), http.MethodPost, "/indexes/load/documents", "application/x-ndjson", body)
	if err != nil {
		return
	}
	var task struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer, &task); err != nil {
		l.t.Errorf("the answer to an acknowledged write is not a task: %s", answer)
		return
	}
	for _, id := range ids {
		l.acknowledged.Store(id, task.TaskUID)
	}
	l.count.Add(int64(len(ids)))
}

// check waits for every acknowledged task and then looks for every acknowledged document.
func (l *load) check() {
	l.t.Helper()
	tasks := map[uint32]bool{}
	l.acknowledged.Range(func(_, uid any) bool { tasks[uid.(uint32)] = true; return true })
	for uid := range tasks {
		status := ""
		waitFor(l.t, fmt.Sprintf("task %d to finish", uid), func() bool {
			body, err := l.client.Call(l.t.Context(), http.MethodGet, fmt.Sprintf("/tasks/%d", uid), "", nil)
			var task struct {
				Status string `json:"status"`
			}
			if err != nil || json.Unmarshal(body, &task) != nil {
				return false
			}
			status = task.Status
			return status == "succeeded" || status == "failed" || status == "canceled"
		})
		if status != "succeeded" {
			l.t.Errorf("acknowledged task %d is %s", uid, status)
		}
	}
	missing := 0
	l.acknowledged.Range(func(id, uid any) bool {
		if _, err := l.client.Call(l.t.Context(), http.MethodGet, fmt.Sprintf("/indexes/load/documents/%s", id), "", nil); err != nil {
			missing++
			l.t.Errorf("acknowledged document %s of task %d: %v", id, uid, err)
		}
		return missing < 10
	})
}

// waitFor asks until condition holds, 60 s at most.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two questions to another process, not instead of a condition
	}
}
