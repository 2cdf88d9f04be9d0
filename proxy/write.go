package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"miroir/catchup"
	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// writer is the write path: check → intent → fan-out → result. It runs on the leader only. One write of an index is
// committed and handed to the nodes' lanes before the next one of that index is, so nodes see the order of the log.
type writer struct {
	server *Server
	lanes  *fanout
	missed *catchup.Store
	locks  nameLocks
	gate   gate
	// wake is signalled when a task has begun on the nodes.
	wake chan struct{}
	// watches are told what writes touch.
	watches    watches
	insertions insertions

	results sync.WaitGroup // results that are committed after the answer

	mu       sync.Mutex
	inFlight map[fsm.WriteID]bool // guarded by mu: writes this pod is still working on
	// unsettled counts the writes of each index whose result is not dealt with in full; guarded by mu.
	unsettled map[fsm.IndexID]int
}

func newWriter(s *Server) *writer {
	lanes := newFanout(s)
	return &writer{
		server:     s,
		lanes:      lanes,
		missed:     lanes.missed,
		insertions: insertions{server: s},
		wake:       make(chan struct{}, 1),
		inFlight:   map[fsm.WriteID]bool{},
		unsettled:  map[fsm.IndexID]int{},
	}
}

// Close aborts what is being sent and waits for it.
func (wr *writer) Close() error {
	wr.lanes.close()
	wr.results.Wait()
	return nil
}

// proposal is a checked write, ready to be committed. Now, WriteID and Expect are filled in by the writer.
type proposal struct {
	begin fsm.BeginWrite
	// steps are the requests a target gets; nil when no node is involved.
	steps func(begun *fsm.BeginWriteResult, t fsm.Target, write fsm.WriteID) []step
	// begun is told of the commit before the names are unlocked; nil when there is nothing to do.
	begun func(begun *fsm.BeginWriteResult)
	// touched tells a watch which documents the write touches; nil when any may be.
	touched func(*tasks.WriteWatch) error
}

// proposer checks a write against the state it will find. It is called with the names locked, again when the state
// changed before the write was committed. ix is what the first name is routed to, nil for nothing.
type proposer func(v *fsm.View, ix *fsm.Index) (*proposal, error)

// write is one write as the writer follows it.
type write struct {
	id      fsm.WriteID
	begin   fsm.BeginWrite
	begun   fsm.BeginWriteResult
	subs    []*subWrite
	ended   fsm.EndWriteResult
	refusal *meili.Error
	// forNodes says that nodes have to do with it, even if none is there to be asked.
	forNodes bool
}

// submit carries a write to its end. names are the client names it concerns. The returned write has been accepted.
// Errors: *meili.Error.
func (wr *writer) submit(ctx context.Context, propose proposer, names ...string) (w *write, err error) {
	defer func() { wr.server.writes.ended(w, err) }()
	for _, name := range names {
		if refused := meili.CheckIndexUID(name); refused != nil {
			return nil, refused
		}
	}
	if !wr.server.cluster.IsLeader() {
		return nil, miroirError(codeNoLeader, "This pod does not lead the cluster, so it takes no writes. Retry later.")
	}
	if err := wr.gate.wait(ctx); err != nil {
		return nil, miroirError(codeNoLeader, "The new leader is still settling the writes of the last one. Retry later.")
	}
	waiting, cancel := context.WithTimeout(ctx, wr.server.opts.RequestTimeout)
	unlock, err := wr.locks.lock(waiting, names...)
	cancel()
	if err != nil {
		return nil, miroirError(codeOverloaded, "The earlier writes of the index were not enqueued in time. Retry later.")
	}
	w, err = wr.start(ctx, propose, names)
	unlock()
	if err != nil {
		return nil, err
	}
	return w, wr.conclude(w)
}

