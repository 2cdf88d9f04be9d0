package raftnode

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Read leases. A pod reads from its own view, which may be behind; that must not show a replica that the leader has
// called stale and told a client so. Each pod asks the leader for a lease every quarter of ReadLease and counts it from
// the moment it asked: while it lasts, reads are fresh. The leader grants none to a pod that has not applied what
// WaitEverywhere was called for, and counts it from the moment it answered, which is later. So once every lease of a pod
// behind has run out, that pod marks its answers. A new leader assumes that its predecessor granted one to everybody.
// See "Lease" in the Raft dissertation, section 6.4.1; here the pods hold the leases, not the leader alone.

const (
	// leaseMargin is what clocks of two pods may differ by within a lease.
	leaseMargin = 250 * time.Millisecond
	// deposedMargin is how long a deposed leader may still grant leases: it steps down when no majority answered it for
	// the leader lease, at most half a second, which it checks as often.
	deposedMargin = time.Second
	// forgetAfter is how long the leader remembers a pod that has gone.
	forgetAfter = 24 * time.Hour
)

// leaseRequest is what a pod tells the leader about itself, four times per lease.
type leaseRequest struct {
	ID        string        `json:"id"`
	Address   string        `json:"address"`
	Applied   uint64        `json:"applied"` // of its view
	LastIndex uint64        `json:"lastIndex"`
	LastTerm  uint64        `json:"lastTerm"`
	Lease     time.Duration `json:"lease"` // what it counts on, from now
	Level     int           `json:"level"` // feature level it knows; 0 from pods that do not say so: 1
}

type leaseAnswer struct {
	Granted  bool   `json:"granted"`
	Required uint64 `json:"required"` // what must be applied before one is granted
	Applied  uint64 `json:"applied"`  // of the leader: what the pod must have applied before it counts on one
}

// podReport is what the leader knows of a pod.
type podReport struct {
	leaseRequest
	seen    time.Time
	expires time.Time // of its lease on the leader's clock, margin included
}

// leases are those this pod has granted as leader of a term. The zero value is ready.
type leases struct {
	mu       sync.Mutex
	term     uint64               // guarded by mu, as all below
	began    time.Time            // of the term, as this pod noticed
	opened   bool                 // this pod has applied everything of earlier terms
	required uint64               // index a pod must have applied to be granted one
	pods     map[string]podReport // by id; those of earlier terms too
}

// enter begins a term if it is new; call with mu held.
func (l *leases) enter(term uint64) {
	if l.term == term {
		return
	}
	l.term, l.began, l.opened, l.required = term, time.Now(), false, 0
	if l.pods == nil {
		l.pods = map[string]podReport{}
	}
	for id, pod := range l.pods { // what was granted in an earlier term is covered by began
		if time.Since(pod.seen) > forgetAfter {
			delete(l.pods, id)
			continue
		}
		pod.expires = time.Time{}
		l.pods[id] = pod
	}
}

// allow opens the leases of a term to pods that have applied index.
func (l *leases) allow(term, index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enter(term)
	l.opened, l.required = true, max(l.required, index)
}

func (l *leases) open(term uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened && l.term == term
}

// grant answers a pod.
func (l *leases) grant(term uint64, pod leaseRequest) leaseAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enter(term)
	report := podReport{leaseRequest: pod, seen: time.Now(), expires: l.pods[pod.ID].expires}
	granted := l.opened && pod.Applied >= l.required
	if granted {
		report.expires = report.seen.Add(pod.Lease + leaseMargin)
	}
	l.pods[pod.ID] = report
	return leaseAnswer{Granted: granted, Required: l.required}
}

// require grants no more leases of a term to pods behind index.
func (l *leases) require(term, index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enter(term)
	l.required = max(l.required, index)
}

// until is when the last lease of a pod has run out at the latest. A pod that has got none in this term may have one of
// the last leader's, of the given length.
func (l *leases) until(id string, length time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	inherited := l.began.Add(deposedMargin + length + leaseMargin)
	if granted := l.pods[id].expires; granted.After(inherited) {
		return granted
	}
	return inherited
}

