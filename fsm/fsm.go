// Package fsm is the replicated state of Miroir: typed commands, their deterministic application to a bbolt file,
// and the immutable View that requests are routed by.
//
// It has no clock, no randomness and no network: everything that varies arrives inside a command. Agreement on the
// order of commands is left to raftnode; JSON of settings, details and errors is opaque here.
package fsm

import (
	"context"
	"fmt"
)

// Command is one change of the replicated state. Commands are plain values; only types of this package implement it.
type Command interface {
	apply(t *txn) (any, error)
}

// TypedCommand is a Command that says which result type its application returns.
type TypedCommand[R any] interface {
	Command
	// Result returns the zero value of what Apply answers for this command.
	Result() R
}

// Applier commits a command and returns the result of applying it: raftnode.Node, or a test double.
type Applier interface {
	Apply(ctx context.Context, cmd Command) (any, error)
}

// Do commits cmd and returns its typed result. Errors of the state machine are *Error, others are the Applier's.
func Do[R any](ctx context.Context, a Applier, cmd TypedCommand[R]) (R, error) {
	var zero R
	answer, err := a.Apply(ctx, cmd)
	if err != nil {
		return zero, err
	}
	result, ok := answer.(R)
	if !ok {
		return zero, fmt.Errorf("apply %T: answer is %T, want %T", cmd, answer, zero)
	}
	return result, nil
}
