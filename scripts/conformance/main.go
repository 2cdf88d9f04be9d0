// Conformance replays the recorded conversations of testdata/conformance against real Meilisearch servers, directly
// or through Miroir, each case on an empty cluster, and prints how many steps agree.
//
//	go run ./scripts/conformance --nodes 3 --rf 2 --spread all
//	go run ./scripts/conformance --direct                      # one server, no Miroir: the recordings against themselves
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/alecthomas/kong"

	"miroir/conformance"
	"miroir/scripts/cluster"
)

type options struct {
	Nodes   int      `help:"Nodes in each group." default:"3"`
	Groups  int      `help:"Replica groups." default:"1"`
	RF      int      `name:"rf" help:"Replicas of each shard inside a group." default:"1"`
	Spread  string   `help:"auto, all or a number." default:"all"`
	Direct  bool     `help:"Ask one server directly."`
	Verbose bool     `help:"Print every difference, not the first four of a step." short:"v"`
	AtLeast float64  `help:"Fail below this percentage." default:"98"`
	Cases   []string `arg:"" optional:"" help:"Case files; default: all of testdata/conformance."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Replay recorded conversations against real servers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	meilisearch, err := cluster.FindMeilisearch()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "miroir-conformance-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := ""
	if !o.Direct {
		if program, err = cluster.BuildMiroir(ctx, dir); err != nil {
			return err
		}
	}
	cases, err := o.cases()
	if err != nil {
		return err
	}
	steps, passed := 0, 0
	for i, path := range cases {
		c, err := conformance.Load(path)
		if err != nil {
			return err
		}
		results, err := replay(ctx, cluster.Options{
			Meilisearch: meilisearch, Miroir: program, Nodes: o.Nodes, Groups: o.Groups, RF: o.RF, Spread: o.Spread,
			Dir: filepath.Join(dir, fmt.Sprint(i)),
		}, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		report(c.Name, results, o.Verbose)
		steps, passed = steps+len(results), passed+conformance.Passed(results)
	}
	share := 100 * float64(passed) / float64(max(steps, 1))
	fmt.Printf("%d of %d steps agree (%.2f %%)\n", passed, steps, share)
	if share < o.AtLeast {
		return fmt.Errorf("%.2f %% is below --at-least %.2f", share, o.AtLeast)
	}
	return nil
}

func (o options) cases() ([]string, error) {
	if len(o.Cases) > 0 {
		return o.Cases, nil
	}
	return filepath.Glob("testdata/conformance/*.json*")
}

// replay runs one case on an empty cluster, or on one server when there is no Miroir program.
func replay(ctx context.Context, o cluster.Options, c *conformance.Case) ([]conformance.Result, error) {
	if o.Miroir == "" {
		node, err := cluster.StartNode(ctx, o.Meilisearch, o.Dir)
		if err != nil {
			return nil, err
		}
		defer node.Stop()
		return conformance.Run(ctx, conformance.Options{BaseURL: node.URL, Key: cluster.Key}, c), nil
	}
	running, err := cluster.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	results := conformance.Run(ctx, conformance.Options{BaseURL: running.URL, Key: cluster.Key}, c)
	return results, running.Close()
}

func report(name string, results []conformance.Result, verbose bool) {
	for _, result := range results {
		if result.OK() {
			continue
		}
		fmt.Printf("FAIL %s/%s  %s\n", name, result.Step, result.Request)
		for i, difference := range result.Differences {
			if i == 4 && !verbose {
				fmt.Printf("     ... and %d more\n", len(result.Differences)-i)
				break
			}
			fmt.Println("     " + difference)
		}
	}
	fmt.Printf("%s: %d/%d\n", name, conformance.Passed(results), len(results))
}
