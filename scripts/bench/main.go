// Bench compares Miroir over N nodes with one node asked directly: the same data on the same machine, in rounds that
// take turns, so that whatever else the machine does falls on all sides. It prints a table of latencies, requests per
// second and Miroir's own processor time, and the ratios to the direct side: only those compare between machines. Other
// builds of Miroir, each over nodes of its own, can take turns with this one. Servers with the same documents differ by up to a
// tenth from each other: where Miroir has one node, that is asked directly too.
//
//	go run ./scripts/bench --nodes 1
//	go run ./scripts/bench --nodes 3 --rf 2 --spread all --clients 4
//	go run ./scripts/bench --nodes 1 --against /tmp/miroir-before
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"miroir/scripts/cluster"
	"miroir/testdata"
)

type options struct {
	Nodes    int           `help:"Nodes behind Miroir." default:"1"`
	RF       int           `name:"rf" help:"Replicas of each shard." default:"1"`
	Spread   string        `help:"auto, all or a number." default:"all"`
	Clients  int           `help:"Requests in flight." default:"1"`
	Rounds   int           `help:"Rounds for each side, taking turns." default:"18"`
	Round    time.Duration `help:"Length of one round." default:"1s"`
	Against  []string      `help:"Another miroir program to measure beside this one." type:"existingfile" placeholder:"PROGRAM"`
	Embedded bool          `help:"Use embedded nodes even when a meilisearch program is there."`
	ServeAt  string        `help:"Be an embedded node at this address." hidden:""`
}

// queries are asked in turn by every client.
var queries = []string{
	`{"q":"san"}`, `{"q":"reykavik"}`, `{"q":"new york","limit":10}`, `{"q":"p","facets":["continent","country"]}`,
	`{"q":"","filter":"population > 1000000","sort":["population:desc"]}`, `{"q":"constantinople","attributesToHighlight":["*"]}`,
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Compare Miroir with one node asked directly."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := run
	if o.ServeAt != "" {
		run = serveNode
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "miroir-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := cluster.BuildMiroir(ctx, dir)
	if err != nil {
		return err
	}
	var started processes
	defer started.stop()
	direct, err := started.nodes(ctx, o, dir, 1)
	if err != nil {
		return err
	}
	sides := []*side{{name: "direct", url: direct[0]}}
	for i, program := range append(o.Against, program) {
		s, err := started.pod(ctx, o, filepath.Join(dir, fmt.Sprint(i)), program)
		if err != nil {
			return fmt.Errorf("start %s: %w", program, err)
		}
		sides = append(sides, s)
	}
	for _, s := range sides {
		if err := load(ctx, s.url); err != nil {
			return fmt.Errorf("load %s: %w", s.url, err)
		}
	}
	if o.Nodes == 1 {
		for _, s := range sides[1:] {
			sides = append(sides, &side{name: s.name + "'s node", url: s.nodes[0]})
		}
	}
	for round := range o.Rounds + 1 {
		for i := range sides {
			s := sides[(round+i)%len(sides)] // whoever follows a slow side does so in turn
			if err := s.round(ctx, o, round > 0); err != nil {
				return err
			}
		}
	}
	report(o, sides)
	return nil
}

func load(ctx context.Context, url string) error {
	dataset := testdata.Datasets[0]
	documents, err := dataset.Open()
	if err != nil {
		return err
	}
	defer documents.Close()
	body, err := io.ReadAll(documents)
	if err != nil {
		return err
	}
	if _, err := call(ctx, http.MethodPatch, url+"/indexes/cities/settings", "application/json", dataset.Settings); err != nil {
		return err
	}
	if _, err := call(ctx, http.MethodPost, url+"/indexes/cities/documents", "application/x-ndjson", body); err != nil {
		return err
	}
	for {
		answer, err := call(ctx, http.MethodGet, url+"/tasks?statuses=enqueued,processing&limit=1", "", nil)
		if err != nil {
			return err
		}
		if bytes.Contains(answer, []byte(`"results":[]`)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// client asks for no compression: compressed answers of a Meilisearch server wait 40 ms for a delayed TCP acknowledgement
// on loopback, which would flatter Miroir.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}, Timeout: 30 * time.Second}

func call(ctx context.Context, method, url, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+cluster.Key)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	return answer, err
}

// side is one of those that are compared.
type side struct {
	name, url string
	pid       int      // of the pod, 0 without one
	nodes     []string // of the pod
	latencies []time.Duration
	cpu       time.Duration // of the pod in the rounds that count
}

// round asks for o.Round with o.Clients requests in flight. The first turn of each side warms it up and does not count.
func (s *side) round(ctx context.Context, o options, counts bool) error {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	before := cpuTime(s.pid)
	start := time.Now()
	var clients sync.WaitGroup
	for range o.Clients {
		clients.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && time.Since(start) < o.Round {
				query := queries[int(next.Add(1))%len(queries)]
				asked := time.Now()
				_, err = call(ctx, http.MethodPost, s.url+"/indexes/cities/search", "application/json", []byte(query))
				mine = append(mine, time.Since(asked))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	clients.Wait()
	if counts {
		s.cpu += cpuTime(s.pid) - before
		s.latencies = append(s.latencies, all...)
	}
	return failed
}
