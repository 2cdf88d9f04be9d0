package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// attempt is one try to bring replicas in sync. It holds three things true. What the writers touch is noted from before
// the first document is read until the flip. Every document that is not noted has been seen equal on source and target
// since. And at the flip no write is open, so that what is noted can be copied and compared for good.
type attempt struct {
	opts   Options
	repair *Repair       // configured
	rate   *rate.Limiter // of documents that are copied
	job    *repairJob
	meter  *repairMeter
	// mayCopy reports whether a replica may be copied now.
	mayCopy func(*fsm.View, *attempt, *slot) bool

	watch  *tasks.WriteWatch
	slots  []*slot // that are out of sync
	synced []*slot // that this attempt has brought in sync
	batch  int     // how many slots the next hold takes at most, 0 for all
	target copyNode
	whole  bool   // the index lives whole on its nodes
	shards uint32 // of the index
	// late: the replicas stay stale, and so get no writes, until they are filled. All come from a node that has the whole index, and a
	// new one ranks its documents in the order they came there: in that of the source, with what is written meanwhile behind.
	late bool
}

// slot is one replica to be repaired. shard is 0 for an index that lives whole.
type slot struct {
	group  fsm.GroupID
	shard  fsm.ShardID
	epoch  uint64 // of the replica as joining
	fresh  bool   // the replica has never been in sync
	source copyNode
	from   fsm.NodeID
}

const (
	// maxRounds bounds the copies of what was touched that bring no replica in sync, before an attempt gives up on a busy index.
	maxRounds = 50
	// lateRounds bounds those of replicas that get no writes yet: the order of documents is not worth more.
	lateRounds = 5
)

func (a *attempt) run(ctx context.Context) error {
	index := a.job.key.index
	a.watch = a.opts.Coordinator.WatchWrites(index)
	defer a.watch.Close()
	if err := a.plan(); err != nil {
		return err
	}
	if done, err := a.catchUp(ctx); done || err != nil {
		return err
	}
	if view := a.opts.Cluster.View(); !slices.ContainsFunc(a.slots, func(s *slot) bool { return a.mayCopy(view, a, s) }) {
		return errNotAsked
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	for first, tries := true, 0; len(a.slots) > 0; first = false {
		err := a.round(ctx, first)
		if err == nil {
			tries = 0
			continue
		}
		if !errors.Is(err, errAgain) || ctx.Err() != nil || tries == maxRounds {
			return err
		}
		if !sleep(ctx, time.Duration(min(tries, 20))*50*time.Millisecond) {
			return ctx.Err()
		}
		if tries++; a.late && tries == lateRounds {
			if err := a.join(ctx); err != nil {
				return err
			}
		}
	}
	clear(a.job.failedSources)
	return nil
}

// plan finds the replicas of the job and a source for each.
func (a *attempt) plan() error {
	view := a.opts.Cluster.View()
	ix := view.Indexes[a.job.key.index]
	to := view.Node(a.job.key.node)
	if ix == nil || to == nil {
		return errVoid
	}
	a.whole, a.shards = ix.Whole(), ix.Shards
	a.target = a.copyNode(ix, to)
	a.late = ix.IsGathered(to.Group) && !slices.Contains(ix.Nodes(fsm.Active, fsm.Joining, fsm.Leaving), to.ID)
	var missing error
	for group, entries := range ix.Placement {
		for shard, replicas := range entries {
			for _, replica := range replicas {
				if replica.Node != to.ID || !needsRepair(view, replica) {
					continue
				}
				s := &slot{group: group, shard: fsm.ShardID(shard)}
				a.late = a.late && replica.Fresh
				source := a.sourceOf(view, ix, s)
				if source == nil {
					missing = errNoSource{s.shard}
					continue
				}
				s.from, s.source = source.ID, a.copyNode(ix, source)
				a.slots = append(a.slots, s)
			}
		}
	}
	if len(a.slots) == 0 {
		return missing
	}
	return nil
}

func (a *attempt) copyNode(ix *fsm.Index, n *fsm.Node) copyNode {
	return copyNode{client: a.opts.Nodes.Get(n), index: ix.NodeUID, timeout: a.repair.RequestTimeout}
}

// join has all later writes go to the target.
func (a *attempt) join(ctx context.Context) error {
	a.late = false
	return a.prepare(ctx)
}

// prepare makes the index on the target what the state says and, unless that is to be later, has all later writes go there.
func (a *attempt) prepare(ctx context.Context) error {
	var changes []fsm.ReplicaChange
	if !a.late {
		changes = a.joining()
	}
	prepared, err := a.opts.Coordinator.JoinReplicas(ctx, a.job.key.index, a.job.key.node, changes)
	if err != nil {
		return err
	}
	a.noteEpochs()
	if err := a.stillFilling(); err != nil {
		return err
	}
	return a.finished(ctx, prepared)
}

// joining are the changes that have the target get all later writes.
func (a *attempt) joining() (changes []fsm.ReplicaChange) {
	ix := a.opts.Cluster.View().Indexes[a.job.key.index]
	for _, s := range a.slots {
		if a.replica(ix, s).State == fsm.Stale {
			changes = append(changes, fsm.ReplicaChange{ReplicaRef: a.ref(s), From: fsm.Stale, To: fsm.Joining})
		}
	}
	return changes
}

// joinHeld makes the replicas joining, all in one command, while no write begins and none is open.
func (a *attempt) joinHeld(ctx context.Context) error {
	if _, err := fsm.Do(ctx, a.opts.Cluster, fsm.MarkReplicas{Now: a.opts.Now(), Changes: a.joining()}); err != nil {
		return err
	}
	a.noteEpochs()
	return nil
}

// noteEpochs notes as of when the replicas are what they are.
func (a *attempt) noteEpochs() {
	ix := a.opts.Cluster.View().Indexes[a.job.key.index]
	for _, s := range a.slots {
		s.epoch = a.replica(ix, s).Epoch
	}
}

// finished waits until the target has prepared the index. Some of its tasks may fail without harm: an index is
// created that exists. What counts, the settings, is compared in the end.
func (a *attempt) finished(ctx context.Context, uid int64) error {
	if uid < 0 {
		return nil
	}
	_, err := a.target.finished(ctx, uint32(uid))
	return err
}

func (a *attempt) ref(s *slot) fsm.ReplicaRef {
	return fsm.ReplicaRef{Index: a.job.key.index, Group: s.group, Shard: s.shard, Node: a.job.key.node}
}

func (a *attempt) replica(ix *fsm.Index, s *slot) fsm.Replica {
	return replicaOn(ix, s, a.job.key.node)
}

// replicaOn is a node's replica of the slot's shard, in any group; the zero value if there is none.
func replicaOn(ix *fsm.Index, s *slot, id fsm.NodeID) fsm.Replica {
	if ix == nil {
		return fsm.Replica{}
	}
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, s.shard) {
			if replica.Node == id {
				return replica
			}
		}
	}
	return fsm.Replica{}
}

