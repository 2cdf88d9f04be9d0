package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"miroir/cli"
	"miroir/config"
	"miroir/fsm"
	"miroir/testdata"
)

// demoKey is the demo's master key: nothing secret is behind it.
const demoKey = "miroir-demo"

type demoCommand struct {
	Nodes    int    `help:"Nodes in each group." default:"3"`
	Groups   int    `help:"Replica groups: each holds a full copy." default:"1"`
	RF       int    `name:"rf" help:"Replicas of each shard inside a group." default:"2"`
	Port     int    `help:"Client port." default:"7700"`
	Dataset  string `help:"Sample data to load." default:"cities"`
	Embedded bool   `help:"Use the embedded nodes even when a meilisearch program is there."`
	Keep     bool   `help:"Keep the data directory at the end."`
	Once     bool   `help:"Stop as soon as the data is loaded and one search was answered." hidden:""`
}

// Validate refuses sizes that make no sense on one machine.
func (c *demoCommand) Validate() error {
	switch {
	case c.Nodes < 1 || c.Groups < 1 || c.Nodes*c.Groups > 9:
		return fmt.Errorf("--nodes %d times --groups %d must be between 1 and 9 nodes", c.Nodes, c.Groups)
	case c.RF < 1 || c.RF > c.Nodes:
		return fmt.Errorf("--rf %d must be between 1 and the %d nodes of a group", c.RF, c.Nodes)
	}
	if _, ok := testdata.Find(c.Dataset); !ok {
		return fmt.Errorf("--dataset %q is not there: choose one of %s", c.Dataset, datasetNames())
	}
	return nil
}

func datasetNames() string {
	names := make([]string, len(testdata.Datasets))
	for i, dataset := range testdata.Datasets {
		names[i] = dataset.Name
	}
	return strings.Join(names, ", ")
}

// Run starts nodes, a pod and a data set, prints what to try, and stops everything when ctx ends.
func (c *demoCommand) Run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "miroir-demo-")
	if err != nil {
		return err
	}
	var closers closers
	defer func() { err = errors.Join(err, closers.Close()) }()
	if c.Keep {
		fmt.Println("data directory:", dir)
	} else {
		closers.Add("data directory", func() error { return os.RemoveAll(dir) })
	}

	nodes, err := c.startNodes(ctx, dir, &closers)
	if err != nil {
		return err
	}
	pod, err := openPod(ctx, podOptions{Config: c.config(dir, nodes),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	closers.Add("pod", pod.Close)

	client := &cli.Client{URL: pod.ClientURL(), Key: demoKey, HTTP: &http.Client{Timeout: time.Minute}}
	dataset, _ := testdata.Find(c.Dataset)
	if err := loadDataset(ctx, client, dataset); err != nil {
		return err
	}
	c.printWelcome(os.Stdout, pod.ClientURL(), dataset, nodes)
	if c.Once {
		_, err := client.Call(ctx, http.MethodPost, "/indexes/"+dataset.Name+"/search", "application/json", []byte(`{}`))
		return err
	}
	err = pod.Wait(ctx)
	fmt.Println("\nstopping ...")
	return err
}

func (c *demoCommand) config(dir string, nodes []demoNode) *config.Config {
	o := config.Default()
	o.DataDir, o.Raft.NodeID, o.MasterKey = filepath.Join(dir, "pod"), "demo", demoKey
	o.Server.Bind, o.Server.Port, o.Raft.Port, o.Metrics.Enabled = "127.0.0.1", c.Port, 0, false
	o.Server.ShutdownGrace, o.Health.Interval = 5*time.Second, 2*time.Second
	o.Cluster.ReplicationFactor, o.Cluster.Spread, o.Cluster.SearchUI.Enabled = c.RF, fsm.SpreadAll, true
	for _, n := range nodes {
		o.Nodes = append(o.Nodes, config.Node{ID: fsm.NodeID(n.ID), Address: n.URL, Group: fsm.GroupID(n.Group)})
	}
	return o
}

// batchDocuments is how many documents the demo sends at once: enough batches for a bar that moves.
const batchDocuments = 1000

// loadDataset creates the index with its settings and adds the documents in batches, with a progress bar. The batches are
// sent without waiting for each other, so that the nodes can index several at once.
func loadDataset(ctx context.Context, client *cli.Client, dataset testdata.Dataset) error {
	create := fmt.Appendf(nil, `{"uid":%q,"primaryKey":%q}`, dataset.Name, dataset.PrimaryKey)
	if err := client.DoTask(ctx, http.MethodPost, "/indexes", "application/json", create); err != nil {
		return err
	}
	path := "/indexes/" + dataset.Name
	if err := client.DoTask(ctx, http.MethodPatch, path+"/settings", "application/json", dataset.Settings); err != nil {
		return err
	}
	documents, err := dataset.Open()
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions(dataset.Documents, progressbar.OptionSetDescription("loading "+dataset.Name),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(os.Stderr) }))
	type batch struct {
		task         uint32
		numDocuments int
	}
	var sent []batch
	err = eachBatch(documents, batchDocuments, func(ndjson []byte, n int) error {
		task, err := client.Enqueue(ctx, http.MethodPost, path+"/documents", "application/x-ndjson", ndjson)
		sent = append(sent, batch{task, n})
		return err
	})
	if err := errors.Join(err, documents.Close()); err != nil {
		return err
	}
	for _, b := range sent {
		if err := errors.Join(client.AwaitTask(ctx, b.task), bar.Add(b.numDocuments)); err != nil {
			return err
		}
	}
	return nil
}

// eachBatch cuts NDJSON into batches of at most size lines. A batch is valid until send returns.
func eachBatch(r io.Reader, size int, send func(ndjson []byte, n int) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var batch []byte
	n := 0
	for lines.Scan() {
		batch = append(append(batch, lines.Bytes()...), '\n')
		if n++; n == size {
			if err := send(batch, n); err != nil {
				return err
			}
			batch, n = batch[:0], 0
		}
	}
	if n > 0 {
		if err := send(batch, n); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (c *demoCommand) printWelcome(w io.Writer, url string, dataset testdata.Dataset, nodes []demoNode) {
	fmt.Fprintf(w, `
%d nodes answer as one Meilisearch, every document on %d of them.

  Search page   %s/ui/search/%s
  API           %s        key: %s

Try:
  curl '%s/indexes/%s/search' -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '%s'
  curl '%s/indexes/%s/stats' -H 'Authorization: Bearer %s'
  curl '%s/_miroir/shards?index=%s&node=%s'

`, len(nodes), c.RF*c.Groups, url, dataset.Name, url, demoKey,
		url, dataset.Name, demoKey, dataset.Queries[0].Body,
		url, dataset.Name, demoKey, url, dataset.Name, nodes[0].ID)
	if c.RF*c.Groups > 1 {
		fmt.Fprintln(w, "Stop a node and watch searches go on:")
	} else {
		fmt.Fprintln(w, "Stop a node and watch its shards go missing (--rf 2 keeps a second copy):")
	}
	for _, n := range nodes {
		fmt.Fprintf(w, "  %-8s %-24s %s\n", n.ID, n.URL, n.HowToStop)
	}
	fmt.Fprintf(w, "  curl -i '%s/_miroir/topology'\n\nCtrl-C stops everything and leaves nothing behind.\n", url)
}
