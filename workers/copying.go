package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"miroir/fsm"
)

// part is what is compared in one go: the documents that match filter, "" for all of the index, on the source of slot.
type part struct {
	slot   *slot
	filter string
}

// Up to about how many documents are compared in one go, and of replicas that come from a node with the whole index: those of one part
// follow those of another.
const (
	wholeLimit = 50_000
	lateLimit  = 500_000
)

// parts cuts the documents of the attempt: as few parts as may be, for a node answers each with a list, and indexes the
// pages of each by themselves.
func (a *attempt) parts(ctx context.Context) ([]part, error) {
	var parts []part
	limit := wholeLimit
	if a.late {
		limit = lateLimit
	}
	for _, s := range a.sources() {
		filter, shards := a.contents(s)
		n, err := s.source.count(ctx, filter)
		if err != nil {
			return nil, a.blame(s, err)
		}
		if n <= int64(limit) {
			parts = append(parts, part{s, filter})
			continue
		}
		for some := range slices.Chunk(shards, max(1, len(shards)*limit/int(n))) {
			parts = append(parts, part{s, a.opts.Coordinator.ShardFilter(some)})
		}
	}
	return parts, nil
}

// makeFilterable sees to it that the nodes of a large index that lives whole can list some of its shards.
func (a *attempt) makeFilterable(ctx context.Context) error {
	if !a.whole {
		return nil
	}
	nodes := []fsm.NodeID{a.job.key.node}
	for _, s := range a.sources() {
		n, err := s.source.count(ctx, "")
		if err != nil {
			return a.blame(s, err)
		}
		if n > wholeLimit {
			nodes = append(nodes, s.from)
		}
	}
	if len(nodes) == 1 {
		return nil
	}
	for _, id := range nodes {
		for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
			ready, err := a.opts.Coordinator.MakeShardsFilterable(ctx, a.job.key.index, id)
			if err != nil {
				return err
			}
			if ready {
				break
			}
			if !sleep(ctx, pause) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// contents are the shards that the source of a slot is copied from, and the filter for their documents.
func (a *attempt) contents(s *slot) (filter string, shards []fsm.ShardID) {
	if a.whole {
		for shard := range a.shards {
			shards = append(shards, fsm.ShardID(shard))
		}
		return "", shards
	}
	for _, other := range a.slots {
		if other.from == s.from {
			shards = append(shards, other.shard)
		}
	}
	return a.opts.Coordinator.ShardFilter(shards), shards
}

// copyAll makes the target equal to the sources, but for what is written meanwhile.
func (a *attempt) copyAll(ctx context.Context) error {
	parts, err := a.parts(ctx)
	if err != nil {
		return err
	}
	a.job.begin()
	sent := &copies{attempt: a}
	for _, p := range parts {
		if err := a.copyPart(ctx, p, sent); err != nil {
			return err
		}
	}
	return sent.confirm(ctx)
}

// copies are documents that the target has not confirmed yet. Those of several replicas are sent before any is waited for,
// so that the node may index them together.
type copies struct {
	attempt *attempt
	tasks   []uint32 // of the target
	sent    []sentPage
}

type sentPage struct {
	slot *slot
	ids  []string
}

// maxUnconfirmed bounds the tasks that wait on a target.
const maxUnconfirmed = 16

// confirm waits until the target has indexed what was sent, and looks whether it took.
func (c *copies) confirm(ctx context.Context) error {
	if err := c.attempt.target.await(ctx, c.tasks); err != nil {
		return err
	}
	for _, page := range c.sent {
		if err := c.attempt.verify(ctx, page.slot, page.ids); err != nil {
			return err
		}
	}
	c.tasks, c.sent = nil, nil
	return nil
}

// copyPart compares a part page by page and sends what differs, in the order of the source: documents that rank equally come
// in it, so the copies of a replica that is made anew answer as the source does.
func (a *attempt) copyPart(ctx context.Context, p part, sent *copies) error {
	ours, theirs, err := a.listBoth(ctx, p)
	if err != nil {
		return err
	}
	a.job.expect(len(ours))
	if err := a.deleteExtra(ctx, ours, theirs); err != nil {
		return err
	}
	for page := range slices.Chunk(ours, a.repair.PageSize) {
		if err := a.stillFilling(); err != nil {
			return err
		}
		differing, _, uids, err := a.copyPage(ctx, p.slot, page)
		if err != nil {
			return err
		}
		if len(differing) > 0 {
			sent.tasks, sent.sent = append(sent.tasks, uids...), append(sent.sent, sentPage{p.slot, differing})
		}
		a.job.compared(len(page))
		if err := a.pace(ctx, len(differing)); err != nil {
			return err
		}
		if len(sent.tasks) >= maxUnconfirmed {
			if err := sent.confirm(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// pace waits until as many documents may be copied as were.
func (a *attempt) pace(ctx context.Context, documents int) error {
	for range documents {
		if err := a.rate.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listBoth lists the ids that source and target have. The source's history is looked at afterwards: what a node lists
// that has lost its disk is not believed.
func (a *attempt) listBoth(ctx context.Context, p part) (ours, theirs []string, err error) {
	key, err := a.primaryKey(ctx, p.slot)
	if err != nil {
		return nil, nil, err
	}
	if theirs, err = a.target.ids(ctx, key, p.filter); err != nil {
		return nil, nil, err
	}
	if ours, err = p.slot.source.ids(ctx, key, p.filter); err != nil {
		return nil, nil, a.blame(p.slot, err)
	}
	return ours, theirs, a.checkSource(ctx, p.slot)
}

// lacking are the ids of a list that are not in another, in the order of the list.
func lacking(list, other []string) (rest []string) {
	sorted := slices.Sorted(slices.Values(other))
	for _, id := range list {
		if _, found := slices.BinarySearch(sorted, id); !found {
			rest = append(rest, id)
		}
	}
	return rest
}

// deleteExtra deletes on the target what the source does not have.
func (a *attempt) deleteExtra(ctx context.Context, ours, theirs []string) error {
	var pending []uint32
	for page := range slices.Chunk(lacking(theirs, ours), a.repair.PageSize) {
		uid, err := a.target.delete(ctx, page)
		if err != nil {
			return err
		}
		pending = append(pending, uid)
		a.job.wrote(len(page))
	}
	return a.target.await(ctx, pending)
}

// copyPage reads documents from the source and writes those to the target that it has otherwise. It returns their ids,
// those of documents that only the target has, and the tasks of the target.
func (a *attempt) copyPage(ctx context.Context, s *slot, ids []string) (differing, gone []string, uids []uint32, err error) {
	ours, theirs, err := a.fetchBoth(ctx, s, ids)
	if err != nil {
		return nil, nil, nil, err
	}
	var documents [][]byte
	for _, id := range ids {
		switch document, has := ours[id]; {
		case has && !same(document, theirs[id]):
			differing, documents = append(differing, id), append(documents, document)
		case !has && theirs[id] != nil:
			gone = append(gone, id)
		}
	}
	if len(documents) == 0 {
		return nil, gone, nil, nil
	}
	key, err := a.primaryKey(ctx, s)
	if err != nil {
		return nil, nil, nil, err
	}
	uids, err = a.target.post(ctx, key, documents)
	a.job.wrote(len(documents))
	return differing, gone, uids, err
}

// same reports that two documents, nil for none, have the same content.
func same(a, b []byte) bool {
	return (a == nil) == (b == nil) && (a == nil || digest(a) == digest(b))
}

func (a *attempt) fetchBoth(ctx context.Context, s *slot, ids []string) (ours, theirs map[string][]byte, err error) {
	key, err := a.primaryKey(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	if ours, err = s.source.fetch(ctx, key, ids); err != nil {
		return nil, nil, a.blame(s, err)
	}
	theirs, err = a.target.fetch(ctx, key, ids)
	return ours, theirs, err
}

// errNotEqual says that what was copied is not what the target has.
var errNotEqual = errors.New("source and target differ")

// verify compares documents on source and target. Those that are written meanwhile are left to the end.
func (a *attempt) verify(ctx context.Context, s *slot, ids []string) error {
	for page := range slices.Chunk(ids, a.repair.PageSize) {
		ours, theirs, err := a.fetchBoth(ctx, s, page)
		if err != nil {
			return err
		}
		for _, id := range page {
			changed, gone := a.watch.Touches(id)
			missing := ours[id] == nil || theirs[id] == nil
			if !same(ours[id], theirs[id]) && !changed && !(missing && gone) {
				return fmt.Errorf("%w in document %q", errNotEqual, id)
			}
		}
	}
	return nil
}

// recopy makes documents equal on the target: written, or deleted, as the source has them now.
func (a *attempt) recopy(ctx context.Context, touched map[string]struct{}) error {
	for s, ids := range a.bySource(touched) {
		ids, err := a.inOrder(ctx, s, ids)
		if err != nil {
			return err
		}
		for page := range slices.Chunk(ids, a.repair.PageSize) {
			if err := a.recopyPage(ctx, s, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// inOrder are ids in the order of the source, if the target is to have it.
func (a *attempt) inOrder(ctx context.Context, s *slot, ids []string) ([]string, error) {
	if !a.late || len(ids) == 0 {
		return ids, nil
	}
	key, err := a.primaryKey(ctx, s)
	if err != nil {
		return nil, err
	}
	ordered, err := s.source.list(ctx, key, documentsQuery{IDs: ids, Limit: int64(len(ids))})
	if err != nil {
		return nil, a.blame(s, err)
	}
	return append(ordered, lacking(ids, ordered)...), nil
}

// recopyPage makes documents equal and looks whether it took.
func (a *attempt) recopyPage(ctx context.Context, s *slot, ids []string) error {
	differing, gone, pending, err := a.copyPage(ctx, s, ids)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		uid, err := a.target.delete(ctx, gone)
		if err != nil {
			return err
		}
		pending = append(pending, uid)
		a.job.wrote(len(gone))
	}
	if err := a.target.await(ctx, pending); err != nil {
		return err
	}
	return a.verify(ctx, s, append(differing, gone...))
}

// bySource sorts ids to one slot of each source; those of shards that are not repaired are left out.
func (a *attempt) bySource(touched map[string]struct{}) map[*slot][]string {
	speaker, sources := map[fsm.ShardID]*slot{}, a.sources()
	for _, s := range a.slots {
		at := slices.IndexFunc(sources, func(other *slot) bool { return other.from == s.from })
		speaker[s.shard] = sources[at]
	}
	sorted := map[*slot][]string{}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		shard := fsm.ShardID(0)
		if !a.whole {
			shard = a.opts.Coordinator.ShardOf(id, a.shards)
		}
		if s := speaker[shard]; s != nil {
			sorted[s] = append(sorted[s], id)
		}
	}
	return sorted
}

// equaliseIDs compares the ids that source and target have, deletes and copies what is needed, and looks again.
func (a *attempt) equaliseIDs(ctx context.Context) error {
	parts, err := a.parts(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		ours, theirs, err := a.listBoth(ctx, p)
		if err != nil {
			return err
		}
		if err := a.deleteExtra(ctx, ours, theirs); err != nil {
			return err
		}
		for page := range slices.Chunk(lacking(ours, theirs), a.repair.PageSize) {
			if err := a.recopyPage(ctx, p.slot, page); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareCounts compares how many documents of the replicas each source and the target have: one question to each of
// them, for all its shards together. That the shards have the same ids was seen when they were copied.
func (a *attempt) compareCounts(ctx context.Context) error {
	for _, s := range a.sources() {
		filter, shards := a.contents(s)
		ours, err := s.source.count(ctx, filter)
		if err != nil {
			return a.blame(s, err)
		}
		theirs, err := a.target.count(ctx, filter)
		if err != nil {
			return err
		}
		if ours != theirs {
			return fmt.Errorf("%w: %d and %d documents of shards %d", errNotEqual, ours, theirs, shards)
		}
	}
	return nil
}