// start commits the intent and hands the sub-writes to the lanes. Call with the names locked. From the commit on the
// write no longer depends on the client: a caller that hangs up must not leave it half done.
func (wr *writer) start(ctx context.Context, propose proposer, names []string) (*write, error) {
	meter := &wr.server.writes
	for began, deadline := time.Now(), time.Now().Add(maxGateWait); ; {
		view := wr.server.cluster.View()
		var ix *fsm.Index
		if len(names) > 0 {
			ix = view.Route(names[0])
		}
		if created, err := wr.beingCreated(ix); err != nil {
			return nil, err
		} else if created {
			if !sleepUntil(ctx, firstSessionPause, deadline) {
				return nil, miroirError(codeOverloaded, "Index `%s` is still being created by an earlier write. Retry later.", ix.UID)
			}
			continue
		}
		if undecided, err := wr.undecidedName(view, names); err != nil {
			return nil, err
		} else if undecided != "" {
			if !sleepUntil(ctx, firstSessionPause, deadline) {
				return nil, miroirError(codeOverloaded, "It is not certain yet what an earlier write makes of the name `%s`. Retry later.", undecided)
			}
			continue
		}
		p, err := propose(view, ix)
		if err != nil {
			return nil, err
		}
		if err := wr.checkFree(view, ix, p); err != nil {
			return nil, err
		}
		if kind := meili.TaskKind(p.begin.Kind); kind != meili.TaskTaskDeletion && kind != meili.TaskTaskCancelation {
			if err := wr.server.checkDisk(); err != nil {
				return nil, err
			}
		}
		if unborn := unborn(view, p.begin.Effect.Swaps); unborn != nil {
			if !sleepUntil(ctx, firstSessionPause, deadline) {
				return nil, miroirError(codeOverloaded, "Index `%s` is still being created, so its name cannot be given to another. Retry later.", unborn.UID)
			}
			continue
		}
		w := wr.newWrite(p, ix, len(names) == 1)
		w.begin.Session = sessionOf(ctx)
		wr.server.step(StepChecked, "")
		meter.check.UpdateDuration(began)
		began = time.Now()
		w.begun, err = fsm.Do(context.WithoutCancel(ctx), wr.server.cluster, w.begin)
		meter.intent.UpdateDuration(began)
		if errors.Is(err, fsm.ErrChanged) {
			wr.forget(w)
			continue
		}
		if err != nil {
			wr.forget(w)
			return nil, wr.commitError(err)
		}
		wr.enqueue(w, p)
		return w, nil
	}
}

// beingCreated reports that nobody knows yet whether the write that creates an index happens. What is acknowledged to that index
// meanwhile would go with it if it does not.
func (wr *writer) beingCreated(ix *fsm.Index) (bool, error) {
	if ix == nil || ix.Visible {
		return false, nil
	}
	intents, err := wr.server.cluster.Tasks().OpenIntents()
	return slices.ContainsFunc(intents, func(in *fsm.Intent) bool {
		return in.Index == ix.ID && in.Created && wr.server.WriteInFlight(in.WriteID)
	}), err
}

// undecidedName is a name of which nobody knows yet what it leads to: an earlier write is to free it, by a deletion that nodes
// have not accepted or a rename that waits for them. What is accepted on the strength of that cannot be taken back.
func (wr *writer) undecidedName(view *fsm.View, names []string) (string, error) {
	for _, name := range names {
		if ix := view.Route(name); ix != nil {
			if slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.AwaitsNodes && movesName(p, name) }) {
				return name, nil
			}
			continue
		}
		for _, ix := range view.Indexes {
			if slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.AwaitsNodes && movesName(p, name) }) {
				return name, nil
			}
		}
		if deleting, err := wr.beingDeleted(view, name); err != nil || deleting {
			return name, err
		}
	}
	return "", nil
}

func movesName(p fsm.Pending, name string) bool {
	return slices.ContainsFunc(p.Swaps, func(s fsm.BoundSwap) bool { return s.A == name || s.B == name })
}

// beingDeleted reports that the fate of a deletion is open that was sent to a name.
func (wr *writer) beingDeleted(view *fsm.View, name string) (bool, error) {
	if view.NumOpenIntents == 0 {
		return false, nil
	}
	intents, err := wr.server.cluster.Tasks().OpenIntents()
	if err != nil {
		return false, err
	}
	for _, intent := range intents {
		if intent.Kind != string(meili.TaskIndexDeletion) {
			continue
		}
		task, err := wr.server.cluster.Tasks().Task(intent.TaskUID)
		if errors.Is(err, fsm.ErrNotFound) {
			continue // canceled and deleted
		}
		if err != nil || *task.IndexUID == name {
			return err == nil, err
		}
	}
	return false, nil
}

