// Package devnode is an embedded node that answers Meilisearch's HTTP API (v1.50) from memory: for first steps, for the
// demo and for tests, never for production. A Node is an http.Handler without sockets of its own; Transport connects a
// client to nodes in the same process. What a node knows is lost with it.
//
// Validation, settings, payloads, task views and keys are package meili's; ranking is package engine's. This package adds
// routes, the task queue, the federation of several searches, and controls that let a node fail on purpose.
package devnode

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"miroir/meili"
)

// Version is the Meilisearch version a node claims to be.
const Version = "1.50.0"

// DefaultPayloadLimitBytes is the largest request body a node accepts unless told otherwise.
const DefaultPayloadLimitBytes = 100_000_000

// Options tell how to build a Node. The zero value is usable.
type Options struct {
	MasterKey         string           // "" = no authorization
	Clock             func() time.Time // nil = time.Now
	NewUID            func() string    // makes the uids of keys, webhooks and requests; nil = random
	PayloadLimitBytes int64            // 0 = DefaultPayloadLimitBytes

	ahead time.Duration // of the clock
}

// numNodes counts the nodes of the process. Each node's clock is so many nanoseconds ahead of its Clock, below a microsecond: no
// two servers note the same moments, and nodes on virtual time would.
var numNodes atomic.Int64

// Node is one embedded server. It is safe for concurrent use.
type Node struct {
	options Options
	routes  router
	faults  faults

	mu        sync.Mutex
	store     *store                            // guarded by mu: everything the node remembers
	paused    bool                              // guarded by mu: tasks stay enqueued
	taskDelay time.Duration                     // guarded by mu: how long each task takes more
	crashOn   func([]byte) bool                 // guarded by mu: documents that kill the process
	failTask  func(meili.TaskKind) *meili.Error // guarded by mu: how tasks fail on purpose
	stopped   bool                              // guarded by mu: the process is gone
	frozen    chan struct{}                     // guarded by mu: non-nil while frozen, closed by Thaw
	epoch     chan struct{}                     // guarded by mu: closed when the process dies, which cuts every open connection

	wake    chan struct{} // holds one token when the worker has something to look at
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

// New returns an empty running node. Close it to end its worker.
func New(o Options) *Node {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.NewUID == nil {
		o.NewUID = uuid.NewString
	}
	if o.PayloadLimitBytes == 0 {
		o.PayloadLimitBytes = DefaultPayloadLimitBytes
	}
	o.ahead = time.Duration(numNodes.Add(1) % 1000)
	ctx, cancel := context.WithCancel(context.Background())
	n := &Node{options: o, cancel: cancel, wake: make(chan struct{}, 1), epoch: make(chan struct{})}
	n.routes = newRouter(routeTable())
	n.store = newStore(&n.options)
	n.workers.Go(func() { n.work(ctx) })
	return n
}

// Close ends the worker and drops open and later requests. It may be called twice.
func (n *Node) Close() {
	n.Stop()
	n.cancel()
	n.workers.Wait()
}

// now is the node's time, in UTC as Meilisearch prints it.
func (n *Node) now() time.Time { return n.options.now() }

func (o *Options) now() time.Time { return o.Clock().UTC().Add(o.ahead) }

// current returns what the node remembers at this moment; a request uses one picture to its end.
func (n *Node) current() *store {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.store
}

// poke lets the worker look for work.
func (n *Node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// ServeHTTP answers one request, unless a fault was asked for.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	epoch, err := n.admit(r)
	if err != nil {
		drop()
	}
	fault := n.faults.of(r)
	if fault.intercept(w) {
		return
	}
	answer := n.answer(r)
	if n.leave(r, epoch) != nil {
		drop()
	}
	fault.send(w, answer)
}
