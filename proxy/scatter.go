package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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
	if known := errorOf(e.status, e.body); known != nil {
		if isUnmarked(known) {
			return fmt.Sprintf("node %s has lost the setting by which it is asked for some of its shards", e.node)
		}
		return fmt.Sprintf("node %s answered %d: %s", e.node, e.status, strings.TrimSuffix(known.Message, "."))
	}
	return fmt.Sprintf("node %s answered %d: %s", e.node, e.status, firstBytes(e.body, 200))
}

func firstBytes(text []byte, n int) []byte { return text[:min(n, len(text))] }

// scatter asks the nodes of the plan at once and gathers their answers. A part that a node could not answer is planned
// again over the replicas left, until none is. It returns an error only when the request itself is refused, ctx ends,
// nothing at all was answered, or parts are missing and the configuration wants an error then.
func scatter[T any](ctx context.Context, s *Server, r planRequest, ask asker[T]) (gathered[T], error) {
	plan := r.plan()
	s.meter.fanOut.Update(float64(len(plan.Calls)))
	if len(plan.Calls) == 1 && len(plan.Missing) == 0 {
		answers, err := askHedged(ctx, s, r, plan.Calls[0], ask)
		if err == nil {
			return gathered[T]{Answers: answers}, nil
		}
		if done := final(ctx, err); done != nil {
			return gathered[T]{}, done
		}
		s.meter.retries.Inc()
		r = r.without(plan.Calls[0], err)
		plan = planRead(r)
	}
	return gather(ctx, s, r, plan, ask)
}

// outOfTime ends what has taken as long as it may.
type outOfTime struct{}

func (outOfTime) Error() string { return "the request ran out of time" }

// Is makes it a context.DeadlineExceeded.
func (outOfTime) Is(target error) bool { return target == context.DeadlineExceeded }

// withTime ends after d with outOfTime as its cause. For the nodes that are being asked by then it is a cancelation: they are
// not to blame.
func withTime(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(outOfTime{}) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// isOver reports that a read's time has run out. What it still waits for is missing then, as if its nodes were gone.
func isOver(ctx context.Context) bool {
	_, over := context.Cause(ctx).(outOfTime)
	return over
}

// readTimeout bounds one node's answer to one read.
func (s *Server) readTimeout(view *fsm.View) time.Duration {
	if ms := view.Config.Reads.NodeTimeoutMs; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return s.opts.SearchTimeout
}

// inTime bounds a node's answer in a further round of a read. It ends early where the node does not even say that it is healthy
// and others that are well have its shards: the round is lost then, and the read done again without the node. What is asked in
// further rounds may take long, so that answers to other reads say nothing of it.
func (s *Server) inTime(ctx context.Context, view *fsm.View, ix *fsm.Index, call Call) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	ctx, release := context.WithTimeout(ctx, s.readTimeout(view))
	r := planRequest{View: view, Index: ix, Alive: func(id fsm.NodeID) bool { return s.alive(view, id) }}
	when := s.hedgeOf(r, call.Node)
	timer := time.AfterFunc(when.trigger, func() {
		client := s.nodes.Client(view, call.Node)
		if client == nil || !client.AwaitSilence(ctx, s.readTimeout(view)) {
			return
		}
		if _, ok := s.hedgePlan(r, call, true); ok {
			cancel(errSilent)
		}
	})
	return ctx, func() {
		timer.Stop()
		release()
		cancel(nil)
	}
}