// unborn is an index that swaps would give another name before it is sure to be created. Later writes to its old name would
// be sent to the other index already, and stay there should the creation fail and the swap with it.
func unborn(view *fsm.View, swaps []fsm.Swap) *fsm.Index {
	for _, swap := range swaps {
		for _, name := range []string{swap.A, swap.B} {
			if ix := view.Route(name); ix != nil && !ix.Visible {
				return ix
			}
		}
	}
	return nil
}

func (wr *writer) newWrite(p *proposal, ix *fsm.Index, guarded bool) *write {
	w := &write{id: fsm.WriteID(node.WriteMark + uuid.Must(uuid.NewV7()).String()), begin: p.begin}
	w.begin.Now, w.begin.WriteID = wr.server.opts.Now(), w.id
	if guarded {
		w.begin.Expect = &fsm.Expect{}
		if ix != nil {
			*w.begin.Expect = fsm.Expect{Index: ix.ID, NextVersion: ix.NextVersion}
		}
	}
	wr.mu.Lock()
	defer wr.mu.Unlock()
	wr.inFlight[w.id] = true
	return w
}

func (wr *writer) forget(w *write) {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	delete(wr.inFlight, w.id)
}

// checkFree refuses a write before it is in the log: while a node's lane is full, and while the fate of an earlier
// write of the index is not known, for then nodes might get the two in another order than the log has them.
func (wr *writer) checkFree(view *fsm.View, ix *fsm.Index, p *proposal) error {
	if ix == nil || p.steps == nil {
		return nil
	}
	if err := checkFrozen(ix, p.begin.Kind); err != nil {
		return err
	}
	if busy := wr.lanes.full(ix.ID, ix.Nodes(fsm.Active, fsm.Joining, fsm.Leaving)); busy != "" {
		return miroirError(codeOverloaded, "%d writes to index `%s` wait for node %s already (writes.max_node_queue). Retry later.",
			wr.lanes.limit, ix.UID, busy)
	}
	if !wr.hasForeign(view) {
		return nil
	}
	intents, err := wr.server.cluster.Tasks().OpenIntents()
	if err != nil {
		return err
	}
	for _, intent := range intents {
		if intent.Index == ix.ID && !wr.server.WriteInFlight(intent.WriteID) {
			return miroirError(codeNoQuorum, "The fate of task %d, an earlier write to index `%s`, is not known until a node returns. Retry later.", intent.TaskUID, ix.UID)
		}
	}
	return nil
}

// hasForeign reports whether the log has open writes that this writer is not working on.
func (wr *writer) hasForeign(view *fsm.View) bool {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	return view.NumOpenIntents > len(wr.inFlight)
}

// commitError is a refused or failed command as the client sees it.
func (wr *writer) commitError(err error) error {
	var refused *fsm.Error
	if errors.As(err, &refused) {
		if refused.Code == fsm.CodeNoNodes {
			return miroirError(codeNoQuorum, "No node can hold the index: %s.", refused.Message)
		}
		return fmt.Errorf("commit the write: %w", err)
	}
	wr.server.log.Error("write not committed", "error", err)
	if isDiskFull(err) { // the log has no entry of it
		return diskFull(err.Error())
	}
	return miroirError(codeNoLeader, "The write could not be committed by the cluster. It may still take effect; look at /tasks before sending it again.")
}

func (wr *writer) enqueue(w *write, p *proposal) {
	if p.steps == nil {
		return
	}
	w.forNodes = true
	wr.server.step(StepBegun, "")
	if p.begun != nil {
		p.begun(&w.begun)
	}
	wr.watches.note(w.begun.Index.ID, p.touched)
	wr.settling(w.begun.Index.ID, 1)
	targets, late := wr.targets(w)
	for _, target := range targets {
		wr.enqueueSub(w, p, target, false)
	}
	for _, target := range late {
		wr.enqueueSub(w, p, target, true)
	}
}

