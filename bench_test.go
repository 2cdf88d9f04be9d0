package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"miroir/cli"
	"miroir/config"
	"miroir/devnode"
	"miroir/fsm"
	"miroir/testdata"
)

// openTestPod starts a pod over in-process embedded nodes, each in group 0.
func openTestPod(t testing.TB, numNodes int, change func(*podOptions)) *pod {
	t.Helper()
	nodes := map[string]*devnode.Node{}
	settings := config.Default()
	for i := range numNodes {
		id := "node-" + string(rune('a'+i))
		nodes[id] = devnode.New(devnode.Options{MasterKey: "masterKey"})
		t.Cleanup(nodes[id].Close)
		settings.Nodes = append(settings.Nodes, config.Node{ID: fsm.NodeID(id), Address: "http://" + id})
	}
	settings.DataDir, settings.Raft.NodeID, settings.MasterKey = t.TempDir(), "pod", "masterKey"
	settings.Server.Bind, settings.Server.Port, settings.Raft.Port, settings.Metrics.Enabled = "127.0.0.1", 0, 0, false
	settings.Server.ShutdownGrace, settings.Cluster.Spread = 5*time.Second, fsm.SpreadAll
	o := podOptions{Config: settings, NodeTransport: devnode.Transport(nodes), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	p, err := openPod(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// BenchmarkSearch is a search through one pod over one embedded node: what it costs beyond the node is Miroir's.
func BenchmarkSearch(b *testing.B) {
	p := openTestPod(b, 1, nil)
	client := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	dataset := testdata.Datasets[0]
	if err := loadDataset(b.Context(), client, dataset); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		request, err := http.NewRequest(http.MethodPost, p.ClientURL()+"/indexes/cities/search", bytes.NewReader([]byte(`{"q":"reykavik"}`)))
		if err != nil {
			b.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer masterKey")
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response.Status, err)
		}
		if err := response.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
