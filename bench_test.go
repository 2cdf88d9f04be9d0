package main

import (
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

// BenchmarkSearch is what a search costs in Miroir: the nodes only repeat the answers they once gave, and the client only
// compares bytes. One node is asked and its answer passed on, or three whose answers are merged.
func BenchmarkSearch(b *testing.B) {
	for _, c := range []struct {
		name     string
		numNodes int
		query    string
	}{
		{"passed", 1, `{"q":"san"}`},
		{"narrow", 1, `{"q":"reykavik"}`},
		{"facets", 1, `{"q":"p","facets":["continent","country"]}`},
		{"merged", 3, `{"q":"san"}`},
		{"sorted", 3, `{"q":"","filter":"population > 1000000","sort":["population:desc"]}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			url := openReplayedPod(b, c.numNodes)
			search := dialSearch(b, url, c.query)
			search() // the nodes learn their answers
			b.ReportAllocs()
			for b.Loop() {
				search()
			}
		})
	}
}

// openReplayedPod is a pod with the demo's data over nodes that repeat themselves.
func openReplayedPod(b *testing.B, numNodes int) (url string) {
	p := openTestPod(b, numNodes, func(o *podOptions) {
		o.NodeTransport = nil
		for i := range o.Nodes {
			o.Nodes[i].Address = startReplay(b)
		}
		o.Nodes = o.Nodes[:numNodes:numNodes]
	})
	client := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	if err := loadDataset(b.Context(), client, testdata.Datasets[0]); err != nil {
		b.Fatal(err)
	}
	return p.ClientURL()
}
