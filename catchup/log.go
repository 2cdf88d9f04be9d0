package catchup

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
)

// Log is what one node missed of one index, in the order of the index's writes. One goroutine appends and one replays;
// they may be different ones.
type Log struct {
	store  *Store
	key    Key
	base   int64
	open   []uint32
	opened time.Time

	mu       sync.Mutex
	file     *os.File // nil once dropped
	size     int64    // of complete entries
	reserved int64    // guarded by store.mu
	position int64    // of the first entry that is not replayed
	covered  map[fsm.ReplicaRef]uint64
	early    []uint32 // client tasks that had not ended when the node was given their entries
}

// Entry is one missed sub-write.
type Entry struct {
	Write   fsm.WriteID
	TaskUID uint32
	BeganAt time.Time
	Steps   []Step
	end     int64
}

// Step is one request of a sub-write. A marked one carries the write id.
type Step struct {
	Request node.Request
	Marked  bool
}

// header is an entry as the file has it, before the bodies of its steps.
type header struct {
	Write   fsm.WriteID  `json:"write"`
	TaskUID uint32       `json:"taskUid"`
	BeganAt time.Time    `json:"beganAt"`
	Steps   []stepHeader `json:"steps"`
}

type stepHeader struct {
	Method      string     `json:"method"`
	Path        string     `json:"path"`
	Query       url.Values `json:"query,omitempty"`
	ContentType string     `json:"contentType,omitempty"`
	BodyBytes   int64      `json:"bodyBytes"`
	Marked      bool       `json:"marked,omitempty"`
}

// ErrDropped says that a log is not kept any more.
var ErrDropped = errors.New("the catch-up log is gone")

var errTooOld = errors.New("the catch-up log is too old (placement.catch_up_log_max_age_s)")

func (l *Log) tooOld(limits fsm.CatchUp) bool {
	return limits.MaxAgeS > 0 && l.store.now().Sub(l.opened) > time.Duration(limits.MaxAgeS)*time.Second
}

// Base is the highest task uid that the node had when the log began.
func (l *Log) Base() int64 { return l.base }

// Open are the client tasks that had not ended when the log began. The node may have its share of them before it.
func (l *Log) Open() []uint32 { return l.open }

// Drop forgets the log.
func (l *Log) Drop(reason string) { l.store.Drop(l.key, reason) }

// Append adds an entry, its bodies streamed. After an error the log is dropped.
func (l *Log) Append(e Entry) error {
	err := l.append(e)
	if err != nil {
		l.Drop(err.Error())
	}
	return err
}

func (l *Log) append(e Entry) error {
	head := header{Write: e.Write, TaskUID: e.TaskUID, BeganAt: e.BeganAt}
	bodies := int64(0)
	for _, step := range e.Steps {
		r := step.Request
		size := int64(len(r.Body))
		if r.GetBody != nil {
			size = r.BodyBytes
		}
		if size < 0 {
			return fmt.Errorf("the length of the body of %s %s is not known", r.Method, r.Path)
		}
		bodies += size
		head.Steps = append(head.Steps, stepHeader{r.Method, r.Path, r.Query, r.ContentType, size, step.Marked})
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if err := l.store.reserve(l, 4+int64(len(text))+bodies); err != nil {
		return err
	}
	l.mu.Lock()
	file, at := l.file, l.size
	l.mu.Unlock()
	if file == nil {
		return ErrDropped
	}
	out := io.NewOffsetWriter(file, at)
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	if _, err := out.Write(append(frame, text...)); err != nil {
		return fmt.Errorf("keep a missed write: %w", err)
	}
	for i, step := range e.Steps {
		if err := writeBody(out, step.Request, head.Steps[i].BodyBytes); err != nil {
			return fmt.Errorf("keep a missed write: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size = at + 4 + int64(len(text)) + bodies
	return nil
}

func writeBody(out io.Writer, r node.Request, size int64) error {
	if r.GetBody == nil {
		_, err := out.Write(r.Body)
		return err
	}
	body, err := r.GetBody()
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(body, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("the body has %d bytes and not %d", n, size)
	}
	return errors.Join(err, body.Close())
}

// Next is the first entry that is not replayed, nil when there is none. Its bodies may be read until the log is dropped.
func (l *Log) Next() (*Entry, error) {
	l.mu.Lock()
	file, at, size := l.file, l.position, l.size
	l.mu.Unlock()
	switch {
	case file == nil:
		return nil, ErrDropped
	case l.tooOld(l.store.limits()):
		return nil, errTooOld
	case at >= size:
		return nil, nil
	}
	var length [4]byte
	if _, err := file.ReadAt(length[:], at); err != nil {
		return nil, fmt.Errorf("read a missed write: %w", err)
	}
	text := make([]byte, binary.LittleEndian.Uint32(length[:]))
	if _, err := file.ReadAt(text, at+4); err != nil {
		return nil, fmt.Errorf("read a missed write: %w", err)
	}
	var head header
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("read a missed write: %w", err)
	}
	e := &Entry{Write: head.Write, TaskUID: head.TaskUID, BeganAt: head.BeganAt, end: at + 4 + int64(len(text))}
	for _, s := range head.Steps {
		e.Steps = append(e.Steps, Step{Marked: s.Marked, Request: s.request(file, e.end)})
		e.end += s.BodyBytes
	}
	return e, nil
}

func (s stepHeader) request(file io.ReaderAt, at int64) node.Request {
	r := node.Request{Method: s.Method, Path: s.Path, Query: s.Query, ContentType: s.ContentType}
	if s.BodyBytes > 0 {
		r.BodyBytes = s.BodyBytes
		r.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(file, at, s.BodyBytes)), nil
		}
	} else if s.ContentType != "" {
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(nil)), nil }
	}
	return r
}

// Done says that the node has an entry or is not to have it, so that Next goes on behind it. sent tells whether it was sent for
// that, early that the node has it while its task has not ended.
func (l *Log) Done(e *Entry, sent, early bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = e.end
	if sent {
		l.store.replayed.Inc()
	}
	if early {
		l.early = append(l.early, e.TaskUID)
	}
}

// Early are the client tasks that had not ended when the node was given their entries.
func (l *Log) Early() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.early)
}

// Pending is how many bytes are not replayed.
func (l *Log) Pending() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size - l.position
}

// Cover notes that a replica became stale for want of what is in the log, under an epoch.
func (l *Log) Cover(ref fsm.ReplicaRef, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.covered[ref] = epoch
}

// Covers reports that the log has all that a replica misses, which has been stale since epoch.
func (l *Log) Covers(ref fsm.ReplicaRef, epoch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, covered := l.covered[ref]
	return covered && at == epoch && l.file != nil
}

func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // nobody wants what it holds
		l.file = nil
	}
}