// askFor asks one node for its part within the time it has.
func askFor[T any](ctx context.Context, s *Server, r planRequest, call Call, ask asker[T]) (answered[T], error) {
	client := s.nodes.Client(r.View, call.Node)
	if err := r.pin.await(ctx, client); err != nil {
		return answered[T]{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.readTimeout(r.View))
	defer cancel()
	value, err := ask(ctx, client, call)
	return answered[T]{call, value}, err
}

// errSilent ends a request to a node from which nothing comes.
var errSilent = errors.New("nothing comes from the node")

// askHedged asks one node and, when it takes long, others for the same shards: answers are the node's or theirs.
func askHedged[T any](ctx context.Context, s *Server, r planRequest, call Call, ask asker[T]) ([]answered[T], error) {
	to := func(call Call) part[answered[T]] {
		return func(ctx context.Context) (answered[T], error) { return askFor(ctx, s, r, call, ask) }
	}
	if err := r.pin.await(ctx, s.nodes.Client(r.View, call.Node)); err != nil { // before the hedge's time runs
		return nil, err
	}
	var when hedge
	if call.isElsewhere(r.Index) {
		when = s.hedgeOf(r, call.Node)
	}
	started := time.Now()
	answers, hedged, err := race(ctx, when, to(call), func(ctx context.Context) (parts []part[answered[T]], err error) {
		calls := instead(ctx, s, r, call.Node, when, func(silent bool) []Call {
			plan, ok := s.hedgePlan(r, call, silent)
			switch {
			case !ok || r.alone && len(plan.Calls) > 1 && !silent:
				return nil
			case r.alone && len(plan.Calls) > 1:
				err = errSilent // it has failed, and the request is planned anew
			}
			return plan.Calls
		})
		if err != nil {
			return nil, err
		}
		for _, substitute := range calls {
			parts = append(parts, to(substitute))
		}
		return parts, nil
	})
	if hedged {
		s.selector.observe(s.nodes.Client(r.View, call.Node), time.Since(started), false) // it would have taken longer still
	}
	return answers, err
}

// outcome is the end of one call: the answers for its shards, or why there are none.
type outcome[T any] struct {
	number  int
	call    Call
	answers []answered[T]
	err     error
}

func gather[T any](ctx context.Context, s *Server, r planRequest, plan Plan, ask asker[T]) (gathered[T], error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome[T], 4)
	asked := map[int]Call{} // that have not ended
	number := 0
	start := func(r planRequest, calls []Call) {
		for _, call := range calls {
			number++
			this := number
			asked[this] = call
			go func() { // ends when the call does: its context is canceled when gather returns
				answers, err := askHedged(ctx, s, r, call, ask)
				select {
				case outcomes <- outcome[T]{this, call, answers, err}:
				case <-ctx.Done():
				}
			}()
		}
	}
	got := gathered[T]{Missing: plan.Missing}
	start(r, plan.Calls)
	for len(asked) > 0 && !isOver(ctx) {
		var o outcome[T]
		select {
		case o = <-outcomes:
		case <-ctx.Done():
			if isOver(ctx) {
				continue
			}
			return got, context.Cause(ctx)
		}
		if o.err == nil {
			delete(asked, o.number)
			got.Answers = append(got.Answers, o.answers...)
			continue
		}
		if isOver(ctx) {
			continue
		}
		delete(asked, o.number)
		if done := final(ctx, o.err); done != nil {
			return got, done
		}
		s.meter.retries.Inc()
		r = r.without(o.call, o.err)
		again := planRead(r)
		r.spent = false // other parts may have better luck
		got.Missing = append(got.Missing, again.Missing...)
		start(r, again.Calls)
	}
	for _, call := range asked {
		got.Missing, r.failure = append(got.Missing, call.Shards...), outOfTime{}
	}
	got.sort()
	if r.partly {
		return got, nil
	}
	return got, s.judgeMissing(r.View, got.Missing, len(got.Answers), r.failure)
}

func (g gathered[T]) sort() {
	slices.Sort(g.Missing)
	slices.SortFunc(g.Answers, func(a, b answered[T]) int {
		return cmp.Or(cmp.Compare(a.Call.Node, b.Call.Node), slices.Compare(a.Call.Shards, b.Call.Shards))
	})
}

// judgeMissing decides whether a read that misses shards is answered. Nothing at all is an error: an empty answer would
// look like an empty index.
func (s *Server) judgeMissing(view *fsm.View, missing []fsm.ShardID, numAnswers int, lastFailure error) error {
	if len(missing) == 0 {
		return nil
	}
	if numAnswers == 0 || view.Config.Reads.UnavailableShardPolicy == "error" {
		return unavailable(view, missing, lastFailure)
	}
	s.meter.partial.Inc()
	return nil
}

// unavailable is the error of a read that no node could answer. What a node said, such as being too busy, is passed on.
func unavailable(view *fsm.View, missing []fsm.ShardID, lastFailure error) error {
	var refused *refusal
	if errors.As(lastFailure, &refused) && refused.status >= 500 {
		if known := errorOf(refused.status, refused.body); known != nil {
			known.Message = failureText(view, known)
			return known
		}
	}
	reason := "no in-sync replica is reachable"
	if lastFailure != nil {
		reason = failureText(view, lastFailure)
	}
	return miroirError(codeShardUnavailable, "Shards %s cannot be read: %s. Check the nodes that hold them.", joinShards(missing), reason)
}

