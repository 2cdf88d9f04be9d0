package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, ContentLength: -1, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestAnyAnswerIsAResponse(t *testing.T) {
	var seen *http.Request
	c := New("n", "http://node:7700/", "secret", roundTrip(func(r *http.Request) (*http.Response, error) {
		seen = r
		return answer(404, "gone"), nil
	}))
	response, err := c.Do(t.Context(), Request{Method: "POST", Path: "/a%2Fb", Query: map[string][]string{"x": {"1 2"}}, Body: []byte("body"), ContentType: "text/csv"})
	if err != nil || response.Status != 404 || response.OK() || string(response.Body) != "gone" {
		t.Fatalf("%+v, %v", response, err)
	}
	if seen.URL.String() != "http://node:7700/a%2Fb?x=1+2" || seen.Header.Get("Authorization") != "Bearer secret" || seen.Header.Get("Content-Type") != "text/csv" {
		t.Errorf("sent to %s with %v", seen.URL, seen.Header)
	}
	if sent, _ := io.ReadAll(seen.Body); string(sent) != "body" || seen.ContentLength != 4 {
		t.Errorf("sent %q of %d bytes", sent, seen.ContentLength)
	}
	if !c.Alive() {
		t.Error("a node that answers is alive, whatever it says")
	}
}

func TestOutcomes(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	fails := func(err error) roundTrip {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name  string
		ctx   context.Context
		rt    roundTrip
		want  Outcome
		alive bool
	}{
		{"no connection", t.Context(), fails(refused), NotSent, false},
		{"connection lost", t.Context(), fails(reset), Unknown, false},
		{"out of time", t.Context(), fails(context.DeadlineExceeded), Unknown, false},
		{"the caller gave up", canceled, fails(context.Canceled), Canceled, true},
		{"the answer breaks off", t.Context(), func(*http.Request) (*http.Response, error) {
			broken := answer(200, "")
			broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), iotestErr{reset}))
			return broken, nil
		}, Unknown, false},
		{"the answer is too large", t.Context(), func(*http.Request) (*http.Response, error) { return answer(200, strings.Repeat("x", 101)), nil }, Unknown, true},
	} {
		c := New("n", "http://node", "", test.rt)
		_, err := c.Do(test.ctx, Request{Method: "GET", Path: "/", MaxAnswerBytes: 100})
		var failed *Error
		if !errors.As(err, &failed) || failed.Outcome != test.want || OutcomeOf(err) != test.want || failed.Node != "n" {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if c.Alive() != test.alive {
			t.Errorf("%s: alive is %v", test.name, c.Alive())
		}
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

func TestOutcomesOnASocket(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			io.Copy(io.Discard, r.Body) // the server notices that the client hung up only behind the body
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	transport := NewTransport(Pool{})
	defer transport.CloseIdleConnections()
	c := New("n", server.URL, "", transport)
	if _, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, Request{Method: "POST", Path: "/hang", Body: []byte("x")}); OutcomeOf(err) != Unknown {
		t.Errorf("a request without an answer: %v", err)
	}
	if _, err := New("m", "http://127.0.0.1:1", "", transport).Do(t.Context(), Request{Method: "GET", Path: "/"}); OutcomeOf(err) != NotSent {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestSuspicionGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failure error
		c := New("n", "http://node", "", roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			if failure != nil {
				return nil, failure
			}
			return answer(200, ""), nil
		}))
		do := func() { c.Do(t.Context(), Request{Method: "GET", Path: "/"}) }
		do()
		failure = errors.New("reset")
		for _, pause := range []time.Duration{firstSuspicion, 2 * firstSuspicion, 4 * firstSuspicion} {
			do()
			time.Sleep(pause - time.Millisecond)
			if c.Alive() {
				t.Errorf("trusted before %v", pause)
			}
			time.Sleep(time.Millisecond)
			if !c.Alive() {
				t.Errorf("still suspect after %v", pause)
			}
		}
		failure = nil
		do()
		failure = errors.New("reset")
		do()
		time.Sleep(firstSuspicion)
		if !c.Alive() {
			t.Error("an answer must forgive earlier failures")
		}
		c.ReportGarbage()
		if c.Alive() {
			t.Error("garbage makes suspect")
		}
		do()
	})
}

func TestSetFollowsAddressesAndKeys(t *testing.T) {
	var authorization, host string
	set := NewSet("default", roundTrip(func(r *http.Request) (*http.Response, error) {
		authorization, host = r.Header.Get("Authorization"), r.URL.Host
		return answer(200, ""), nil
	}), nil)
	view := &fsm.View{Nodes: map[fsm.NodeID]*fsm.Node{"n": {ID: "n", Address: "http://a"}}}
	first := set.Client(view, "n")
	if first == nil || set.Client(view, "n") != first || set.Client(view, "other") != nil {
		t.Fatal("one client per known node")
	}
	first.Do(t.Context(), Request{Method: "GET", Path: "/"})
	if authorization != "Bearer default" || host != "a" {
		t.Errorf("sent to %s with %q", host, authorization)
	}
	view = &fsm.View{Nodes: map[fsm.NodeID]*fsm.Node{"n": {ID: "n", Address: "http://b", Key: "own"}}}
	set.Client(view, "n").Do(t.Context(), Request{Method: "GET", Path: "/"})
	if authorization != "Bearer own" || host != "b" {
		t.Errorf("sent to %s with %q", host, authorization)
	}
	set.Forget(&fsm.View{})
	if set.Client(view, "n") == first {
		t.Error("a forgotten node gets a new client")
	}
}
