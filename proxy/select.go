package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/proxy/node"
)

const (
	scoreInterval = 500 * time.Millisecond // scores are at most so old
	stepHold      = time.Minute            // how long a step that changed by one stays
	// scoreFloor is the score below which differences are noise: milliseconds nobody notices.
	scoreFloor = 5.0
	// stepWeight is the share of load of a node that is one step, twice as slow, behind the fastest.
	stepWeight = 0.25
	// readmitShare of the exclusion limit lets an excluded node back in, so that it does not flap.
	readmitShare = 0.8
)

// scores are what this pod knows of its nodes' speed, frozen at one moment: an input of planRead. They are local to the
// pod. nil: all nodes are equal.
type scores struct {
	taken  time.Time
	nodes  map[fsm.NodeID]nodeScore
	groups map[fsm.GroupID]float64 // weight of each group in the choice of an unpinned read
	// explore is the share of the seeds for which weights do not count, so that slow nodes go on being measured.
	explore float64
	// typicalP95 is the median over the nodes that are known, 0 when none is.
	typicalP95 time.Duration
}

// nodeScore is one node's place among the others. The zero value is that of a node nothing is known of: as good as any.
type nodeScore struct {
	score    float64 // latency, load and errors in one number; lower is better, 0 unknown
	p95      time.Duration
	step     int       // how often the score halves down to the best one's; changes rarely
	since    time.Time // when the step was taken
	excluded bool      // asked only for what no other node can answer
}

// weight is the node's share of load relative to that of the fastest.
func (n nodeScore) weight() float64 { return math.Pow(stepWeight, float64(n.step)) }

// coarse is the score as far as plans look at it.
func (n nodeScore) coarse() float64 { return math.Exp2(float64(n.step)) }

func (s *scores) of(id fsm.NodeID) nodeScore {
	if s == nil {
		return nodeScore{}
	}
	return s.nodes[id]
}

// explores reports whether the weights are ignored for a seed.
func (s *scores) explores(seed uint64) bool {
	return s != nil && s.explore > 0 && draw(seed, "explore") < s.explore
}

// nextScores judges the nodes anew. It is a pure function: held steps come from the scores before.
func nextScores(old *scores, now time.Time, view *fsm.View, measured map[fsm.NodeID]node.Measure) *scores {
	c := view.Config.ReplicaSelection
	s := &scores{taken: now, nodes: make(map[fsm.NodeID]nodeScore, len(measured)), explore: c.ExplorationEpsilon}
	var known []float64
	var latencies []time.Duration
	for id, m := range measured {
		if !m.Known() {
			continue
		}
		score := c.LatencyWeight*m.P95.Seconds()*1000 + c.InflightWeight*m.InFlight + c.ErrorWeight*m.ErrorRate
		s.nodes[id] = nodeScore{score: score, p95: m.P95}
		known = append(known, score)
		latencies = append(latencies, m.P95)
	}
	if len(known) == 0 {
		return s
	}
	best, limit := max(slices.Min(known), scoreFloor), c.ExcludeAboveMedian*max(median(known), scoreFloor)
	s.typicalP95 = median(latencies)
	for id, n := range s.nodes {
		before, hadBefore := old.of(id), old != nil && !old.of(id).since.IsZero()
		n.step = int(max(0, math.Floor(math.Log2(n.score/best))))
		n.since = now
		if change := n.step - before.step; hadBefore && (change == 0 || change*change == 1 && now.Sub(before.since) < stepHold) {
			n.step, n.since = before.step, before.since
		}
		n.excluded = n.score > limit || before.excluded && n.score > readmitShare*limit
		s.nodes[id] = n
	}
	s.groups = groupWeights(s, view)
	return s
}

// median is the middle one of values, the lower of two.
func median[T int64 | float64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// groupWeights weighs groups by the mean of their nodes, in steps too.
func groupWeights(s *scores, view *fsm.View) map[fsm.GroupID]float64 {
	if len(view.Groups) < 2 {
		return nil
	}
	sum, count := map[fsm.GroupID]float64{}, map[fsm.GroupID]float64{}
	for id, n := range view.Nodes {
		sum[n.Group] += s.of(id).coarse()
		count[n.Group]++
	}
	best := math.Inf(1)
	for g := range sum {
		best = min(best, sum[g]/count[g])
	}
	weights := make(map[fsm.GroupID]float64, len(sum))
	for g := range sum {
		weights[g] = math.Pow(stepWeight, math.Floor(math.Log2(sum[g]/count[g]/best)))
	}
	return weights
}

// selector keeps the scores of this pod's nodes. Its reads take no lock.
type selector struct {
	nodes   *node.Set
	metrics *metrics.Set
	current atomic.Pointer[scores]
	busy    atomic.Bool // somebody is judging the nodes anew
	turn    atomic.Uint64
	// halfLife is that of the last scores, in nanoseconds: what Observe and Measure must agree on.
	halfLife atomic.Int64
}

// observe notes how a read ended.
func (sel *selector) observe(c *node.Client, took time.Duration, failed bool) {
	if halfLife := sel.halfLife.Load(); halfLife != 0 {
		c.Observe(took, failed, time.Duration(halfLife))
	}
}

// scores are the latest ones; whoever finds them old makes new ones.
func (sel *selector) scores(view *fsm.View) *scores {
	old, now := sel.current.Load(), time.Now()
	if old != nil && now.Sub(old.taken) < scoreInterval || !sel.busy.CompareAndSwap(false, true) {
		return old
	}
	defer sel.busy.Store(false)
	half := halfLife(view)
	sel.halfLife.Store(int64(half))
	measured := make(map[fsm.NodeID]node.Measure, len(view.Nodes))
	for id := range view.Nodes {
		client := sel.nodes.Client(view, id)
		measured[id] = client.Measure(now, half)
		client.Recheck()
	}
	fresh := nextScores(old, now, view, measured)
	sel.current.Store(fresh)
	sel.show(old, fresh)
	return fresh
}

// halfLife is how fast the averages behind the scores forget.
func halfLife(view *fsm.View) time.Duration {
	if ms := view.Config.ReplicaSelection.EwmaHalfLifeMs; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return 5 * time.Second
}

// show publishes the scores, and takes back those of nodes that are gone or unknown now.
func (sel *selector) show(old, fresh *scores) {
	name := func(id fsm.NodeID) string { return fmt.Sprintf("miroir_replica_selection_score{node_id=%q}", id) }
	if old != nil {
		for id := range old.nodes {
			if _, still := fresh.nodes[id]; !still {
				sel.metrics.UnregisterMetric(name(id))
			}
		}
	}
	for id, n := range fresh.nodes {
		sel.metrics.GetOrCreateGauge(name(id), nil).Set(n.score)
	}
}

// choose fills in what decides among a request's replicas, by the configured strategy.
func (sel *selector) choose(r *planRequest) {
	known := sel.scores(r.View)
	switch r.View.Config.ReplicaSelection.Strategy {
	case "random":
		r.Seed = rand.Uint64()
	case "round_robin":
		r.Turn = sel.turn.Add(1)
	default:
		r.Scores = known
		if known.explores(r.Seed) {
			sel.metrics.GetOrCreateCounter("miroir_replica_selection_exploration_total").Inc()
		}
	}
}
