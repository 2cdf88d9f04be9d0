package devnode

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"miroir/meili"
)

// Fault says how the answer to one request goes wrong. At most one of its members is meant to be set.
type Fault struct {
	DropBefore    bool   // the connection breaks before the request is handled
	DropAfter     bool   // the request is handled, then the connection breaks
	Status        int    // this status and Body are answered and the request is not handled
	Body          string // sent as application/json with Status
	TruncateBytes int    // the request is handled and the connection breaks after so many bytes of the answer's body; must be > 0
	Garble        string // the request is handled and answered with its status and this body instead of its own
}

// faults holds the hooks of a node.
type faults struct {
	mu    sync.Mutex
	delay func(*http.Request) time.Duration // guarded by mu
	fail  func(*http.Request) *Fault        // guarded by mu
}

// Delay makes requests wait as long as f says before they are handled. nil ends it. f must be safe for concurrent use.
func (n *Node) Delay(f func(*http.Request) time.Duration) {
	n.faults.mu.Lock()
	defer n.faults.mu.Unlock()
	n.faults.delay = f
}

// Fail makes requests fail as f says; a nil fault lets a request pass. nil ends it. f must be safe for concurrent use and
// must not read the body.
func (n *Node) Fail(f func(*http.Request) *Fault) {
	n.faults.mu.Lock()
	defer n.faults.mu.Unlock()
	n.faults.fail = f
}

// of returns the fault of a request, nil when there is none.
func (f *faults) of(r *http.Request) *Fault {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(r)
}

// wait sleeps as long as the delay hook says, or until the context or the process ends.
func (f *faults) wait(r *http.Request, dead <-chan struct{}) error {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	if delay == nil {
		return nil
	}
	pause := delay(r)
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-dead:
		return errStopped
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
}

// intercept acts out what happens instead of handling the request; it returns false when the request is to be handled.
func (f *Fault) intercept(w http.ResponseWriter) bool {
	switch {
	case f == nil:
		return false
	case f.DropBefore:
		drop()
	case f.Status != 0:
		w.Header().Set("Content-Type", "application/json")
		if f.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "10")
		}
		w.WriteHeader(f.Status)
		w.Write([]byte(f.Body))
		return true
	}
	return false
}

// send writes the answer, or as much of it as the fault lets through.
func (f *Fault) send(w http.ResponseWriter, a answer) {
	switch {
	case f != nil && f.DropAfter:
		drop()
	case f != nil && f.TruncateBytes > 0 && f.TruncateBytes < len(a.body):
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		a.body = a.body[:f.TruncateBytes]
		a.write(w)
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		drop()
	case f != nil && f.Garble != "":
		a.body = []byte(f.Garble)
		a.write(w)
	default:
		a.write(w)
	}
}

// drop breaks the connection of the request being served.
func drop() { panic(http.ErrAbortHandler) }

// errStopped ends requests of a node whose process is gone.
var errStopped = errors.New("the node has stopped")

// Freeze makes the node hang like a stopped process: requests wait, open ones included, until Thaw or until their context
// ends, and no task advances.
func (n *Node) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// Thaw lets a frozen node go on.
func (n *Node) Thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
	n.poke()
}

// Stop ends the process: open requests break, new ones are refused, no task advances. What the node remembers stays.
func (n *Node) Stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopped {
		n.stopped = true
		close(n.epoch)
	}
}

// Start lets a stopped node answer again. A node that was closed answers again too, but its tasks no longer advance.
func (n *Node) Start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		n.stopped = false
		n.epoch = make(chan struct{})
	}
	n.poke()
}

// PauseTasks holds the queue: tasks are accepted and stay enqueued.
func (n *Node) PauseTasks() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = true
}

// TaskDelay makes every task take longer; 0 ends it.
func (n *Node) TaskDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taskDelay = d
}

// CrashOn makes the process die whenever it processes an addition with such a document: like Stop, with the task enqueued
// again after Start. nil ends it. f must be safe for concurrent use.
func (n *Node) CrashOn(f func(document []byte) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.crashOn = f
}

// FailTasks lets tasks fail as f says, which is given the task's type; nil lets a task pass. nil ends it. f must be safe for
// concurrent use.
func (n *Node) FailTasks(f func(kind meili.TaskKind) *meili.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failTask = f
}

// ResumeTasks lets the queue go on.
func (n *Node) ResumeTasks() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = false
	n.poke()
}

// Wipe replaces the node's disk by an empty one: indexes, tasks and keys are gone, task uids start at 0 again. A task in
// progress goes on without effect.
func (n *Node) Wipe() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.store = newStore(&n.options)
}

// LoseSetting resets a setting of an index, named as in its route ("stop-words"), without a task: as on a disk that is damaged, the
// setting alone tells. It reports whether there are such an index and setting.
func (n *Node) LoseSetting(index, name string) bool {
	ix, missing := n.current().index(index)
	delta, unknown := meili.ResetSetting(name)
	if missing != nil || unknown != nil {
		return false
	}
	settings, refused := ix.Settings().Apply(delta)
	return refused == nil && ix.Index.Apply(settings) == nil
}

// Snapshot is a copy of all that a node remembered at one moment. It may be restored any number of times, on any node
// with the same master key.
type Snapshot struct{ store *store }

// Snapshot copies what the node remembers. A task being processed is copied as enqueued.
func (n *Node) Snapshot() *Snapshot { return &Snapshot{n.current().clone()} }

// Restore rolls the node back to an older state. A task in progress goes on without effect.
func (n *Node) Restore(s *Snapshot) {
	copied := s.store.clone()
	n.mu.Lock()
	defer n.mu.Unlock()
	copied.options = &n.options
	n.store = copied
	n.poke()
}

// admit waits until the node may look at a request. It returns the channel that tells when the process dies.
func (n *Node) admit(r *http.Request) (dead <-chan struct{}, err error) {
	n.mu.Lock()
	epoch, stopped := n.epoch, n.stopped
	n.mu.Unlock()
	if stopped {
		return nil, errStopped
	}
	if err := n.faults.wait(r, epoch); err != nil {
		return nil, err
	}
	return epoch, n.leave(r, epoch)
}

// leave waits while the node is frozen. It fails when the process died or the request's context ended meanwhile.
func (n *Node) leave(r *http.Request, dead <-chan struct{}) error {
	for {
		n.mu.Lock()
		frozen := n.frozen
		n.mu.Unlock()
		select {
		case <-dead:
			return errStopped
		default:
		}
		if frozen == nil {
			return nil
		}
		select {
		case <-frozen:
		case <-dead:
			return errStopped
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
	}
}
