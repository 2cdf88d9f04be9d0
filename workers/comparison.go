package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// comparison compares the replicas in sync of one shard, in three looks:
//
//  1. Fingerprints of all copies, while writes go on. Equal ones end it.
//  2. The documents of the buckets that differ, once every write known at the first look has been worked off.
//  3. What still differs, with the writes of the index held and none open. Only that counts.
type comparison struct {
	opts    Options
	reader  *copyReader
	maxHold time.Duration
	request tasks.AuditRequest
	index   fsm.IndexID
	slot    fsm.ShardID // 0 for an index that lives whole
	whole   bool
	filter  string
	key     string // primary key, "" while the state knows none
	clean   time.Time

	turn chan struct{} // its tokens are for those that have documents in memory: many shards are compared at once

	copies []*comparedCopy
	result tasks.ShardAudit
	// suspect is told of replicas right before they become stale; stale counts them.
	suspect func([]fsm.ReplicaRef)
	stale   int
}

// comparedCopy is one replica as it was when the comparison began.
type comparedCopy struct {
	copyNode
	ref     fsm.ReplicaRef
	replica fsm.Replica
	key     string // primary key, that of the node where somebody wrote to it before any client of Miroir
	print   *fingerprint
	foreign bool
}

const (
	maxInMemory   = 200_000 // digests of documents, of all copies of a shard
	maxCandidates = 100_000 // documents looked at for the second time
	maxHeld       = 5_000   // documents looked at while writes are held
	maxListed     = 1_000   // documents listed in the result
	holdTries     = 5
)

// errNoPrimaryKey and the like are notes, not errors.
const (
	noteOneCopy = "one replica in sync: there is nothing to compare"
	noteChanged = "the replicas changed meanwhile"
)

// run compares and fills the result.
func (c *comparison) run(ctx context.Context) {
	if err := c.compare(ctx); err != nil {
		c.result.Error = err.Error()
	}
}

