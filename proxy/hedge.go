package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// hedger asks other replicas when a node takes longer than it mostly does. A pod-wide budget keeps it from making things
// worse when every node is slow. A node from which nothing comes at all is not slow but away: others are asked instead of it
// whatever the budget says, and whether hedging is on or not.
type hedger struct {
	// budget are substitute requests that may be sent, in millionths: each node request adds a share of one.
	budget atomic.Int64
	// meter is made when the first hedge fires.
	meter func() *hedgeMeter
}

const (
	oneRequest = 1_000_000
	// maxBudget bounds what quiet times save up for a storm.
	maxBudget = 20 * oneRequest
	// slowestOwnP95 bounds the p95 a trigger goes by, in medians of all nodes: a node that is often slow must not be given
	// the more time for it.
	slowestOwnP95 = 2
)

type hedgeMeter struct {
	winner, loser, exhausted *metrics.Counter
	saved                    *metrics.PrometheusHistogram
}

func newHedgeMeter(set *metrics.Set) *hedgeMeter {
	return &hedgeMeter{
		winner:    set.GetOrCreateCounter(`miroir_hedge_fired_total{outcome="winner"}`),
		loser:     set.GetOrCreateCounter(`miroir_hedge_fired_total{outcome="loser"}`),
		exhausted: set.GetOrCreateCounter(`miroir_hedge_budget_exhausted_total`),
		saved:     set.GetOrCreatePrometheusHistogramExt(`miroir_hedge_latency_savings_seconds`, metrics.ExponentialBuckets(0.001, 2, 16)),
	}
}

// earn adds one node request's share to the budget.
func (h *hedger) earn(c fsm.Hedging) {
	if c.Enabled && h.budget.Load() < maxBudget {
		h.budget.Add(int64(c.BudgetPercent / 100 * oneRequest))
	}
}

// spend takes n requests out of the budget, if it has them.
func (h *hedger) spend(n int) bool {
	if cost := int64(n) * oneRequest; h.budget.Add(-cost) < 0 {
		h.budget.Add(cost)
		return false
	}
	return true
}

// firstLook is how long a node may take before it is asked whether it is there, where nothing is known of its speed.
const firstLook = 100 * time.Millisecond

// hedgeOf says when a request to a node is hedged.
func (s *Server) hedgeOf(r planRequest, id fsm.NodeID) hedge {
	known := s.selector.current.Load()
	h := hedge{trigger: firstLook, expected: known.of(id).p95, meter: s.hedger.meter}
	if known == nil || known.typicalP95 == 0 {
		return h
	}
	h.usual = known.usualP95(id)
	if c := r.View.Config.Hedging; r.hedges != nil {
		h.trigger = max(time.Duration(float64(h.usual)*c.P95TriggerMultiplier), time.Duration(c.MinTriggerMs)*time.Millisecond)
	}
	return h
}

// isElsewhere reports whether another node has what a call asks for in sync, as far as one shard tells: without any there
// is no hedge to prepare.
func (c Call) isElsewhere(ix *fsm.Index) bool {
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, c.Shards[0]) {
			if replica.State == fsm.Active && replica.Node != c.Node {
				return true
			}
		}
	}
	return false
}

// usualP95 is the p95 that is expected of a node, at most slowestOwnP95 medians. Call where typicalP95 is known.
func (s *scores) usualP95(id fsm.NodeID) time.Duration {
	limit := slowestOwnP95 * s.typicalP95
	if p95 := s.of(id).p95; p95 != 0 {
		return min(p95, limit)
	}
	return limit
}

// hedgePlan is the plan for what one call would answer on other nodes that are well, of the same group first. ok is false
// when they cannot answer all of it. For a silent node any group will do, and nodes are well that do not keep others waiting:
// when all hang it would only be asked for more.
func (s *Server) hedgePlan(r planRequest, call Call, silent bool) (plan Plan, ok bool) {
	own := r.View.Nodes[call.Node].Group
	groups := []fsm.GroupID{own}
	if silent {
		r.Alive = func(id fsm.NodeID) bool {
			return s.alive(r.View, id) && !s.nodes.Client(r.View, id).IsQuiet(time.Now())
		}
	}
	if silent || r.View.Config.Hedging.CrossGroupFallback {
		for _, g := range r.groups() {
			if g != own {
				groups = append(groups, g)
			}
		}
	}
	r = r.without(call, r.failure)
	r.Groups = groups
	plan = planRead(r)
	for _, substitute := range plan.Calls {
		if r.standing(substitute.Node) == suspect {
			return plan, false
		}
	}
	return plan, len(plan.Calls) > 0 && len(plan.Missing) == 0
}

