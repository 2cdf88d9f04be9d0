package proxy

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"miroir/fsm"
	"miroir/meili"
)

// A read goes by one view to its end. If replicas move meanwhile, what it saw may not be each document once: a node that
// was asked without a filter has got another shard, or one that has handed a shard over has deleted its documents. So
// before its answer is sent, a read's view is compared with the newest one, and it is done again where that matters.
// It is enough to look at the end: a node gets documents of a shard only after every pod's view says so (JoinReplicas), or while
// nothing it has of the index is read, and deletes them tasks.LeavingGrace after every pod's view says that it is not read (workers.Repair).

// A read that fails because a node has deleted an index which the view still has is done again, too, once the deletion has
// ended: then the index is not found, as on one server.

const (
	// maxReruns bounds how often a read is done again.
	maxReruns = 10
	// deletionWait bounds how long a read waits for the end of a deletion that a node has done.
	deletionWait = 2 * time.Second
)

// missedIndexKey is the context key of an *atomic.Bool: a node that was asked for the request lacks an index.
type missedIndexKey struct{}

// rereadable reports that a route only reads documents.
func rereadable(action meili.Action) bool {
	return slices.Contains([]meili.Action{meili.ActionSearch, meili.ActionDocumentsGet, meili.ActionStatsGet, meili.ActionFieldsPost}, action)
}

// settled answers a read, again while its replicas have moved under it.
func (s *Server) settled(w http.ResponseWriter, r *request, answer func(w http.ResponseWriter)) {
	before := maps.Clone(w.Header())
	body := &keptBody{from: r.Body}
	missedIndex := new(atomic.Bool)
	r.Request = r.WithContext(context.WithValue(r.Context(), missedIndexKey{}, missedIndex))
	for range maxReruns {
		began := s.opts.Now()
		missedIndex.Store(false)
		held := &heldAnswer{ResponseWriter: w, good: func(failed bool) bool {
			return stillGood(r.View, s.cluster.View(), s.opts.Now().Sub(began) < s.opts.LeavingGrace/2) &&
				!(failed && missedIndex.Load() && s.deletionEnds(r))
		}}
		r.Request.Body = body
		answer(held)
		if !held.dropped {
			return
		}
		clear(w.Header())
		maps.Copy(w.Header(), before)
		r.View, r.Grant = s.cluster.View(), nil
		body = body.again()
	}
	writeError(w, miroirError(codeShardUnavailable, "The shards moved again and again while they were read. Retry later."))
}

// deletionEnds reports that an index of the request's view is gone, after a while if it is being deleted.
func (s *Server) deletionEnds(r *request) bool {
	for deadline := time.Now().Add(deletionWait); ; {
		now := s.cluster.View()
		deleting := false
		for id := range r.View.Indexes {
			ix := now.Indexes[id]
			if ix == nil {
				return true
			}
			deleting = deleting || ix.Deleting
		}
		if !deleting || !sleepUntil(r.Context(), firstSessionPause, deadline) {
			return false
		}
	}
}

// heldAnswer sends an answer only if it is good when it begins.
type heldAnswer struct {
	http.ResponseWriter
	good           func(failed bool) bool // failed: it is an error of ours, or lacks something
	begun, dropped bool
}

// WriteHeader decides.
func (h *heldAnswer) WriteHeader(status int) {
	if h.begun {
		return
	}
	h.begun, h.dropped = true, !h.good(status >= 500 || h.Header().Get("X-Miroir-Degraded") != "")
	if !h.dropped {
		h.ResponseWriter.WriteHeader(status)
	}
}

func (h *heldAnswer) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	if h.dropped {
		return len(p), nil
	}
	return h.ResponseWriter.Write(p)
}

// keptBody is a request body that can be read again.
type keptBody struct {
	from io.ReadCloser
	kept bytes.Buffer
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.kept.Write(p[:n])
	return n, err
}

// Close leaves the source to the server, which closes it.
func (b *keptBody) Close() error { return nil }

// again is the body from its beginning.
func (b *keptBody) again() *keptBody {
	rest := b.from
	read := bytes.NewReader(bytes.Clone(b.kept.Bytes()))
	return &keptBody{from: struct {
		io.Reader
		io.Closer
	}{io.MultiReader(read, rest), rest}}
}

// stillGood reports that what was read by one view still counts under a newer one. quick says that the read took so little
// time that replicas which are not read any more had their documents still.
func stillGood(old, now *fsm.View, quick bool) bool {
	if old.PlacedAt == now.PlacedAt {
		return true
	}
	for id, ix := range old.Indexes {
		if next := now.Indexes[id]; next != nil && next != ix && !stillPlaced(ix, next, quick) {
			return false
		}
	}
	return true
}

// stillPlaced is stillGood for one index.
func stillPlaced(old, now *fsm.Index, quick bool) bool {
	before, after := shardStates(old), shardStates(now)
	for node, shards := range before {
		unfiltered := true
		for s, state := range shards {
			unfiltered = unfiltered && state == fsm.Active
			next := after[node][s]
			if state == fsm.Active && next != fsm.Active && !(quick && next == fsm.Leaving) {
				return false
			}
		}
		if !unfiltered {
			continue // whoever asked it named the shards
		}
		for s := range after[node] {
			if shards[s] == "" {
				return false
			}
		}
	}
	return true
}

// shardStates are the states of each node's replicas by shard, of whole indexes too.
func shardStates(ix *fsm.Index) map[fsm.NodeID]map[fsm.ShardID]fsm.ReplicaState {
	states := map[fsm.NodeID]map[fsm.ShardID]fsm.ReplicaState{}
	for group := range ix.Placement {
		for s := range fsm.ShardID(ix.Shards) {
			for _, replica := range ix.Replicas(group, s) {
				if states[replica.Node] == nil {
					states[replica.Node] = map[fsm.ShardID]fsm.ReplicaState{}
				}
				states[replica.Node][s] = replica.State
			}
		}
	}
	return states
}
