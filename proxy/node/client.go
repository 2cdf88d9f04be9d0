// Package node is the client of one Meilisearch server. It knows connections, outcomes (what may be concluded when no
// answer came), passive health and latency. It never retries a request: what may be sent again, and where, is the
// caller's to decide from the outcome.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"miroir/fsm"
)

// DefaultMaxAnswerBytes bounds an answer when the request names no bound of its own: 256 MiB.
const DefaultMaxAnswerBytes = 256 << 20

// Request is one request to a node. Body or GetBody, or neither, is set.
type Request struct {
	Method string
	Path   string // escaped, "/indexes/x/search"
	Query  url.Values
	Body   []byte
	// GetBody opens a body that is not in memory; the transport may call it more than once.
	GetBody        func() (io.ReadCloser, error)
	BodyBytes      int64 // length of what GetBody yields, -1 unknown
	ContentType    string
	Header         http.Header
	MaxAnswerBytes int64 // 0 means DefaultMaxAnswerBytes
	// Room is memory for the answer's body, which is elsewhere if it does not fit. It is the client's until Do returns.
	Room []byte
	// Read marks a request without side effects: the transport may send it again on a fresh connection when a pooled
	// one turns out to be dead.
	Read  bool
	heard func() // called when the answer begins, and for every part of its body
}

// Response is a complete answer of any HTTP status. The caller owns Body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Took   time.Duration
}

// OK reports a status of the 200 class.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Refused is ErrKeyRefused, with the node's name, where that is what the node answered.
func (r *Response) Refused(id fsm.NodeID) error {
	if r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden {
		return fmt.Errorf("node %s: %w", id, ErrKeyRefused)
	}
	return nil
}

// Client talks to one node. Safe for concurrent use.
type Client struct {
	id     fsm.NodeID
	base   string
	key    string
	rt     http.RoundTripper
	health health
	speed  speed
	active atomic.Int64
	meter  *meter

	waiting waiting
	probing atomic.Bool // the node is being asked for its health
	// background runs what outlives the call that begins it, with a context that ends when it has to.
	background func(func(context.Context))
}

// New is a client of the server at baseURL ("http://host:7700", without a trailing slash or with one). key is sent as
// bearer token unless empty.
func New(id fsm.NodeID, baseURL, key string, rt http.RoundTripper) *Client {
	if rt == nil {
		rt = NewTransport(Pool{})
	}
	base := strings.TrimRight(baseURL, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	alone := func(do func(context.Context)) { go do(context.Background()) } // a probe, which has a limit of its own
	return &Client{id: id, base: base, key: key, rt: rt, background: alone}
}

// ID is the node's name.
func (c *Client) ID() fsm.NodeID { return c.id }

// Alive reports that the last call was answered, or failed long enough ago to deserve another try, and that the node is not
// silent.
func (c *Client) Alive() bool { return c.health.alive(time.Now()) }

// LastSeen is when the node last answered anything, zero before the first time.
func (c *Client) LastSeen() time.Time {
	if at := c.health.lastAnswer.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// InFlight is the number of requests waiting for their answer.
func (c *Client) InFlight() int { return int(c.active.Load()) }

// ReportGarbage tells that what the node answered was no answer to what it was asked.
func (c *Client) ReportGarbage() {
	c.health.calls.raise(time.Now())
	c.meter.failed("garbage")
}

// Do sends r and reads the whole answer. Any HTTP answer is a Response; err is always an *Error. Cancel ctx to give up;
// its deadline bounds sending, waiting and reading together, and running into it is Unknown (or NotSent), not Canceled.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	trace := &connTrace{}
	request, err := c.build(httptrace.WithClientTrace(ctx, trace.hooks()), r)
	if err != nil {
		return nil, &Error{Node: c.id, Outcome: NotSent, Err: err}
	}
	c.active.Add(1)
	defer c.active.Add(-1)
	start := time.Now()
	response, err := c.rt.RoundTrip(request)
	if err != nil {
		return nil, c.fail(ctx, err, trace)
	}
	if r.heard != nil {
		r.heard()
	}
	body, err := readBody(response, r)
	if err != nil {
		return nil, c.fail(ctx, fmt.Errorf("read the answer of %s %s: %w", r.Method, r.Path, err), trace)
	}
	took := time.Since(start)
	c.health.answered(time.Now())
	c.meter.took(r, took)
	if response.StatusCode >= 500 {
		c.meter.failed("server_error")
	}
	return &Response{Status: response.StatusCode, Header: response.Header, Body: body, Took: took}, nil
}

func (c *Client) fail(ctx context.Context, err error, trace *connTrace) error {
	outcome := outcomeOf(ctx, err, trace.connected.Load(), trace.wanted.Load())
	if outcome != Canceled {
		c.meter.failed(outcome.String())
	}
	if outcome != Canceled && !errors.Is(err, ErrBodyTooLarge) {
		c.health.calls.raise(time.Now())
	}
	return &Error{Node: c.id, Outcome: outcome, Err: err}
}

func (c *Client) build(ctx context.Context, r Request) (*http.Request, error) {
	target := c.base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, target, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		request.Header[name] = values
	}
	if r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	if r.Read {
		// net/http: an empty value marks the request as repeatable and is not sent.
		request.Header["X-Idempotency-Key"] = []string{}
	}
	return request, attachBody(request, r)
}

func attachBody(request *http.Request, r Request) error {
	switch {
	case r.GetBody != nil:
		body, err := r.GetBody()
		if err != nil {
			return fmt.Errorf("open the request body: %w", err)
		}
		request.Body, request.GetBody, request.ContentLength = body, r.GetBody, r.BodyBytes
	case len(r.Body) > 0:
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = int64(len(r.Body))
	}
	return nil
}

func readBody(response *http.Response, r Request) ([]byte, error) {
	defer response.Body.Close()
	limit := r.MaxAnswerBytes
	if limit <= 0 {
		limit = DefaultMaxAnswerBytes
	}
	if response.ContentLength > limit {
		return nil, ErrBodyTooLarge
	}
	var from io.Reader = response.Body
	if r.heard != nil {
		from = heardReader{from, r.heard}
	}
	if n := response.ContentLength; n > 0 && n < int64(len(r.Room)) {
		n, err := io.ReadFull(from, r.Room[:n])
		return r.Room[:n], err
	}
	var buffer bytes.Buffer
	if response.ContentLength > 0 {
		buffer.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(from, limit+1))
	if err == nil && n > limit {
		err = ErrBodyTooLarge
	}
	return buffer.Bytes(), err
}

// connTrace notes whether the transport looked for a connection and got one.
type connTrace struct{ wanted, connected atomic.Bool }

func (t *connTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}
}
