package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

// worstCase is what a read may take while one node hangs, in any of its rounds.
const worstCase = 700 * time.Millisecond

// longest runs n searches from each of several clients, holds every answer against the reference and returns the longest time.
func (c *slowCluster) longest(t *testing.T, clients, n int) time.Duration {
	var wanted sync.Map // body → reply
	var worst atomic.Int64
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := range n {
				body := numberedSearch(i*clients + client)
				started := time.Now()
				got := ask(t, c, "POST", "/indexes/docs/search", body)
				took := int64(time.Since(started))
				for before := worst.Load(); took > before && !worst.CompareAndSwap(before, took); before = worst.Load() {
				}
				want, known := wanted.Load(body)
				if !known {
					want = ask(t, c.reference, "POST", "/indexes/docs/search", body)
					wanted.Store(body, want)
				}
				sameAnswer(t, body, want.(reply), got)
			}
		})
	}
	all.Wait()
	return time.Duration(worst.Load())
}

// TestAHangingNodeIsNotWaitedFor: a node that stops in the middle of everything costs a few searches some tenths of a second,
// with hedging and without, on a pod that knows its nodes and on a new one; once it goes on it is asked again.
func TestAHangingNodeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	onlyReads := func(hangs bool) func(*slowCluster) {
		return func(c *slowCluster) {
			c.nodes["node0"].Delay(func(r *http.Request) time.Duration {
				if hangs && r.URL.Path != "/health" {
					return time.Hour
				}
				return 5 * time.Millisecond
			})
		}
	}
	freeze := func(c *slowCluster) { c.nodes["node0"].Freeze() }
	thaw := func(c *slowCluster) { c.nodes["node0"].Thaw() }
	for _, test := range []struct {
		name          string
		begin, end    func(*slowCluster)
		warm, hedging bool
	}{
		{"stopped", freeze, thaw, true, true},
		{"stopped, without hedging", freeze, thaw, true, false},
		{"stopped, new pod", freeze, thaw, false, true},
		{"healthy, but answers no read", onlyReads(true), onlyReads(false), true, true},
		{"healthy, but answers no read, without hedging", onlyReads(true), onlyReads(false), true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newSlowCluster(t, layout{groups: 1, nodes: 4, copies: 2, shards: 12}, func(config *fsm.Config) {
					config.Hedging.Enabled = test.hedging
				})
				if test.warm {
					c.longest(t, 4, 25)
					time.Sleep(time.Second)
				}
				test.begin(c)
				if worst := c.longest(t, 4, 60); worst > worstCase {
					t.Errorf("a search took %v", worst)
				}
				test.end(c)
				time.Sleep(11 * time.Second) // longer than any suspicion
				c.longest(t, 1, 1)           // which asks whether it is back
				time.Sleep(time.Second)
				if !c.server.nodes.Client(c.view.Load(), "n0-0").Alive() {
					t.Error("the node that goes on is not asked again")
				}
			})
		})
	}
}

// TestAHangInAnyRound: a node hangs from its first, second, third, ... request of a read on. Every answer is the reference's.
func TestAHangInAnyRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newSlowCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8}, func(*fsm.Config) {})
		for _, cluster := range []*readCluster{c.readCluster, c.reference} {
			ask(t, cluster, "PATCH", "/indexes/docs/settings", `{"faceting":{"maxValuesPerFacet":5,"sortFacetValuesBy":{"*":"count"}}}`)
		}
		further := append(slices.Clone(reads), []struct{ method, path, body string }{
			{"POST", "/indexes/docs/search", `{"q":"document","facets":["price","color"],"sort":["price:asc","title:asc"]}`},
			{"POST", "/indexes/docs/search", `{"q":"ocean","distinct":"color","page":1,"hitsPerPage":2,"facets":["price"],"sort":["price:asc","title:asc"]}`},
			{"POST", "/indexes/docs/facet-search", `{"facetName":"price"}`},
			{"POST", "/multi-search", `{"federation":{"distinct":"color","page":1,"hitsPerPage":3},"queries":[{"indexUid":"docs","q":"ocean","sort":["price:asc","title:asc"]}]}`},
		}...)
		rounds := 0
		for _, read := range further {
			if strings.HasSuffix(read.path, "/stats") {
				continue // reported by all nodes
			}
			want := ask(t, c.reference, read.method, read.path, read.body)
			for round := int64(1); ; round++ {
				var asked atomic.Int64
				c.nodes["node1"].Delay(func(*http.Request) time.Duration {
					if asked.Add(1) >= round {
						return time.Hour
					}
					return 5 * time.Millisecond
				})
				started := time.Now()
				got := ask(t, c, read.method, read.path, read.body)
				if took := time.Since(started); took > worstCase {
					t.Errorf("%s %s %s took %v when the node hung from request %d on", read.method, read.path, read.body, took, round)
				}
				sameAnswer(t, read.path+" "+read.body, want, got)
				if degraded := got.header.Get("X-Miroir-Degraded"); degraded != "" {
					t.Errorf("%s %s is marked %s", read.path, read.body, degraded)
				}
				hung := asked.Load() >= round
				if hung && round > 1 {
					rounds++
				}
				c.slow(nil)
				time.Sleep(time.Minute)
				ask(t, c, "POST", "/indexes/docs/search", `{}`)
				time.Sleep(time.Second)
				if !hung {
					break
				}
			}
		}
		if rounds < 10 {
			t.Errorf("only %d further rounds were hit", rounds)
		}
	})
}

// TestSlownessIsNoSilence: nodes that take long and say that they are healthy are asked no more than the budget allows, one
// of them or all.
func TestSlownessIsNoSilence(t *testing.T) {
	for name, slow := range map[string]func(host string) bool{
		"one": func(host string) bool { return host == "node0" },
		"all": func(string) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newSlowCluster(t, layout{groups: 1, nodes: 4, copies: 2, shards: 12}, func(config *fsm.Config) {
					fixedSelection(config)
					config.Hedging.BudgetPercent = 0
				})
				c.longest(t, 4, 25)
				c.server.hedger.budget.Store(0)
				for host, n := range c.nodes {
					n.Delay(func(r *http.Request) time.Duration {
						if slow(host) && r.URL.Path != "/health" {
							return 400 * time.Millisecond
						}
						return 5 * time.Millisecond
					})
				}
				c.longest(t, 4, 10)
				meter := c.server.hedger.meter()
				if n := meter.winner.Get() + meter.loser.Get(); n > 0 {
					t.Errorf("%d hedges without a budget", n)
				}
			})
		})
	}
}

// TestNoStampedeWhenAllHang: when nothing comes from any node there is nobody to ask instead.
func TestNoStampedeWhenAllHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowCluster(t, layout{groups: 1, nodes: 4, copies: 2, shards: 12}, func(config *fsm.Config) {
			config.Hedging.BudgetPercent = 0
		})
		c.longest(t, 4, 25)
		c.server.hedger.budget.Store(0)
		for _, n := range c.nodes {
			n.Freeze()
		}
		before := c.asked.Load()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() { ask(t, c, "POST", "/indexes/docs/search", fmt.Sprintf(`{"filter":"price > -%d"}`, i)) }) // all nodes are asked
		}
		time.Sleep(50 * time.Millisecond)
		first := c.asked.Load() - before
		time.Sleep(3 * time.Second)
		if n := c.asked.Load() - before; n > first*11/10 {
			t.Errorf("%d requests at first, and %d after a while", first, n)
		}
		for _, n := range c.nodes {
			n.Thaw()
		}
		all.Wait()
		c.longest(t, 4, 10)
	})
}
