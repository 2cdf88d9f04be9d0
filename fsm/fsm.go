// Package fsm is the replicated state of Miroir: typed commands, their deterministic application to a bbolt file,
// and the immutable View that requests are routed by.
//
// It has no clock, no randomness and no network: everything that varies arrives inside a command. Agreement on the
// order of commands is left to raftnode; JSON of settings, details and errors is opaque here.
package fsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
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

// FSM is the replicated state machine over one bbolt file. It implements raft.BatchingFSM and raft.ConfigurationStore.
// Reads are safe for concurrent use; ApplyBatch and Restore are called by one goroutine at a time.
type FSM struct {
	path  string
	level int // that this program knows
	view  atomic.Pointer[View]
	// published is closed and replaced each time a view is.
	published atomic.Pointer[chan struct{}]

	patiently  func(write func() error) error // see Patiently
	onFinished func(status string, count int) // see OnFinished

	mu     sync.RWMutex // guards db (Restore and Compact replace it) and closed
	db     *bbolt.DB
	closed bool
}

var (
	_ raft.BatchingFSM        = (*FSM)(nil)
	_ raft.ConfigurationStore = (*FSM)(nil)
)

// Open opens the state in the file at path and creates it if it is missing. The view is complete when it returns.
func Open(path string) (*FSM, error) { return OpenAt(path, Level) }

// OpenAt is Open as a program of another feature level, for tests of mixed versions.
func OpenAt(path string, level int) (*FSM, error) {
	f := &FSM{path: path, level: level, patiently: func(write func() error) error { return write() }, onFinished: func(string, int) {}}
	f.published.Store(newSignal())
	for _, suffix := range []string{receivedSuffix, snapshotSuffix, compactedSuffix} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the rest of an interrupted restore: %w", err)
		}
	}
	if err := f.reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

// reopen opens f.path; called by Open, or with mu held.
func (f *FSM) reopen() error {
	db, err := openFile(f.path)
	if err != nil {
		return err
	}
	var view *View
	err = db.View(func(tx *bbolt.Tx) (err error) {
		view, err = loadView(tx)
		return err
	})
	if err == nil {
		err = checkLevel(view, f.level)
	}
	if err != nil {
		db.Close()
		return fmt.Errorf("read state file %s: %w", f.path, err)
	}
	f.db = db
	f.publish(view)
	return nil
}

// Close closes the file. It may be called twice. The last view stays readable.
func (f *FSM) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	return f.db.Close()
}

// Patiently has what Raft wants written be written by run, which may try it again: what fails has changed nothing. An error that
// run returns stops the process. Call it before the first entry is applied.
func (f *FSM) Patiently(run func(write func() error) error) { f.patiently = run }

// OnFinished has report called with how many tasks have ended how, after each batch of entries in which some did. Call it before
// the first entry is applied.
func (f *FSM) OnFinished(report func(status string, count int)) { f.onFinished = report }

// SizeBytes is how large the state's file is, 0 once it is closed.
func (f *FSM) SizeBytes() (size int64) {
	_ = f.read(func(tx *bbolt.Tx) error { // a closed file
		size = tx.Size()
		return nil
	})
	return size
}

// View returns the latest published view. It never blocks and is never nil.
func (f *FSM) View() *View { return f.view.Load() }

// Apply applies one log entry; see ApplyBatch.
func (f *FSM) Apply(entry *raft.Log) any { return f.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies committed log entries in one synced transaction and publishes the view after it. answers[i] is the
// typed result or the *Error of logs[i]; nil for entries applied before and for configurations.
// It panics when an entry cannot be understood or the file cannot be written: going on would diverge.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	var answers []any
	must(f.patiently(func() (err error) {
		answers, err = f.applyBatch(logs)
		return err
	}))
	return answers
}

// applyBatch changes nothing when it fails, and may be called again then.
func (f *FSM) applyBatch(logs []*raft.Log) ([]any, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	tx, err := f.db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // after Commit it does nothing
	t := newTxn(tx, f.View())
	answers := make([]any, len(logs))
	var last appliedRow
	for i, entry := range logs {
		if entry.Index <= t.view.AppliedIndex {
			continue
		}
		last = appliedRow{Index: entry.Index, Term: entry.Term}
		switch entry.Type {
		case raft.LogCommand:
			answers[i] = t.run(entry.Index, mustDecode(entry))
		case raft.LogConfiguration:
			t.put(bucketMeta, rowRaftConfig, raftConfigRow{entry.Index, raft.DecodeConfiguration(entry.Data)})
		}
	}
	if last.Index == 0 {
		return answers, nil
	}
	t.flush(last)
	must(checkLevel(&t.view, f.level))
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	f.publish(&t.view)
	for status, count := range t.finished {
		f.onFinished(status, count)
	}
	return answers, nil
}

func mustDecode(entry *raft.Log) Command {
	cmd, err := Decode(entry.Data)
	if err != nil {
		panic(fmt.Sprintf("fsm: log entry %d cannot be applied, stopping rather than diverging; "+
			"is another pod running a newer version? %v", entry.Index, err))
	}
	return cmd
}

// publish makes v what View returns and wakes the reads that wait for it.
func (f *FSM) publish(v *View) {
	f.view.Store(v)
	close(*f.published.Swap(newSignal()))
}

// WaitApplied returns once the published view is at index or later, or with ctx's error.
func (f *FSM) WaitApplied(ctx context.Context, index uint64) error {
	for {
		signal := *f.published.Load()
		if f.View().AppliedIndex >= index {
			return nil
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newSignal() *chan struct{} {
	signal := make(chan struct{})
	return &signal
}

// read runs fn in a consistent read transaction, and returns when the view is as new as what fn saw. bbolt shows a
// commit to readers while it is still being synced: without the wait a client could be told of a task's success by this
// pod and not find its effect in the view, or be told of something that a power cut then takes back.
func (f *FSM) read(fn func(tx *bbolt.Tx) error) error {
	var seen appliedRow
	f.mu.RLock()
	defer f.mu.RUnlock()
	err := f.db.View(func(tx *bbolt.Tx) error {
		if err := getRow(tx, rowApplied, &seen); err != nil {
			return err
		}
		return fn(tx)
	})
	for {
		signal := *f.published.Load()
		if f.View().AppliedIndex >= seen.Index {
			return err
		}
		<-signal
	}
}
