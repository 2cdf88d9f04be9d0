package direct

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"miroir/proxy/socket"
)

const (
	startBytes = 4 << 10
	maxBytes   = 64 << 10 // of a request served here
)

// conn is a connection as net/http sees it. What it holds is used by whoever reads: net/http has one reader at a time.
type conn struct {
	net.Conn
	d       *Listener
	address string
	served  bool // a request was, here or by net/http

	buffer  []byte // what was read, and neither answered nor returned; it begins with a request unless left is above 0
	left    int64  // bytes to return until a request begins
	active  bool   // net/http serves a request
	foreign bool   // it is not known where requests begin: all is net/http's

	text  bytes.Reader // below lines
	lines *bufio.Reader
	body  bytes.Reader
	out   answer
	watch watch
}

func newConn(d *Listener, raw net.Conn) *conn {
	c := &conn{Conn: socket.New(raw), d: d, address: raw.RemoteAddr().String(), buffer: make([]byte, 0, startBytes)}
	c.lines = bufio.NewReaderSize(&c.text, startBytes)
	return c
}

// Read returns the bytes of requests that net/http is to serve, and serves the others.
func (c *conn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.foreign:
			return c.next(p)
		case c.left > 0:
			n, err := c.next(p[:min(int64(len(p)), c.left)])
			c.left -= int64(n)
			return n, err
		case c.active:
			if err := c.watchFor(); err != nil {
				return 0, err
			}
		default:
			if err := c.handle(); err != nil {
				return 0, err
			}
		}
	}
}

// watchFor waits until the client of a request that net/http serves hangs up, or net/http stops waiting for that: it has
// all of the request. What the client sends meanwhile is its next request, often before net/http has stopped.
func (c *conn) watchFor() error {
	for len(c.buffer) < maxBytes {
		if err := c.more(0); err != nil {
			return err
		}
	}
	c.foreign = true
	return nil
}

// next reads what was read before and then what comes.
func (c *conn) next(p []byte) (int, error) {
	if len(c.buffer) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.buffer)
	c.drop(n)
	return n, nil
}

// drop forgets the first bytes of the buffer.
func (c *conn) drop(n int) { c.buffer = c.buffer[:copy(c.buffer, c.buffer[n:])] }

// handle waits for a request. It is answered, or c.left or c.foreign tells what is to be returned.
func (c *conn) handle() error {
	patience := c.d.options.Idle
	if !c.served {
		patience = c.d.options.Header
	}
	if !c.d.rest(c, patience) {
		return net.ErrClosed
	}
	if len(c.buffer) == 0 {
		if err := c.more(0); err != nil {
			return err
		}
	}
	c.served = true
	r, header := c.parse()
	length := int64(header)
	if r != nil {
		length += r.ContentLength
	}
	if r == nil || length > maxBytes || !c.suits(r) {
		c.d.leaveTo(c)
		c.left, c.foreign = length, r == nil
		return c.SetReadDeadline(time.Time{}) // net/http has its own
	}
	for int64(len(c.buffer)) < length {
		if err := c.SetReadDeadline(time.Now().Add(c.d.options.Idle)); err != nil {
			return err
		}
		if err := c.more(int(length)); err != nil {
			return err
		}
	}
	c.body.Reset(c.buffer[header:length])
	r.Body, r.RemoteAddr = io.NopCloser(&c.body), c.address
	if !c.answer(r) {
		_ = c.Conn.Close() // answered, or beyond answering
		return io.EOF
	}
	c.drop(int(length))
	return nil
}

// more reads what there is, waiting for it, into a buffer that has room for want bytes.
func (c *conn) more(want int) error {
	if want > cap(c.buffer) || len(c.buffer) == cap(c.buffer) {
		grown := make([]byte, len(c.buffer), max(want, 2*cap(c.buffer)))
		copy(grown, c.buffer)
		c.buffer = grown
	}
	n, err := c.Conn.Read(c.buffer[len(c.buffer):cap(c.buffer)])
	c.buffer = c.buffer[:len(c.buffer)+n]
	if n > 0 {
		return nil
	}
	return err
}

// parse reads the header at the start of the buffer, and its length. It returns nil when that does not tell for sure where
// the request ends and that another may follow.
func (c *conn) parse() (r *http.Request, length int) {
	const end = "\r\n\r\n"
	length = bytes.Index(c.buffer, []byte(end)) + len(end)
	if length < len(end) {
		return nil, 0
	}
	c.text.Reset(c.buffer[:length])
	c.lines.Reset(&c.text)
	r, err := http.ReadRequest(c.lines)
	if c.lines.Buffered()+c.text.Len() > 0 {
		return nil, 0 // other line ends: the header was shorter
	}
	if err != nil || !r.ProtoAtLeast(1, 1) || r.Host == "" || r.ContentLength < 0 || len(r.TransferEncoding) > 0 || !keepsAlive(r) {
		return nil, 0
	}
	return r, length
}

// keepsAlive reports that nothing but another request follows a request.
func keepsAlive(r *http.Request) bool {
	connection, sent := r.Header["Connection"]
	return r.Method != http.MethodConnect && (!sent || len(connection) == 1 && (connection[0] == "keep-alive" || connection[0] == "Keep-Alive"))
}

// suits reports whether a request is served here.
func (c *conn) suits(r *http.Request) bool {
	_, expects := r.Header["Expect"]
	return !expects && r.URL.Host == "" && c.d.options.Suits(r.Method, r.RequestURI) && plain(r.Header)
}

// plain reports that names and values of a header have only such bytes as they may (RFC 9110, section 5).
func plain(header http.Header) bool {
	for name, values := range header {
		if strings.ContainsFunc(name, func(r rune) bool { return !isTokenRune(r) }) {
			return false
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return false
			}
		}
	}
	return true
}

func isTokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// wake ends a wait for bytes.
func (c *conn) wake() { _ = c.SetReadDeadline(longAgo) } // a connection that is closed waits for nothing

var longAgo = time.Unix(1, 0)

// Close ends the connection, behind the answer to a request that is served here.
func (c *conn) Close() error {
	if !c.d.closed(c) {
		return nil
	}
	return c.Conn.Close()
}
