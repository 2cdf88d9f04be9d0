package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// slowCluster is six nodes with two copies of each shard, in virtual time. Each request takes 5 ms and what slow adds.
type slowCluster struct {
	*readCluster
	nodes     map[string]*devnode.Node
	reference *readCluster
	asked     *atomic.Int64 // requests to nodes
}

// countedTransport counts the requests to nodes, save those for their health.
type countedTransport struct {
	http.RoundTripper
	asked *atomic.Int64
}

func (c countedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/health" {
		c.asked.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

func newSlowCluster(t *testing.T, l layout, configure func(*fsm.Config)) *slowCluster {
	c := &slowCluster{asked: &atomic.Int64{}}
	c.reference, _ = filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: l.shards, whole: true})
	nodes := map[string]*devnode.Node{}
	var addresses []string
	for i := range l.groups * l.nodes {
		host := fmt.Sprintf("node%d", i)
		nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[host].Close)
		addresses = append(addresses, "http://"+host)
	}
	c.nodes = nodes
	c.readCluster = fill(t, newReadCluster(t, countedTransport{devnode.Transport(nodes), c.asked}, addresses, l))
	view := *c.view.Load()
	view.Config = fsm.DefaultConfig()
	configure(&view.Config)
	c.view.Store(&view)
	c.slow(nil)
	return c
}

// slow makes each request to a node, save that for its health, take as long as add says on top of 5 ms.
func (c *slowCluster) slow(add func(host string) time.Duration) {
	for host, n := range c.nodes {
		n.Delay(func(r *http.Request) time.Duration {
			if add == nil || r.URL.Path == "/health" {
				return 5 * time.Millisecond
			}
			return 5*time.Millisecond + add(host)
		})
	}
}

// search is a read whose answer has one right order.
func numberedSearch(i int) string {
	return fmt.Sprintf(`{"q":"document","sort":["price:asc","title:asc"],"limit":5,"offset":%d,"facets":["color"]}`, i%60)
}

// run sends n searches one after the other, compares every answer with the reference and returns how long each took.
func (c *slowCluster) run(t *testing.T, n int) (took []time.Duration) {
	want := map[string]reply{}
	for i := range n {
		body := numberedSearch(i)
		started := time.Now()
		got := ask(t, c, "POST", "/indexes/docs/search", body)
		took = append(took, time.Since(started))
		if _, known := want[body]; !known {
			want[body] = ask(t, c.reference, "POST", "/indexes/docs/search", body)
		}
		sameAnswer(t, body, want[body], got)
		if t.Failed() {
			t.FailNow()
		}
	}
	slices.Sort(took)
	return took
}

// fixedSelection takes speed out of the choice of nodes, so that only hedging can help.
func fixedSelection(c *fsm.Config) { c.ReplicaSelection.Strategy = "random" }

// TestHedgingHidesASlowNode: one node of six takes half a second longer for a tenth of its answers.
func TestHedgingHidesASlowNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const searches = 500
		measure := func(enabled bool) (p99 time.Duration, asked int64) {
			c := newSlowCluster(t, layout{groups: 1, nodes: 6, copies: 2, shards: 12}, func(config *fsm.Config) {
				fixedSelection(config)
				config.Hedging.Enabled = enabled
			})
			random, mu := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
			c.slow(func(host string) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				if host == "node0" && random.IntN(10) == 0 {
					return 500 * time.Millisecond
				}
				return 0
			})
			c.run(t, 50)
			before := c.asked.Load()
			took := c.run(t, searches)
			return took[searches*99/100], c.asked.Load() - before
		}
		plain, asked := measure(false)
		hedged, askedHedged := measure(true)
		extra := float64(askedHedged-asked) / float64(asked)
		t.Logf("p99 %v without and %v with hedging, %.1f %% more requests", plain, hedged, 100*extra)
		if plain < 400*time.Millisecond || hedged > plain/2 {
			t.Errorf("p99 is %v without and %v with hedging", plain, hedged)
		}
		if extra <= 0 || extra > 0.07 {
			t.Errorf("hedging sends %.1f %% more requests", 100*extra)
		}
	})
}

