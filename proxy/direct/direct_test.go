package direct

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func isSearch(method, target string) bool { return strings.HasPrefix(target, "/search") }

// server is an http.Server, over a Listener of this package or not.
type server struct {
	*http.Server
	direct    *Listener // nil without
	address   string
	numDirect atomic.Int32 // requests served here
	serving   chan struct{}
}

func start(t *testing.T, isDirect bool, handler http.HandlerFunc, change ...func(*Options)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String(), serving: make(chan struct{})}
	logger := slog.New(slog.DiscardHandler)
	s.Server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(*answer); ok {
				s.numDirect.Add(1)
			}
			handler(w, r)
		}),
	}
	if isDirect {
		o := Options{Handler: s.Handler, Suits: isSearch, Header: 10 * time.Second, Idle: time.Minute, Logger: logger}
		for _, f := range change {
			f(&o)
		}
		s.direct = New(listener, o)
		s.ConnState = s.direct.ConnState
		listener = s.direct
	}
	go func() {
		defer close(s.serving)
		_ = s.Serve(listener) // until Close
	}()
	t.Cleanup(func() {
		s.Close()
		<-s.serving
	})
	return s
}

func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Add("Vary", "Accept-Encoding")
	switch r.URL.Query().Get("answer") {
	case "nothing":
		w.WriteHeader(http.StatusNoContent)
		return
	case "close":
		w.Header().Set("Connection", "close")
	case "header":
		w.Header().Set("X-Long", strings.Repeat("h", 2*headBytes))
	case "length":
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "abc")
		return
	case "long":
		io.WriteString(w, strings.Repeat("0123456789", 30_000))
	}
	fmt.Fprintf(w, "%s %s %s %q %v %v", r.Method, r.RequestURI, r.Host, body, err, r.Header)
}

// conversation sends text in pieces and returns the answers, without dates.
func conversation(t *testing.T, s *server, text string, piece int) string {
	t.Helper()
	c := s.dial(t)
	go func() {
		for rest := text; rest != ""; {
			n := min(piece, len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return // the server has heard enough
			}
			rest = rest[n:]
		}
	}()
	var told strings.Builder
	answers := bufio.NewReader(c)
	for range strings.Count(text, "HTTP/1.") - strings.Count(text, "\n\nPOST") { // those are bodies
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			fmt.Fprintf(&told, "end\n")
			break
		}
		body, err := io.ReadAll(response.Body)
		if response.Close && errors.Is(err, syscall.ECONNRESET) {
			err = nil // how the end of a connection is heard while the client still sends, if the server closes it first
		}
		response.Header.Del("Date")
		response.Header.Del("Content-Length")
		fmt.Fprintf(&told, "%d %v %v %s %v\n", response.StatusCode, response.Close, response.Header, body, err)
	}
	return told.String()
}

const (
	search = "POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
	get    = "GET /search?q=1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
	other  = "POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nother"
	bare   = "GET /other HTTP/1.1\r\nHost: h\r\n\r\n"
)

// conversations are requests as they go over a connection, and how many of them are served here when each comes in one
// piece after the answer to the one before.
var conversations = []struct {
	name      string
	requests  []string
	numDirect int32
}{
	{"a search", []string{search}, 1},
	{"searches", []string{search, get, search, get}, 4},
	{"others", []string{other, bare, other}, 0},
	{"one then the other", []string{search, other, search, bare, get, search, other, other, search}, 5},
	{"long answer headers", []string{"GET /search?answer=header HTTP/1.1\r\nHost: h\r\n\r\n", search}, 2},
	{"kinds of answers", []string{"GET /search?answer=nothing HTTP/1.1\r\nHost: h\r\n\r\n", "GET /search?answer=length HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /search?answer=long HTTP/1.1\r\nHost: h\r\n\r\n", "GET /search?answer=close HTTP/1.1\r\nHost: h\r\n\r\n"}, 4},
	{"long bodies", []string{"POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60000),
		"POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n" + strings.Repeat("x", 90000), search}, 2},
	{"chunks", []string{search, "POST /search HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", search}, 1},
	{"chunks and a length", []string{"POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", search}, 0},
	{"two lengths", []string{"POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"}, 0},
	{"no length", []string{"POST /search HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"}, 0},
	{"old", []string{"GET /search HTTP/1.0\r\nHost: h\r\n\r\n", search}, 0},
	{"close", []string{"POST /search HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", search}, 0},
	{"upgrade", []string{"GET /search HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", search}, 0},
	{"expect", []string{"POST /search HTTP/1.1\r\nHost: h\r\nExpect: nothing\r\nContent-Length: 3\r\n\r\nabc", search}, 0},
	{"no host", []string{"GET /search HTTP/1.1\r\n\r\n"}, 0},
	{"no request", []string{"GET\r\n\r\nHTTP/1.1"}, 0},
	{"no version", []string{"GET /search\r\n\r\nHTTP/1.1"}, 0},
	{"bad header", []string{"GET /search HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n"}, 0},
	{"control in a header", []string{"GET /search HTTP/1.1\r\nHost: h\r\nA: b\x01c\r\n\r\n"}, 0},
	{"folded header", []string{"GET /search HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", search}, 2},
	{"elsewhere", []string{"GET http://x/search HTTP/1.1\r\nHost: h\r\n\r\n", search}, 1},
	{"long header", []string{"GET /search HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 10_000) + "\r\n\r\n", search}, 0},
	{"method", []string{"CONNECT /search HTTP/1.1\r\nHost: h\r\n\r\n", search}, 0},
	{"line ends", []string{"GET /search HTTP/1.1\nHost: h\n\n", search}, 0},
	{"a body that looks like a request", []string{"POST /search HTTP/1.1\nHost: h\nContent-Length: 56\n\n" + search, search}, 0},
}

// TestAnswersLikeNetHTTP: whoever serves a request, the client cannot tell, however its bytes arrive.
func TestAnswersLikeNetHTTP(t *testing.T) {
	plainServer, directServer := start(t, false, echo), start(t, true, echo)
	for _, c := range conversations {
		text := strings.Join(c.requests, "")
		for _, piece := range []int{len(text), 1000, 7, 1} {
			if piece < 100 && len(text) > 20_000 {
				continue
			}
			want, got := conversation(t, plainServer, text, piece), conversation(t, directServer, text, piece)
			if want != got {
				t.Errorf("%s in pieces of %d bytes\nwant %.2000s\ngot  %.2000s", c.name, piece, want, got)
			}
		}
	}
}

// TestServesSearches: a client that waits for its answers has its searches served here, also between other requests.
func TestServesSearches(t *testing.T) {
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, true, echo)
			conn := s.dial(t)
			answers := bufio.NewReader(conn)
			for _, request := range c.requests {
				if _, err := io.WriteString(conn, request); err != nil {
					break
				}
				response, err := http.ReadResponse(answers, nil)
				if err != nil {
					break
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil || response.Close {
					break
				}
			}
			if n := s.numDirect.Load(); n != c.numDirect {
				t.Errorf("%d were served here, want %d", n, c.numDirect)
			}
		})
	}
}

