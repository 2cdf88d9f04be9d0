// Differential asks one Meilisearch server and Miroir over several the same and compares the answers whole: status, every
// member and their order. First come dialogues about the whole API (indexes, documents in every format, settings, tasks,
// keys, tokens, webhooks, paths and headers), a third of whose requests are wrong in one place; then searches. Documents, settings and requests are generated from seeds. Only what no two servers share may
// differ (times, durations, sizes on disk, request ids), and the order of documents that rank equally.
//
//	go run ./scripts/differential --seeds 10
//	go run ./scripts/differential --conversations 20 --seeds 0 --spread auto
//	go run ./scripts/differential --spread auto --grow --seed 100
//	go run ./scripts/differential --seed 7 --seeds 1 --shapes products --rf 2 --show 50
//
// It prints how many answers agree, by kind of request, and the first differences, and exits 1 when there are more than
// --allow. Without a `meilisearch` program it compares embedded nodes.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"miroir/conformance/generate"
	"miroir/scripts/cluster"
)

type options struct {
	Nodes   int    `help:"Nodes in each group." default:"3"`
	Groups  int    `help:"Replica groups." default:"1"`
	RF      int    `name:"rf" help:"Replicas of each shard inside a group." default:"1"`
	Spread  string `help:"auto, all or a number." default:"all"`
	Seed    uint64 `help:"First seed." default:"1"`
	Seeds   int    `help:"Seeds." default:"6"`
	Queries int    `help:"Requests per seed, beside those that load it." default:"150"`

	Conversations int      `help:"Dialogues about the whole API, each from a seed of its own, before the searches." default:"3"`
	Retellings    int      `help:"Recorded dialogues told again with changes, each from a seed of its own, before the searches." default:"0"`
	Recorded      []string `help:"Files of recorded dialogues." default:"testdata/conformance/api-*.json" sep:","`

	Shapes    []string `help:"Only these kinds of documents: words, products, articles, packages, cities."`
	Kinds     []string `help:"Only these kinds of requests, see the table that is printed."`
	Battery   bool     `help:"Searches as the recorded ones are: five profiles of settings one after the other, 75 searches of each."`
	Frequency bool     `help:"With matchingStrategy frequency."`
	Rewrites  bool     `help:"Write documents again."`
	Grow      bool     `help:"Load an index whole, and cut it up before the searches."`
	Keep      bool     `help:"Delete no documents: what they were leaves no trace by which facet lists could be cut as on one server."`
	Show      int      `help:"Differences to print." default:"10"`
	Trace     bool     `help:"Print every request, and how one server answers it."`
	Allow     int      `help:"Differences that are no failure." default:"0"`
	Embedded  bool     `help:"Embedded nodes even when there is a meilisearch."`
	Miroir    string   `help:"Program to test; default: built from this module."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Compare Miroir with one server, answer by answer."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	shapes, err := o.shapes()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "miroir-differential-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	alone, miroir, closeAll, err := start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	report := newReport(o.Show)
	for i := range o.Conversations {
		c := newConversation(o, alone, miroir, report, o.Seed+uint64(i))
		if err := c.run(ctx); err != nil {
			return fmt.Errorf("conversation %d: %w", c.seed, err)
		}
	}
	if err := retell(ctx, o, alone, miroir, report); err != nil {
		return err
	}
	for i := range o.Seeds {
		t := &trial{
			options: o, alone: alone, miroir: miroir, report: report, seed: o.Seed + uint64(i),
			g: generate.New(o.Seed + uint64(i)), shape: shapes[i%len(shapes)],
		}
		if err := t.run(ctx); err != nil {
			return fmt.Errorf("seed %d: %w", t.seed, err)
		}
	}
	if different := report.print(); different > o.Allow {
		return fmt.Errorf("%d answers differ", different)
	}
	return nil
}

func (o options) shapes() ([]*generate.Shape, error) {
	packages, err := packagesShape(packagesFile)
	if err != nil {
		return nil, err
	}
	cities, err := citiesShape(citiesFile)
	if err != nil {
		return nil, err
	}
	all := append(slices.Clone(generate.Shapes), packages, cities)
	if len(o.Shapes) == 0 {
		return all, nil
	}
	var chosen []*generate.Shape
	for _, name := range o.Shapes {
		at := slices.IndexFunc(all, func(s *generate.Shape) bool { return s.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("no shape %s", name)
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// report counts verdicts.
type report struct {
	show    int
	kinds   map[string]*count
	aspects map[string]int
	told    subject // the last that was described
	drifted bool    // one server has made tasks that the other has not
}

// subject is what answers are about: it has a name and can say more.
type subject interface {
	fmt.Stringer
	describe() string
}

type count struct{ asked, ties, different int }

func newReport(show int) *report {
	return &report{show: show, kinds: map[string]*count{}, aspects: map[string]int{}}
}

// maxLines is how many lines of one difference are printed.
const maxLines = 4

func (r *report) add(t subject, q step, v verdict) {
	c := r.kinds[q.kind]
	if c == nil {
		c = &count{}
		r.kinds[q.kind] = c
	}
	c.asked++
	switch {
	case len(v.found) > 0:
		c.different++
	case v.ties:
		c.ties++
	}
	if len(v.found) == 0 {
		return
	}
	r.aspects[q.kind+" "+aspect(v.found[0])]++
	if r.show--; r.show < 0 {
		return
	}
	if r.told != t {
		r.told = t
		fmt.Println(t.describe())
	}
	fmt.Printf("%s %s: %s\n", t, q.kind, q)
	for i, line := range v.found {
		if i == maxLines {
			fmt.Printf("     ... and %d more\n", len(v.found)-i)
			break
		}
		fmt.Println("     " + line)
	}
}

// print prints the table and returns how many answers differ.
func (r *report) print() int {
	fmt.Printf("\n%-16s %7s %7s %7s %9s\n", "kind", "asked", "equal", "ties", "different")
	var sum count
	for _, kind := range slices.Sorted(maps.Keys(r.kinds)) {
		c := r.kinds[kind]
		fmt.Printf("%-16s %7d %7d %7d %9d\n", kind, c.asked, c.asked-c.ties-c.different, c.ties, c.different)
		sum = count{sum.asked + c.asked, sum.ties + c.ties, sum.different + c.different}
	}
	fmt.Printf("%-16s %7d %7d %7d %9d\n", "all", sum.asked, sum.asked-sum.ties-sum.different, sum.ties, sum.different)
	for _, aspect := range slices.SortedFunc(maps.Keys(r.aspects), func(a, b string) int {
		if r.aspects[a] != r.aspects[b] {
			return r.aspects[b] - r.aspects[a]
		}
		return strings.Compare(a, b)
	}) {
		fmt.Printf("%6d  %s\n", r.aspects[aspect], aspect)
	}
	return sum.different
}

// start starts the one server and the cluster beside it.
func start(ctx context.Context, o options, dir string) (alone, miroir *server, closeAll func() error, err error) {
	program := o.Miroir
	if program == "" {
		if program, err = cluster.BuildMiroir(ctx, dir); err != nil {
			return nil, nil, nil, err
		}
	}
	nodes, err := startNodes(ctx, o, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	pod, err := cluster.Over(ctx, cluster.Options{
		Miroir: program, Nodes: o.Nodes, Groups: o.Groups, RF: o.RF, Spread: o.Spread, Dir: dir,
	}, nodes.urls[1:])
	if err != nil {
		return nil, nil, nil, errors.Join(err, nodes.Close())
	}
	closeAll = func() error { return errors.Join(pod.Close(), nodes.Close()) }
	return newServer(nodes.urls[0]), newServer(pod.URL), closeAll, nil
}
