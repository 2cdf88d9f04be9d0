package devnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// Transport returns a round tripper that hands requests to nodes in this process by the host (with port, if any) of their
// URL. It behaves like a network: a host that is unknown, nil or stopped refuses the connection, a dropped connection is
// an error, request bodies are streamed, and a request whose context ends returns at once while the node may still be
// handling it. The map must not change afterwards.
func Transport(nodes map[string]*Node) http.RoundTripper { return transport(nodes) }

type transport map[string]*Node

// errBroken is what a client sees of a connection that broke after it was made.
var errBroken = fmt.Errorf("connection reset: %w", io.ErrUnexpectedEOF)

// RoundTrip serves the request on the node its URL names.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	n := t[r.URL.Host]
	if n == nil || n.isStopped() {
		closeBody(r)
		refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		return nil, fmt.Errorf("node %s: %w", r.URL.Host, refused)
	}
	if err := r.Context().Err(); err != nil {
		closeBody(r)
		return nil, err
	}
	inner, body := serverRequest(r)
	done := make(chan *reply, 1)
	go func() {
		done <- serve(n, inner)
		body.close()
	}()
	select {
	case got := <-done:
		return got.response(r)
	case <-r.Context().Done():
		body.close()
		return nil, context.Cause(r.Context())
	}
}

func (n *Node) isStopped() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stopped
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// serverRequest returns the request as the server end sees it, and its body.
func serverRequest(r *http.Request) (*http.Request, *requestBody) {
	inner := r.Clone(r.Context())
	body := &requestBody{reader: r.Body, context: r.Context()}
	if r.Body == nil {
		body.reader = http.NoBody
	}
	inner.Body = body
	inner.RequestURI = r.URL.RequestURI()
	inner.RemoteAddr = "127.0.0.1:0"
	if inner.Host == "" {
		inner.Host = r.URL.Host
	}
	return inner, body
}

// requestBody is the client's body, cut off when the client gives up.
type requestBody struct {
	reader  io.ReadCloser
	context context.Context
	closed  atomic.Bool
}

// Read fails once the client has given up.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() || b.context.Err() != nil {
		return 0, errBroken
	}
	return b.reader.Read(p)
}

// Close does nothing: the client end owns the body.
func (b *requestBody) Close() error { return nil }

// close ends the body for both ends.
func (b *requestBody) close() {
	if b.closed.CompareAndSwap(false, true) {
		b.reader.Close()
	}
}

// reply is what a node wrote before it finished or broke the connection.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
	broken bool
}

// Header is the header to be sent.
func (p *reply) Header() http.Header { return p.header }

// WriteHeader fixes the status; later calls are ignored.
func (p *reply) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}

// Write appends to the body.
func (p *reply) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// serve handles one request, turning a dropped connection into a broken reply.
func serve(n *Node, r *http.Request) (p *reply) {
	p = &reply{header: http.Header{}}
	defer func() {
		if cause := recover(); cause != nil {
			if err, ok := cause.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(cause)
			}
			p.broken = true
		}
	}()
	n.ServeHTTP(p, r)
	return p
}

// response returns what the client sees.
func (p *reply) response(r *http.Request) (*http.Response, error) {
	if p.broken && p.status == 0 {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("node %s: %w", r.URL.Host, errBroken)
	}
	p.WriteHeader(http.StatusOK)
	response := &http.Response{
		Status:        http.StatusText(p.status),
		StatusCode:    p.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        p.header,
		ContentLength: int64(p.body.Len()),
		Request:       r,
	}
	reader := io.Reader(&p.body)
	if p.broken {
		response.ContentLength = -1
		reader = io.MultiReader(reader, failingReader{})
	}
	response.Body = io.NopCloser(reader)
	return response, nil
}

// failingReader is the end of a truncated body.
type failingReader struct{}

// Read fails as a connection does that breaks within a body.
func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
