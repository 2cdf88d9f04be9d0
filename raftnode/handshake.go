package raftnode

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A stream between pods begins with proof that both ends know the cluster secret, before any other byte:
//
//	dialer   → hello: mark, kind, nonce
//	listener → nonce
//	dialer   → HMAC-SHA256(secret, "dialer", kind, both nonces)
//	listener → HMAC-SHA256(secret, "listener", kind, both nonces), or zeros if the dialer's proof was wrong
//
// The dialer proves itself first: who merely connects learns nothing a guess of the secret could be tried on.

// streamKind says what a stream carries; it is the byte the port tells streams apart by.
type streamKind byte

const (
	streamRaft streamKind = 'R'
	streamHTTP streamKind = 'H'
)

const (
	helloMark        = "miroir\x01"
	nonceBytes       = 32
	handshakeTimeout = 5 * time.Second
)

// ErrSecret says that the pod at the other end has another cluster secret.
var ErrSecret = errors.New("the other pod has another cluster secret (raft.cluster_secret must be the same on all pods)")

// greet proves itself to the pod that was dialed, and has it prove itself.
func greet(conn net.Conn, kind streamKind, secret string) error {
	return timed(conn, func() error {
		mine := newNonce()
		if _, err := conn.Write(append(append([]byte(helloMark), byte(kind)), mine...)); err != nil {
			return err
		}
		theirs := make([]byte, nonceBytes)
		if _, err := io.ReadFull(conn, theirs); err != nil {
			return err
		}
		if _, err := conn.Write(proof(secret, "dialer", kind, mine, theirs)); err != nil {
			return err
		}
		answer := make([]byte, sha256.Size)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if !hmac.Equal(answer, proof(secret, "listener", kind, mine, theirs)) {
			return ErrSecret
		}
		return nil
	})
}

// receive is the listener's side of greet.
func receive(conn net.Conn, secret string) (kind streamKind, err error) {
	return kind, timed(conn, func() error {
		hello := make([]byte, len(helloMark)+1+nonceBytes)
		if _, err := io.ReadFull(conn, hello); err != nil {
			return err
		}
		if hello[0] == recordTLS {
			return fmt.Errorf("%w: the other pod has them and this one has not", ErrTLS)
		}
		if string(hello[:len(helloMark)]) != helloMark {
			return errors.New("not a pod of this version: the stream does not begin as one")
		}
		kind = streamKind(hello[len(helloMark)])
		theirs, mine := hello[len(helloMark)+1:], newNonce()
		if _, err := conn.Write(mine); err != nil {
			return err
		}
		answer := make([]byte, sha256.Size)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return err
		}
		if !hmac.Equal(answer, proof(secret, "dialer", kind, theirs, mine)) {
			_, err := conn.Write(make([]byte, sha256.Size))
			return errors.Join(ErrSecret, err)
		}
		_, err := conn.Write(proof(secret, "listener", kind, theirs, mine))
		return err
	})
}

// timed runs a handshake with a deadline, which is taken away after it.
func timed(conn net.Conn, handshake func() error) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if err := handshake(); err != nil {
		return fmt.Errorf("pod handshake: %w", err)
	}
	return conn.SetDeadline(time.Time{})
}

func newNonce() []byte {
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails
	return nonce
}

func proof(secret, role string, kind streamKind, dialer, listener []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(role))
	mac.Write([]byte{byte(kind)})
	mac.Write(dialer)
	mac.Write(listener)
	return mac.Sum(nil)
}
