package raftnode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// ErrNoLeader says that no pod is known to lead, or that it is out of reach.
var ErrNoLeader = errors.New("no Raft leader is known")

// ErrLeads says that what was to be sent to the leader was not, because this pod leads by now.
var ErrLeads = errors.New("this pod is the Raft leader by now")

// peers is pod-to-pod HTTP: this pod's questions to others and its answers to theirs.
type peers struct {
	node   *Node
	port   *port
	book   *addressBook
	client *http.Transport
	server *http.Server
	// serve answers what is not the pods' own business: forwarded requests. nil until Serve.
	serve atomic.Pointer[http.Handler]
	done  sync.WaitGroup
	known introductions
}

func newPeers(n *Node, p *port) *peers {
	ps := &peers{node: n, port: p, book: &addressBook{byID: map[raft.ServerID]raft.ServerAddress{raft.ServerID(n.id): raft.ServerAddress(p.address)}}}
	ps.client = &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := p.dial(ctx, address, streamHTTP)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errNotSent, err)
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
	return ps
}

// start begins to answer. The node must be complete.
func (ps *peers) start() {
	mux := http.NewServeMux()
	for path, handle := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"POST /pod/hello": ps.node.answerHello, "POST /pod/agree": ps.node.answerAgree, "POST /pod/join": ps.node.answerJoin,
		"POST /pod/apply": ps.node.answerApply, "POST /pod/index": ps.node.answerIndex,
		"POST /pod/lease": ps.node.answerLease, "POST /pod/applied": ps.node.answerApplied, "POST /pod/everywhere": ps.node.answerEverywhere,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				writeFailure(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		handler := ps.serve.Load()
		if handler == nil {
			writeFailure(w, ErrNoLeader)
			return
		}
		(*handler).ServeHTTP(w, r)
	})
	ps.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(ps.node.logger.Handler(), slog.LevelDebug)}
	ps.done.Go(func() { _ = ps.server.Serve(ps.port.kinds[streamHTTP]) }) // ends with Close
}

// Close ends both directions.
func (ps *peers) Close() error {
	err := ps.server.Close()
	ps.done.Wait()
	ps.client.CloseIdleConnections()
	return err
}

// Serve lets h answer requests that other pods send here because this one leads; see ToLeader. h is called with
// whatever a pod that knows the cluster secret sends.
func (n *Node) Serve(h http.Handler) {
	if n.peers != nil {
		n.peers.serve.Store(&h)
	}
}

// ToLeader sends a request to the leading pod, where the handler given to Serve answers it; the URL's scheme and host are
// filled in. The body is streamed. When there is no leader, or nothing could be sent to it, the request waits for another
// one as long as this pod has heard of one lately. Errors: ErrLeads; ErrNoLeader when none is known, it does not answer, or
// it has not led for leaderPatience; the request may have had its effect then if any of it was sent. An answer's body breaks
// off likewise.
func (n *Node) ToLeader(r *http.Request) (*http.Response, error) {
	for {
		answer, id, err := n.tryLeader(r)
		if errors.Is(err, errNotSent) && n.awaitAnother(r.Context(), id) {
			continue
		}
		return answer, err
	}
}

// errNotSent says that nothing of a request has left this pod, nor has its body been read.
var errNotSent = errors.New("nothing was sent")

// tryLeader is ToLeader without the wait; id is the pod that was taken for the leader.
func (n *Node) tryLeader(r *http.Request) (answer *http.Response, id raft.ServerID, err error) {
	if n.IsLeader() {
		return nil, "", ErrLeads
	}
	id, address, err := n.leaderAddress()
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", err, errNotSent)
	}
	ctx, end := n.whileLeading(r.Context(), id)
	attempt := r.WithContext(ctx)
	url := *r.URL
	url.Scheme, url.Host, attempt.URL = "http", address, &url
	if r.Body != nil && r.Body != http.NoBody {
		attempt.Body = io.NopCloser(r.Body) // the transport closes what it could not send
	}
	answer, err = n.peers.client.RoundTrip(attempt)
	if err != nil {
		end()
		return nil, id, fmt.Errorf("%w: ask the leader at %s: %w", ErrNoLeader, address, err)
	}
	answer.Body = &endingBody{answer.Body, end}
	return answer, id, nil
}

// awaitAnother waits until a pod leads that is not id, or it is time to try that one again. It reports false when this pod
// has heard of no leader for leaderWait, or enough requests wait already.
func (n *Node) awaitAnother(ctx context.Context, id raft.ServerID) bool {
	defer n.waiting.Add(-1)
	if n.waiting.Add(1) > maxWaiting {
		return false
	}
	for tried := time.Now(); time.Since(tried) < retryLeader; {
		if contact := n.LastContact(); contact < 0 || contact > leaderWait || !pause(ctx, leaderLook/10) {
			return false
		}
		if _, now := n.raft.LeaderWithID(); now != "" && now != id {
			return true
		}
	}
	return true
}

// endingBody ends what its request waits under when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

