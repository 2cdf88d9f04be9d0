package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/proxy/node"
)

const (
	sessionHeader   = "X-Miroir-Session"
	maxSessionBytes = 128
)

// Pauses between looks at whether a write has finished.
const (
	firstSessionPause = 25 * time.Millisecond
	maxSessionPause   = 250 * time.Millisecond
	// sessionPoll bounds one look at a node: one that hangs must leave time to ask another.
	sessionPoll = time.Second
)

type sessionKey struct{}

// sessionOf is the session that a request was sent in, "" for none.
func sessionOf(ctx context.Context) string {
	session, _ := ctx.Value(sessionKey{}).(string)
	return session
}

// joinSession reads the request's session and, for a read, makes sure that the view has all that was committed when the
// request came. A pod that cannot ask the leader says so; one that has not heard it for long refuses, for its view may be
// older than what the client was told.
func (s *Server) joinSession(w http.ResponseWriter, r *request, reads bool) error {
	values, sent := r.Header[sessionHeader]
	if !sent || !r.View.Config.Sessions.Enabled {
		return nil
	}
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxSessionBytes {
		return miroirError(codeInvalidArgument, "%s names one session in 1 to %d bytes.", sessionHeader, maxSessionBytes)
	}
	r.session = values[0]
	w.Header().Set(sessionHeader, r.session)
	r.Request = r.WithContext(context.WithValue(r.Context(), sessionKey{}, r.session))
	if !reads || s.peers == nil {
		return nil
	}
	if !s.peers.Fresh() {
		return miroirError(codeNoLeader, "This pod has not heard the leader for long and may not know what was written in session %q. Retry later, or without %s.", r.session, sessionHeader)
	}
	if !s.cluster.IsLeader() {
		ctx, cancel := context.WithTimeout(r.Context(), sessionWait(r.View))
		defer cancel()
		if err := s.peers.Synced(ctx); err != nil {
			w.Header().Set("X-Miroir-Degraded", "no-leader")
		}
	}
	r.View = s.cluster.View()
	return nil
}

func sessionWait(view *fsm.View) time.Duration {
	return time.Duration(view.Config.Sessions.MaxWaitMs) * time.Millisecond
}

// sessionMeter is made when the first session is read.
type sessionMeter struct {
	enforced, timeouts *metrics.Counter
	waits              *metrics.PrometheusHistogram
}

func newSessionMeter(set *metrics.Set, cluster Cluster) *sessionMeter {
	set.GetOrCreateGauge("miroir_session_active_count", func() float64 { return float64(cluster.View().NumSessionWrites) })
	return &sessionMeter{
		enforced: set.GetOrCreateCounter("miroir_session_pin_enforced_total"),
		timeouts: set.GetOrCreateCounter("miroir_session_wait_timeout_total"),
		waits:    set.GetOrCreatePrometheusHistogramExt("miroir_session_wait_duration_seconds", metrics.ExponentialBuckets(0.001, 2, 16)),
	}
}

// sessionPin holds a read of one index to the unfinished writes of its session. nil holds nothing.
type sessionPin struct {
	s        *Server
	group    *fsm.GroupID // read where possible, nil when none is known
	tasks    []uint32     // to be waited for, none with the strategy route_pin
	deadline time.Time    // when waiting ends
	began    time.Time
	late     sync.Once // counts the end of the wait

	mu    sync.Mutex
	ready map[fsm.NodeID]bool // guarded by mu: nodes that have finished all tasks
}

// pinSession finds what reads of an index in the request's session must wait for. Writes that change what the index is, such
// as its creation, are waited for here: r.View is then a newer one.
func (s *Server) pinSession(r *request, uid string) (*sessionPin, error) {
	if r.session == "" {
		return nil, nil
	}
	began := time.Now()
	deadline := began.Add(sessionWait(r.View))
	config := r.View.Config.Sessions
	for pause := firstSessionPause; ; pause = min(2*pause, maxSessionPause) {
		writes, err := s.sessionWrites(r, uid)
		if err != nil || len(writes) == 0 {
			return nil, err
		}
		blocks := config.WaitStrategy != "route_pin"
		if !blocks || !slices.ContainsFunc(writes, func(w fsm.SessionWrite) bool { return !showsEarly(r.View.Index(uid), w) }) {
			s.sessionMeter().enforced.Inc()
			p := &sessionPin{s: s, deadline: deadline, began: began, ready: map[fsm.NodeID]bool{}}
			for _, w := range writes {
				if w.Group != nil {
					p.group = w.Group
				}
				if blocks {
					p.tasks = append(p.tasks, w.TaskUID)
				}
			}
			return p, nil
		}
		if !sleepUntil(r.Context(), pause, deadline) {
			s.sessionMeter().timeouts.Inc()
			return nil, r.Context().Err()
		}
		r.View = s.cluster.View()
	}
}

