package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the test, or with MIROIR_TEST_SERVER a server at that address.
func TestMain(m *testing.M) {
	if address := os.Getenv("MIROIR_TEST_SERVER"); address != "" {
		fmt.Println(http.ListenAndServe(address, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func hold(t *testing.T) *Port {
	t.Helper()
	port, err := HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Release(); err != nil {
			t.Error(err)
		}
	})
	return port
}

// TestAHeldPort: nobody answers there, nobody gets it by chance, and who asks for it by number does.
func TestAHeldPort(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are held on Linux only")
	}
	port := hold(t)
	if _, err := net.Dial("tcp", port.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port that is held answers: %v", err)
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // as of a program that does not mean to share
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(socket)
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Port: port.Number, Addr: [4]byte{127, 0, 0, 1}}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the kernel gives it away: %v", err)
	}
	for range 2 { // also after a restart
		listener, err := net.Listen("tcp", port.Address())
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", port.Address())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		listener.Close()
	}
}

// server starts this program as a server; listen, if any, is where it listens instead of at its port.
func server(t *testing.T, listen string) *Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port := hold(t)
	if listen == "" {
		listen = port.Address()
	}
	p := &Process{URL: "http://" + port.Address(), Dir: t.TempDir(), Program: self, Env: []string{"MIROIR_TEST_SERVER=" + listen}}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestAProcessKeepsItsPort, also when it is killed and started again.
func TestAProcessKeepsItsPort(t *testing.T) {
	p := server(t, "")
	for range 2 {
		if err := p.AwaitOK(t.Context(), p.URL); err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAProcessThatEnds is not waited for, and the error shows why it did.
func TestAProcessThatEnds(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := server(t, taken.Addr().String())
	if err := p.AwaitOK(t.Context(), p.URL); err == nil || !strings.Contains(err.Error(), "the process ended") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}
