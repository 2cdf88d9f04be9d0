package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"miroir/cli"
	"miroir/devnode"
	"miroir/scripts/cluster"
)

// Topology: one pod as a process of its own over three embedded nodes, one group, RF 2, every index spread over all.

// TestKillDuringBulkLoad kills the pod again and again while four writers load documents. Every write that got its
// 202 must have its task succeeded and its documents there in the end, and no intent may stay open.
func TestKillDuringBulkLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes; not with -short")
	}
	dir := t.TempDir()
	program, err := cluster.BuildMiroir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := startPodOverDevnodes(t, program, dir, 3)
	client := &cli.Client{URL: c.URL, Key: cluster.Key, HTTP: &http.Client{Timeout: 10 * time.Second}}
	if err := client.DoTask(t.Context(), http.MethodPost, "/indexes", "application/json", []byte(`{"uid":"load","primaryKey":"id"}`)); err != nil {
		t.Fatal(err)
	}

	var acknowledged sync.Map // document id → task uid
	var count atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for batch := 0; ; batch++ {
				select {
				case <-stop:
					return
				default:
				}
				sendBatch(t, client, writer, batch, &acknowledged, &count)
			}
		})
	}
	for kill := range 3 {
		waitFor(t, fmt.Sprintf("writes before kill %d", kill), func() bool { return count.Load() >= int64(200*(kill+1)) })
		if err := c.Pod.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.StartPod(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	writers.Wait()
	checkAcknowledged(t, client, &acknowledged)
	waitFor(t, "no open intent", func() bool {
		body, err := client.Call(t.Context(), http.MethodGet, "/_miroir/status", "", nil)
		var status cli.Status
		return err == nil && json.Unmarshal(body, &status) == nil && status.OpenIntents == 0
	})
	t.Logf("%d acknowledged documents survived 3 kills", count.Load())
}

// startPodOverDevnodes starts embedded nodes on loopback ports of this process and a pod process over them.
func startPodOverDevnodes(t *testing.T, program, dir string, nodes int) *cluster.Cluster {
	t.Helper()
	options := cluster.Options{Miroir: program, RF: 2, Spread: "all", Dir: dir, Nodes: nodes, Groups: 1}
	var urls []string
	for range nodes {
		node := devnode.New(devnode.Options{MasterKey: cluster.Key})
		server := httptest.NewServer(node)
		t.Cleanup(func() {
			server.Close()
			node.Close()
		})
		urls = append(urls, server.URL)
	}
	c, err := cluster.Over(t.Context(), options, urls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sendBatch sends ten documents; a failure is fine (the pod may be dead), an acknowledgement is a promise.
func sendBatch(t *testing.T, client *cli.Client, writer, batch int, acknowledged *sync.Map, count *atomic.Int64) {
	var ids []string
	var body []byte
	for i := range 10 {
		id := fmt.Sprintf("w%d-%d-%d", writer, batch, i)
		ids = append(ids, id)
		body = fmt.Appendf(body, "{\"id\":%q,\"writer\":%d}\n", id, writer)
	}
	answer, err := client.Call(t.Context(), http.MethodPost, "/indexes/load/documents", "application/x-ndjson", body)
	if err != nil {
		return
	}
	var task struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer, &task); err != nil {
		t.Errorf("the answer to an acknowledged write is not a task: %s", answer)
		return
	}
	for _, id := range ids {
		acknowledged.Store(id, task.TaskUID)
	}
	count.Add(int64(len(ids)))
}

// checkAcknowledged waits for every acknowledged task and then looks for every acknowledged document.
func checkAcknowledged(t *testing.T, client *cli.Client, acknowledged *sync.Map) {
	t.Helper()
	tasks := map[uint32]bool{}
	acknowledged.Range(func(_, uid any) bool { tasks[uid.(uint32)] = true; return true })
	for uid := range tasks {
		status := ""
		waitFor(t, fmt.Sprintf("task %d to finish", uid), func() bool {
			body, err := client.Call(t.Context(), http.MethodGet, fmt.Sprintf("/tasks/%d", uid), "", nil)
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
			t.Errorf("acknowledged task %d is %s", uid, status)
		}
	}
	missing := 0
	acknowledged.Range(func(id, uid any) bool {
		if _, err := client.Call(t.Context(), http.MethodGet, fmt.Sprintf("/indexes/load/documents/%s", id), "", nil); err != nil {
			missing++
			t.Errorf("acknowledged document %s of task %d: %v", id, uid, err)
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
