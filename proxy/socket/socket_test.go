package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a connection of this package's and the other end of it, which is package net's.
func pair(t *testing.T, wrap func(net.Conn) net.Conn) (own, other net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	accepted := make(chan net.Conn)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other = <-accepted
	t.Cleanup(func() {
		dialed.Close()
		other.Close()
	})
	return wrap(dialed), other
}

// TestLikePackageNet: whatever happens to a connection, this package says of it what package net does.
func TestLikePackageNet(t *testing.T) {
	late := func(c net.Conn) { _ = c.SetDeadline(time.Now().Add(-time.Second)) }
	read := func(c net.Conn) (int, error) { return c.Read(make([]byte, 10)) }
	write := func(c net.Conn) (int, error) { return c.Write([]byte("abc")) }
	untilFailed := func(c net.Conn) (int, error) { // the other end says that it is gone only to what it is sent
		for {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return 0, err
			}
		}
	}
	reset := func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	for name, test := range map[string]struct {
		prepare func(own, other net.Conn)
		call    func(net.Conn) (int, error)
		is      error
	}{
		"some bytes":               {func(_, other net.Conn) { other.Write([]byte("abc")) }, read, nil},
		"into nothing":             {func(_, other net.Conn) {}, func(c net.Conn) (int, error) { return c.Read(nil) }, nil},
		"nothing":                  {func(_, other net.Conn) {}, func(c net.Conn) (int, error) { return c.Write(nil) }, nil},
		"the end":                  {func(_, other net.Conn) { other.Close() }, read, io.EOF},
		"reset while reading":      {func(_, other net.Conn) { reset(other) }, read, syscall.ECONNRESET},
		"closed while reading":     {func(own, _ net.Conn) { time.AfterFunc(time.Millisecond, func() { own.Close() }) }, read, net.ErrClosed},
		"read late":                {func(own, _ net.Conn) { late(own) }, read, os.ErrDeadlineExceeded},
		"late while reading":       {func(own, _ net.Conn) { time.AfterFunc(time.Millisecond, func() { late(own) }) }, read, os.ErrDeadlineExceeded},
		"read what was closed":     {func(own, _ net.Conn) { own.Close() }, read, net.ErrClosed},
		"written":                  {func(_, other net.Conn) {}, write, nil},
		"written late":             {func(own, _ net.Conn) { late(own) }, write, os.ErrDeadlineExceeded},
		"late while writing":       {func(own, _ net.Conn) { time.AfterFunc(time.Millisecond, func() { late(own) }) }, untilFailed, os.ErrDeadlineExceeded},
		"write to what was closed": {func(own, _ net.Conn) { own.Close() }, write, net.ErrClosed},
		"write to who has gone":    {func(_, other net.Conn) { other.Close() }, untilFailed, syscall.EPIPE},
	} {
		t.Run(name, func(t *testing.T) {
			var ns [2]int
			var errs [2]error
			for i, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, New} {
				own, other := pair(t, wrap)
				test.prepare(own, other)
				ns[i], errs[i] = test.call(own)
			}
			if ns[0] != ns[1] || !errors.Is(errs[0], test.is) || !errors.Is(errs[1], test.is) {
				t.Fatalf("package net says %d, %v, this package %d, %v", ns[0], errs[0], ns[1], errs[1])
			}
			var want, got net.Error
			if errors.As(errs[0], &want) != errors.As(errs[1], &got) || want != nil && want.Timeout() != got.Timeout() {
				t.Errorf("%v and %v differ as errors of the network", errs[0], errs[1])
			}
			var op [2]*net.OpError
			if errors.As(errs[0], &op[0]) != errors.As(errs[1], &op[1]) || op[0] != nil && (op[0].Op != op[1].Op || op[0].Err.Error() != op[1].Err.Error()) {
				t.Errorf("%v and %v differ as errors of an operation", errs[0], errs[1])
			}
		})
	}
}

// TestLongTransfers: what does not fit into the socket's buffer arrives whole, in both directions at once.
func TestLongTransfers(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	own, other := pair(t, New)
	sent := make(chan error, 2)
	for _, c := range []net.Conn{own, other} {
		go func() {
			_, err := c.Write(long)
			sent <- err
		}()
	}
	received := make(chan []byte)
	for _, c := range []net.Conn{own, other} {
		go func() {
			got := make([]byte, len(long))
			if _, err := io.ReadFull(c, got); err != nil {
				t.Error(err)
			}
			received <- got
		}()
	}
	for range 2 {
		if !bytes.Equal(<-received, long) {
			t.Error("other bytes came")
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}

func TestOtherConnections(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	if New(a) != a {
		t.Error("a pipe has no socket")
	}
	a.Close()
}