// instead returns what is asked of others while a node is late, nothing when that is not to be. plan says what that would be,
// for a silent node or one that is only late. Where hedges are not allowed any more it waits until the node is silent: then they
// cost nothing, for they are all that is asked in effect. ctx ends the wait.
func instead[C any](ctx context.Context, s *Server, r planRequest, id fsm.NodeID, h hedge, plan func(silent bool) []C) []C {
	if r.hedges != nil {
		if calls := plan(false); len(calls) > 0 && s.allowHedge(r, len(calls)) {
			return calls
		}
	}
	client := s.nodes.Client(r.View, id)
	for client != nil && client.AwaitSilence(ctx, h.usual) {
		if calls := plan(true); len(calls) > 0 {
			s.log.Debug("a node is silent: others are asked for what it holds", "node_id", id)
			return calls
		}
		if !sleep(ctx, silentPause) {
			break
		}
	}
	return nil
}

// silentPause is the time between two looks whether others have become well while a node is silent.
const silentPause = 20 * time.Millisecond

// allowHedge reports whether n substitute requests may be sent for one more hedge of a query.
func (s *Server) allowHedge(r planRequest, n int) bool {
	if r.hedges.Add(1) > int32(r.View.Config.Hedging.MaxHedgesPerQuery) {
		return false
	}
	if !s.hedger.spend(n) {
		s.hedger.meter().exhausted.Inc()
		return false
	}
	return true
}

// errHedged cancels the request that lost against its substitutes, or they against it.
var errHedged = errors.Join(errors.New("another replica answered first"), context.Canceled)

// part asks for one node's part of a read.
type part[T any] func(context.Context) (T, error)

// Who won a race.
const (
	undecided int32 = iota
	original
	substitutes
)

// hedge says when a request is hedged. The zero value is never.
type hedge struct {
	trigger  time.Duration // 0: never
	expected time.Duration // what the node takes when it is slow, 0 unknown
	usual    time.Duration // the same, bounded by what the others take
	meter    func() *hedgeMeter
}

// race runs first and, when it takes longer than h.trigger, all that others returns beside it. The answer is either first's
// alone or those of all substitutes, never a mix, for then shards would count twice or not at all; the losers are canceled.
// others may wait, until its context ends, and return nothing, or an error that ends first. The error is first's.
func race[T any](ctx context.Context, h hedge, first part[T], others func(context.Context) ([]part[T], error)) (answers []T, hedged bool, err error) {
	if h.trigger == 0 {
		answer, err := first(ctx)
		return []T{answer}, false, err
	}
	firstCtx, cancelFirst := context.WithCancelCause(ctx)
	defer cancelFirst(nil)
	otherCtx, cancelOthers := context.WithCancelCause(ctx)
	defer cancelOthers(errHedged)
	late, endWait := context.WithCancel(otherCtx)
	var winner atomic.Int32
	var substituted []T
	done := make(chan struct{})
	started := time.Now()
	timer := time.AfterFunc(h.trigger, func() { // ends with its requests, which otherCtx ends at the latest
		defer close(done)
		parts, err := others(late)
		if err != nil {
			cancelFirst(err)
		}
		if len(parts) == 0 {
			return
		}
		got, err := all(otherCtx, parts)
		if err != nil || !winner.CompareAndSwap(undecided, substitutes) {
			h.meter().loser.Inc()
			return
		}
		substituted = got
		cancelFirst(errHedged)
		h.meter().winner.Inc()
		h.meter().saved.Update(max(0, h.expected-time.Since(started)).Seconds())
	})
	answer, err := first(firstCtx)
	endWait()
	if err == nil && winner.CompareAndSwap(undecided, original) {
		timer.Stop()
		return []T{answer}, false, nil
	}
	if timer.Stop() {
		return nil, false, err // it failed before the hedge: an ordinary retry follows
	}
	<-done
	if winner.Load() == substitutes {
		return substituted, true, nil
	}
	return nil, false, err
}

// all runs parts at once and returns their answers, or the first error there is.
func all[T any](ctx context.Context, parts []part[T]) ([]T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]T, len(parts))
	var failure error
	var failed sync.Once
	var running sync.WaitGroup
	for i, ask := range parts {
		running.Go(func() {
			var err error
			if answers[i], err = ask(ctx); err != nil {
				failed.Do(func() { failure = err })
				cancel()
			}
		})
	}
	running.Wait()
	return answers, failure
}
