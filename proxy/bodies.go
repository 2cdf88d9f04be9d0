package proxy

import (
	"bytes"
	"io"
	"sync/atomic"

	"miroir/meili"
)

// bodyRoom bounds what bodies that are read as a whole hold in memory together, beyond the first server.body_memory_bytes of
// each: those are bounded by the number of requests.
type bodyRoom struct {
	each int64 // what a body may hold without asking, and takes at a time
	size int64 // of all
	used atomic.Int64
}

// bodyRoomBytes is the room if no single body may be larger.
const bodyRoomBytes = 200 << 20

func newBodyRoom(each, largest int64) *bodyRoom {
	return &bodyRoom{each: each, size: max(bodyRoomBytes, largest)}
}

// take reports whether there was room for as much again.
func (b *bodyRoom) take() bool {
	if b.used.Add(b.each) > b.size {
		b.used.Add(-b.each)
		return false
	}
	return true
}

// readBody returns the whole body of a JSON request, at most the limit that the middleware set. A body that finds no room is
// refused rather than waited for: two that wait for each other would wait for ever.
func (r *request) readBody() ([]byte, error) {
	var body bytes.Buffer
	for {
		n, err := body.ReadFrom(io.LimitReader(r.Request.Body, r.room.each))
		if err != nil || n < r.room.each {
			return body.Bytes(), asJSON(err)
		}
		if !r.room.take() {
			return nil, miroirError(codeOverloaded, "The bodies of the requests being served fill the memory that is set aside for them. Retry later.")
		}
		r.held += r.room.each
	}
}

// forgetBody gives back the room that the body had.
func (r *request) forgetBody() {
	r.room.used.Add(-r.held)
	r.held = 0
}

// readJSON is readBody for routes that demand a JSON content type.
func (r *request) readJSON() ([]byte, error) {
	if err := meili.CheckJSONContentType(r.Header); err != nil {
		return nil, err
	}
	return r.readBody()
}
