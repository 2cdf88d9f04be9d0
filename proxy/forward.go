package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/raftnode"
)

// Peers is what a Cluster of several pods has beside; raftnode.Node implements it. A Cluster without it is a pod alone.
type Peers interface {
	// ToLeader sends a request to the leading pod, which answers it with its ForwardedHandler. It waits a little where the
	// leader is just being replaced; raftnode.ErrLeads says that nothing was sent, for this pod leads by now.
	ToLeader(r *http.Request) (*http.Response, error)
	// Synced returns once this pod's view holds everything that was committed when the call began.
	Synced(ctx context.Context) error
	// Fresh reports whether this pod has heard the leader lately enough to answer reads unmarked.
	Fresh() bool
	// AwaitFresh is Fresh, and waits where this pod has only just lost sight of the leader.
	AwaitFresh(ctx context.Context) bool
	// WaitApplied returns once this pod's view is at an index.
	WaitApplied(ctx context.Context, index uint64) error
	// WaitEverywhere returns once no pod answers reads unmarked from a view older than index.
	WaitEverywhere(ctx context.Context, index uint64) error
}

// Headers between pods. A client that sends them is not heard, and none leaves the pod port.
const (
	headerApplied = "X-Miroir-Applied"     // index the asking pod must have applied before it answers its client
	headerCaller  = "X-Miroir-Remote-Addr" // of the client
)

// readActions are those whose requests change nothing, whatever their method.
var readActions = map[meili.Action]bool{
	meili.ActionSearch: true, meili.ActionDocumentsGet: true, meili.ActionFieldsPost: true, meili.ActionSettingsGet: true,
	meili.ActionChatCompletions: true, meili.ActionMetricsGet: true, meili.ActionDynamicSearchRulesGet: true,
}

// changes reports whether a route's requests may change something: those are the leader's.
func (rt *route) changes() bool { return rt.method != http.MethodGet && !readActions[rt.action] }

// leaderReads are the management endpoints that only the leader can answer; podCalls those that change something on the
// pod that is asked.
var (
	leaderReads = map[string]bool{"/_miroir/rebalance/status": true, "/_miroir/jobs": true, "/_miroir/jobs/:id": true,
		"/_miroir/verify/:id": true, "/_miroir/anti-entropy": true, "/_miroir/dumps/:uid/file": true}
	podCalls = map[string]bool{"/_miroir/raft/snapshot": true}
)

func leadersCall(method, template string) bool {
	return leaderReads[template] || method != http.MethodGet && !podCalls[template]
}

type forwardedKey struct{}

// away reports whether another pod is to answer a request of the leader's: this one does not lead, and the request has
// not been sent here because it was thought to.
func (s *Server) away(r *http.Request) bool {
	return s.peers != nil && !s.cluster.IsLeader() && r.Context().Value(forwardedKey{}) == nil
}

// leads reports whether this pod is sure to lead. A pod alone is.
func (s *Server) leads() bool {
	return s.peers == nil || s.cluster.IsLeader() && s.peers.Fresh()
}

// passOn streams a request to the leader and its answer back, once this pod has applied what the leader had then: what
// the client does next through this pod builds on it. If this pod comes to lead before anything is sent, h answers.
func (s *Server) passOn(w http.ResponseWriter, r *request, h handler) error {
	var failed error
	body := &rememberError{ReadCloser: r.Body}
	r.Request.Body = body
	caller := r.RemoteAddr
	proxy := httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     toLeader{s.peers},
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.Header.Set(headerCaller, caller)
			pr.Out.Header.Set("X-Request-Id", w.Header().Get("X-Request-Id"))
			for _, ours := range []string{"Accept-Encoding", "Origin"} { // this pod compresses and answers for CORS
				pr.Out.Header.Del(ours)
			}
		},
		ModifyResponse: func(answer *http.Response) error { return s.applied(r.Context(), answer) },
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	s.opts.Metrics.GetOrCreateCounter("miroir_forwarded_writes_total").Inc()
	proxy.ServeHTTP(w, r.Request)
	if failed == nil {
		return nil
	}
	if errors.Is(failed, raftnode.ErrLeads) {
		r.View = s.cluster.View()
		return h(w, r)
	}
	if body.err != nil {
		return body.err // the client's doing
	}
	s.log.Warn("request not answered by the leader", "error", failed)
	w.Header().Set("Retry-After", "1")
	return miroirError(codeNoLeader, "No leader answers at the moment. Retry in a moment; a write may have taken effect if it was being sent just now: see /tasks.")
}