// reports returns what pods told of themselves, by id.
func (l *leases) reports() map[string]podReport {
	l.mu.Lock()
	defer l.mu.Unlock()
	reports := make(map[string]podReport, len(l.pods))
	for id, pod := range l.pods {
		reports[id] = pod
	}
	return reports
}

// maxRenewals bounds the requests for a lease under way: as many as begin within one.
const maxRenewals = 4

// keepLease renews this pod's lease until ctx ends. It does not wait for one answer before it asks again: where answers
// take a second (a disk that is slow to sync, a machine that is busy) the next one is under way already.
func (n *Node) keepLease(ctx context.Context) {
	slots := make(chan struct{}, maxRenewals)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		n.spawn(func(ctx context.Context) {
			n.renewLease(ctx)
			<-slots
		})
		rest := n.options.ReadLease / maxRenewals
		if !n.Fresh() {
			n.oldSince()
			rest = n.options.ReadLease / 40
		}
		if !pause(ctx, rest) {
			return
		}
	}
}

// renewLease asks for a lease; one that is denied because this pod is behind is asked for again once it is not.
func (n *Node) renewLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.options.ReadLease)
	defer cancel()
	for {
		asked := time.Since(n.started)
		answer, err := n.askLease(ctx)
		if err != nil {
			return
		}
		if answer.Granted {
			if n.fsm.WaitApplied(ctx, answer.Applied) == nil { // a pod that was cut off may have much to catch up with
				n.freshSince(asked)
			}
			return
		}
		if answer.Required == 0 || n.fsm.WaitApplied(ctx, answer.Required) != nil {
			return
		}
	}
}

// freshSince notes when the lease that this pod has was asked for, unless it has a later one.
func (n *Node) freshSince(asked time.Duration) {
	for {
		known := n.fresh.Load()
		if known >= int64(asked) || n.fresh.CompareAndSwap(known, int64(asked)) {
			n.old.Store(0)
			return
		}
	}
}

func (n *Node) askLease(ctx context.Context) (answer leaseAnswer, err error) {
	if n.IsLeader() { // a majority's confirmation is the leader's own lease
		return leaseAnswer{Granted: true}, n.verify(ctx)
	}
	err = n.askLeader(ctx, "lease", n.report(), &answer)
	return answer, err
}

func (n *Node) report() leaseRequest {
	return leaseRequest{
		ID: n.id, Address: n.address, Applied: n.View().AppliedIndex, LastIndex: n.raft.LastIndex(),
		LastTerm: n.lastTerm(), Lease: n.options.ReadLease, Level: n.options.Level,
	}
}

func (n *Node) answerLease(w http.ResponseWriter, r *http.Request) error {
	var pod leaseRequest
	if err := readQuestion(r, &pod); err != nil {
		return err
	}
	if !n.IsLeader() {
		return ErrNotLeader
	}
	if err := n.checkPod(pod.ID, pod.Level); err != nil {
		return err
	}
	answer := n.leases.grant(n.raft.CurrentTerm(), pod)
	answer.Applied = n.View().AppliedIndex
	return writeAnswer(w, answer)
}

// Fresh reports whether this pod may answer reads unmarked: its lease lasts, or nobody else can lead. A new leader is not
// fresh before it has applied what earlier ones committed, whatever lease it had as a follower. It does not wait.
func (n *Node) Fresh() bool {
	if n.leadsAlone() {
		return true
	}
	if n.IsLeader() && !n.leases.open(n.raft.CurrentTerm()) {
		return false
	}
	asked := n.fresh.Load()
	return asked != 0 && time.Since(n.started)-time.Duration(asked) < n.options.ReadLease
}

// freshWait is how long after a lease has run out reads wait for the next one.
const freshWait = 500 * time.Millisecond

// AwaitFresh is Fresh, and waits where the lease has only just run out, as far as this pod could tell: a process that was
// stopped for a while has the next one in a moment.
func (n *Node) AwaitFresh(ctx context.Context) bool {
	for !n.Fresh() {
		if time.Since(n.started)-n.oldSince() > freshWait || !pause(ctx, freshWait/100) {
			return n.Fresh()
		}
	}
	return true
}