const (
	// leaderPatience is how long what was sent to a leader may go on after this pod takes it for the leader no more: it may
	// still be answering. A leader that has vanished without a word is noticed by its missing heartbeats.
	leaderPatience = 2 * time.Second
	leaderLook     = 200 * time.Millisecond
	// leaderWait is how long after a leader was heard last requests wait for the next one: an election is
	// over by then, also when the first vote was split.
	leaderWait = 4 * time.Second
	// maxWaiting bounds how many requests wait at once, so that they leave room for reads.
	maxWaiting = 100
	// retryLeader is how soon a leader that was not reached is tried again while no other is known.
	retryLeader = 500 * time.Millisecond
)

// whileLeading returns a context that ends once a pod has not led for leaderPatience. The caller ends it.
func (n *Node) whileLeading(ctx context.Context, id raft.ServerID) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	watched := n.spawn(func(closing context.Context) {
		defer end()
		for led := time.Now(); time.Since(led) < leaderPatience && closing.Err() == nil; {
			if !pause(ctx, leaderLook) {
				return
			}
			if _, now := n.raft.LeaderWithID(); now == id {
				led = time.Now()
			}
		}
	})
	if !watched { // closed
		end()
	}
	return ctx, end
}

// leaderAddress is who leads, and where it is; ErrNoLeader when that is not known, ErrNotLeader without a pod port.
func (n *Node) leaderAddress() (raft.ServerID, string, error) {
	if n.peers == nil {
		return "", "", ErrNotLeader
	}
	address, id := n.raft.LeaderWithID()
	if id == "" || string(id) == n.id {
		return "", "", ErrNoLeader
	}
	if moved, err := n.peers.book.ServerAddr(id); err == nil {
		address = moved
	}
	return id, string(address), nil
}

// askLeader is ask of the leading pod, for as long as it leads.
func (n *Node) askLeader(ctx context.Context, question string, body any, answer any) error {
	id, address, err := n.leaderAddress()
	if err != nil {
		return err
	}
	asking, end := n.whileLeading(ctx, id)
	defer end()
	err = n.ask(asking, address, question, body, answer)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: the leader has changed or gone: %w", ErrUnknown, err)
	}
	return err
}

// ask puts a question to the pod at an address. body is sent as JSON, or as it is when it is []byte.
// Errors: what the other pod answered (*fsm.Error, ErrNotLeader, ErrUnknown, others by their text), ErrNoLeader when it
// was not reached.
func (n *Node) ask(ctx context.Context, address, question string, body any, answer any) error {
	raw, isRaw := body.([]byte)
	if !isRaw {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/pod/"+question, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	response, err := n.peers.client.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("%w: ask the pod at %s: %w", ErrNoLeader, address, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("%w: ask the pod at %s: %w", ErrUnknown, address, err)
	}
	if response.StatusCode != http.StatusOK {
		return readFailure(text)
	}
	return json.Unmarshal(text, answer)
}

// maxAnswerBytes bounds an answer, and a command, between pods.
const maxAnswerBytes = 256 << 20

// failure is an error on its way to another pod: a code, with a text for people.
type failure struct {
	Kind    string        `json:"kind"` // refused, not_leader, no_leader, unknown or other
	Code    fsm.ErrorCode `json:"code,omitempty"`
	Message string        `json:"message"`
}

var failureKinds = []struct {
	kind  string
	value error
}{{"not_leader", ErrNotLeader}, {"no_leader", ErrNoLeader}, {"unknown", ErrUnknown}}

func writeFailure(w http.ResponseWriter, err error) {
	f := failure{Kind: "other", Message: err.Error()}
	var refused *fsm.Error
	if errors.As(err, &refused) {
		f = failure{Kind: "refused", Code: refused.Code, Message: refused.Message}
	}
	for _, known := range failureKinds {
		if errors.Is(err, known.value) {
			f.Kind = known.kind
		}
	}
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(f) // the only error left is that the other pod has gone
}

func readFailure(text []byte) error {
	var f failure
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%w: a pod answered what is no error of a pod", ErrUnknown)
	}
	if f.Kind == "refused" {
		return &fsm.Error{Code: f.Code, Message: f.Message}
	}
	for _, known := range failureKinds {
		if f.Kind == known.kind {
			return fmt.Errorf("%w (asked another pod)", known.value)
		}
	}
	return errors.New(f.Message)
}

// readQuestion decodes a question's JSON.
func readQuestion(r *http.Request, into any) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func writeAnswer(w http.ResponseWriter, answer any) error {
	text, err := json.Marshal(answer)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// addressBook has the addresses that pods gave themselves, which may be newer than those of the Raft configuration.
// It is a raft.ServerAddressProvider.
type addressBook struct {
	mu   sync.Mutex
	byID map[raft.ServerID]raft.ServerAddress // guarded by mu
	news int                                  // guarded by mu: rises whenever an address changes
}

var errNotInBook = errors.New("the pod has not told its address")

// ServerAddr is the address a pod gave itself. An error makes Raft use the one of its configuration.
func (b *addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if address, ok := b.byID[id]; ok {
		return address, nil
	}
	return "", errNotInBook
}

// maxBook bounds the book; pods know the cluster secret, so they are few.
const maxBook = 1000

func (b *addressBook) note(id, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.byID[raft.ServerID(id)]
	if known != raft.ServerAddress(address) && (ok || len(b.byID) < maxBook) {
		b.byID[raft.ServerID(id)] = raft.ServerAddress(address)
		b.news++
	}
}

// edition tells whether an address has changed between two calls.
func (b *addressBook) edition() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}
