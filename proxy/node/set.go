package node

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// Pool bounds the connections to one node. Zero fields take the defaults named beside them.
type Pool struct {
	MaxIdle     int           // 32 connections kept open per node
	MaxTotal    int           // 128 connections per node
	IdleTimeout time.Duration // 60 s
	DialTimeout time.Duration // 2 s
}

// NewTransport is the TCP transport to all nodes, with the pool's bounds per node. It asks for no compression: nodes are
// near, and bodies are cut and stripped as bytes.
func NewTransport(p Pool) *Transport {
	if p.MaxIdle == 0 {
		p.MaxIdle = 32
	}
	if p.MaxTotal == 0 {
		p.MaxTotal = 128
	}
	if p.IdleTimeout == 0 {
		p.IdleTimeout = time.Minute
	}
	if p.DialTimeout == 0 {
		p.DialTimeout = 2 * time.Second
	}
	dialer := &net.Dialer{Timeout: p.DialTimeout, KeepAlive: 15 * time.Second}
	return newTransport(p, &http.Transport{
		DialContext:           dialer.DialContext,
		MaxIdleConnsPerHost:   p.MaxIdle,
		MaxConnsPerHost:       p.MaxTotal,
		IdleConnTimeout:       p.IdleTimeout,
		TLSHandshakeTimeout:   p.DialTimeout,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	})
}

// Set holds one client per node. Clients are made on first use and replaced when the node's address or key changes.
// Safe for concurrent use.
type Set struct {
	key     string
	rt      http.RoundTripper
	metrics *metrics.Set // nil: nothing is counted

	clients sync.Map // fsm.NodeID → *entry

	life  context.Context // of what clients do in the background
	end   context.CancelFunc
	tasks sync.WaitGroup
}

type entry struct {
	address, key string
	leadsTo      fsm.NodeID
	client       *Client
}

func (e *entry) isOf(n *fsm.Node) bool {
	return e.address == n.Address && e.key == n.Key && e.leadsTo == n.LeadsTo
}

// NewSet is an empty set. key is sent to nodes that have none of their own; a nil rt means pooled TCP connections. What is
// asked of nodes is counted in a set of metrics, if there is one.
func NewSet(key string, rt http.RoundTripper, counted *metrics.Set) *Set {
	if rt == nil {
		rt = NewTransport(Pool{})
	}
	s := &Set{key: key, rt: rt, metrics: counted}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Get is the client of n. It sends nothing where the address leads to another node's server.
func (s *Set) Get(n *fsm.Node) *Client {
	if known, ok := s.clients.Load(n.ID); ok {
		if e := known.(*entry); e.isOf(n) {
			return e.client
		}
	}
	made := &entry{address: n.Address, key: n.Key, leadsTo: n.LeadsTo, client: s.New(n)}
	if n.LeadsTo != "" {
		made.client.rt = StrayError{n.LeadsTo}
	}
	if s.metrics != nil {
		made.client.meter = &meter{set: s.metrics, id: n.ID}
	}
	if earlier, loaded := s.clients.LoadOrStore(n.ID, made); loaded {
		if e := earlier.(*entry); e.isOf(n) {
			return e.client
		}
		s.clients.Store(n.ID, made)
	}
	return made.client
}

// New is a client of n that the set does not keep: n may be no node yet.
func (s *Set) New(n *fsm.Node) *Client {
	key := n.Key
	if key == "" {
		key = s.key
	}
	c := New(n.ID, n.Address, key, s.rt)
	c.background = func(do func(context.Context)) { s.tasks.Go(func() { do(s.life) }) }
	return c
}

// Client is the client of the node that view knows as id, nil when it knows none.
func (s *Set) Client(view *fsm.View, id fsm.NodeID) *Client {
	n := view.Nodes[id]
	if n == nil {
		return nil
	}
	return s.Get(n)
}

// Forget drops the clients of nodes that view does not know.
func (s *Set) Forget(view *fsm.View) {
	s.clients.Range(func(id, known any) bool {
		if view.Nodes[id.(fsm.NodeID)] == nil {
			s.clients.Delete(id)
			known.(*entry).client.meter.close()
		}
		return true
	})
}

// Close ends what clients do in the background and closes idle connections. Requests must have ended before.
func (s *Set) Close() {
	s.end()
	s.tasks.Wait()
	if closer, ok := s.rt.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