// oldSince notes that there is no lease, and returns since when that is known, since started.
func (n *Node) oldSince() time.Duration {
	n.old.CompareAndSwap(0, int64(time.Since(n.started)))
	return time.Duration(n.old.Load())
}

// leadsAlone reports that this pod leads, has applied everything of earlier terms, and is the only one with a vote: then
// nobody leads unless this pod votes for it first.
func (n *Node) leadsAlone() bool {
	if !n.IsLeader() || !n.leases.open(n.raft.CurrentTerm()) {
		return false
	}
	for _, server := range n.servers() {
		if server.Suffrage == raft.Voter && string(server.ID) != n.id {
			return false
		}
	}
	return true
}

// verify returns once it is sure that this pod, which leads, led when it was asked.
func (n *Node) verify(ctx context.Context) error {
	if n.leadsAlone() {
		return nil
	}
	return n.wait(ctx, n.raft.VerifyLeader)
}

// LastContact is how long ago this pod asked the leader successfully: 0 on the leader, -1 when it never did.
func (n *Node) LastContact() time.Duration {
	if n.IsLeader() {
		return 0
	}
	asked := n.fresh.Load()
	if asked == 0 {
		return -1
	}
	return time.Since(n.started) - time.Duration(asked)
}

// WaitEverywhere returns once no pod reads unmarked from a view older than index: each has applied it, or its read lease
// has run out. On a follower the leader does the waiting. Errors: ErrNoLeader, ErrNotLeader, ctx's.
func (n *Node) WaitEverywhere(ctx context.Context, index uint64) error {
	if !n.IsLeader() {
		return n.askLeader(ctx, "everywhere", applied{Index: index}, &struct{}{})
	}
	n.leases.require(n.raft.CurrentTerm(), index)
	if n.peers == nil {
		return nil // pods that share only Raft's transport serve nobody
	}
	behind := n.others()
	done := make(chan error, len(behind))
	for id, address := range behind {
		go func() { done <- n.waitFor(ctx, id, address, index) }()
	}
	var failed error
	for range behind {
		if err := <-done; err != nil {
			failed = err
		}
	}
	return failed
}

// others are the pods that may hold a lease, with their addresses.
func (n *Node) others() map[string]string {
	others := map[string]string{}
	for id, pod := range n.leases.reports() {
		others[id] = pod.Address
	}
	for _, server := range n.raft.GetConfiguration().Configuration().Servers {
		if others[string(server.ID)] == "" {
			others[string(server.ID)] = string(server.Address)
		}
	}
	delete(others, n.id)
	return others
}

// waitFor waits for one pod: until it says that it has applied index, or its lease has run out.
func (n *Node) waitFor(ctx context.Context, id, address string, index uint64) error {
	for {
		end := n.leases.until(id, n.options.ReadLease)
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		asking, cancel := context.WithTimeout(ctx, left)
		err := n.ask(asking, address, "applied", applied{Index: index}, &struct{}{})
		if err != nil && asking.Err() == nil { // it does not answer: its lease runs out
			select {
			case <-asking.Done():
			case <-n.closed:
				cancel()
				return ErrUnknown
			case <-time.After(min(left, 100*time.Millisecond)):
			}
		}
		cancel()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// answerApplied answers once this pod's view is at an index.
func (n *Node) answerApplied(w http.ResponseWriter, r *http.Request) error {
	var at applied
	if err := readQuestion(r, &at); err != nil {
		return err
	}
	if err := n.fsm.WaitApplied(r.Context(), at.Index); err != nil {
		return err
	}
	return writeAnswer(w, struct{}{})
}

func (n *Node) answerEverywhere(w http.ResponseWriter, r *http.Request) error {
	var at applied
	if err := readQuestion(r, &at); err != nil {
		return err
	}
	if !n.IsLeader() {
		return ErrNotLeader
	}
	if err := n.WaitEverywhere(r.Context(), at.Index); err != nil {
		return err
	}
	return writeAnswer(w, struct{}{})
}
