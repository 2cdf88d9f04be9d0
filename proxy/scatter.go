package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// answered is one node's answer and the call it answers.
type answered[T any] struct {
	Call  Call
	Value T
}

// gathered is what a scatter brought back: answers ordered by node, and the shards nobody could answer, ascending.
type gathered[T any] struct {
	Answers []answered[T]
	Missing []fsm.ShardID
}

// asker asks one node for its part. Its errors decide what happens next:
// a *meili.Error is the client's fault and ends the request, anything else sends the part to other replicas.
type asker[T any] func(ctx context.Context, c *node.Client, call Call) (T, error)

// refusal is an answer that tells of a problem of the node, not of the request: another replica may do better.
type refusal struct {
	node   fsm.NodeID
	status int
	body   []byte
}

func (e *refusal) Error() string {
	return fmt.Sprintf("node %s answered %d: %s", e.node, e.status, firstBytes(e.body, 200))
}

func firstBytes(text []byte, n int) []byte { return text[:min(n, len(text))] }

// scatter asks the nodes of the plan at once and gathers their answers. A part that a node could not answer is planned
// again over the replicas left, until none is. It returns an error only when the request itself is refused, ctx ends, or
// nothing at all was answered.
func scatter[T any](ctx context.Context, s *Server, r planRequest, ask asker[T]) (gathered[T], error) {
	plan := planRead(r)
	if len(plan.Calls) == 1 && len(plan.Missing) == 0 {
		if got, err := s.askAlone(ctx, r, plan.Calls[0], asAny(ask)); err == nil {
			return gathered[T]{Answers: []answered[T]{{plan.Calls[0], got.(T)}}}, nil
		} else if done := final(ctx, err); done != nil {
			return gathered[T]{}, done
		} else {
			r = r.without(plan.Calls[0], err)
			plan = planRead(r)
		}
	}
	return gather(ctx, s, r, plan, ask)
}

func asAny[T any](ask asker[T]) asker[any] {
	return func(ctx context.Context, c *node.Client, call Call) (any, error) { return ask(ctx, c, call) }
}

func (s *Server) askAlone(ctx context.Context, r planRequest, call Call, ask asker[any]) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.SearchTimeout)
	defer cancel()
	return ask(ctx, s.nodes.Client(r.View, call.Node), call)
}

// outcome is the end of one call.
type outcome[T any] struct {
	call  Call
	value T
	err   error
}

func gather[T any](ctx context.Context, s *Server, r planRequest, plan Plan, ask asker[T]) (gathered[T], error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome[T], 4)
	running := 0
	start := func(calls []Call) {
		for _, call := range calls {
			running++
			client := s.nodes.Client(r.View, call.Node)
			go func() { // ends when the call does: its context is canceled when gather returns
				callCtx, cancel := context.WithTimeout(ctx, s.opts.SearchTimeout)
				defer cancel()
				value, err := ask(callCtx, client, call)
				select {
				case outcomes <- outcome[T]{call, value, err}:
				case <-ctx.Done():
				}
			}()
		}
	}
	got := gathered[T]{Missing: plan.Missing}
	var lastFailure error = r.failure
	start(plan.Calls)
	for running > 0 {
		var o outcome[T]
		select {
		case o = <-outcomes:
		case <-ctx.Done():
			return got, context.Cause(ctx)
		}
		running--
		if o.err == nil {
			got.Answers = append(got.Answers, answered[T]{o.call, o.value})
			continue
		}
		if done := final(ctx, o.err); done != nil {
			return got, done
		}
		lastFailure = o.err
		r = r.without(o.call, o.err)
		again := planRead(r)
		got.Missing = append(got.Missing, again.Missing...)
		start(again.Calls)
	}
	return got.finish(lastFailure)
}

// finish orders what was gathered. Nothing at all is an error: an empty answer would look like an empty index.
func (g gathered[T]) finish(lastFailure error) (gathered[T], error) {
	slices.Sort(g.Missing)
	slices.SortFunc(g.Answers, func(a, b answered[T]) int {
		return cmp.Or(cmp.Compare(a.Call.Node, b.Call.Node), slices.Compare(a.Call.Shards, b.Call.Shards))
	})
	if len(g.Answers) == 0 && len(g.Missing) > 0 {
		return g, unavailable(g.Missing, lastFailure)
	}
	return g, nil
}

// unavailable is the error of a read that no node could answer. What a node said, such as being too busy, is passed on.
func unavailable(missing []fsm.ShardID, lastFailure error) error {
	var refused *refusal
	if errors.As(lastFailure, &refused) && refused.status >= 500 {
		if known := errorOf(refused.status, refused.body); known != nil {
			return known
		}
	}
	reason := "no in-sync replica is reachable"
	if lastFailure != nil {
		reason = lastFailure.Error()
	}
	return miroirError(codeShardUnavailable, "Shards %s cannot be read: %s. Check the nodes that hold them.", joinShards(missing), reason)
}

// without is r for the shards of a failed call, on other nodes.
func (r planRequest) without(failed Call, err error) planRequest {
	avoid := map[fsm.NodeID]bool{failed.Node: true}
	for id := range r.Avoid {
		avoid[id] = true
	}
	r.Avoid, r.Shards, r.failure = avoid, failed.Shards, err
	return r
}

// final is the error that ends the request, nil when another replica may be asked.
func final(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *meili.Error
	if errors.As(err, &refused) {
		return refused
	}
	return nil
}

// exchange sends one read and sorts its answer: a Response of class 200, a *meili.Error when the request is at fault, a
// *refusal when the node is, or the client's *node.Error.
func (s *Server) exchange(ctx context.Context, c *node.Client, r node.Request) (*node.Response, error) {
	if c == nil {
		return nil, errors.New("the node is not known any more")
	}
	r.Read = true
	started := time.Now()
	response, err := c.Do(ctx, r)
	if err != nil {
		if node.OutcomeOf(err) != node.Canceled {
			s.selector.observe(c, time.Since(started), true)
		}
		return nil, err
	}
	s.selector.observe(c, response.Took, response.Status >= 500)
	if response.OK() {
		return response, nil
	}
	if known := errorOf(response.Status, response.Body); known != nil && !nodeIsAtFault(known) {
		return nil, known
	}
	return nil, &refusal{node: c.ID(), status: response.Status, body: response.Body}
}

// nodeIsAtFault tells errors of the node from errors of the request. A node that misses an index it should hold or does
// not accept our key is at fault.
func nodeIsAtFault(err *meili.Error) bool {
	switch {
	case err.Status >= 500, err.Status == http.StatusTooManyRequests, err.Status == http.StatusRequestTimeout:
		return true
	case err.Status == http.StatusUnauthorized, err.Status == http.StatusForbidden:
		return true
	}
	return err.Code == meili.CodeIndexNotFound
}
