package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"miroir/catchup"
	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// fanout sends sub-writes to nodes. What concerns one index on one node goes through one bounded queue, its lane, in
// the order of enqueueing; lanes do not wait for each other. A lane has a goroutine only while it has work.
type fanout struct {
	limit   int             // sub-writes waiting in one lane
	timeout time.Duration   // for one request to one node
	pauses  []time.Duration // before each look for a write whose answer was lost
	log     *slog.Logger
	step    func(WriteStep, fsm.NodeID)
	// newest is the newest task that a node is known to have had; lost is told of a node that has begun to count anew.
	newest func(fsm.NodeID) int64
	lost   func(ctx context.Context, id fsm.NodeID, newest int64) error
	// leads reports whether this pod is sure to lead. One that was stopped for a while is not: another may have looked for
	// its writes meanwhile, and what it still has to send would come after that.
	leads func() bool
	// hangs reports a node that the health check missed and that answers nothing.
	hangs func(fsm.NodeID) bool
	// retries says whether what may be sent twice is sent again after a node had all its time.
	retries func() bool

	missed *catchup.Store
	open   func() ([]*fsm.Task, error) // client tasks that have not ended

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	senders sync.WaitGroup

	mu    sync.Mutex
	lanes map[laneKey]*lane
	// acked is the highest task uid that each node acknowledged to this pod; guarded by mu.
	acked map[fsm.NodeID]int64
}

type laneKey struct {
	node  fsm.NodeID
	index fsm.IndexID
}

// lane holds the sub-writes that wait; a lane in the map has a running sender.
type lane struct{ waiting []*subWrite }

// subWrite is one node's share of a write: requests to be sent one after another. The last one's task stands for all.
type subWrite struct {
	target fsm.Target
	client *node.Client
	write  fsm.WriteID
	began  time.Time
	index  string // node-side name
	steps  []step
	// keep: a node that misses it may catch up with it. late: the node is stale and not a target, it can only catch up.
	keep, late bool
	task       uint32 // the client's
	// answer takes exactly one delivery; it has room for it.
	answer chan delivery
}

// step is one request of a sub-write.
type step struct {
	request node.Request
	// marked requests carry the write id, so that a lost answer is settled by looking for it. The others may be
	// sent twice without harm.
	marked bool
}

// delivery is what became of a sub-write. refusal is the node's own error answer, if it gave one.
type delivery struct {
	ack     fsm.Ack
	refusal *meili.Error
	kept    bool // in the log of what the node missed
}

func newFanout(s *Server) *fanout {
	ctx, cancel := context.WithCancel(context.Background())
	return &fanout{
		limit: s.opts.MaxNodeQueue, timeout: s.opts.WriteTimeout, pauses: settlePauses, log: s.opts.Logger, step: s.step,
		newest: s.newestTask, lost: s.MarkDiskLost, leads: s.leads, hangs: s.hangs, missed: s.newCatchUp(),
		open:    func() ([]*fsm.Task, error) { return s.cluster.Tasks().OpenTasks() },
		retries: func() bool { return !s.cluster.View().Config.Reads.NoRetryOnTimeout },
		ctx:     ctx, cancel: cancel, lanes: map[laneKey]*lane{}, acked: map[fsm.NodeID]int64{},
	}
}

// full reports a node whose lane for the index has no room for one more, "" when all have. Only the holder of the
// index's lock adds to its lanes, so the answer holds until it releases the lock.
func (f *fanout) full(index fsm.IndexID, nodes []fsm.NodeID) fsm.NodeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range nodes {
		if l := f.lanes[laneKey{id, index}]; l != nil && len(l.waiting) >= f.limit {
			return id
		}
	}
	return ""
}

// depths are the sub-writes that wait for each node.
func (f *fanout) depths() map[fsm.NodeID]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	depths := map[fsm.NodeID]int{}
	for key, l := range f.lanes {
		depths[key.node] += len(l.waiting)
	}
	return depths
}

// enqueue hands a sub-write to its lane. It never blocks.
func (f *fanout) enqueue(index fsm.IndexID, sub *subWrite) {
	key := laneKey{sub.target.Node, index}
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.lanes[key]; l != nil {
		l.waiting = append(l.waiting, sub)
		return
	}
	f.lanes[key] = &lane{waiting: []*subWrite{sub}}
	f.senders.Go(func() { f.send(key) })
}

// send empties one lane and removes it.
func (f *fanout) send(key laneKey) {
	for {
		f.mu.Lock()
		l := f.lanes[key]
		if len(l.waiting) == 0 {
			delete(f.lanes, key)
			f.mu.Unlock()
			return
		}
		sub := l.waiting[0]
		l.waiting = l.waiting[1:]
		f.mu.Unlock()
		f.step(StepSending, key.node)
		done := f.deliver(key, sub)
		f.step(StepSent, key.node)
		sub.answer <- done
	}
}

// sendTo sends the steps in order; the first that fails ends it.
func (f *fanout) sendTo(sub *subWrite) delivery {
	done := delivery{ack: fsm.Ack{Node: sub.target.Node}}
	for i := range sub.steps {
		if !f.leads() {
			done.ack.Err = "this pod no longer knew that it leads when the write was to be sent"
			return done
		}
		known := f.newest(sub.target.Node)
		uid, err := f.attempt(sub, &sub.steps[i])
		if err == nil && uid <= known {
			err = f.diskLost(sub, uid, known)
		}
		if err == nil {
			done.ack.NodeTaskUID = uid
			continue
		}
		done.ack.Err = err.Error()
		done.ack.Unknown = errors.Is(err, errFateUnknown)
		errors.As(err, &done.refusal)
		f.log.Warn("sub-write not acknowledged", "write_id", sub.write, "node_id", sub.target.Node, "unknown", done.ack.Unknown, "error", err)
		return done
	}
	return done
}

