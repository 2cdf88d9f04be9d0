package raftnode

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// ErrTLS says that two pods do not trust each other's certificates.
var ErrTLS = errors.New("pods need certificates of one authority (raft.tls.cert_file, key_file and ca_file on all of them)")

// recordTLS is the first byte of whoever begins to speak TLS.
const recordTLS = 0x16

// explainTLS makes an ErrTLS of what crypto/tls says about certificates of either side.
func explainTLS(err error) error {
	var remote *net.OpError
	var plain tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil || errors.Is(err, ErrTLS):
		return err
	case errors.As(err, &plain):
		return fmt.Errorf("%w: the other pod speaks no TLS", ErrTLS)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return fmt.Errorf("%w: the other pod says %q", ErrTLS, remote.Err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return err
}

// tlsFiles are what pods show each other: a certificate with its key, and the authority that both ends must be signed by.
// They are read again when they have changed. The authority is the cluster's own, so names in certificates are not
// compared: addresses of pods change.
type tlsFiles struct {
	cert, key, ca string

	mu        sync.Mutex
	changed   [3]time.Time // guarded by mu: when the files were last written
	shown     *tls.Certificate
	authority *x509.CertPool
}

// LoadTLS reads the files for a TCP network. An error names the key of the configuration that the file belongs to.
func LoadTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	files := &tlsFiles{cert: certFile, key: keyFile, ca: caFile}
	if _, _, err := files.read(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequestClientCert, // verified below, as the server's is
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate, _, err := files.read()
			return certificate, err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, _, err := files.read()
			return certificate, err
		},
		InsecureSkipVerify: true, // of the name alone: the chain is verified below
		VerifyConnection: func(state tls.ConnectionState) error {
			_, authority, err := files.read()
			if err != nil {
				return err
			}
			return verifyChain(state.PeerCertificates, authority)
		},
	}, nil
}

// read returns the files' contents as of now. Files that are being replaced, so that they do not fit together, leave what was
// read before in force.
func (f *tlsFiles) read() (*tls.Certificate, *x509.CertPool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.times()
	if err == nil && (f.shown == nil || changed != f.changed) {
		var certificate tls.Certificate
		var authority *x509.CertPool
		if certificate, authority, err = f.load(); err == nil {
			f.changed, f.shown, f.authority = changed, &certificate, authority
		}
	}
	if f.shown != nil {
		return f.shown, f.authority, nil
	}
	return nil, nil, err
}

// times are when the files were last written.
func (f *tlsFiles) times() (changed [3]time.Time, err error) {
	for i, path := range []string{f.cert, f.key, f.ca} {
		info, err := os.Stat(path)
		if err != nil {
			return changed, fmt.Errorf("raft.tls.%s: %w", []string{"cert_file", "key_file", "ca_file"}[i], err)
		}
		changed[i] = info.ModTime()
	}
	return changed, nil
}

func (f *tlsFiles) load() (tls.Certificate, *x509.CertPool, error) {
	certificate, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return certificate, nil, fmt.Errorf("raft.tls.cert_file, raft.tls.key_file: %w", err)
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return certificate, nil, fmt.Errorf("raft.tls.ca_file: %w", err)
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		return certificate, nil, fmt.Errorf("raft.tls.ca_file: %s holds no certificate", f.ca)
	}
	return certificate, authority, nil
}

func verifyChain(chain []*x509.Certificate, authority *x509.CertPool) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: the other pod shows none", ErrTLS)
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: authority, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return nil
}