func (wr *writer) enqueueSub(w *write, p *proposal, target fsm.Target, late bool) {
	view := wr.server.cluster.View()
	sub := &subWrite{
		target: target, client: wr.server.nodes.Client(view, target.Node), write: w.id, began: w.begin.Now,
		index: w.begun.Index.NodeUID, steps: p.steps(&w.begun, target, w.id), answer: make(chan delivery, 1),
		keep: keepable(w, target.Node), late: late, task: w.begun.TaskUID,
	}
	w.subs = append(w.subs, sub)
	wr.lanes.enqueue(w.begun.Index.ID, sub)
}

// settling counts a write of an index in or out.
func (wr *writer) settling(index fsm.IndexID, change int) {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	if wr.unsettled[index] += change; wr.unsettled[index] == 0 {
		delete(wr.unsettled, index)
	}
}

// conclude waits for the nodes and commits the result. When every replica acknowledged, the answer does not wait for
// that commit: a new leader would find the write on every node. One that was elected while they were asked, this pod being
// slow or stopped, may have looked too early: so nobody may have settled the write by then. That of a session does wait: the
// next read asks who took it.
func (wr *writer) conclude(w *write) error {
	if !w.forNodes {
		wr.forget(w)
		wr.wakeUp()
		return nil
	}
	end := fsm.EndWrite{WriteID: w.id, RefusedError: refusedError()}
	complete, began := true, time.Now()
	var kept []fsm.NodeID
	for _, sub := range w.subs {
		done := <-sub.answer
		if done.kept {
			kept = append(kept, sub.target.Node)
		}
		if sub.late {
			continue
		}
		end.Acks = append(end.Acks, done.ack)
		complete = complete && done.ack.Err == "" && !done.ack.Unknown
		if done.refusal != nil {
			w.refusal = done.refusal
		}
	}
	wr.server.writes.fanout.UpdateDuration(began)
	wr.server.step(StepCollected, "")
	if complete && w.begin.Session == "" && wr.inSync(w.begun.Index) && wr.settledElsewhere(w) == nil {
		wr.results.Go(func() {
			defer wr.settling(w.begun.Index.ID, -1)
			wr.server.step(StepUnconfirmed, "")
			time.Sleep(untilBatch(time.Now(), wr.server.cluster.View().Config.Writes.ResultBatchMs))
			if _, err := wr.commitResult(w, end); err != nil {
				wr.server.log.Error("result of a write not committed", "write_id", w.id, "error", err)
			}
		})
		return nil
	}
	defer wr.settling(w.begun.Index.ID, -1)
	var err error
	w.ended, err = wr.commitResult(w, end)
	wr.settleMissed(w, kept, err)
	wr.server.step(StepConcluded, "")
	return err
}

// untilBatch is how long a result waits for others, so that they are committed together: until the clock shows the next
// multiple of so many milliseconds.
func untilBatch(now time.Time, ms int) time.Duration {
	if ms <= 0 {
		return 0
	}
	batch := milliseconds(ms)
	return now.Truncate(batch).Add(batch).Sub(now)
}

// inSync reports that no replica of the index missed a write and one acknowledgement is enough, so that a write which
// every target acknowledged cannot be refused, nor miss a quorum.
func (wr *writer) inSync(ix *fsm.Index) bool {
	return wr.server.cluster.View().Config.MinAcks <= 1 && len(ix.Nodes(fsm.Stale, fsm.Joining)) == 0
}

// refusedError is what the task of a write fails with that too few replicas accepted.
func refusedError() json.RawMessage {
	text, _ := marshal(noQuorum()) // strings always marshal
	return text
}

func noQuorum() *meili.Error {
	return miroirError(codeNoQuorum, "Some shard of the write was accepted by fewer in-sync replicas than writes.min_acks. Nothing is acknowledged; it is safe to retry.")
}

// commitResult closes the intent. It reads w and leaves it as it is: the client may be answered meanwhile.
func (wr *writer) commitResult(w *write, end fsm.EndWrite) (fsm.EndWriteResult, error) {
	defer wr.forget(w)
	defer wr.server.writes.result.UpdateDuration(time.Now())
	end.Now = wr.server.opts.Now()
	ended, err := fsm.Do(context.Background(), wr.server.cluster, end)
	if errors.Is(err, fsm.ErrUndecided) {
		return ended, miroirError(codeNoQuorum, "The nodes that may have the write cannot be asked now. Task %d is decided when one returns.", w.begun.TaskUID)
	}
	if errors.Is(err, fsm.ErrNotFound) {
		wr.wakeUp()
		return ended, wr.settledElsewhere(w)
	}
	if err != nil {
		return ended, wr.commitError(err)
	}
	if err := wr.server.everywhere(context.Background(), ended.Stale); err != nil {
		return ended, wr.commitError(err)
	}
	wr.wakeUp()
	if ended.Accepted {
		return ended, nil
	}
	if tasks.InDoubt(end.Acks) {
		wr.server.compareAfter(w)
	}
	if w.refusal != nil && w.refusal.Status < http.StatusInternalServerError {
		return ended, w.refusal
	}
	return ended, noQuorum()
}

