package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener is a port that is reached by dial only, so that deadlines run on virtual time.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.accepted <- theirs
	return ours
}

// servePipe serves a handler until the test ends. Call it in a synctest bubble.
func servePipe(t *testing.T, handler http.Handler) *pipeListener {
	l := &pipeListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, IdleTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return l
}

const postHead = "POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: %d\r\n\r\n"

// readAll is a handler that answers how much it could read.
var readAll = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, asError(err))
		return
	}
	fmt.Fprintf(w, "%d bytes", len(body))
})

// answerOf reads an answer.
func answerOf(t *testing.T, c net.Conn) (status int, body string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestBodyThatStopsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servePipe(t, paced(30*time.Second, readAll)).dial()
		defer c.Close()
		began := time.Now()
		fmt.Fprintf(c, postHead+"only this", 1000)
		status, body := answerOf(t, c)
		if took := time.Since(began); status != http.StatusRequestTimeout || took < 30*time.Second || took > 31*time.Second || !strings.Contains(body, "server.request_timeout_ms") {
			t.Errorf("status %d after %s: %s", status, took, body)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is still there: %v", err)
		}
	})
}

// TestBodyThatTricklesIsGivenUp: a byte now and then does not keep a request alive.
func TestBodyThatTricklesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servePipe(t, paced(30*time.Second, readAll)).dial()
		defer c.Close()
		began := time.Now()
		var sending sync.WaitGroup
		sending.Go(func() {
			fmt.Fprintf(c, postHead, 1000)
			for _, err := c.Write([]byte("x")); err == nil; _, err = c.Write([]byte("x")) {
				<-time.After(time.Second)
			}
		})
		if status, body := answerOf(t, c); status != http.StatusRequestTimeout || time.Since(began) > 31*time.Second {
			t.Errorf("status %d after %s: %s", status, time.Since(began), body)
		}
		c.Close()
		sending.Wait()
	})
}

func TestSlowBodyIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servePipe(t, paced(30*time.Second, readAll)).dial()
		defer c.Close()
		for request := range 2 { // the second on the same connection, after a pause
			began := time.Now()
			go func() {
				fmt.Fprintf(c, postHead, 120*10_000)
				for range 120 {
					c.Write(make([]byte, 10_000))
					<-time.After(time.Second)
				}
			}()
			if status, body := answerOf(t, c); status != http.StatusOK || body != "1200000 bytes" {
				t.Errorf("request %d: status %d after %s: %s", request, status, time.Since(began), body)
			}
			<-time.After(50 * time.Second)
		}
	})
}

// TestLongAnswerAfterItsBody: the deadline of the body ends with it.
func TestLongAnswerAfterItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servePipe(t, paced(30*time.Second, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			select {
			case <-time.After(10 * time.Minute):
				io.WriteString(w, "done")
			case <-r.Context().Done():
				w.WriteHeader(http.StatusTeapot)
			}
		}))).dial()
		defer c.Close()
		fmt.Fprintf(c, postHead+"whole", len("whole"))
		if status, body := answerOf(t, c); status != http.StatusOK || body != "done" {
			t.Errorf("status %d: %s", status, body)
		}
	})
}

// TestUnreadBodyHoldsNothing: an answer that comes before the body was read does not wait for it for ever.
func TestUnreadBodyHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := make(chan struct{})
		c := servePipe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			paced(30*time.Second, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				writeError(w, miroirError(codeInvalidAuth, "no key"))
			})).ServeHTTP(w, r)
			close(served)
		})).dial()
		defer c.Close()
		fmt.Fprintf(c, postHead, 1000)
		if status, _ := answerOf(t, c); status != http.StatusUnauthorized {
			t.Errorf("status %d", status)
		}
		<-served
		began := time.Now()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(began) > 31*time.Second {
			t.Errorf("the connection ended after %s: %v", time.Since(began), err)
		}
	})
}

func TestAnswerThatIsNotTakenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		c := servePipe(t, paced(30*time.Second, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 10<<20))
			failed <- err
		}))).dial()
		defer c.Close()
		began := time.Now()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: pod\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil { // it takes a part, and no more
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 61*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestSlowReaderGetsAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servePipe(t, paced(30*time.Second, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Write(make([]byte, 2<<20))
		}))).dial()
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")
		total := 0
		for part := make([]byte, 64<<10); ; <-time.After(3 * time.Second) {
			n, err := io.ReadFull(c, part)
			if total += n; err != nil {
				break
			}
		}
		if total < 2<<20 {
			t.Errorf("%d bytes", total)
		}
	})
}

// TestRequestsWaitInABoundedQueue: as many as may are served, some wait for as long as a request may, the others are sent
// away at once; probes pass.
func TestRequestsWaitInABoundedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: Options{MaxRequests: 2, MaxQueued: 3}.withDefaults()}
		s.limit = newLimiter(s.opts.MaxRequests, s.opts.MaxQueued, s.opts.RequestTimeout)
		hold := make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-hold
			w.WriteHeader(http.StatusOK)
		})
		began := time.Now()
		type answer struct {
			status int
			after  time.Duration
			retry  string
		}
		answers := make(chan answer, 10)
		ask := func(path string, next http.Handler) {
			go func() {
				w := httptest.NewRecorder()
				s.limited(w, httptest.NewRequest("GET", path, nil), next)
				answers <- answer{w.Code, time.Since(began), w.Header().Get("Retry-After")}
			}()
			synctest.Wait()
		}
		for range 7 {
			ask("/indexes", handler)
		}
		for range 2 { // two serve, three wait
			if got := <-answers; got.status != http.StatusServiceUnavailable || got.after != 0 || got.retry == "" {
				t.Errorf("beyond the queue: %+v", got)
			}
		}
		for _, probe := range []string{"/health", "/_miroir/ready"} {
			ask(probe, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			if got := <-answers; got.status != http.StatusOK {
				t.Errorf("%s: %+v", probe, got)
			}
		}
		for range 3 {
			if got := <-answers; got.status != http.StatusServiceUnavailable || got.after != 30*time.Second || got.retry == "" {
				t.Errorf("in the queue: %+v", got)
			}
		}
		close(hold)
		for range 2 {
			if got := <-answers; got.status != http.StatusOK {
				t.Errorf("served: %+v", got)
			}
		}
		ask("/indexes", handler)
		if got := <-answers; got.status != http.StatusOK {
			t.Errorf("afterwards: %+v", got)
		}
	})
}
