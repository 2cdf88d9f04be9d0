package raftnode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Network carries byte streams between pods. Streams need not be private or authenticated: the pod port does that.
type Network interface {
	// Listen opens this pod's end. address is what the other pods dial, host:port.
	Listen() (listener net.Listener, address string, err error)
	// Dial reaches the pod at an address.
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// TCP is the network between processes.
type TCP struct {
	Bind string // host:port to listen on; port 0 takes a free one
	// Advertise is what other pods dial; without a port it gets the bound one. Empty: the bound address, or the host's
	// name where that is a wildcard.
	Advertise string
	TLS       *tls.Config // nil: streams are authenticated by the cluster secret, but not private; see LoadTLS
}

// Listen listens on Bind.
func (t TCP) Listen() (net.Listener, string, error) {
	listener, err := net.Listen("tcp", t.Bind)
	if err != nil {
		return nil, "", fmt.Errorf("listen for pods on %s: %w", t.Bind, err)
	}
	address, err := t.advertised(listener.Addr().(*net.TCPAddr))
	if err != nil {
		return nil, "", errors.Join(err, listener.Close())
	}
	if t.TLS != nil {
		listener = tls.NewListener(listener, t.TLS)
	}
	return listener, address, nil
}

func (t TCP) advertised(bound *net.TCPAddr) (string, error) {
	port := fmt.Sprint(bound.Port)
	switch {
	case t.Advertise != "":
		if _, _, err := net.SplitHostPort(t.Advertise); err != nil {
			return net.JoinHostPort(t.Advertise, port), nil
		}
		return t.Advertise, nil
	case !bound.IP.IsUnspecified():
		return bound.String(), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("no address to advertise to other pods (--advertise) and no host name: %w", err)
	}
	return net.JoinHostPort(host, port), nil
}

const dialTimeout = 5 * time.Second

// Dial connects to a pod.
func (t TCP) Dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if t.TLS == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	conn, err := (&tls.Dialer{NetDialer: dialer, Config: t.TLS}).DialContext(ctx, "tcp", address)
	return conn, explainTLS(err)
}
