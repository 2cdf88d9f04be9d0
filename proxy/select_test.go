package proxy

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/proxy/node"
)

// selectionTest sends searches over nodes that answer as slowly as the test says, in virtual time. The index is spread so
// that every shard has two replicas among six nodes, or lives whole on three.
type selectionTest struct {
	selector selector
	view     *fsm.View
	index    *fsm.Index
	took     map[fsm.NodeID]time.Duration
	random   *rand.Rand
}

func newSelectionTest(whole bool) *selectionTest {
	placement := testPlacement{0: {0: "abc"}}
	if !whole {
		for s := range fsm.ShardID(24) {
			placement[0][s] = []string{"ab", "bc", "cd", "de", "ef", "fa"}[s%6]
		}
	}
	st := &selectionTest{took: map[fsm.NodeID]time.Duration{}, random: rand.New(rand.NewPCG(1, 2))}
	st.view, st.index = testView(24, whole, placement)
	st.view.Config = fsm.DefaultConfig()
	for id := range st.view.Nodes {
		st.view.Nodes[id].Address = "http://" + string(id)
	}
	st.selector = selector{nodes: node.NewSet("", roundTrip(nil), nil), metrics: metrics.NewSet()}
	return st
}

// run plays searches for d, 100 a second, and returns each node's share of the shards asked.
func (st *selectionTest) run(d time.Duration) map[fsm.NodeID]float64 {
	shares, total := map[fsm.NodeID]float64{}, 0.0
	for range d / (10 * time.Millisecond) {
		time.Sleep(10 * time.Millisecond)
		r := planRequest{View: st.view, Index: st.index, Seed: st.random.Uint64()}
		st.selector.choose(&r)
		for _, call := range planRead(r).Calls {
			took := 10*time.Millisecond + time.Duration(st.random.IntN(int(4*time.Millisecond))) + st.took[call.Node]
			st.selector.observe(st.selector.nodes.Client(st.view, call.Node), took, false)
			shares[call.Node] += float64(len(call.Shards))
			total += float64(len(call.Shards))
		}
	}
	for id := range shares {
		shares[id] /= total
	}
	return shares
}

// TestLoadLeavesAThrottledNode: equal nodes share alike; a throttled one keeps under a tenth of its share after ten seconds
// and has it back thirty seconds after it recovered.
func TestLoadLeavesAThrottledNode(t *testing.T) {
	for name, whole := range map[string]bool{"whole": true, "spread": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newSelectionTest(whole)
				fair := 1 / float64(len(st.view.Nodes))
				equal := func(when string, shares map[fsm.NodeID]float64) {
					t.Helper()
					for id := range st.view.Nodes {
						if shares[id] < 0.9*fair || shares[id] > 1.1*fair {
							t.Errorf("%s: %s has %.3f of the load, its share is %.3f", when, id, shares[id], fair)
						}
					}
				}
				equal("at the start", st.run(2*time.Minute))
				st.took["0a"] = 300 * time.Millisecond
				st.run(10 * time.Second)
				if got := st.run(20 * time.Second)["0a"]; got > 0.1*fair {
					t.Errorf("the throttled node has %.4f of the load, its share is %.3f", got, fair)
				} else if got == 0 {
					t.Error("the throttled node is not measured any more")
				}
				st.took["0a"] = 0
				st.run(30 * time.Second)
				equal("after it recovered", st.run(2*time.Minute))
			})
		})
	}
}