// applied waits for the index that an answer of the leader calls for. When this pod falls behind for long, the client is
// answered all the same: its write is safe, it may only not see it here yet.
func (s *Server) applied(ctx context.Context, answer *http.Response) error {
	index, err := strconv.ParseUint(answer.Header.Get(headerApplied), 10, 64)
	answer.Header.Del(headerApplied)
	if err != nil {
		return errors.New("the leader's answer does not say what it had applied")
	}
	answer.Header.Del("X-Request-Id") // this pod has set it
	ctx, cancel := context.WithTimeout(ctx, maxApplyWait)
	defer cancel()
	if err := s.peers.WaitApplied(ctx, index); err != nil {
		s.log.Warn("this pod is behind the leader", "index", index, "waited", maxApplyWait.String())
	}
	return nil
}

// maxApplyWait bounds how long an answer waits for this pod to catch up with the leader.
const maxApplyWait = 5 * time.Second

type toLeader struct{ peers Peers }

func (t toLeader) RoundTrip(r *http.Request) (*http.Response, error) { return t.peers.ToLeader(r) }

// rememberError keeps what reading a body failed with.
type rememberError struct {
	io.ReadCloser
	err error
}

func (b *rememberError) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// ForwardedHandler answers requests that other pods send here because this one leads. It trusts what they say of the
// client's address; it belongs on the pod port only.
func (s *Server) ForwardedHandler() http.Handler {
	admin := s.AdminHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), forwardedKey{}, true))
		r.RemoteAddr = r.Header.Get(headerCaller)
		r.Header.Del(headerCaller)
		answer := &stampApplied{ResponseWriter: w, cluster: s.cluster}
		if strings.HasPrefix(r.URL.Path, "/_miroir/") {
			admin.ServeHTTP(answer, r)
			return
		}
		s.handler.ServeHTTP(answer, r)
	})
}

// stampApplied adds the leader's index to an answer.
type stampApplied struct {
	http.ResponseWriter
	cluster Cluster
	stamped bool
}

func (w *stampApplied) WriteHeader(status int) {
	if !w.stamped {
		w.stamped = true
		w.Header().Set(headerApplied, strconv.FormatUint(w.cluster.View().AppliedIndex, 10))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *stampApplied) Write(p []byte) (int, error) {
	if !w.stamped {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func (w *stampApplied) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clientHeaders are the X-Miroir headers that clients may send.
var clientHeaders = map[string]bool{
	"X-Miroir-Min-Settings-Version": true, "X-Miroir-Session": true, "X-Miroir-Over-Fetch": true, "X-Miroir-Tenant": true,
}

// dropPodHeaders takes away what only pods may tell each other.
func dropPodHeaders(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, "X-Miroir-") && !clientHeaders[name] {
			delete(header, name)
		}
	}
}

// read runs a read. On a pod that has not heard the leader for long, and does not hear it now, the answer is marked. On one that may be behind a
// bit, tasks wait for what others may have been told, and what is not found by its name is looked for again after that.
func (s *Server) read(w http.ResponseWriter, r *request, h handler) error {
	if s.peers == nil {
		return h(w, r)
	}
	if s.cluster.IsLeader() && s.peers.Fresh() {
		r.View = s.cluster.View() // the one before may be from before this pod led
		return h(w, r)
	}
	fresh := s.peers.AwaitFresh(r.Context())
	r.View = s.cluster.View() // the one before may be from before a wait
	if strings.HasPrefix(r.Template, "/tasks") || strings.HasPrefix(r.Template, "/batches") {
		if err := s.peers.Synced(r.Context()); err != nil {
			w.Header().Set("X-Miroir-Degraded", "no-leader")
		}
		r.View = s.cluster.View()
		return h(w, r)
	}
	if !fresh {
		w.Header().Set("X-Miroir-Degraded", "no-leader")
	}
	var sent bytes.Buffer // the part of the body that was read, to be read again
	body := r.Body
	if body != nil {
		r.Request.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(body, &sent), body}
	}
	err := h(w, r)
	if !notFound(err) {
		return err
	}
	if s.peers.Synced(r.Context()) != nil {
		w.Header().Set("X-Miroir-Degraded", "no-leader") // it may be there by now
		return err
	}
	if body != nil {
		r.Request.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&sent, body), body}
	}
	w.Header().Del("X-Miroir-Degraded") // it has heard the leader just now
	r.View = s.cluster.View()
	return h(w, r)
}

// notFound reports that something is missing in the view that another pod may have already, or on the nodes that it names.
func notFound(err error) bool {
	var known *meili.Error
	if !errors.As(err, &known) {
		return false
	}
	switch known.Code {
	case codeShardUnavailable: // the index may have been deleted meanwhile
		return true
	case meili.CodeIndexNotFound, meili.CodeAPIKeyNotFound, meili.CodeInvalidAPIKey, meili.CodeWebhookNotFound, codeNotFound:
		return true
	}
	return false
}

// everywhere waits until no pod reads from a replica unmarked that a write of this pod made stale.
func (s *Server) everywhere(ctx context.Context, stale []fsm.ReplicaRef) error {
	if s.peers == nil || len(stale) == 0 {
		return nil
	}
	return s.peers.WaitEverywhere(ctx, s.cluster.View().AppliedIndex)
}
