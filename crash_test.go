package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	client := &cli.Client{URL: c.URL, Key: cluster.Key, HTTP: &http.Client{Timeout: time.Minute}}
	load := startLoad(t, client)
	for kill := range 3 {
		waitFor(t, fmt.Sprintf("writes before kill %d", kill), func() bool { return load.count.Load() >= int64(200*(kill+1)) })
		if err := c.Pod.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.StartPod(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	load.stop()
	load.check()
	waitFor(t, "no open intent", func() bool {
		body, err := client.Call(t.Context(), http.MethodGet, "/_miroir/status", "", nil)
		var status cli.Status
		return err == nil && json.Unmarshal(body, &status) == nil && status.OpenIntents == 0
	})
	t.Logf("%d acknowledged documents survived 3 kills", load.count.Load())
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