// diskLost deals with a node that numbers a task as it has numbered an earlier one: it lost its disk or has an older one,
// and what it accepted stands on documents that it no longer has. All its replicas are stale before anybody is answered.
func (f *fanout) diskLost(sub *subWrite, uid, known int64) error {
	if err := f.lost(f.ctx, sub.target.Node, uid); err != nil {
		return fmt.Errorf("%w: it lost its disk, which could not be committed: %w", errFateUnknown, err)
	}
	return fmt.Errorf("the node lost its disk or has an older one: it had task %d before and numbers a new one %d", known, uid)
}

// errFateUnknown marks a request that may have arrived at a node which cannot be asked.
var errFateUnknown = errors.New("the node may have the write and cannot be asked")

// attempt sends one request and returns the uid of its node task. Errors: *meili.Error when the node refused it,
// errFateUnknown, or another when the node surely does not have it.
func (f *fanout) attempt(sub *subWrite, s *step) (int64, error) {
	uid, err := f.request(sub.client, s.request)
	switch node.OutcomeOf(err) {
	case node.Unknown, node.Canceled:
	default:
		return uid, err
	}
	if s.marked {
		return f.settle(sub, err)
	}
	if !timedOut(err) || f.retries() {
		if again, retryErr := f.request(sub.client, s.request); retryErr == nil {
			return again, nil
		}
	}
	return 0, fmt.Errorf("%w: %w", errFateUnknown, err)
}

// request sends one request that enqueues a task on the node.
func (f *fanout) request(client *node.Client, r node.Request) (int64, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.timeout)
	defer cancel()
	watch := time.AfterFunc(hangAfter, func() { // ends with ctx at the latest
		for !f.hangs(client.ID()) {
			if !sleep(ctx, hangLook) {
				return
			}
		}
		cancel()
	})
	defer watch.Stop()
	response, err := client.Do(ctx, r)
	if err != nil {
		return 0, err
	}
	if err := response.Refused(client.ID()); err != nil {
		return 0, err
	}
	if !response.OK() {
		return 0, refusalOf(response)
	}
	var summary struct {
		TaskUID *int64 `json:"taskUid"`
	}
	if err := json.Unmarshal(response.Body, &summary); err != nil || summary.TaskUID == nil {
		err := fmt.Errorf("%s %s answered no task: %.200s", r.Method, r.Path, response.Body)
		return 0, &node.Error{Node: client.ID(), Outcome: node.Unknown, Err: err} // it was accepted, by whoever answered
	}
	return *summary.TaskUID, nil
}

// A request that a node has had for hangAfter is given up once the node hangs: all writes of the index would wait for it, up
// to writes.node_timeout_ms and longer. Its fate is not known then, as after a timeout.
const (
	hangAfter = 2 * time.Second
	hangLook  = 250 * time.Millisecond
)

// hangs reports a node that the health check has missed and that has not answered this pod since.
func (s *Server) hangs(id fsm.NodeID) bool {
	view := s.cluster.View()
	n := view.Node(id)
	return n != nil && (n.State == fsm.NodeDegraded || n.State == fsm.NodeFailed) && !s.alive(view, id)
}

// refusalOf is the error a node answered with.
func refusalOf(response *node.Response) *meili.Error {
	refusal := &meili.Error{Status: response.Status}
	if json.Unmarshal(response.Body, refusal) != nil || refusal.Code == "" {
		refusal = meili.Errorf("internal", "A node answered status %d: %.200s", response.Status, response.Body)
	}
	refusal.Status = response.Status
	return refusal
}

// settlePauses are the waits before a node is asked again for a write whose answer was lost: a request that the node
// still had in its hands when the connection broke, or when it went on after it hung, may turn up a moment later.
var settlePauses = []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond}

// settle asks the node whether it has the write after all. That it does not counts once it has said so twice in a row.
func (f *fanout) settle(sub *subWrite, cause error) (int64, error) {
	denied := 0
	for _, pause := range f.pauses {
		if !sleep(f.ctx, pause) || f.hangs(sub.client.ID()) {
			break
		}
		ctx, cancel := context.WithTimeout(f.ctx, min(f.timeout, 5*time.Second))
		task, err := sub.client.FindWrite(ctx, sub.index, sub.write, sub.began.Add(-clockSkew))
		cancel()
		if err != nil {
			denied = 0
			continue
		}
		if task != nil {
			return int64(task.UID), nil
		}
		denied++
	}
	if denied < 2 {
		return 0, fmt.Errorf("%w: %w", errFateUnknown, cause)
	}
	return 0, fmt.Errorf("the node does not have the write: %s", cause.Error())
}

// clockSkew is how far a node's clock may be behind ours when its tasks are compared with our times.
const clockSkew = time.Hour

// sleep waits; it reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// close aborts what is being sent and waits for the senders; sub-writes that wait fail as unknown.
func (f *fanout) close() {
	f.cancel()
	f.senders.Wait()
	f.missed.Close()
}

// stepsOf are the steps of a write that carries no documents.
func stepsOf(requests []node.Request) []step {
	steps := make([]step, len(requests))
	for i, request := range requests {
		steps[i].request = request
	}
	return steps
}

// indexPath is the path of an index on its nodes. Node-side names need no escaping.
func indexPath(nodeUID string) string { return "/indexes/" + nodeUID }