var (
	// errVoid says that the replicas are not what they were: the attempt has lost its point.
	errVoid = errors.New("the replicas changed meanwhile")
	// errStopped says that moves were paused or canceled.
	errStopped = errors.New("moves are stopped")
	// errNotAsked says that what a node missed is not copied to it before an operator asks for it.
	errNotAsked = errors.New("rebalancer.auto_rebalance_on_recovery is false: start a rebalance to have it copied")
	// errAgain asks for another round.
	errAgain = errors.New("the index was written too much meanwhile")
)

// stillFilling fails once a replica is no longer joining since this attempt, or stale if it is to join later, because it missed a
// write for example.
func (a *attempt) stillFilling() error {
	view := a.opts.Cluster.View()
	ix := view.Indexes[a.job.key.index]
	state := fsm.Joining
	if a.late {
		state = fsm.Stale
	}
	for _, s := range a.slots {
		r := a.replica(ix, s)
		if r.State != state || r.Epoch != s.epoch {
			return fmt.Errorf("%w: shard %d is %q", errVoid, s.shard, r.State)
		}
		if !needsRepair(view, r) {
			return errStopped
		}
	}
	if ix.Whole() != a.whole {
		return errVoid
	}
	return nil
}

// blame notes that an attempt failed because of a source, so that the next one takes another.
func (a *attempt) blame(s *slot, err error) error {
	a.job.failedSources[s.from] = true
	return fmt.Errorf("source: %w", err)
}

// checkSource makes sure that a source is in sync, with all that is copied from it, and still has the tasks it acknowledged.
// One that has not lost its disk after the moment it was read has not lost it before.
func (a *attempt) checkSource(ctx context.Context, s *slot) error {
	ctx, cancel := context.WithTimeout(ctx, a.repair.RequestTimeout)
	defer cancel()
	newest, err := s.source.client.NewestTask(ctx)
	if err != nil {
		return a.blame(s, err)
	}
	view := a.opts.Cluster.View()
	n := view.Node(s.from)
	behind := slices.ContainsFunc(a.slots, func(other *slot) bool {
		return other.from == s.from && replicaOn(view.Indexes[a.job.key.index], other, s.from).State != fsm.Active
	})
	if n == nil || newest < n.LastTaskUID || behind {
		return a.blame(s, fmt.Errorf("%s is not in sync any more", s.from))
	}
	return nil
}

