package raftnode

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	loopback "miroir/scripts/cluster"
)

// authority signs the certificates of a test's pods.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of its certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, path: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, a.key = a.sign(1, time.Now().Add(time.Hour), true)
	a.write(a.path, "CERTIFICATE", a.cert.Raw)
	return a
}

// sign makes a certificate; the first signs itself.
func (a *authority) sign(serial int64, until time.Time, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pods"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IsCA: isCA, BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) write(path, kind string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes a certificate and its key into a directory.
func (a *authority) issue(dir string, serial int64, until time.Time) (cert, key string) {
	a.t.Helper()
	certificate, private := a.sign(serial, until, false)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.write(cert, "CERTIFICATE", certificate.Raw)
	a.write(key, "PRIVATE KEY", der)
	return cert, key
}

// config is what a pod with a certificate of a shows to others, and trusts of them.
func (a *authority) config(trusted *authority) *tls.Config {
	a.t.Helper()
	cert, key := a.issue(a.t.TempDir(), 2, time.Now().Add(time.Hour))
	config, err := LoadTLS(cert, key, trusted.path)
	if err != nil {
		a.t.Fatal(err)
	}
	return config
}

// loggedPort is a port on loopback, and what it logs.
func loggedPort(t *testing.T, config *tls.Config) (*port, func() string) {
	t.Helper()
	var mu sync.Mutex
	var lines strings.Builder
	p, err := openPort(TCP{Bind: "127.0.0.1:0", TLS: config}, "secret", slog.New(slog.NewTextHandler(lockedWriter{&mu, &lines}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, func() string {
		mu.Lock()
		defer mu.Unlock()
		return lines.String()
	}
}

// TestPodsTrustOneAuthority: who has no certificate of the cluster's authority is refused by either side, which says so in its
// log, whatever secret it knows.
func TestPodsTrustOneAuthority(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	late, lateKey := ours.issue(t.TempDir(), 3, time.Now().Add(-time.Hour))
	expired, err := LoadTLS(late, lateKey, ours.path)
	if err != nil {
		t.Fatal(err)
	}
	bare := &tls.Config{InsecureSkipVerify: true}
	good := ours.config(ours)
	for name, test := range map[string]struct {
		dialer, listener *tls.Config
		says, logs       string // the dialer's error, the listener's log; "" for no refusal
	}{
		"certificates of one authority":        {good, ours.config(ours), "", ""},
		"no TLS on either side":                {nil, nil, "", ""},
		"the dialer's authority is unknown":    {theirs.config(ours), good, "remote error|the other pod says", "unknown authority"},
		"the listener's authority is unknown":  {good, theirs.config(ours), "unknown authority", "the other pod says"},
		"another authority altogether":         {theirs.config(theirs), good, "unknown authority", "the other pod says"},
		"the dialer has no certificate":        {bare, good, "the other pod says", "certificate"},
		"the dialer's certificate has expired": {expired, good, "the other pod says", "expired"},
		"the dialer speaks no TLS":             {nil, good, "", "speaks no TLS"},
		"the listener speaks no TLS":           {good, nil, "", "this one has not"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, listenerLog := loggedPort(t, test.listener)
			dialer, dialerLog := loggedPort(t, test.dialer)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			conn, err := dialer.dial(ctx, listener.address, streamHTTP)
			if test.says == "" && test.logs == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := listener.kinds[streamHTTP].Accept(); err != nil {
					t.Fatal(err)
				}
				conn.Close()
				return
			}
			if err == nil {
				t.Fatal("the stream was admitted")
			}
			says := strings.Split(test.says, "|")
			if last := says[len(says)-1]; last != "" && (!strings.Contains(err.Error(), last) || !errors.Is(err, ErrTLS) || !strings.Contains(dialerLog(), last)) {
				t.Errorf("the dialer says %v and logs %s", err, dialerLog())
			}
			until(t, "the listener's log to say "+test.logs, func() bool { return strings.Contains(listenerLog(), test.logs) })
			if !strings.Contains(listenerLog(), "raft.tls.cert_file") {
				t.Errorf("the listener does not say what to do: %s", listenerLog())
			}
		})
	}
}

func TestBadTLSFiles(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue(t.TempDir(), 2, time.Now().Add(time.Hour))
	_, otherKey := a.issue(t.TempDir(), 3, time.Now().Add(time.Hour))
	for names, files := range map[string][3]string{
		"raft.tls.cert_file: stat":                           {"/no/such", key, a.path},
		"raft.tls.key_file: stat":                            {cert, "/no/such", a.path},
		"raft.tls.ca_file: stat":                             {cert, key, "/no/such"},
		"raft.tls.key_file: tls: private key does not":       {cert, otherKey, a.path},
		"raft.tls.ca_file: " + key + " holds no certificate": {cert, key, key},
	} {
		if _, err := LoadTLS(files[0], files[1], files[2]); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%v, want an error with %q", err, names)
		}
	}
}

// TestTLSFilesAreReadAgain: a certificate is replaced while pods run, and so is the authority.
func TestTLSFilesAreReadAgain(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	cert, key := a.issue(dir, 2, time.Now().Add(time.Hour))
	renewed, err := LoadTLS(cert, key, a.path)
	if err != nil {
		t.Fatal(err)
	}
	listener, _ := loggedPort(t, renewed)
	shown := func(config *tls.Config) int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", listener.address, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := shown(a.config(a)); got != 2 {
		t.Fatalf("certificate %d", got)
	}
	future := time.Now().Add(time.Minute)
	replace := func(paths ...string) {
		t.Helper()
		for _, path := range paths {
			if err := os.Chtimes(path, future, future); err != nil {
				t.Fatal(err)
			}
		}
		future = future.Add(time.Minute)
	}
	if err := os.WriteFile(cert, []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	replace(cert)
	if got := shown(a.config(a)); got != 2 {
		t.Errorf("certificate %d while the files are being replaced", got)
	}
	a.issue(dir, 5, time.Now().Add(time.Hour))
	replace(cert, key)
	if got := shown(a.config(a)); got != 5 {
		t.Errorf("certificate %d after it was replaced", got)
	}
}

// TestPodsTalkOverTLS: pods of one authority found a cluster; one with another authority's certificate does not get in.
func TestPodsTalkOverTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	port, err := loopback.HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Release(); err != nil {
			t.Error(err)
		}
	})
	first := port.Address()
	open := func(id, bind string, config *tls.Config, expect int) *Node {
		return mustOpen(t, Options{DataDir: t.TempDir(), NodeID: id, Network: TCP{Bind: bind, TLS: config}, ClusterSecret: "secret", Join: []string{first}, BootstrapExpect: expect})
	}
	a := open("a", first, ours.config(ours), 2)
	b := open("b", "127.0.0.1:0", ours.config(ours), 2)
	until(t, "both pods to be in one cluster", func() bool { return a.settled() && b.settled() })
	stranger := open("c", "127.0.0.1:0", theirs.config(theirs), 0)
	c := open("d", "127.0.0.1:0", ours.config(ours), 0)
	until(t, "a third pod to join", c.settled)
	if pods := a.Pods(); len(pods) != 3 || stranger.LeaderID() != "" {
		t.Errorf("members %v; the stranger knows the leader %q", pods, stranger.LeaderID())
	}
}