// TestHangingUp: a client that does not wait for its answer ends its request.
func TestHangingUp(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	c := s.dial(t)
	if _, err := io.WriteString(c, search); err != nil {
		t.Fatal(err)
	}
	<-began
	c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNextRequestDuringALongOne: it is neither lost nor taken for a client that has gone.
func TestNextRequestDuringALongOne(t *testing.T) {
	goOn := make(chan struct{})
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			<-goOn
		}
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		echo(w, r)
	})
	c := s.dial(t)
	if _, err := io.WriteString(c, search+get); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*watchAfter, func() {
		if _, err := io.WriteString(c, get+bare); err != nil { // while the client is watched
			t.Error(err)
		}
		close(goOn)
	})
	answers := bufio.NewReader(c)
	for _, want := range []string{`POST /search h "abc"`, `GET /search?q=1 h ""`, `GET /search?q=1 h ""`, `GET /other h ""`} {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || !bytes.HasPrefix(body, []byte(want)) {
			t.Errorf("%s, %v, want %s", body, err, want)
		}
	}
}

// TestPanics: the client's connection breaks, and others go on.
func TestPanics(t *testing.T) {
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "abort":
			panic(http.ErrAbortHandler)
		case "panic":
			panic("some reason")
		}
		echo(w, r)
	})
	for _, how := range []string{"abort", "panic"} {
		c := s.dial(t)
		if _, err := io.WriteString(c, "GET /search?"+how+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("%s: %q, %v", how, got, err)
		}
	}
	if told := conversation(t, s, search, 100); !strings.HasPrefix(told, "200 ") {
		t.Error(told)
	}
}

// TestAnswersNobodyReads: a long answer is written as long as its handler allows, and the time it had is not that of the next.
func TestAnswersNobodyReads(t *testing.T) {
	began := make(chan struct{})
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			close(began)
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			_, _ = w.Write(make([]byte, 32<<20))
			return
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)); err != nil { // it is short
			t.Error(err)
		}
		echo(w, r)
	})
	c := s.dial(t)
	if _, err := io.WriteString(c, search+search+get); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(c)
	for range 2 {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	<-began
	if err := s.direct.Shutdown(t.Context()); err != nil { // waits for the answer to end
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, answers); n >= 32<<20 {
		t.Errorf("%d bytes came, %v", n, err)
	}
}

// TestShutdown: connections that wait end at once, requests that run are answered, and nothing is left behind.
func TestShutdown(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "slow" {
			close(began)
			<-goOn
		}
		echo(w, r)
	})
	idle, fresh, slow := s.dial(t), s.dial(t), s.dial(t)
	if _, err := io.WriteString(idle, search); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(slow, "GET /search?slow HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	done := make(chan error)
	go func() { done <- errors.Join(s.Server.Shutdown(t.Context()), s.direct.Shutdown(t.Context())) }()
	for _, c := range []net.Conn{idle, fresh} {
		if rest, err := io.ReadAll(c); err != nil || bytes.Contains(rest, []byte("HTTP/")) {
			t.Errorf("%s, %v", rest, err)
		}
	}
	select {
	case err := <-done:
		t.Errorf("shut down before the last answer: %v", err)
	default:
	}
	close(goOn)
	if response, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || response.StatusCode != 200 || !response.Close {
		t.Errorf("%v, %v", response, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdownCutsOff: a request that does not end in time is ended.
func TestShutdownCutsOff(t *testing.T) {
	began := make(chan struct{})
	s := start(t, true, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})
	c := s.dial(t)
	if _, err := io.WriteString(c, search); err != nil {
		t.Fatal(err)
	}
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.direct.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestSilentConnectionsEnd: a client that says nothing for long is not waited for. It may be held for silent before what it says
// has come, and then its connection is reset.
func TestSilentConnectionsEnd(t *testing.T) {
	s := start(t, true, echo, func(o *Options) { o.Header, o.Idle = 20*time.Millisecond, 2*time.Millisecond })
	for _, says := range []string{"", search, search[:len(search)-1]} {
		c := s.dial(t)
		if _, err := io.WriteString(c, says); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %q: %v", says, err)
		}
	}
}
