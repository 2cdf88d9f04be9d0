package raftnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// Memory is a network inside one process, without sockets, for tests and simulations: several pods run in one
// testing/synctest bubble over it. Assemble them so:
//
//	network := raftnode.NewMemory()
//	for _, id := range []string{"a", "b", "c"} {
//		logs := raft.NewInmemStore() // survives a restart if it is handed to the next Open
//		node, err := raftnode.Open(raftnode.Options{
//			DataDir: t.TempDir(), NodeID: id, Network: network.Pod(id + ":1"), ClusterSecret: "s",
//			LogStore: logs, StableStore: logs, BootstrapExpect: 3, Join: []string{"a:1", "b:1", "c:1"},
//		})
//		server, err := proxy.New(options, node)
//		node.Serve(server.ForwardedHandler()) // requests that other pods send here while this one leads
//		...
//	}
//
// Close nodes before the bubble ends. Cut, Silence and Heal make partitions.
type Memory struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener // guarded by mu, by address
	cut       map[[2]string]bool         // guarded by mu: pairs, both ways round
	silent    map[[2]string]bool         // guarded by mu: likewise
	pipes     map[*memoryPipe]bool       // guarded by mu: those that are open
}

// NewMemory returns a network without pods.
func NewMemory() *Memory {
	return &Memory{listeners: map[string]*memoryListener{}, cut: map[[2]string]bool{}, silent: map[[2]string]bool{}, pipes: map[*memoryPipe]bool{}}
}

// Pod is the network as the pod at an address, host:port, uses it.
func (m *Memory) Pod(address string) Network { return memoryPod{m, address} }

// Cut ends every stream between two pods and lets no new one begin.
func (m *Memory) Cut(a, b string) {
	m.mu.Lock()
	m.cut[[2]string{a, b}], m.cut[[2]string{b, a}] = true, true
	ended := m.between(a, b)
	m.mu.Unlock()
	for _, pipe := range ended {
		pipe.Close()
	}
}

// Silence loses every byte between two pods from now on, and ends no stream: neither learns anything. A new stream does
// not come about, and whoever dials is left waiting.
func (m *Memory) Silence(a, b string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent[[2]string{a, b}], m.silent[[2]string{b, a}] = true, true
	for _, pipe := range m.between(a, b) {
		pipe.lost.Store(true)
	}
}

// between are the open streams of two pods; call with mu held.
func (m *Memory) between(a, b string) (pipes []*memoryPipe) {
	for pipe := range m.pipes {
		if pipe.from == a && pipe.to == b || pipe.from == b && pipe.to == a {
			pipes = append(pipes, pipe)
		}
	}
	return pipes
}

// Heal undoes Cut and Silence; streams that lost bytes end.
func (m *Memory) Heal(a, b string) {
	m.mu.Lock()
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		delete(m.cut, pair)
		delete(m.silent, pair)
	}
	broken := slices.DeleteFunc(m.between(a, b), func(pipe *memoryPipe) bool { return !pipe.lost.Load() })
	m.mu.Unlock()
	for _, pipe := range broken {
		pipe.Close()
	}
}

type memoryPod struct {
	network *Memory
	address string
}

func (p memoryPod) Listen() (net.Listener, string, error) {
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	if p.network.listeners[p.address] != nil {
		return nil, "", fmt.Errorf("address %s is in use", p.address)
	}
	l := &memoryListener{streamListener{streams: make(chan net.Conn), closed: make(chan struct{}), addr: podAddr(p.address)}, p.network}
	p.network.listeners[p.address] = l
	return l, p.address, nil
}

func (p memoryPod) Dial(ctx context.Context, address string) (net.Conn, error) {
	p.network.mu.Lock()
	pair := [2]string{p.address, address}
	listener, cut, silent := p.network.listeners[address], p.network.cut[pair], p.network.silent[pair]
	p.network.mu.Unlock()
	if silent {
		pause(ctx, dialTimeout)
		cut = true
	}
	if listener == nil || cut {
		return nil, fmt.Errorf("no pod is reached at %s", address)
	}
	here, there := net.Pipe()
	lost := &atomic.Bool{}
	pipe := &memoryPipe{lossy: lossy{here, lost}, network: p.network, from: p.address, to: address}
	p.network.mu.Lock()
	p.network.pipes[pipe] = true
	p.network.mu.Unlock()
	select {
	case listener.streams <- lossy{there, lost}:
		return pipe, nil
	case <-listener.closed:
		return nil, errors.Join(fmt.Errorf("no pod is reached at %s", address), pipe.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), pipe.Close())
	}
}

type memoryListener struct {
	streamListener
	network *Memory
}

func (l *memoryListener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.network.listeners[l.addr.String()] == l {
		delete(l.network.listeners, l.addr.String())
	}
	return l.streamListener.Close()
}

// memoryPipe is the dialer's end of a stream; closing it ends both.
type memoryPipe struct {
	lossy
	network  *Memory
	from, to string
}

func (p *memoryPipe) Close() error {
	p.network.mu.Lock()
	delete(p.network.pipes, p)
	p.network.mu.Unlock()
	return p.Conn.Close()
}

// lossy is an end of a stream that loses what is written once its bytes are lost.
type lossy struct {
	net.Conn
	lost *atomic.Bool // shared by both ends
}

func (l lossy) Write(p []byte) (int, error) {
	if l.lost.Load() {
		return len(p), nil
	}
	return l.Conn.Write(p)
}