// TestHedgingHasABudget: when every node is slow all at once, the budget ends and searches go on as without hedging.
func TestHedgingHasABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSlowCluster(t, layout{groups: 1, nodes: 6, copies: 2, shards: 12}, fixedSelection)
		c.run(t, 100)
		before, hedges := c.asked.Load(), c.server.hedger.meter()
		fired := hedges.winner.Get() + hedges.loser.Get()
		c.slow(func(string) time.Duration { return 300 * time.Millisecond })
		// All at once, so that none of them can teach the pod what to expect now.
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() { ask(t, c, "POST", "/indexes/docs/search", numberedSearch(i)) })
		}
		all.Wait()
		asked := c.asked.Load() - before
		if exhausted := hedges.exhausted.Get(); exhausted == 0 {
			t.Error("the budget was not exhausted")
		}
		fired = hedges.winner.Get() + hedges.loser.Get() - fired
		if fired == 0 || float64(fired) > 20+0.05*float64(asked) {
			t.Errorf("%d hedges among %d requests", fired, asked)
		}
		c.run(t, 10)
	})
}

// TestHedgingKnowsItsBounds: no hedge without another replica, over the limit of a query, or when it is off.
func TestHedgingKnowsItsBounds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		layout    layout
		configure func(*fsm.Config)
		hedges    bool
	}{
		{"two copies", layout{groups: 1, nodes: 3, copies: 2, shards: 6}, func(*fsm.Config) {}, true},
		{"one copy", layout{groups: 1, nodes: 3, copies: 1, shards: 6}, func(*fsm.Config) {}, false},
		{"two groups", layout{groups: 2, nodes: 1, copies: 1, shards: 6, whole: true}, func(*fsm.Config) {}, true},
		{"two groups, no crossing", layout{groups: 2, nodes: 1, copies: 1, shards: 6, whole: true}, func(c *fsm.Config) { c.Hedging.CrossGroupFallback = false }, false},
		{"off", layout{groups: 1, nodes: 3, copies: 2, shards: 6}, func(c *fsm.Config) { c.Hedging.Enabled = false }, false},
		{"none allowed", layout{groups: 1, nodes: 3, copies: 2, shards: 6}, func(c *fsm.Config) { c.Hedging.MaxHedgesPerQuery = 0 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newSlowCluster(t, test.layout, func(config *fsm.Config) {
					fixedSelection(config)
					test.configure(config)
				})
				c.run(t, 20)
				time.Sleep(time.Second)
				c.run(t, 1) // what it was told by now counts
				c.server.hedger.budget.Store(maxBudget)
				c.slow(func(host string) time.Duration {
					if host == "node0" {
						return time.Second
					}
					return 0
				})
				took := c.run(t, 10)
				if fast := took[len(took)-1] < 100*time.Millisecond; fast != test.hedges {
					t.Errorf("searches took up to %v", took[len(took)-1])
				}
			})
		})
	}
}

// TestRaceNeverMixes draws who answers when, and checks that an answer is the original's or all of the substitutes'.
func TestRaceNeverMixes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		takes := func(d time.Duration, fails bool, answer string) part[string] {
			return func(ctx context.Context) (string, error) {
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return "", context.Cause(ctx)
				}
				if fails {
					return "", errors.New("failed")
				}
				return answer, nil
			}
		}
		c := &hedger{meter: sync.OnceValue(func() *hedgeMeter { return newHedgeMeter(newReadCluster(t, nil, nil, layout{}).server.opts.Metrics) })}
		for range 2000 {
			delays := []time.Duration{time.Duration(r.IntN(40)), time.Duration(r.IntN(40)), time.Duration(r.IntN(40))}
			fails := []bool{r.IntN(4) == 0, r.IntN(8) == 0, r.IntN(8) == 0}
			got, hedged, err := race(t.Context(), hedge{trigger: 15, meter: c.meter}, takes(delays[0], fails[0], "original"), func(context.Context) ([]part[string], error) {
				return []part[string]{takes(delays[1], fails[1], "one"), takes(delays[2], fails[2], "two")}, nil
			})
			substitutesDone := !fails[1] && !fails[2] && delays[0] >= 15
			switch text := strings.Join(got, " "); {
			case err != nil && fails[0] && !substitutesDone:
			case err == nil && !hedged && text == "original" && !fails[0]:
			case err == nil && hedged && text == "one two" && substitutesDone:
			default:
				t.Fatalf("delays %v, failures %v: %q, %v", delays, fails, text, err)
			}
			synctest.Wait()
		}
	})
}
