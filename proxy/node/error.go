package node

import (
	"context"
	"errors"
	"fmt"
	"net"

	"miroir/fsm"
)

// Outcome says what is known about a request that got no answer.
type Outcome uint8

const (
	// NotSent: no byte of the request reached the node (no connection). Sending it again is safe, even a write.
	NotSent Outcome = iota + 1
	// Unknown: the request was on its way and no complete answer came back. A write may have happened.
	Unknown
	// Canceled: the caller gave up; it says nothing about the node. A write may have happened.
	Canceled
)

// String names the outcome for logs.
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "not sent"
	case Unknown:
		return "unknown"
	case Canceled:
		return "canceled"
	}
	return "answered"
}

// Error is a request that got no complete answer. An HTTP answer of any status is no Error.
type Error struct {
	Node    fsm.NodeID
	Outcome Outcome
	Err     error
}

// Error names the node, what is known and the cause.
func (e *Error) Error() string { return fmt.Sprintf("node %s (%s): %v", e.Node, e.Outcome, e.Err) }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeOf is the outcome that err carries, 0 when err is no *Error.
func OutcomeOf(err error) Outcome {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Outcome
	}
	return 0
}

// ErrKeyRefused is the cause when a node answers 401 or 403.
var ErrKeyRefused = errors.New("the node does not accept the key that Miroir sends: give its master key, or a key with all rights " +
	"(node_master_key, or the key the node was added with)")

// ErrBodyTooLarge is the cause of an Error whose answer passed Request.MaxAnswerBytes.
var ErrBodyTooLarge = errors.New("the answer is larger than allowed")

// outcomeOf classifies a failed round trip. dialed says whether a connection was obtained, traced whether the transport
// reports such things at all (injected ones may not).
func outcomeOf(ctx context.Context, err error, dialed, traced bool) Outcome {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Canceled
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return NotSent
	}
	if traced && !dialed {
		return NotSent
	}
	return Unknown
}
