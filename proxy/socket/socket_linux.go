package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// New reads and writes c as c does itself, with less to do for the runtime. One goroutine may read and one may write at a time.
func New(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c // it is closed
	}
	s := &conn{TCPConn: tcp, raw: raw}
	s.reading.do = func(fd uintptr) bool { return s.reading.try(syscall.SYS_READ, fd) }
	s.writing.do = func(fd uintptr) bool { return s.writing.try(syscall.SYS_WRITE, fd) }
	return s
}

type conn struct {
	*net.TCPConn
	raw              syscall.RawConn
	reading, writing transfer
}

// transfer is one call of Read, or what is left of one of Write.
type transfer struct {
	bytes []byte
	n     int
	errno syscall.Errno
	do    func(fd uintptr) bool // made once, for both are called often
}

// try reports false when fd has to be waited for. A socket in Go does not block, so that the call returns at once.
func (t *transfer) try(call, fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.bytes))), uintptr(len(t.bytes)))
		if errno == syscall.EINTR {
			continue
		}
		t.n, t.errno = int(n), errno
		return errno != syscall.EAGAIN
	}
}

// order is touched before each write and after each read, so that the race detector sees what they order, as in package net.
var order atomic.Uint32

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.reading
	t.bytes = p
	err := c.raw.Read(t.do)
	t.bytes = nil
	switch {
	case err != nil:
		return 0, c.failed("read", err)
	case t.errno != 0:
		return 0, c.failed("read", os.NewSyscallError("read", t.errno))
	case t.n == 0:
		return 0, io.EOF
	}
	order.Add(1)
	return t.n, nil
}

func (c *conn) Write(p []byte) (written int, err error) {
	t := &c.writing
	order.Add(1)
	for written < len(p) {
		t.bytes = p[written:]
		err = c.raw.Write(t.do)
		t.bytes = nil
		switch {
		case err != nil:
			return written, c.failed("write", err)
		case t.errno != 0:
			return written, c.failed("write", os.NewSyscallError("write", t.errno))
		}
		written += t.n
	}
	return written, nil
}

// failed is the error that package net has for it.
func (c *conn) failed(operation string, err error) error {
	var waited *net.OpError
	if errors.As(err, &waited) { // of the RawConn
		err = waited.Err
	}
	return &net.OpError{Op: operation, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
