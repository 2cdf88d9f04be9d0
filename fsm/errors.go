package fsm

import "fmt"

// ErrorCode names why the state machine refused a command. Codes travel between pods; messages are for people.
type ErrorCode string

// The reasons a command can be refused. After any of them the state is as before the command.
const (
	CodeNotFound      ErrorCode = "not_found"      // a node, group, key, task, intent, index or replica does not exist
	CodeExists        ErrorCode = "exists"         // the id is taken, or was once
	CodeChanged       ErrorCode = "changed"        // Expect no longer holds: reload the view and try again
	CodeNoNodes       ErrorCode = "no_nodes"       // no node can hold the index
	CodeUndecided     ErrorCode = "undecided"      // the fate of a write is not known yet; its intent stays open
	CodeWrongState    ErrorCode = "wrong_state"    // the transition is not allowed from the present state
	CodeInvalid       ErrorCode = "invalid"        // the command contradicts itself
	CodeLastCopy      ErrorCode = "last_copy"      // it would leave a shard without an in-sync replica
	CodeLevel         ErrorCode = "feature_level"  // an older pod of the cluster would not understand the command
	CodeOperationBusy ErrorCode = "operation_busy" // an open write or another operation stands in the way
)

// Error is the refusal of a command by the state machine.
type Error struct {
	Code    ErrorCode
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is an *Error of the same code, so that errors.Is(err, fsm.ErrChanged) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Sentinels for errors.Is, one per code.
var (
	ErrNotFound      = &Error{CodeNotFound, "not found"}
	ErrExists        = &Error{CodeExists, "exists already"}
	ErrChanged       = &Error{CodeChanged, "the state changed meanwhile"}
	ErrNoNodes       = &Error{CodeNoNodes, "no node can hold the index"}
	ErrUndecided     = &Error{CodeUndecided, "the fate of the write is not known yet"}
	ErrWrongState    = &Error{CodeWrongState, "not possible in this state"}
	ErrInvalid       = &Error{CodeInvalid, "invalid command"}
	ErrLastCopy      = &Error{CodeLastCopy, "a shard would lose its last in-sync replica"}
	ErrOperationBusy = &Error{CodeOperationBusy, "another operation is in the way"}
)

func refuse(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