// sessionWrites are the unfinished writes of the session that were sent to a name, or change what it leads to.
func (s *Server) sessionWrites(r *request, uid string) ([]fsm.SessionWrite, error) {
	if r.View.NumSessionWrites == 0 {
		return nil, nil
	}
	leads := r.View.Leads(uid)
	var ids []fsm.IndexID
	for _, lead := range leads {
		if lead.Index != 0 && !slices.Contains(ids, lead.Index) {
			ids = append(ids, lead.Index)
		}
	}
	writes, err := s.cluster.Tasks().SessionWrites(r.session, ids...)
	r.View = s.cluster.View() // at least as new as the writes
	return slices.DeleteFunc(writes, func(w fsm.SessionWrite) bool { return !concerns(leads, w) }), err
}

// concerns reports whether a name led to the index of a write when that was accepted, or does because of it.
func concerns(leads []fsm.Lead, w fsm.SessionWrite) bool {
	before, after := leads[0].Index, leads[0].Index
	for _, lead := range leads[1:] {
		if lead.Task < w.TaskUID {
			before = lead.Index
		}
		if lead.Task <= w.TaskUID {
			after = lead.Index
		}
	}
	return w.Index == 0 || w.Index == before || w.Index == after
}

// showsEarly reports whether reads of an index show a write once nodes have done it. Others show only when its task has ended:
// the name does not lead to what it wrote to before, or the write changes the index itself.
func showsEarly(ix *fsm.Index, w fsm.SessionWrite) bool {
	return ix != nil && ix.ID == w.Index && !slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.Task == w.TaskUID })
}

// sleepUntil pauses, at most until a deadline. It returns false when that is reached or ctx has ended.
func sleepUntil(ctx context.Context, pause time.Duration, deadline time.Time) bool {
	timer := time.NewTimer(min(pause, time.Until(deadline)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return time.Now().Before(deadline)
	case <-ctx.Done():
		return false
	}
}

// pinTo holds a read to a session: the pinned group is read where it can answer.
func (r *planRequest) pinTo(p *sessionPin) {
	if p == nil {
		return
	}
	r.pin = p
	if p.group == nil {
		return
	}
	groups := r.groups()
	if at := slices.Index(groups, *p.group); at >= 0 {
		r.Groups = append([]fsm.GroupID{*p.group}, slices.Delete(slices.Clone(groups), at, at+1)...)
	}
	r.prepared = nil
}

// await returns once a node has finished the session's writes, or the wait is over: then the read goes on with what is
// there. Errors: that the node cannot be asked, so that another replica may be.
func (p *sessionPin) await(ctx context.Context, c *node.Client) error {
	if p == nil || len(p.tasks) == 0 || c == nil {
		return nil
	}
	for pause := firstSessionPause; ; pause = min(2*pause, maxSessionPause) {
		done, err := p.finished(ctx, c)
		if err != nil {
			return err
		}
		if done {
			p.s.sessionMeter().waits.Update(time.Since(p.began).Seconds())
			return nil
		}
		if !sleepUntil(ctx, pause, p.deadline) {
			p.late.Do(p.s.sessionMeter().timeouts.Inc)
			return ctx.Err()
		}
	}
}

// finished asks a node whether it has done its share of all the writes.
func (p *sessionPin) finished(ctx context.Context, c *node.Client) (bool, error) {
	p.mu.Lock()
	ready := p.ready[c.ID()]
	p.mu.Unlock()
	if ready {
		return true, nil
	}
	var open []uint32
	for _, uid := range p.tasks {
		task, err := p.s.cluster.Tasks().Task(uid)
		switch {
		case err == nil && task.Status == fsm.StatusSucceeded && slices.ContainsFunc(task.NodeTasks, func(share fsm.NodeTask) bool {
			return share.Node == c.ID() && share.Status == fsm.StatusFailed
		}):
			return false, fmt.Errorf("node %s failed task %d, which others did", c.ID(), uid)
		case errors.Is(err, fsm.ErrNotFound), err == nil && task.Finished():
			continue // deleted tasks had finished too
		case err != nil:
			return false, err
		}
		if len(task.NodeTasks) == 0 {
			return false, nil // nobody knows yet who took it
		}
		for _, share := range task.NodeTasks {
			if share.Node == c.ID() {
				open = append(open, share.UID)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sessionPoll)
	defer cancel()
	if len(open) > 0 {
		found, err := c.Tasks(ctx, open)
		if err != nil {
			return false, err
		}
		// One that failed is not done: others may do it, which the end of the client's task will tell.
		if len(found) < len(open) || slices.ContainsFunc(found, func(t node.Task) bool { return !t.Finished() || t.Failed() }) {
			return false, nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready[c.ID()] = true
	return true, nil
}
