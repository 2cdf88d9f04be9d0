package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"miroir/proxy/socket"
)

const (
	maxDirectBytes = 64 << 10 // of a body: what a socket takes without the other side reading
	maxHeaderBytes = 1 << 20  // of an answer
)

// Transport sends small reads over plain HTTP/1.1 connections in the goroutine that asks, and leaves everything else to rest.
// net/http's transport has two goroutines for each connection, one that writes and one that reads. A search through them
// wakes threads that take the processor from the node they wait for.
//
// A read may be sent twice: a connection that the node closed meanwhile is noticed by using it.
type Transport struct {
	rest *http.Transport
	pool Pool

	mu    sync.Mutex
	hosts map[string]*host
}

// host is the connections to one node.
type host struct {
	slots chan struct{} // one for each connection in use
	idle  []*conn       // the one used last is last; guarded by Transport.mu
}

// conn is a connection in use by one goroutine, or idle.
type conn struct {
	net.Conn
	limit io.LimitedReader // below reader, bounds what the next header may take
	read  *bufio.Reader
	write *bufio.Writer
	since time.Time // idle
}

func newTransport(p Pool, rest *http.Transport) *Transport {
	return &Transport{rest: rest, pool: p, hosts: map[string]*host{}}
}

func (d *Transport) CloseIdleConnections() {
	d.rest.CloseIdleConnections()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.hosts {
		closeAll(h.idle)
		h.idle = nil
	}
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		_ = c.Close() // nothing was on its way
	}
}

func (d *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !suitsDirect(r) {
		return d.rest.RoundTrip(r)
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace != nil {
		trace.GetConn(r.URL.Host)
	}
	h := d.host(r.URL.Host)
	select {
	case h.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	for {
		c, reused, err := d.take(r.Context(), h, r.URL.Host)
		if err != nil {
			<-h.slots
			return nil, err
		}
		if trace != nil {
			trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: reused})
		}
		response, err := d.exchange(h, c, r)
		if err == nil {
			return response, nil
		}
		_ = c.Close() // it failed already
		if !reused || r.Context().Err() != nil {
			<-h.slots
			return nil, err
		}
		if r.GetBody != nil {
			r = r.WithContext(r.Context()) // a copy, which owns its body
			if r.Body, err = r.GetBody(); err != nil {
				<-h.slots
				return nil, err
			}
		}
	}
}

// suitsDirect accepts what may be sent twice and fits a socket's buffer.
func suitsDirect(r *http.Request) bool {
	_, repeatable := r.Header["X-Idempotency-Key"]
	return repeatable && r.URL.Scheme == "http" && r.ContentLength >= 0 && r.ContentLength <= maxDirectBytes && (r.Body == nil || r.GetBody != nil)
}

func (d *Transport) host(address string) *host {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hosts[address]
	if h == nil {
		h = &host{slots: make(chan struct{}, d.pool.MaxTotal)}
		d.hosts[address] = h
	}
	return h
}

// take returns an idle connection, or a new one. The caller has a slot.
func (d *Transport) take(ctx context.Context, h *host, address string) (c *conn, reused bool, err error) {
	d.mu.Lock()
	numOld := len(h.idle)
	for numOld > 0 && time.Since(h.idle[numOld-1].since) < d.pool.IdleTimeout {
		numOld--
	}
	old := h.idle[:numOld:numOld]
	if h.idle = h.idle[numOld:]; len(h.idle) > 0 {
		c = h.idle[len(h.idle)-1]
		h.idle = h.idle[:len(h.idle)-1]
	}
	d.mu.Unlock()
	closeAll(old)
	if c != nil {
		return c, true, nil
	}
	raw, err := d.rest.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	raw = socket.New(raw)
	c = &conn{Conn: raw, write: bufio.NewWriter(raw)}
	c.limit.R = raw
	c.read = bufio.NewReaderSize(&c.limit, 16<<10)
	return c, false, nil
}

// exchange sends r and reads the answer's header. The body gives slot and connection back when it is closed; an error
// leaves both to the caller. The end of r's context ends whatever the connection waits for.
func (d *Transport) exchange(h *host, c *conn, r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	release := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // a closed one ends by itself
	response, err := c.exchange(r)
	if err != nil {
		if !release() {
			err = ctx.Err()
		}
		return nil, err
	}
	response.Body = &directBody{ReadCloser: response.Body, done: func(whole bool) {
		if release() && whole && !response.Close {
			d.put(h, c)
		} else {
			_ = c.Close() // its answer was not wanted to the end
		}
		<-h.slots
	}}
	return response, nil
}

func (c *conn) exchange(r *http.Request) (*http.Response, error) {
	if err := r.Write(c.write); err != nil {
		return nil, err
	}
	if err := c.write.Flush(); err != nil {
		return nil, err
	}
	for {
		c.limit.N = maxHeaderBytes
		response, err := http.ReadResponse(c.read, r)
		if errors.Is(err, io.ErrUnexpectedEOF) && c.limit.N == 0 {
			return nil, errors.New("the header of the answer is too long")
		}
		if err != nil || response.StatusCode >= 200 {
			c.limit.N = math.MaxInt64
			return response, err
		}
	}
}

// put keeps a connection for the next request.
func (d *Transport) put(h *host, c *conn) {
	c.since = time.Now()
	d.mu.Lock()
	var extra []*conn
	if h.idle = append(h.idle, c); len(h.idle) > d.pool.MaxIdle {
		extra, h.idle = h.idle[:1:1], h.idle[1:]
	}
	d.mu.Unlock()
	closeAll(extra)
}

// directBody calls done once, saying whether the body was read to its end.
type directBody struct {
	io.ReadCloser
	done  func(whole bool)
	whole bool
}

func (b *directBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.whole = b.whole || err == io.EOF
	return n, err
}

func (b *directBody) Close() error {
	if b.done != nil {
		b.done(b.whole)
		b.done = nil
	}
	return nil
}