func (c *comparison) compare(ctx context.Context) error {
	if !c.begin() {
		return nil
	}
	if len(c.copies) < 2 {
		c.result.Equal, c.result.Note = true, noteOneCopy
		return nil
	}
	if err := c.findKeys(ctx); err != nil {
		return err
	}
	bad, equal, err := c.firstLook(ctx)
	if err != nil || equal {
		c.result.Equal = err == nil
		return err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	candidates, err := c.candidates(ctx, c.some(bad))
	if err != nil {
		return err
	}
	if err := c.barrier(ctx); err != nil {
		return err
	}
	remaining, err := c.stillDiffer(ctx, candidates)
	if err != nil {
		return err
	}
	if len(remaining) == 0 {
		c.result.Equal = true
		return nil
	}
	return c.lastLook(ctx, remaining)
}

// begin notes which copies there are. It reports false when the index is gone.
func (c *comparison) begin() bool {
	view := c.opts.Cluster.View()
	ix := view.Indexes[c.index]
	if ix == nil || ix.Deleting {
		c.result.Note = noteChanged
		return false
	}
	c.whole, c.key = ix.Whole(), ix.NextPrimaryKey
	c.result.Index, c.result.Copies = ix.UID, []tasks.CopyAudit{}
	if !c.whole {
		shard := uint32(c.slot)
		c.result.Shard = &shard
		c.filter = c.opts.Coordinator.ShardFilter([]fsm.ShardID{c.slot})
	}
	for _, group := range slices.Sorted(maps.Keys(ix.Placement)) {
		for _, replica := range ix.Replicas(group, c.slot) {
			n := view.Node(replica.Node)
			if replica.State != fsm.Active || n == nil || n.State == fsm.NodeFailed || !c.opts.Nodes.Get(n).Alive() {
				continue
			}
			c.copies = append(c.copies, &comparedCopy{
				copyNode: copyNode{client: c.opts.Nodes.Get(n), index: ix.NodeUID, timeout: requestTimeout},
				ref:      fsm.ReplicaRef{Index: c.index, Group: group, Shard: c.slot, Node: replica.Node}, replica: replica,
			})
		}
	}
	return true
}

// findKeys finds the primary key by which each copy is read.
func (c *comparison) findKeys(ctx context.Context) error {
	return c.each(func(copied *comparedCopy) (err error) {
		if copied.key = c.key; c.key == "" {
			copied.key, err = copied.primaryKey(ctx)
		}
		var refused *meili.Error
		if errors.As(err, &refused) && refused.Code == meili.CodeIndexNotFound {
			return nil // it was lost there, which is noticed elsewhere
		}
		return err
	})
}

// requestTimeout bounds one request of a comparison.
const requestTimeout = 30 * time.Second

// each does the same on every copy at once; the first error counts.
func (c *comparison) each(do func(*comparedCopy) error) error {
	failed := make([]error, len(c.copies))
	var doing sync.WaitGroup
	for i, copied := range c.copies {
		doing.Go(func() { failed[i] = do(copied) })
	}
	doing.Wait()
	return errors.Join(failed...)
}

// firstLook returns the buckets that differ; equal: none do.
func (c *comparison) firstLook(ctx context.Context) (bad bucketSet, equal bool, err error) {
	if c.request.Depth == tasks.DepthCounts {
		equal, err := c.compareCounts(ctx)
		if err != nil || equal {
			return bad, equal, err
		}
	}
	err = c.each(func(copied *comparedCopy) (err error) {
		copied.print, err = c.reader.print(ctx, copied.copyNode, copied.key, c.filter)
		return err
	})
	if err != nil {
		return bad, false, err
	}
	prints := make([]*fingerprint, len(c.copies))
	c.result.Copies = nil
	for i, copied := range c.copies {
		prints[i] = copied.print
		c.result.Copies = append(c.result.Copies, tasks.CopyAudit{
			Node: copied.ref.Node, Group: copied.ref.Group, Documents: copied.print.documents, Digest: digestText(copied.print.root()),
		})
	}
	bad, equal = differing(prints)
	return bad, equal, nil
}

func (c *comparison) compareCounts(ctx context.Context) (equal bool, err error) {
	counts := make([]int64, len(c.copies))
	err = c.each(func(copied *comparedCopy) (err error) {
		counts[slices.Index(c.copies, copied)], err = copied.count(ctx, c.filter)
		return err
	})
	equal = true
	for i, copied := range c.copies {
		c.result.Copies = append(c.result.Copies, tasks.CopyAudit{Node: copied.ref.Node, Group: copied.ref.Group, Documents: counts[i]})
		equal = equal && counts[i] == counts[0]
	}
	return equal, err
}

// some are as many of the bad buckets as may be in memory with their documents, at least one. A copy that is found wrong is
// made equal as a whole, and what is wrong elsewhere is left to the next pass.
func (c *comparison) some(bad bucketSet) bucketSet {
	documents := int64(0)
	for _, copied := range c.copies {
		documents += copied.print.documents
	}
	perBucket, taken := documents/numBuckets, int64(0)
	for i := range bad {
		if bad[i] && taken > 0 && taken+perBucket > maxInMemory {
			bad[i] = false
		}
		if bad[i] {
			taken += max(perBucket, 1)
		}
	}
	return bad
}

// candidates are the ids in bad buckets that copies have otherwise.
func (c *comparison) candidates(ctx context.Context, bad bucketSet) ([]string, error) {
	found := make([]map[string]xxh3.Uint128, len(c.copies))
	err := c.each(func(copied *comparedCopy) (err error) {
		found[slices.Index(c.copies, copied)], err = c.reader.contents(ctx, copied.copyNode, copied.key, c.filter, bad)
		return err
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, id := range union(found) {
		if documents := contentsOf(found, id); !documents.allSame() && len(ids) < maxCandidates {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// union lists the ids of all copies, sorted and each once.
func union(found []map[string]xxh3.Uint128) []string {
	ids := map[string]struct{}{}
	for _, documents := range found {
		for id := range documents {
			ids[id] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func contentsOf(found []map[string]xxh3.Uint128, id string) contents {
	c := make(contents, len(found))
	for i, documents := range found {
		if content, has := documents[id]; has {
			c[i] = &content
		}
	}
	return c
}

func (c contents) allSame() bool {
	for i := range c {
		if !c.same(0, i) {
			return false
		}
	}
	return true
}

// barrier waits until the writes that were committed before it are decided and worked off by the nodes.
func (c *comparison) barrier(ctx context.Context) error {
	if err := c.settled(ctx, c.opts.Cluster.View().NextTaskUID); err != nil {
		return err
	}
	return c.each(func(copied *comparedCopy) error { return copied.settle(ctx) })
}

// settled waits until no task of the index with a lower uid is open: what a node failed to do has made it stale then.
func (c *comparison) settled(ctx context.Context, before uint32) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if c.opts.Cluster.View().NumOpenTasks == 0 {
			return nil
		}
		open, err := c.opts.Cluster.Tasks().OpenTasks()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(open, func(t *fsm.Task) bool { return t.Index == c.index && t.UID < before }) {
			return nil
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// differingDocument is a document with what each copy has of it.
type differingDocument struct {
	id       string
	contents contents
}

// stillDiffer reads documents again and returns those that differ.
func (c *comparison) stillDiffer(ctx context.Context, ids []string) ([]differingDocument, error) {
	found := make([]map[string]xxh3.Uint128, len(c.copies))
	err := c.each(func(copied *comparedCopy) (err error) {
		found[slices.Index(c.copies, copied)], err = c.reader.fetch(ctx, copied.copyNode, copied.key, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	var differ []differingDocument
	for _, id := range ids {
		if documents := contentsOf(found, id); !documents.allSame() {
			differ = append(differ, differingDocument{id, documents})
		}
	}
	return differ, nil
}

// lastLook reads again what differs while writes are held, and acts on what still does.
func (c *comparison) lastLook(ctx context.Context, remaining []differingDocument) error {
	if err := c.findForeign(ctx); err != nil {
		return err
	}
	held, rest := remaining[:min(len(remaining), maxHeld)], remaining[min(len(remaining), maxHeld):]
	ids := make([]string, len(held))
	for i, document := range held {
		ids[i] = document.id
	}
	unpaced := &copyReader{pace: newPacer(c.nodes(), len(c.copies), 0), pageSize: c.reader.pageSize}
	for try := 0; ; try++ {
		err := c.opts.Coordinator.HoldIndex(ctx, c.index, c.maxHold, func(ctx context.Context) error {
			return c.conclude(ctx, unpaced, ids, rest)
		})
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || try == holdTries {
			return err
		}
		if !sleep(ctx, time.Duration(try+1)*100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

func (c *comparison) nodes() []fsm.NodeID {
	var nodes []fsm.NodeID
	for _, copied := range c.copies {
		nodes = append(nodes, copied.ref.Node)
	}
	return nodes
}

// conclude decides, while no write of the index begins and none is open.
func (c *comparison) conclude(ctx context.Context, reader *copyReader, ids []string, rest []differingDocument) error {
	if err := c.settled(ctx, c.opts.Cluster.View().NextTaskUID); err != nil {
		return err
	}
	if !c.unchanged() {
		c.result.Note = noteChanged
		return nil
	}
	if err := c.each(func(copied *comparedCopy) error { return c.isItself(ctx, copied) }); err != nil {
		return err
	}
	paced := c.reader
	c.reader = reader
	differ, err := c.stillDiffer(ctx, ids)
	c.reader = paced
	if err != nil {
		return err
	}
	if len(differ) == 0 {
		c.result.Equal = true
		return nil
	}
	return c.settle(ctx, append(differ, rest...))
}

// unchanged reports that every copy is the replica that it was.
func (c *comparison) unchanged() bool {
	ix := c.opts.Cluster.View().Indexes[c.index]
	if ix == nil || ix.Deleting || ix.Whole() != c.whole || ix.NextPrimaryKey != c.key {
		return false
	}
	for _, copied := range c.copies {
		now := slices.IndexFunc(ix.Replicas(copied.ref.Group, c.slot), func(r fsm.Replica) bool { return r == copied.replica })
		if now < 0 {
			return false
		}
	}
	return true
}

// isItself fails for a node that lost its disk: that is noticed elsewhere, and its copy proves nothing. It also waits
// until the node has worked off what it has.
func (c *comparison) isItself(ctx context.Context, copied *comparedCopy) error {
	if err := copied.settle(ctx); err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	newest, err := copied.client.NewestTask(asking)
	if err != nil {
		return err
	}
	if n := c.opts.Cluster.View().Node(copied.ref.Node); n == nil || newest < n.LastTaskUID {
		return fmt.Errorf("node %s has lost its task history", copied.ref.Node)
	}
	return nil
}

// findForeign asks the nodes whether somebody wrote to the index directly since the copy was last known to be right.
func (c *comparison) findForeign(ctx context.Context) error {
	return c.each(func(copied *comparedCopy) (err error) {
		since := copied.replica.Since
		if c.clean.After(since) {
			since = c.clean
		}
		asking, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		copied.foreign, err = copied.client.WrittenDirectly(asking, copied.index, since)
		return err
	})
}

// settle tells what differs and, if it may, makes the losers stale.
func (c *comparison) settle(ctx context.Context, differ []differingDocument) error {
	votes, documents := make([]vote, len(c.copies)), make([]contents, len(differ))
	for i, copied := range c.copies {
		votes[i] = vote{foreign: copied.foreign, since: copied.replica.Since}
	}
	for i := range differ {
		documents[i] = differ[i].contents
	}
	wrong := losers(votes, documents)
	c.report(differ, wrong)
	if !c.request.Repair {
		return nil
	}
	var changes []fsm.ReplicaChange
	for i, copied := range c.copies {
		if wrong[i] {
			changes = append(changes, fsm.ReplicaChange{ReplicaRef: copied.ref, From: fsm.Active, To: fsm.Stale})
		}
	}
	refs := make([]fsm.ReplicaRef, len(changes))
	for i, change := range changes {
		refs[i] = change.ReplicaRef
	}
	c.suspect(refs)
	if _, err := fsm.Do(ctx, c.opts.Cluster, fsm.MarkReplicas{Now: c.opts.Now(), Changes: changes}); err != nil {
		return fmt.Errorf("replicas that differ are not stale: %w", err)
	}
	c.stale = len(changes)
	if err := c.opts.Coordinator.WaitEverywhere(ctx, c.opts.Cluster.View().AppliedIndex); err != nil {
		return fmt.Errorf("not every pod knows yet which replicas differ: %w", err)
	}
	return nil
}

// report fills the result and logs the losing versions, which are about to be replaced.
func (c *comparison) report(differ []differingDocument, wrong []bool) {
	c.result.NumDiffering = len(differ)
	for i, copied := range c.copies {
		if i < len(c.result.Copies) {
			c.result.Copies[i].Foreign, c.result.Copies[i].Wrong = copied.foreign, wrong[i]
		}
		if wrong[i] {
			c.opts.Logger.Error("replica differs from the others", "index", c.result.Index, "shard", c.slot, "node_id", copied.ref.Node,
				"documents", len(differ), "written_directly", copied.foreign, "becomes_stale", c.request.Repair)
		}
	}
	for _, document := range differ[:min(len(differ), maxListed)] {
		listed := tasks.DifferingDocument{ID: document.id, Digests: map[fsm.NodeID]string{}}
		for i, copied := range c.copies {
			listed.Digests[copied.ref.Node] = ""
			if document.contents[i] != nil {
				listed.Digests[copied.ref.Node] = digestText(*document.contents[i])
			}
		}
		c.opts.Logger.Info("document differs", "index", c.result.Index, "shard", c.slot, "id", document.id, "digests", listed.Digests)
		if c.request.Depth == tasks.DepthDocuments {
			c.result.Differing = append(c.result.Differing, listed)
		}
	}
}