// settledElsewhere tells what became of a write that a new leader may have settled before this pod could: nil when it is
// open or was accepted, which its task shows.
func (wr *writer) settledElsewhere(w *write) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxGateWait)
	defer cancel()
	if wr.server.peers != nil {
		if err := wr.server.peers.Synced(ctx); err != nil {
			return wr.commitError(err)
		}
	}
	task, err := wr.server.cluster.Tasks().Task(w.begun.TaskUID)
	if errors.Is(err, fsm.ErrNotFound) {
		return miroirError(codeNoLeader, "Task %d was settled by another pod and deleted since; whether the write took effect is not known any more.", w.begun.TaskUID)
	}
	if err != nil {
		return err
	}
	if task.Status != fsm.StatusFailed {
		return nil
	}
	failure := &meili.Error{}
	if err := json.Unmarshal(task.Error, failure); err != nil {
		return fmt.Errorf("error of task %d: %w", task.UID, err)
	}
	if failure.Code == codeNoQuorum {
		return noQuorum()
	}
	return nil // accepted, and failed on the nodes afterwards
}

func (wr *writer) wakeUp() {
	select {
	case wr.wake <- struct{}{}:
	default:
	}
}

// answer writes Meilisearch's summarized task, and what the write missed.
func (w *write) answer(out http.ResponseWriter, status int) {
	if missed := w.degraded(); missed != "" {
		out.Header().Set("X-Miroir-Degraded", missed)
	}
	kind := meili.TaskKind(w.begin.Kind)
	writeJSON(out, status, meili.SummarizedTask{
		TaskUID: w.begun.TaskUID, IndexUID: kind.ShownIndex(w.begin.IndexUID), Status: meili.TaskEnqueued,
		Kind: kind, EnqueuedAt: w.begun.EnqueuedAt, CustomMetadata: w.begin.CustomMetadata,
	})
}

// degraded is the value of X-Miroir-Degraded, "" when every group has its quorum.
func (w *write) degraded() string {
	if len(w.ended.MissedGroups) == 0 {
		return ""
	}
	return "groups=" + joinNumbers(w.ended.MissedGroups) + ";shards=" + joinNumbers(w.ended.MissedShards)
}

func joinNumbers[N ~uint32](numbers []N) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(n), 10))
	}
	return b.String()
}

// failed is a proposal for a task that fails when it is enqueued, without any node.
func failed(begin fsm.BeginWrite, failure *meili.Error, details json.RawMessage) *proposal {
	text, _ := marshal(failure) // strings always marshal
	for _, swap := range begin.Effect.Swaps {
		begin.Names = append(begin.Names, swap.A, swap.B)
	}
	begin.Effect = fsm.Effect{}
	begin.Outcome = &fsm.Outcome{Status: fsm.StatusFailed, Error: text, Details: details}
	return &proposal{begin: begin}
}

// HoldWrites makes writes wait until ReleaseWrites: a new leader settles the open intents of the last one first.
func (s *Server) HoldWrites() {
	s.writer.gate.hold()
	s.writer.missed.DropWhere(func(catchup.Key) bool { return true }, "leadership changed")
	s.writer.insertions.forget()
}

// ReleaseWrites lets writes pass.
func (s *Server) ReleaseWrites() { s.writer.gate.release() }

// WriteInFlight reports whether this pod is still working on a write, so that nobody else may decide it.
func (s *Server) WriteInFlight(id fsm.WriteID) bool {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return s.writer.inFlight[id]
}

// TaskBegun is signalled when a task has begun on the nodes. It has one receiver.
func (s *Server) TaskBegun() <-chan struct{} { return s.writer.wake }
