// Package direct serves small HTTP/1.1 requests in the goroutine that reads their connection, below net/http, which serves
// all others. While net/http serves a request, another goroutine watches its connection: to wake it and to stop it costs a
// search more than everything else that a pod does for it, in processor time that the nodes could have.
//
// net/http is given connections whose Read answers the requests that suit, and returns the bytes of those that do not.
// Where a request ends is known by net/http's own parser; once it is not sure, because something is out of the ordinary,
// net/http gets every byte of that connection from there on.
package direct

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options configures a Listener.
type Options struct {
	Handler http.Handler
	// Suits chooses requests by method and target; their bodies and answers are held in memory.
	Suits  func(method, target string) bool
	Header time.Duration // how long a new connection may say nothing
	Idle   time.Duration // how long a connection may say nothing between requests, or within the body of one
	Logger *slog.Logger
}

// Listener makes the connections. Its ConnState must be that of the http.Server which serves it.
type Listener struct {
	net.Listener
	options Options
	ctx     context.Context // of all requests, ends with cut
	cut     context.CancelFunc
	done    chan struct{} // closed when no request runs and none will

	mu      sync.Mutex
	closing bool
	numBusy int
	conns   map[*conn]phase
}

// phase is what a connection is doing.
type phase int

const (
	away    phase = iota // net/http serves it
	resting              // it waits for a request
	busy                 // its request is served here
	last                 // the same, and net/http has closed it: it ends behind the answer
)

// New serves l's connections.
func New(l net.Listener, o Options) *Listener {
	d := &Listener{Listener: l, options: o, done: make(chan struct{}), conns: map[*conn]phase{}}
	d.ctx, d.cut = context.WithCancel(context.Background())
	return d
}

// Accept waits for a connection.
func (d *Listener) Accept() (net.Conn, error) {
	raw, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(d, raw), nil
}

// ConnState tells a connection what net/http does with it.
func (d *Listener) ConnState(c net.Conn, state http.ConnState) {
	own := c.(*conn)
	own.active = state == http.StateActive
	own.foreign = own.foreign || state == http.StateHijacked
}

// Close stops accepting and ends the connections that wait for a request.
func (d *Listener) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return nil
	}
	d.closing = true
	if d.numBusy == 0 {
		close(d.done)
	}
	for c, is := range d.conns {
		if is == resting {
			c.wake()
		}
	}
	return d.Listener.Close()
}

// Shutdown closes and waits for the requests that run here. When ctx ends first it cuts them off and returns ctx's error.
// Those that net/http serves are its own.
func (d *Listener) Shutdown(ctx context.Context) error {
	err := d.Close()
	defer d.cut()
	select {
	case <-d.done:
		return err
	case <-ctx.Done():
	}
	d.cut()
	d.mu.Lock()
	for c := range d.conns {
		_ = c.Conn.Close() // its request was cut off
	}
	d.mu.Unlock()
	<-d.done
	return errors.Join(err, ctx.Err())
}

// rest lets c wait for a request, for as long as patience. It reports false when the listener is closing.
func (d *Listener) rest(c *conn, patience time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.conns[c] = resting
	return c.SetReadDeadline(time.Now().Add(patience)) == nil // under the lock: Close wakes who rests
}

// leaveTo says that net/http has c.
func (d *Listener) leaveTo(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// begin says that a request of c is served. It reports false when the listener is closing.
func (d *Listener) begin(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.conns[c] = busy
	d.numBusy++
	return true
}

// goesOn reports whether c can have another request.
func (d *Listener) goesOn(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closing && d.conns[c] == busy
}

// end says that c's request is answered.
func (d *Listener) end(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
	d.numBusy--
	if d.closing && d.numBusy == 0 {
		close(d.done)
	}
}

// closed says that net/http has closed c. It reports false when c must stay open for the answer to its request.
func (d *Listener) closed(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if is := d.conns[c]; is == busy || is == last {
		d.conns[c] = last
		return false
	}
	delete(d.conns, c)
	return true
}
