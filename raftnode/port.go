package raftnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// port is the one port of a pod. Raft's streams and pod-to-pod HTTP share it; each stream proves the cluster secret and
// says which of the two it is before anything else.
type port struct {
	network  Network
	secret   string
	address  string // what other pods dial
	listener net.Listener
	kinds    map[streamKind]*streamListener
	log      *slog.Logger
	work     sync.WaitGroup
	slots    chan struct{}   // bounds handshakes under way
	ctx      context.Context // of streams that are being opened; ends with the port
	end      context.CancelFunc

	mu     sync.Mutex
	open   map[*stream]bool // guarded by mu: closed with the port
	closed bool             // guarded by mu
}

// maxHandshakes bounds how many strangers are talked to at once.
const maxHandshakes = 64

func openPort(network Network, secret string, log *slog.Logger) (*port, error) {
	listener, address, err := network.Listen()
	if err != nil {
		return nil, err
	}
	p := &port{
		network: network, secret: secret, address: address, listener: listener, log: log,
		slots: make(chan struct{}, maxHandshakes), open: map[*stream]bool{}, kinds: map[streamKind]*streamListener{},
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	for _, kind := range []streamKind{streamRaft, streamHTTP} {
		p.kinds[kind] = &streamListener{streams: make(chan net.Conn), closed: make(chan struct{}), addr: listener.Addr()}
	}
	p.work.Go(p.accept)
	return p, nil
}

func (p *port) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("no stream accepted from a pod", "error", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors: trying at once would not help
			continue
		}
		p.slots <- struct{}{}
		p.work.Go(func() {
			defer func() { <-p.slots }()
			p.admit(conn)
		})
	}
}

// admit lets a stream in that proves itself, and hands it to those who serve its kind.
func (p *port) admit(conn net.Conn) {
	s, err := p.track(conn)
	if err != nil {
		return
	}
	kind, err := receive(conn, p.secret)
	err = explainTLS(err)
	if err == nil && p.kinds[kind] == nil {
		err = fmt.Errorf("streams of kind %q are unknown here: is the other pod a newer version?", kind)
	}
	if err != nil {
		p.log.Warn("a stream to the pod port was refused", "from", conn.RemoteAddr().String(), "error", err)
		s.Close()
		return
	}
	p.kinds[kind].offer(s)
}

// dial opens a stream of a kind to the pod at address.
func (p *port) dial(ctx context.Context, address string, kind streamKind) (net.Conn, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(p.ctx, end)()
	conn, err := p.network.Dial(ctx, address)
	if err != nil {
		if errors.Is(err, ErrTLS) {
			p.log.Error("a pod is not trusted", "address", address, "error", err)
		}
		return nil, err
	}
	s, err := p.track(conn)
	if err != nil {
		return nil, err
	}
	if err := explainTLS(greet(conn, kind, p.secret)); err != nil {
		if errors.Is(err, ErrSecret) || errors.Is(err, ErrTLS) {
			p.log.Error("a pod refuses this one", "address", address, "error", err)
		}
		return nil, errors.Join(fmt.Errorf("pod at %s: %w", address, err), s.Close())
	}
	return s, nil
}

// stream is a connection that ends with its port.
type stream struct {
	net.Conn
	port *port
}

func (s *stream) Close() error {
	s.port.mu.Lock()
	delete(s.port.open, s)
	s.port.mu.Unlock()
	return s.Conn.Close()
}

func (p *port) track(conn net.Conn) (*stream, error) {
	s := &stream{conn, p}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	p.open[s] = true
	return s, nil
}

// Close ends the port and every stream in and out of it.
func (p *port) Close() error {
	p.mu.Lock()
	p.closed = true
	open := p.open
	p.open = map[*stream]bool{}
	p.mu.Unlock()
	p.end()
	err := p.listener.Close()
	for _, kind := range p.kinds {
		kind.Close()
	}
	for s := range open {
		s.Conn.Close() // its owner learns of it by reading
	}
	p.work.Wait()
	return err
}

// streamListener is a net.Listener of admitted streams of one kind.
type streamListener struct {
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once
	addr    net.Addr
}

func (l *streamListener) offer(conn net.Conn) {
	select {
	case l.streams <- conn:
	case <-l.closed:
		conn.Close()
	}
}

// Accept returns the next admitted stream.
func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.streams:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; the port stays open. It may be called twice.
func (l *streamListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address of the port.
func (l *streamListener) Addr() net.Addr { return l.addr }

// raftStreams is raft's view of the port.
type raftStreams struct {
	*streamListener
	port    *port
	book    *addressBook
	closing context.Context // ends before Raft does
}

var _ raft.StreamLayer = raftStreams{}

const (
	// dialPatience is how long Raft waits for a pod that is not there. Raft itself waits the longer the more often it has
	// failed, up to ten seconds, and would leave a pod that has come back without the log for as long.
	dialPatience = 30 * time.Second
	dialPause    = 50 * time.Millisecond
)

// Dial opens a Raft stream to a pod, as soon as that is there; it gives up when a pod tells a new address. timeout bounds
// each try.
func (r raftStreams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(r.closing, dialPatience)
	defer cancel()
	for edition := r.book.edition(); ; {
		conn, err := r.tryDial(ctx, address, timeout)
		if err == nil || edition != r.book.edition() || errors.Is(err, ErrSecret) || errors.Is(err, net.ErrClosed) || !pause(ctx, dialPause) {
			return conn, err
		}
	}
}

func (r raftStreams) tryDial(ctx context.Context, address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.port.dial(ctx, string(address), streamRaft)
}

// Addr is what other pods dial: raft takes it for this pod's address.
func (r raftStreams) Addr() net.Addr { return podAddr(r.port.address) }

type podAddr string

func (podAddr) Network() string  { return "pod" }
func (a podAddr) String() string { return string(a) }
