// Chaos runs real pods over real Meilisearch servers, kills, stops, wipes and cuts them at random, and holds every answer
// against what was written. It needs a `meilisearch` program; without one, nodes are embedded ones, which a kill wipes.
//
//	go run ./scripts/chaos --duration 2m --seed 7
//	go run ./scripts/chaos --phases wipe,topology
//
// It exits 1 when an acknowledged write was lost, an answer was wrong, a search failed while one node was dead, or
// something did not heal in time. Everything it starts is gone at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"miroir/scripts/cluster"
)

type options struct {
	Duration time.Duration `help:"Of the random faults." default:"10m"`
	Phases   []string      `help:"leader, random, wipe, topology, in this order." default:"random"`
	Kills    int           `help:"Of the leader, in phase leader." default:"20"`
	Steps    []string      `help:"Of phase topology: add, drain, remove, replace, rf, group." default:"add,drain,remove,replace,rf,group"`
	Pods     int           `help:"Pods." default:"3"`
	Nodes    int           `help:"Nodes." default:"4"`
	RF       int           `name:"rf" help:"Replicas of each shard." default:"2"`
	Writers  int           `default:"4" help:"Clients that write."`
	Readers  int           `default:"4" help:"Clients that read."`
	Calm     time.Duration `default:"10s" help:"Time without faults at first, to measure by."`
	HealTime time.Duration `default:"2m" help:"Until every replica must be in sync again after a fault."`
	Seed     uint64        `help:"Of what happens when; 0: any."`
	Faults   []string      `help:"Only these faults, as in kill-node,wipe-node,cut-pod."`
	Embedded bool          `help:"Embedded nodes even when there is a meilisearch."`
	Flags    []string      `help:"More flags of the pods, as in --flags=--raft-heartbeat-timeout-ms=500."`
	Miroir   string        `help:"Program to test; default: built from this module."`
	Keep     bool          `help:"Keep data and logs."`
}

type program struct {
	Run  options       `cmd:"" default:"withargs" help:"Test."`
	Node devnodeServer `cmd:"" hidden:"" help:"Serve an embedded node."`
}

func main() {
	var p program
	command := kong.Parse(&p, kong.Description("Random faults under a write oracle."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// Run starts everything, lets the phases happen, checks, and ends everything.
func (o *options) Run(ctx context.Context) (err error) {
	if o.Seed == 0 {
		o.Seed = rand.Uint64N(1 << 32)
	}
	dir, err := os.MkdirTemp("", "miroir-chaos-")
	if err != nil {
		return err
	}
	if o.Keep {
		fmt.Println("data and logs:", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if o.Miroir == "" {
		if o.Miroir, err = cluster.BuildMiroir(ctx, dir); err != nil {
			return err
		}
	} else if o.Miroir, err = filepath.Abs(o.Miroir); err != nil {
		return err
	}
	fleet, err := startFleet(ctx, o, dir)
	defer func() { err = errors.Join(err, fleet.Close()) }()
	if err != nil {
		return err
	}
	t := newTrial(o, fleet)
	fmt.Printf("seed %d: %d pods over %d nodes, RF %d, %d writers, %d readers\n", o.Seed, o.Pods, o.Nodes, o.RF, o.Writers, o.Readers)
	if err := t.run(ctx); err != nil {
		return err
	}
	return t.report.verdict()
}

// trial is one test: the fleet, what was written, and what was seen.
type trial struct {
	*options
	fleet   *fleet
	ledger  *ledger
	report  *report
	weather *weather
}

func newTrial(o *options, f *fleet) *trial {
	return &trial{options: o, fleet: f, ledger: newLedger(), report: newReport(o.Seed), weather: newWeather(o.RF)}
}

// indexes are the two ways an index can live.
var indexes = []string{"cut", "whole"}

func (t *trial) run(ctx context.Context) error {
	if err := t.prepare(ctx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	load := t.startLoad(ctx)
	err := t.phases(ctx)
	t.fleet.heal()
	load.stop()
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return t.check(ctx)
}

func (t *trial) phases(ctx context.Context) error {
	t.report.enter("start")
	if !sleep(ctx, t.Calm) {
		return ctx.Err()
	}
	for _, phase := range []struct {
		name string
		run  func(context.Context) error
	}{{"leader", t.leader}, {"random", t.random}, {"wipe", t.wipe}, {"topology", t.topology}} {
		if !slices.Contains(t.Phases, phase.name) {
			continue
		}
		fmt.Println("phase", phase.name)
		t.report.enter(phase.name)
		if err := phase.run(ctx); err != nil {
			return fmt.Errorf("phase %s: %w", phase.name, err)
		}
		t.awaitWhole(ctx, "after phase "+phase.name)
	}
	return nil
}

// prepare makes the indexes: one cut into shards, one that lives whole.
func (t *trial) prepare(ctx context.Context) error {
	c := t.client(0)
	for _, index := range indexes {
		spread := map[string]string{"cut": "all", "whole": "auto"}[index]
		if answer := c.send(ctx, "PATCH", "/_miroir/config", fmt.Sprintf(`{"placement.spread":%q}`, spread)); answer.status != 200 {
			return fmt.Errorf("spread of new indexes: %s", answer)
		}
		for _, call := range []struct{ method, path, body string }{
			{"POST", "/indexes", fmt.Sprintf(`{"uid":%q,"primaryKey":"id"}`, index)},
			{"PATCH", "/indexes/" + index + "/settings", `{"filterableAttributes":["batch"],"searchableAttributes":["text"]}`},
		} {
			answer := c.send(ctx, call.method, call.path, call.body)
			if status := c.awaitTask(ctx, answer, 30*time.Second); status != "succeeded" {
				return fmt.Errorf("%s %s: %s, task %s", call.method, call.path, answer, status)
			}
		}
	}
	if !t.awaitWhole(ctx, "at the start") {
		return errors.New("the indexes are not in sync at the start")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func oneOf[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// short is a text cut to what fits on a line.
func short(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 300 {
		return text[:300] + "..."
	}
	return text
}
