package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rawServer serves connections by hand: serve is called with each, in its own goroutine, and closes it by returning.
func rawServer(t *testing.T, serve func(n int, c net.Conn, requests *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// answerOne reads a request and answers it; false at the connection's end.
func answerOne(c net.Conn, requests *bufio.Reader, answer string) bool {
	r, err := http.ReadRequest(requests)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, err = io.WriteString(c, answer)
	return err == nil
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func read(ctx context.Context, c *Client) (string, error) {
	response, err := c.Do(ctx, Request{Method: "POST", Path: "/search", Body: []byte(`{}`), Read: true})
	if err != nil {
		return "", err
	}
	return string(response.Body), nil
}

func TestReadsShareOneConnection(t *testing.T) {
	var connections atomic.Int32
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		connections.Add(1)
		for answerOne(c, requests, "HTTP/1.1 103 Early Hints\r\n\r\n"+okAnswer) {
		}
	})
	c := New("n", url, "", NewTransport(Pool{}))
	for range 5 {
		if body, err := read(t.Context(), c); body != "ok" || err != nil {
			t.Fatalf("%q, %v", body, err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A node that was restarted has closed what was idle: reads do not fail for that, whatever their number.
func TestReadsOutliveTheirConnections(t *testing.T) {
	closed := make(chan struct{}, 9)
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		answerOne(c, requests, okAnswer)
		c.Close()
		closed <- struct{}{}
	})
	c := New("n", url, "", NewTransport(Pool{}))
	for range 3 {
		if body, err := read(t.Context(), c); body != "ok" || err != nil {
			t.Fatalf("%q, %v", body, err)
		}
		<-closed
	}
}

// An answer that was cut off is an error on a new connection, and does not spoil the next read.
func TestReadsThatAreCutOff(t *testing.T) {
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		if n == 0 {
			answerOne(c, requests, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
			return
		}
		answerOne(c, requests, okAnswer)
	})
	c := New("n", url, "", NewTransport(Pool{}))
	if _, err := read(t.Context(), c); OutcomeOf(err) != Unknown {
		t.Errorf("outcome %v of %v", OutcomeOf(err), err)
	}
	if body, err := read(t.Context(), c); body != "ok" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestReadsEndWithTheirContext(t *testing.T) {
	asked := make(chan struct{}, 2)
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		if _, err := http.ReadRequest(requests); err == nil {
			asked <- struct{}{}
			_, _ = io.Copy(io.Discard, requests) // until the client hangs up
		}
	})
	transport := NewTransport(Pool{MaxTotal: 1})
	c := New("n", url, "", transport)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := read(ctx, c); OutcomeOf(err) != Canceled {
		t.Errorf("outcome %v of %v", OutcomeOf(err), err)
	}
	deadline, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := read(deadline, c); OutcomeOf(err) != Unknown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("outcome %v of %v: the slot of the read before was not given back, or the deadline was not kept", OutcomeOf(err), err)
	}
}

// All connections to a node may be in use; who waits for one does so until its context ends.
func TestReadsWaitForAConnection(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		if _, err := http.ReadRequest(requests); err == nil {
			asked <- struct{}{}
			<-goOn
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	c := New("n", url, "", NewTransport(Pool{MaxTotal: 1}))
	first := make(chan error)
	go func() {
		_, err := read(t.Context(), c)
		first <- err
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := read(ctx, c); OutcomeOf(err) != NotSent {
		t.Errorf("outcome %v of %v", OutcomeOf(err), err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		answerOne(c, requests, "HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("a", maxHeaderBytes)+"\r\n\r\n")
	})
	if _, err := read(t.Context(), New("n", url, "", NewTransport(Pool{}))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v", err)
	}
}

// A write must not be sent twice, so it does not go where a dead connection is noticed by using it.
func TestWritesAreNotForDirect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(server.Close)
	transport := NewTransport(Pool{})
	c := New("n", server.URL, "", transport)
	if _, err := c.Do(t.Context(), Request{Method: "POST", Path: "/documents", Body: []byte(`[]`)}); err != nil {
		t.Fatal(err)
	}
	if len(transport.hosts) != 0 {
		t.Error("a write took a connection for reads")
	}
	if _, err := read(t.Context(), c); err != nil || len(transport.hosts) != 1 {
		t.Errorf("a read did not: %v", err)
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	url := rawServer(t, func(n int, c net.Conn, requests *bufio.Reader) {
		for answerOne(c, requests, okAnswer) {
		}
	})
	transport := NewTransport(Pool{MaxIdle: 2})
	c := New("n", url, "", transport)
	numIdle := func() int {
		transport.mu.Lock()
		defer transport.mu.Unlock()
		return len(transport.hosts[strings.TrimPrefix(url, "http://")].idle)
	}
	done := make(chan error)
	for range 8 {
		go func() {
			_, err := read(t.Context(), c)
			done <- err
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := numIdle(); n < 1 || n > 2 {
		t.Errorf("%d idle connections", n)
	}
	transport.pool.IdleTimeout = 0 // all have been idle for too long
	if _, err := read(t.Context(), c); err != nil || numIdle() != 1 {
		t.Errorf("%d idle connections, %v", numIdle(), err)
	}
	transport.CloseIdleConnections()
	if numIdle() != 0 {
		t.Error("idle connections are open")
	}
}
