package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// watches tells those who copy an index what its writes touch meanwhile. Its zero value is ready.
type watches struct {
	mu      sync.Mutex
	byIndex map[fsm.IndexID][]*tasks.WriteWatch // guarded by mu
}

func (ws *watches) open(index fsm.IndexID) *tasks.WriteWatch {
	watch := tasks.NewWriteWatch(func(w *tasks.WriteWatch) { ws.forget(index, w) })
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byIndex == nil {
		ws.byIndex = map[fsm.IndexID][]*tasks.WriteWatch{}
	}
	ws.byIndex[index] = append(ws.byIndex[index], watch)
	return watch
}

func (ws *watches) forget(index fsm.IndexID, watch *tasks.WriteWatch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(ws.byIndex[index]), func(w *tasks.WriteWatch) bool { return w == watch })
	if ws.byIndex[index] = left; len(left) == 0 {
		delete(ws.byIndex, index)
	}
}

// note tells every watch of the index what a write touches. touched nil means that nobody knows.
func (ws *watches) note(index fsm.IndexID, touched func(*tasks.WriteWatch) error) {
	ws.mu.Lock()
	watching := ws.byIndex[index]
	ws.mu.Unlock()
	for _, watch := range watching {
		if touched == nil || touched(watch) != nil {
			watch.NoteEverything()
		}
	}
}

// WatchWrites notes what writes to an index touch from now on. A write that was committed before the call may be
// missing. The caller closes the watch.
func (s *Server) WatchWrites(index fsm.IndexID) *tasks.WriteWatch {
	return s.writer.watches.open(index)
}

var errNoRoute = errors.New("no name is routed to the index any more")

// lockIndex takes the lock of the name that an index is routed by.
func (s *Server) lockIndex(ctx context.Context, index fsm.IndexID) (unlock func(), err error) {
	for {
		name, ok := routeOf(s.cluster.View(), index)
		if !ok {
			return nil, errNoRoute
		}
		if unlock, err = s.writer.locks.lock(ctx, name); err != nil {
			return nil, err
		}
		if now, _ := routeOf(s.cluster.View(), index); now == name {
			return unlock, nil
		}
		unlock()
	}
}

func routeOf(v *fsm.View, index fsm.IndexID) (name string, ok bool) {
	if ix := v.Indexes[index]; ix != nil && v.Routes[ix.UID] == index {
		return ix.UID, true
	}
	for name, id := range v.Routes {
		if id == index {
			return name, true
		}
	}
	return "", false
}

// HoldIndex lets no write to an index begin while work runs, which it does once every earlier write is decided. The
// writes are held for at most limit, the waiting included: that is the deadline of work's context.
func (s *Server) HoldIndex(ctx context.Context, index fsm.IndexID, limit time.Duration, work func(ctx context.Context) error) error {
	unlock, err := s.lockIndex(ctx, index)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !s.writer.idle(index) {
		if !sleep(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
	return work(ctx)
}

// idle reports that no write to the index is open and its lanes are empty.
func (wr *writer) idle(index fsm.IndexID) bool {
	if wr.lanes.busy(index) {
		return false
	}
	wr.mu.Lock()
	unsettled := wr.unsettled[index] > 0
	wr.mu.Unlock()
	if unsettled {
		return false
	}
	if wr.server.cluster.View().NumOpenIntents == 0 {
		return true
	}
	intents, err := wr.server.cluster.Tasks().OpenIntents()
	return err == nil && !slices.ContainsFunc(intents, func(in *fsm.Intent) bool { return in.Index == index })
}

// busy reports that sub-writes of the index wait or are being sent.
func (f *fanout) busy(index fsm.IndexID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.lanes {
		if key.index == index {
			return true
		}
	}
	return false
}

// ShardOf is the shard of a document id among shards.
func (s *Server) ShardOf(id string, shards uint32) fsm.ShardID { return ShardOf(id, shards) }

// ShardFilter is the filter that keeps the documents of shards on a node.
func (s *Server) ShardFilter(shards []fsm.ShardID) string { return ShardFilter(shards) }

// StrayFilter finds documents without a shard: Miroir never writes any.
func (s *Server) StrayFilter() string { return shardField + " NOT EXISTS" }

var errAnyDocument = errors.New("any document may be touched")

// touched notes that a filter deletes documents, which nobody knows; an edit may touch any.
func (c *change) touched(watch *tasks.WriteWatch) error {
	if c.kind != meili.TaskDocumentDeletion {
		return errAnyDocument
	}
	watch.NoteDeletions()
	return nil
}
