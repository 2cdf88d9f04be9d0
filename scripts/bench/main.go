// Bench compares Miroir over N nodes with one node asked directly: the same data on the same machine, in rounds that
// take turns, so that whatever else the machine does falls on both. It prints a table of latencies and requests per
// second, and their ratios: only those compare between machines.
//
//	go run ./scripts/bench --nodes 1
//	go run ./scripts/bench --nodes 3 --rf 2 --spread all --clients 4
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alecthomas/kong"

	"miroir/devnode"
	"miroir/scripts/cluster"
	"miroir/testdata"
)

type options struct {
	Nodes    int           `help:"Nodes behind Miroir." default:"1"`
	RF       int           `name:"rf" help:"Replicas of each shard." default:"1"`
	Spread   string        `help:"auto, all or a number." default:"all"`
	Clients  int           `help:"Requests in flight." default:"1"`
	Rounds   int           `help:"Rounds for each side, taking turns." default:"6"`
	Round    time.Duration `help:"Length of one round." default:"3s"`
	Embedded bool          `help:"Use embedded nodes even when a meilisearch program is there."`
}

// queries are asked in turn by every client.
var queries = []string{
	`{"q":"san"}`, `{"q":"reykavik"}`, `{"q":"new york","limit":10}`, `{"q":"p","facets":["continent","country"]}`,
	`{"q":"","filter":"population > 1000000","sort":["population:desc"]}`, `{"q":"constantinople","attributesToHighlight":["*"]}`,
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Compare Miroir with one node asked directly."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
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
	urls, closeNodes, err := startNodes(ctx, o, dir)
	if err != nil {
		return err
	}
	defer closeNodes()
	pod, err := cluster.Over(ctx, cluster.Options{Miroir: program, Nodes: o.Nodes, Groups: 1, RF: o.RF, Spread: o.Spread, Dir: dir}, urls[1:])
	if err != nil {
		return err
	}
	defer pod.Close()
	for _, url := range []string{urls[0], pod.URL} {
		if err := load(ctx, url); err != nil {
			return fmt.Errorf("load %s: %w", url, err)
		}
	}
	sides := [2]side{{name: "direct", url: urls[0]}, {name: "miroir", url: pod.URL}}
	for round := range 2 * (o.Rounds + 1) {
		s := &sides[round%2]
		latencies, err := s.round(ctx, o)
		if err != nil {
			return err
		}
		if round >= 2 { // the first turn of each side warms it up
			s.latencies = append(s.latencies, latencies...)
		}
	}
	report(o, &sides[0], &sides[1])
	return nil
}

// startNodes starts one node to ask directly and the nodes behind Miroir, and returns their addresses in that order.
func startNodes(ctx context.Context, o options, dir string) (urls []string, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	program, missing := cluster.FindMeilisearch()
	for i := range o.Nodes + 1 {
		if o.Embedded || missing != nil {
			node := devnode.New(devnode.Options{MasterKey: cluster.Key})
			server := httptest.NewServer(node)
			stops = append(stops, server.Close, node.Close)
			urls = append(urls, server.URL)
			continue
		}
		node, err := cluster.StartNode(program, filepath.Join(dir, fmt.Sprintf("node-%d", i)))
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, func() { _ = node.Stop() })
		urls = append(urls, node.URL)
		if err := cluster.WaitOK(ctx, node.URL+"/health"); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return urls, stop, nil
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

// side is one of the two that are compared.
type side struct {
	name, url string
	latencies []time.Duration
}

// round asks for o.Round with o.Clients requests in flight.
func (s *side) round(ctx context.Context, o options) ([]time.Duration, error) {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var failed error
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
	return all, failed
}

func percentile(sorted []time.Duration, p float64) time.Duration {
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func report(o options, direct, miroir *side) {
	slices.Sort(direct.latencies)
	slices.Sort(miroir.latencies)
	fmt.Printf("%d node(s), RF %d, spread %s, %d client(s), %d rounds of %s each side\n\n", o.Nodes, o.RF, o.Spread, o.Clients, o.Rounds, o.Round)
	fmt.Println("| | direct | miroir | ratio |\n|---|---|---|---|")
	for _, p := range []struct {
		name  string
		value float64
	}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}} {
		d, m := percentile(direct.latencies, p.value), percentile(miroir.latencies, p.value)
		fmt.Printf("| %s | %.2f ms | %.2f ms | %.2f |\n", p.name, ms(d), ms(m), float64(m)/float64(d))
	}
	seconds := float64(o.Rounds) * o.Round.Seconds()
	d, m := float64(len(direct.latencies))/seconds, float64(len(miroir.latencies))/seconds
	fmt.Printf("| requests/s | %.0f | %.0f | %.2f |\n", d, m, m/d)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