// round copies everything, or what was touched since the last round, and then tries to finish.
func (a *attempt) round(ctx context.Context, first bool) error {
	touched := a.watch.Take()
	if err := a.barrier(ctx); err != nil {
		return err
	}
	a.watch.Return(tasks.Touched{Deletions: touched.Deletions && !first}) // compared in the end
	err := a.makeFilterable(ctx)
	if err != nil {
		return err
	}
	if first || touched.Everything {
		err = a.copyAll(ctx)
	} else {
		err = a.recopy(ctx, touched.IDs)
	}
	if err != nil {
		return err
	}
	if pending, _ := a.watch.Pending(); pending > a.repair.PageSize {
		return errAgain
	}
	return a.finish(ctx)
}

// barrier waits until every write that was committed before it is decided and worked off by the nodes concerned.
func (a *attempt) barrier(ctx context.Context) error {
	before := a.opts.Cluster.View().NextTaskUID
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		open, err := a.opensBefore(before)
		if err != nil {
			return err
		}
		if !open {
			return a.settle(ctx)
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// opensBefore reports that a write to the index with a lower task uid is open.
func (a *attempt) opensBefore(uid uint32) (bool, error) {
	if a.opts.Cluster.View().NumOpenIntents == 0 {
		return false, nil
	}
	intents, err := a.opts.Cluster.Tasks().OpenIntents()
	return slices.ContainsFunc(intents, func(in *fsm.Intent) bool {
		return in.Index == a.job.key.index && in.TaskUID < uid
	}), err
}

// settle waits until sources and target have worked off what they have of the index.
func (a *attempt) settle(ctx context.Context) error {
	for _, s := range a.sources() {
		if err := s.source.settle(ctx); err != nil {
			return a.blame(s, err)
		}
	}
	return a.target.settle(ctx)
}

// sources is one slot for each source.
func (a *attempt) sources() []*slot {
	var sources []*slot
	for _, s := range a.slots {
		if !slices.ContainsFunc(sources, func(other *slot) bool { return other.from == s.from }) {
			sources = append(sources, s)
		}
	}
	return sources
}

// primaryKey is what the next write will find. While the state knows none, nodes may have one with the documents of a write
// that was refused because other shards of it had no replica.
func (a *attempt) primaryKey(ctx context.Context, s *slot) (string, error) {
	ix := a.opts.Cluster.View().Indexes[a.job.key.index]
	if ix == nil {
		return "", errVoid
	}
	if ix.NextPrimaryKey != "" {
		return ix.NextPrimaryKey, nil
	}
	key, err := s.source.primaryKey(ctx)
	if err != nil {
		return "", a.blame(s, err)
	}
	if key == "" {
		return a.target.primaryKey(ctx)
	}
	return key, nil
}

// finish holds the writes, copies what is still noted, compares and flips: all replicas, or as many as can be done before
// the writes must go on. errAgain: none could be; half as many are tried next.
func (a *attempt) finish(ctx context.Context) error {
	a.job.finish(true)
	defer a.job.finish(false)
	part := *a
	if a.batch > 0 {
		part.slots = a.slots[:min(a.batch, len(a.slots))]
	}
	err := a.opts.Coordinator.HoldIndex(ctx, a.job.key.index, a.repair.MaxHold, func(holding context.Context) error {
		defer a.meter.held.UpdateDuration(time.Now())
		touched := a.watch.Take()
		err := part.conclude(holding, touched)
		if err != nil || len(part.slots) < len(a.slots) {
			a.watch.Return(touched)
		}
		if err != nil && holding.Err() != nil {
			err = fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	})
	a.noteSynced()
	switch {
	case err == nil:
		a.batch = 2 * len(part.slots)
	case errors.Is(err, errAgain), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		a.batch = max(1, len(part.slots)/2)
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	return err
}

// noteSynced sorts out the slots whose replicas the state has as active, also after a flip that was cut short.
func (a *attempt) noteSynced() {
	ix := a.opts.Cluster.View().Indexes[a.job.key.index]
	var left []*slot
	for _, s := range a.slots {
		if a.replica(ix, s).State == fsm.Active {
			a.synced = append(a.synced, s)
		} else {
			left = append(left, s)
		}
	}
	a.slots = left
}

// heldDocuments is how many documents may be compared again while writes are held.
const heldDocuments = 20_000

// conclude is the end of an attempt, while no write begins and none is open.
func (a *attempt) conclude(ctx context.Context, touched tasks.Touched) error {
	if err := a.check(ctx, touched); err != nil {
		return err
	}
	if a.late {
		if err := a.stillFilling(); err != nil {
			return err
		}
		if err := a.joinHeld(ctx); err != nil {
			return err
		}
	}
	return a.activate(ctx)
}

// check makes what was touched equal and looks whether all is.
func (a *attempt) check(ctx context.Context, touched tasks.Touched) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	if err := a.level(ctx, touched); err != nil {
		return err
	}
	if err := a.compareCounts(ctx); err != nil {
		return err
	}
	if err := a.compareSettings(ctx); err != nil {
		return err
	}
	for _, s := range a.sources() {
		if err := a.checkSource(ctx, s); err != nil {
			return err
		}
	}
	return a.checkTasks(ctx)
}

// level makes what was touched since the last round equal.
func (a *attempt) level(ctx context.Context, touched tasks.Touched) error {
	if touched.Everything {
		if a.job.size() > heldDocuments {
			return errAgain
		}
		return a.copyAll(ctx)
	}
	if err := a.recopy(ctx, touched.IDs); err != nil {
		return err
	}
	if touched.Deletions {
		return a.equaliseIDs(ctx)
	}
	return nil
}

// compareSettings compares the settings of every source with the target's.
func (a *attempt) compareSettings(ctx context.Context) error {
	theirs, err := a.target.settings(ctx)
	if err != nil {
		return err
	}
	for _, s := range a.sources() {
		ours, err := s.source.settings(ctx)
		if err != nil {
			return a.blame(s, err)
		}
		if ours != theirs && !a.settingsFit(ctx) {
			return fmt.Errorf("%w in their settings: node %s has %.2000s, node %s %.2000s", errNotEqual, s.from, ours, a.job.key.node, theirs)
		}
	}
	return nil
}

// settingsFit reports that the target's settings are those of the state although the source shows others: an index that
// has moved out over its group has longer lists of facet values on the nodes it came to than on those it was on.
func (a *attempt) settingsFit(ctx context.Context) bool {
	check, err := a.opts.Coordinator.CheckSettings(ctx, a.job.key.index, a.job.key.node)
	return err == nil && check.Equal()
}

// checkTasks fails when a source did not do a write whose client task is still open: others may have done it, and then
// the source is about to become stale.
func (a *attempt) checkTasks(ctx context.Context) error {
	open, err := a.opts.Cluster.Tasks().OpenTasks()
	if err != nil {
		return err
	}
	shares := map[fsm.NodeID][]uint32{}
	for _, task := range open {
		for _, share := range task.NodeTasks {
			if task.Index == a.job.key.index {
				shares[share.Node] = append(shares[share.Node], share.UID)
			}
		}
	}
	for _, s := range a.sources() {
		list, err := s.source.tasks(ctx, shares[s.from])
		if err != nil {
			return a.blame(s, err)
		}
		if slices.ContainsFunc(list, func(t node.Task) bool { return t.Failed() }) {
			return fmt.Errorf("node %s failed a write that is not settled yet", s.from)
		}
	}
	return nil
}

// activate notes how far the target's task history has come, so that a lost disk is noticed, and flips the replicas.
func (a *attempt) activate(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, a.repair.RequestTimeout)
	newest, err := a.target.client.NewestTask(asking)
	cancel()
	if err != nil {
		return err
	}
	if _, err := fsm.Do(ctx, a.opts.Cluster, fsm.RecordNodeTask{Node: a.job.key.node, UID: newest}); err != nil {
		return err
	}
	var flips errgroup.Group // at once, so that they share a commit
	for _, s := range a.slots {
		flips.Go(func() error { return a.flipSlot(ctx, s) })
	}
	return flips.Wait()
}

func (a *attempt) flipSlot(ctx context.Context, s *slot) error {
	now, view := a.opts.Now(), a.opts.Cluster.View()
	activate := fsm.ActivateReplica{Now: now, ReplicaRef: a.ref(s), Epoch: s.epoch}
	if ix := view.Indexes[a.job.key.index]; ix != nil {
		activate.Displaced = view.Planner(now).Displaced(ix, a.ref(s))
	}
	if _, err := fsm.Do(ctx, a.opts.Cluster, activate); err != nil {
		return fmt.Errorf("shard %d not activated: %w", s.shard, err)
	}
	return nil
}