// TestScoresHoldTheirSteps: a change by one step waits for a minute, a larger one does not.
func TestScoresHoldTheirSteps(t *testing.T) {
	view := &fsm.View{Config: fsm.DefaultConfig()}
	start := time.Unix(1000, 0)
	var held *scores
	step := func(at time.Duration, slow time.Duration) int {
		held = nextScores(held, start.Add(at), view, map[fsm.NodeID]node.Measure{
			"a": {Weight: 1, P95: 10 * time.Millisecond}, "b": {Weight: 1, P95: slow}, "c": {}, "d": {Weight: 1, P95: 10 * time.Millisecond}})
		return held.of("b").step
	}
	for _, test := range []struct {
		at   time.Duration
		slow time.Duration
		want int
	}{
		{0, 11, 0}, {5, 25, 0}, {59, 25, 0}, {61, 25, 1}, {62, 11, 1}, {63, 85, 3}, {64, 45, 3}, {65, 11, 0}, {66, 45, 2},
	} {
		if got := step(test.at*time.Second, test.slow*time.Millisecond); got != test.want {
			t.Errorf("after %d s at %d ms: step %d, want %d", test.at, test.slow, got, test.want)
		}
	}
	if !(nextScores(held, start, view, map[fsm.NodeID]node.Measure{
		"a": {Weight: 1, P95: 10 * time.Millisecond}, "b": {Weight: 1, P95: 51 * time.Millisecond}, "c": {Weight: 1, P95: 10 * time.Millisecond}}).of("b").excluded) {
		t.Error("a node above five times the median is not excluded")
	}
}

// TestExcludedNodesAnswerWhatNobodyElseCan also looks at the choice between few nodes and fast ones.
func TestExcludedNodesAnswerWhatNobodyElseCan(t *testing.T) {
	view, ix := testView(3, false, testPlacement{0: {0: "ab", 1: "ac", 2: "a"}, 1: {0: "d", 1: "d", 2: "d*"}})
	asked := func(s *scores) map[fsm.NodeID]int {
		got := map[fsm.NodeID]int{}
		for _, call := range planRead(planRequest{View: view, Index: ix, Seed: 3, Scores: s}).Calls {
			got[call.Node] += len(call.Shards)
		}
		return got
	}
	slow := &scores{nodes: map[fsm.NodeID]nodeScore{"0a": {excluded: true}}}
	if got := asked(slow); got["0a"] != 1 {
		t.Errorf("an excluded node is asked for %v", got)
	}
	view, ix = testView(2, false, testPlacement{0: {0: "ab", 1: "ac"}})
	if got := asked(nil); got["0a"] != 2 {
		t.Errorf("one equal node that has all is not preferred: %v", got)
	}
	if got := asked(&scores{nodes: map[fsm.NodeID]nodeScore{"0a": {step: 1}}}); got["0a"] != 0 {
		t.Errorf("a node that would hold up the plan is asked: %v", got)
	}
}

// TestGroupsShareByTheirSpeed: unpinned reads go to the faster group more often, always the same for one seed.
func TestGroupsShareByTheirSpeed(t *testing.T) {
	view, ix := testView(1, true, testPlacement{0: {0: "a"}, 1: {0: "b"}})
	s := &scores{nodes: map[fsm.NodeID]nodeScore{"1b": {step: 1}}}
	s.groups = groupWeights(s, view)
	asked := map[fsm.NodeID]int{}
	for seed := range uint64(4000) {
		asked[planRead(planRequest{View: view, Index: ix, Seed: seed, Scores: s}).Calls[0].Node]++
	}
	if share := float64(asked["1b"]) / 4000; share < 0.17 || share > 0.23 {
		t.Errorf("a group half as fast gets %.2f of the reads, want a fifth", share)
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	st := newSelectionTest(true)
	st.view.Config.ReplicaSelection.Strategy = "round_robin"
	asked := map[fsm.NodeID]int{}
	for range 30 {
		r := planRequest{View: st.view, Index: st.index, Seed: 7}
		st.selector.choose(&r)
		asked[planRead(r).Calls[0].Node]++
	}
	for id, n := range asked {
		if n != 10 {
			t.Errorf("%s was asked %d of 30 times", id, n)
		}
	}
}

func BenchmarkPlanWithScores(b *testing.B) {
	for name, whole := range map[string]bool{"whole": true, "spread": false} {
		b.Run(name, func(b *testing.B) {
			st := newSelectionTest(whole)
			for b.Loop() {
				r := planRequest{View: st.view, Index: st.index, Seed: 7}
				st.selector.choose(&r)
				planRead(r)
			}
		})
	}
}
