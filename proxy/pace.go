package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"miroir/meili"
)

// A client that stops in the middle of its request, or does not take its answer, must not keep what serves it for ever. One
// that is only slow is given the time it needs: server.request_timeout_ms, and after that as long as it keeps the pace.

// minPaceBytes is what a client must at least send in a second, on the average since its body began.
const minPaceBytes = 8 << 10

// maxStrideBytes is how much of an answer is written at once: each such part must be taken in time.
const maxStrideBytes = 256 << 10

// paced bounds how long next may wait for the client. On a connection without deadlines it bounds nothing.
func paced(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		out := &pacedWriter{ResponseWriter: w, control: control, timeout: timeout}
		out.extend() // the one before may be what an earlier request on the connection left
		if r.ContentLength != 0 && r.Body != nil && control.SetReadDeadline(time.Now().Add(timeout)) == nil {
			r.Body = &pacedBody{ReadCloser: r.Body, control: control, timeout: timeout, began: time.Now()}
		}
		next.ServeHTTP(out, r)
	})
}

// pacedBody is a body that must come at a pace. When it does not, the deadline stays in the past, so that the server does
// not wait for the rest either.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	began   time.Time
	read    int64
}

func (b *pacedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case err == nil:
		err = b.control.SetReadDeadline(b.began.Add(b.timeout + time.Duration(b.read)*time.Second/minPaceBytes))
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = tooSlow(b.read, time.Since(b.began))
	}
	return n, err // at the end net/http takes the deadline away, to watch the connection while the answer is made
}

func tooSlow(read int64, after time.Duration) *meili.Error {
	problem := meili.Errorf(meili.CodeBadRequest, "The body comes too slowly: %d bytes in %s (server.request_timeout_ms).", read, after.Round(time.Millisecond))
	problem.Status = http.StatusRequestTimeout
	return problem
}

// pacedWriter gives the client a time to take each part of an answer.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// extend begins the time anew: twice the timeout, for the server may first wait for the rest of a body that nobody read. What
// cannot have a deadline has none.
func (w *pacedWriter) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(2 * w.timeout)) }

// WriteHeader begins the time for what is written when the request has been served: of a short answer all.
func (w *pacedWriter) WriteHeader(status int) {
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(p []byte) (written int, err error) {
	for first := true; err == nil && (first || len(p) > 0); first = false {
		part := p[:min(len(p), maxStrideBytes)]
		p = p[len(part):]
		w.extend()
		var n int
		n, err = w.ResponseWriter.Write(part)
		written += n
	}
	return written, err
}

// FlushError is for http.ResponseController.
func (w *pacedWriter) FlushError() error {
	w.extend()
	return w.control.Flush()
}

func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
