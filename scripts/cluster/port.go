package cluster

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// Port is a TCP port of 127.0.0.1, kept for a program that will listen there: as long as it is held, the kernel gives it
// neither to whoever asks for any free port nor to an outgoing connection, and a program that asks for it by number gets it.
// So it is the program's own also while that is not running yet, or not running again. Only Linux lets a program listen
// where another socket is bound; elsewhere the port is merely one that was free a moment ago.
type Port struct {
	Number int
	socket int // bound and never listening; -1 once released
}

// HoldPort takes a free port.
func HoldPort() (_ *Port, err error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	syscall.CloseOnExec(socket)
	p := &Port{socket: socket}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Release())
		}
	}()
	// Both sockets must have this option to share the port; those of Go and Rust programs that listen do.
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	address, ok := bound.(*syscall.SockaddrInet4)
	if !ok {
		return nil, fmt.Errorf("a port of %T", bound)
	}
	p.Number = address.Port
	if runtime.GOOS != "linux" {
		return p, p.Release()
	}
	return p, nil
}

// Address is host:port.
func (p *Port) Address() string { return fmt.Sprintf("127.0.0.1:%d", p.Number) }

// Release gives the port back.
func (p *Port) Release() error {
	if p.socket < 0 {
		return nil
	}
	socket := p.socket
	p.socket = -1
	return os.NewSyscallError("close", syscall.Close(socket))
}
