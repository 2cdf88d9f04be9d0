package main

import (
	"errors"
	"io"
	"net"
	"sync"
)

// link is a TCP proxy that can be cut: then what comes in is held and nothing gets through, as with a network that drops
// packets, until it is mended. It ends its connections at Close.
type link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	cut   chan struct{}     // guarded by mu; closed while the link is whole
	open  sync.WaitGroup
}

// newLink listens on a free loopback port for target, host:port.
func newLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, target: target, conns: map[net.Conn]bool{}, cut: make(chan struct{})}
	close(l.cut)
	l.open.Go(l.accept)
	return l, nil
}

func (l *link) Address() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.open.Go(func() { l.forward(in) })
	}
}

func (l *link) forward(in net.Conn) {
	defer l.drop(in)
	if !l.keep(in) {
		return
	}
	<-l.whole()
	out, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.drop(out)
	if !l.keep(out) {
		return
	}
	done := make(chan struct{}, 2)
	go func() { l.pump(out, in); done <- struct{}{} }()
	go func() { l.pump(in, out); done <- struct{}{} }()
	<-done
	l.drop(in) // ends the other direction
	l.drop(out)
	<-done
}

// pump copies until an end closes; while the link is cut it holds what it has read.
func (l *link) pump(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-l.whole()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) whole() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// keep notes a connection; false once the link is closed.
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		return false
	}
	l.conns[c] = true
	return true
}

func (l *link) drop(c net.Conn) {
	_ = c.Close() // closed twice by either direction
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Cut lets nothing through.
func (l *link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.cut:
		l.cut = make(chan struct{})
	default: // cut already
	}
}

// Mend drops the connections from before the cut, as a host does whose peers gave up, and lets new ones through.
func (l *link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.cut:
		return
	default:
	}
	for c := range l.conns {
		_ = c.Close()
	}
	close(l.cut)
}

// Close ends the link and its connections.
func (l *link) Close() error {
	err := l.listener.Close()
	l.Mend()
	l.mu.Lock()
	for c := range l.conns {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	l.conns = nil
	l.mu.Unlock()
	l.open.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
