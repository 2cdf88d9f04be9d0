// Loadtest loads many documents into one Meilisearch server and then through Miroir into several, on the same machine,
// and prints both times, their ratio, and the most memory the pod ever held. It needs a `meilisearch` program.
//
//	go run ./scripts/loadtest --documents 1000000 --nodes 3
package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"miroir/cli"
	"miroir/scripts/cluster"
)

type options struct {
	Documents  int    `help:"How many." default:"1000000"`
	BatchBytes int    `help:"Size of one request's body." default:"50000000"`
	Nodes      int    `help:"Nodes behind Miroir." default:"3"`
	RF         int    `name:"rf" help:"Replicas of each shard." default:"1"`
	Spread     string `help:"auto, all or a number." default:"all"`
	Miroir     string `help:"Program to test; default: built from this module."`
	MaxMiB     int    `name:"max-mib" help:"Fail when the pod ever held more." default:"300"`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Load documents directly and through Miroir."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "miroir-loadtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := cluster.FindMeilisearch()
	if err != nil {
		return err
	}
	direct, err := loadDirect(ctx, o, program, filepath.Join(dir, "direct"))
	if err != nil {
		return fmt.Errorf("direct: %w", err)
	}
	fmt.Printf("direct: %d documents in %s\n", o.Documents, direct.Round(time.Millisecond))
	miroir := o.Miroir
	if miroir == "" {
		if miroir, err = cluster.BuildMiroir(ctx, dir); err != nil {
			return err
		}
	}
	pod, err := cluster.Start(ctx, cluster.Options{
		Meilisearch: program, Miroir: miroir, Nodes: o.Nodes, Groups: 1, RF: o.RF, Spread: o.Spread, Dir: filepath.Join(dir, "cluster"),
	})
	if err != nil {
		return err
	}
	took, err := load(ctx, o, pod.URL)
	peak, peakErr := peakMiB(pod.Pod.PID())
	if closeErr := pod.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = peakErr
	}
	if err != nil {
		return fmt.Errorf("through miroir: %w", err)
	}
	fmt.Printf("miroir over %d nodes, RF %d, spread %s: %s, ratio %.2f, pod held at most %d MiB\n",
		o.Nodes, o.RF, o.Spread, took.Round(time.Millisecond), took.Seconds()/direct.Seconds(), peak)
	if peak > o.MaxMiB {
		return fmt.Errorf("the pod held %d MiB, more than --max-mib %d", peak, o.MaxMiB)
	}
	return nil
}

func loadDirect(ctx context.Context, o options, program, dir string) (time.Duration, error) {
	node, err := cluster.StartNode(ctx, program, dir)
	if err != nil {
		return 0, err
	}
	defer node.Stop()
	return load(ctx, o, node.URL)
}

// load sends all documents and returns the time until the last task had succeeded.
func load(ctx context.Context, o options, url string) (time.Duration, error) {
	client := &cli.Client{URL: url, Key: cluster.Key, HTTP: http.DefaultClient}
	start := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	last := uint32(0)
	var batch bytes.Buffer
	for id := range o.Documents {
		writeDocument(&batch, id, random)
		if batch.Len() < o.BatchBytes && id+1 < o.Documents {
			continue
		}
		var err error
		if last, err = client.Enqueue(ctx, http.MethodPost, "/indexes/load/documents?primaryKey=id", "application/x-ndjson", batch.Bytes()); err != nil {
			return 0, err
		}
		batch.Reset()
	}
	if err := client.AwaitTask(ctx, last); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

var words = strings.Fields("amber basin cedar delta ember fjord grove harbor island juniper karst lagoon meadow nectar ocean prairie quarry river summit tundra upland valley willow yarrow zenith")

func writeDocument(w *bytes.Buffer, id int, random *rand.Rand) {
	fmt.Fprintf(w, `{"id":%d,"title":"%s %s %d","year":%d,"price":%.2f,"tags":["%s","%s"],"text":"`,
		id, pick(random), pick(random), id%977, 1950+random.IntN(75), random.Float64()*1000, pick(random), pick(random))
	for range 20 {
		w.WriteString(pick(random))
		w.WriteByte(' ')
	}
	w.WriteString("\"}\n")
}

func pick(random *rand.Rand) string { return words[random.IntN(len(words))] }

// peakMiB reads the most resident memory a process ever had. Linux only.
func peakMiB(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}
