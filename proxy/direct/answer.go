package direct

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

const (
	keepBytes = 64 << 10 // how much memory for answers a connection keeps
	headBytes = 512      // room before an answer's body, so that a header that is not longer goes out with it
)

// answer is the http.ResponseWriter of one request. What the handler writes is sent when it returns.
type answer struct {
	header http.Header
	status int
	head   []byte
	body   []byte // behind headBytes of room
	until  time.Time
}

func (a *answer) reset() {
	a.header, a.status, a.head, a.until = http.Header{}, 0, a.head[:0], time.Time{}
	if a.body == nil || cap(a.body) > keepBytes {
		a.body = make([]byte, headBytes, startBytes)
	}
	a.body = a.body[:headBytes]
}

// Header is the header to be sent.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader fixes the status; later calls are ignored.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// Write appends to the body.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if !a.mayHaveBody() {
		return 0, http.ErrBodyNotAllowed
	}
	a.body = append(a.body, p...)
	return len(p), nil
}

// SetWriteDeadline is for http.ResponseController. It says how long the client may take to read an answer that does not fit
// into the socket's buffer.
func (a *answer) SetWriteDeadline(until time.Time) error {
	a.until = until
	return nil
}

// SetReadDeadline is for http.ResponseController: all of the request has been read.
func (a *answer) SetReadDeadline(time.Time) error { return http.ErrNotSupported }

func (a *answer) mayHaveBody() bool {
	return a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

// writeTo sends the answer; keep says whether the client may send another request.
func (a *answer) writeTo(conn net.Conn, keep bool) error {
	a.WriteHeader(http.StatusOK)
	out := append(a.head, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(a.status), 10)
	out = append(append(append(out, ' '), http.StatusText(a.status)...), "\r\n"...)
	a.header.Del("Connection")
	if !keep {
		a.header.Set("Connection", "close")
	}
	a.header.Del("Content-Length")
	if a.mayHaveBody() {
		out = append(out, "Content-Length: "...)
		out = append(strconv.AppendInt(out, int64(len(a.body)-headBytes), 10), "\r\n"...)
	}
	if _, set := a.header["Date"]; !set {
		out = append(out, "Date: "...)
		out = append(time.Now().UTC().AppendFormat(out, http.TimeFormat), "\r\n"...)
	}
	head := appender(out)
	_ = a.header.Write(&head) // it only appends
	a.head = append(head, "\r\n"...)
	if len(a.body) > keepBytes && !a.until.IsZero() {
		if err := conn.SetWriteDeadline(a.until); err != nil {
			return err
		}
		defer func() { _ = conn.SetWriteDeadline(time.Time{}) }() // the next answer has a time of its own
	}
	if room := headBytes - len(a.head); room >= 0 {
		copy(a.body[room:], a.head)
		_, err := conn.Write(a.body[room:])
		return err
	}
	if _, err := conn.Write(a.head); err != nil {
		return err
	}
	_, err := conn.Write(a.body[headBytes:])
	return err
}

// appender is bytes to write to.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// WriteString spares http.Header a copy.
func (a *appender) WriteString(s string) (int, error) {
	*a = append(*a, s...)
	return len(s), nil
}

// answer serves a request. It reports whether the connection can go on.
func (c *conn) answer(r *http.Request) (keep bool) {
	if !c.d.begin(c) {
		return false
	}
	defer c.d.end(c)
	ctx, cancel := context.WithCancel(c.d.ctx)
	defer cancel()
	c.out.reset()
	c.watch.begin(c, cancel)
	whole := c.d.call(&c.out, r.WithContext(ctx))
	gone := c.watch.end(c)
	if !whole {
		return false
	}
	keep = c.d.goesOn(c) && !gone && c.out.header.Get("Connection") != "close"
	return c.out.writeTo(c.Conn, keep) == nil && keep
}

// call calls the handler. It reports false when it panicked: the client then sees its connection break, as with net/http.
func (d *Listener) call(w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
			d.options.Logger.Error("panic while a request was served", "remote", r.RemoteAddr, "error", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
	}()
	d.options.Handler.ServeHTTP(w, r)
	return true
}
