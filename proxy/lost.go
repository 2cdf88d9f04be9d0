package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"

	"miroir/fsm"
	"miroir/meili"
)

// losses are the calls of a read's further rounds that nodes did not answer. Safe for concurrent use; nil keeps none.
type losses struct {
	mu    sync.Mutex
	calls []Call
}

// note keeps a call that failed, unless the node refused it: another would refuse it too.
func (l *losses) note(call Call, err error) {
	var refused *meili.Error
	if l == nil || errors.As(err, &refused) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
}

// shards are those of the calls lost and of missing, ascending, each once.
func (l *losses) shards(missing []fsm.ShardID) []fsm.ShardID {
	all := slices.Clone(missing)
	for _, call := range l.calls {
		all = append(all, call.Shards...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// runWhole answers the search from nodes that answer all of its rounds: where one is lost between them, the search is done
// again without it. Where no other node has its shards, what the first round found stands and the shards are named.
func (q *search) runWhole(ctx context.Context, request planRequest) (*searchAnswer, []fsm.ShardID, error) {
	for {
		q.lost = &losses{}
		answer, missing, err := q.runParts(ctx, request)
		if err != nil || len(q.lost.calls) == 0 || ctx.Err() != nil {
			return answer, missing, err
		}
		others, ok := request.withoutLost(q.lost, len(missing))
		if !ok {
			missing = q.lost.shards(missing)
			return answer, missing, q.s.judgeMissing(q.view, missing, 1, nil)
		}
		q.s.meter.retries.Inc()
		request = others
	}
}

// withoutLost is the same read on other nodes than those lost. ok is false when it would miss more shards than numMissing.
func (r planRequest) withoutLost(l *losses, numMissing int) (others planRequest, ok bool) {
	others = r
	for _, call := range l.calls {
		others = others.without(call, nil)
	}
	others.Shards = r.Shards
	return others, len(others.Avoid) > len(r.Avoid) && len(planRead(others).Missing) <= numMissing
}
