// Package meili is Meilisearch's wire contract as data and pure functions: error codes and messages, strict decoding of
// requests, settings, search bodies, filters, tasks, keys. It does no I/O and imports nothing of ours; the coordinator and
// the embedded node share it so that validation exists once.
package meili

import "fmt"

// Error is an error body of Meilisearch. It is the same object in an HTTP answer and in the error member of a task.
// Its members are printed in Meilisearch's order.
type Error struct {
	Message string `json:"message"`
	Code    Code   `json:"code"`
	Type    string `json:"type"`
	Link    string `json:"link"`
	Status  int    `json:"-"` // HTTP status of the answer
}

// Errorf makes an error of a code, with the type, link and HTTP status the code implies.
func Errorf(code Code, format string, args ...any) *Error {
	return newError(code, fmt.Sprintf(format, args...))
}

// newError is Errorf for a finished message, which may hold percent signs.
func newError(code Code, message string) *Error {
	if code == CodeIOError {
		message += ". This error generally happens when you have no space left on device or when your database doesn't have read or write right."
	}
	return &Error{Message: message, Code: code, Type: code.Type(), Link: code.Link(), Status: code.Status()}
}

// Error is the message alone.
func (e *Error) Error() string { return e.Message }

// WithStatus is a copy of e answered with another HTTP status; the code stays.
func (e *Error) WithStatus(status int) *Error {
	clone := *e
	clone.Status = status
	return &clone
}

// WithPrefix is a copy of e whose message starts with p.
func (e *Error) WithPrefix(p string) *Error {
	clone := *e
	clone.Message = p + e.Message
	return &clone
}

// WithCode is a copy of e of another code, with that code's type, link and status.
func (e *Error) WithCode(code Code) *Error { return newError(code, e.Message) }

// IndexNotFound is the error of a request or task that names an index which does not exist.
func IndexNotFound(uid string) *Error { return Errorf(CodeIndexNotFound, "Index `%s` not found.", uid) }
