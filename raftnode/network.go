package raftnode

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	return (&tls.Dialer{NetDialer: dialer, Config: t.TLS}).DialContext(ctx, "tcp", address)
}

// LoadTLS reads what pods show each other: a certificate, and the authority that both ends must be signed by. That
// authority is the cluster's own, so names in certificates are not compared: addresses of pods change.
func LoadTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("raft.tls: %w", err)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("raft.tls.ca_file: %w", err)
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("raft.tls.ca_file: %s holds no certificate", caFile)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority,
		InsecureSkipVerify: true, // of the name alone: the chain is verified below
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, authority)
		},
	}, nil
}

func verifyChain(chain []*x509.Certificate, authority *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the other pod shows no certificate")
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: authority, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