// without is r for the shards of a failed call, on other nodes.
func (r planRequest) without(failed Call, err error) planRequest {
	avoid := map[fsm.NodeID]bool{failed.Node: true}
	for id := range r.Avoid {
		avoid[id] = true
	}
	r.Avoid, r.Shards, r.failure, r.prepared = avoid, failed.Shards, err, nil
	r.spent = r.View.Config.Reads.NoRetryOnTimeout && timedOut(err)
	return r
}

// timedOut reports that a node had all the time it is given.
func timedOut(err error) bool {
	return node.OutcomeOf(err) == node.Unknown && errors.Is(err, context.DeadlineExceeded)
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
	return s.exchangeFor(ctx, c, r, func(body []byte) bool { return plausible(r.Path, body) })
}

// exchangeFor is exchange for an answer that is what the caller asked for if isAnswer says so of its body, which it may change.
func (s *Server) exchangeFor(ctx context.Context, c *node.Client, r node.Request, isAnswer func(body []byte) bool) (*node.Response, error) {
	if c == nil {
		return nil, errors.New("the node is not known any more")
	}
	s.hedger.earn(s.cluster.View().Config.Hedging)
	started := time.Now()
	response, err := c.Read(ctx, r)
	if err != nil {
		if node.OutcomeOf(err) != node.Canceled {
			s.selector.observe(c, time.Since(started), true)
		}
		return nil, err
	}
	garbage := response.OK() && !isAnswer(response.Body)
	s.selector.observe(c, response.Took, garbage || response.Status >= 500)
	switch {
	case garbage:
		failure := &refusal{node: c.ID(), status: response.Status, body: response.Body}
		c.ReportGarbage()
		return nil, failure
	case response.OK():
		return response, nil
	}
	known := errorOf(response.Status, response.Body)
	if known != nil && !nodeIsAtFault(known) {
		return nil, known
	}
	if missed, ok := ctx.Value(missedIndexKey{}).(*atomic.Bool); ok && known != nil && known.Code == meili.CodeIndexNotFound {
		missed.Store(true)
	}
	return nil, &refusal{node: c.ID(), status: response.Status, body: response.Body}
}

// nodeIsAtFault tells errors of the node from errors of the request. A node that misses an index it should hold, does not accept our
// key or has lost the setting by which it is asked for some of its shards is at fault.
func nodeIsAtFault(err *meili.Error) bool {
	switch {
	case err.Status >= 500, err.Status == http.StatusTooManyRequests, err.Status == http.StatusRequestTimeout:
		return true
	case err.Status == http.StatusUnauthorized, err.Status == http.StatusForbidden:
		return true
	}
	return err.Code == meili.CodeIndexNotFound || isUnmarked(err)
}

// isUnmarked reports the error of a node that does not filter by shard. It quotes the filter, in which only Miroir writes the digits of
// shards.
func isUnmarked(err *meili.Error) bool {
	return strings.Contains(err.Message, "Attribute `"+shardField+"` is not filterable") && strings.ContainsAny(err.Message, strings.Join(shardDigits[:], ""))
}

// plausible reports whether a body can be the answer to a read: one whole JSON object with the list that such an answer
// has. A node that answers something else, such as a proxy's page or half an answer, must not pass for an empty one.
func plausible(path string, body []byte) bool {
	path, _, _ = strings.Cut(path, "?")
	wants := []string(nil)
	switch {
	case strings.HasSuffix(path, "/multi-search"):
		wants = []string{"results", "hits"}
	case strings.HasSuffix(path, "/facet-search"):
		wants = []string{"facetHits"}
	case strings.HasSuffix(path, "/search"), strings.HasSuffix(path, "/similar"):
		wants = []string{"hits"}
	case strings.HasSuffix(path, "/documents/fetch"):
		wants = []string{"results"}
	case !strings.HasPrefix(path, "/indexes/"):
		return true // an answer of another kind, which its reader judges
	}
	start := skipSpace(body, 0)
	if start == len(body) || body[start] != '{' {
		return false
	}
	found, complete := wants == nil, true
	end := eachMember(body, start, func(m member) bool {
		complete = m.end < len(body) && m.value < m.end
		if complete && slices.Contains(wants, string(m.key)) {
			found = body[m.value] == '['
		}
		return complete
	})
	return found && complete && body[end-1] == '}' && skipSpace(body, end) == len(body)
}
