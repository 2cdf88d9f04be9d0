package fsm

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// The state file is synced with every batch, so it is its own snapshot: what Raft takes as a local snapshot is only the
// note that the log up to an index is not needed. Bytes move when a pod that is too far behind asks the leader for all:
// then a consistent read transaction of the file is streamed, and the receiver swaps its file for it.
// hashicorp/vault's bolt snapshot store works the same way.

// snapshotID names the one snapshot a pod has: its present state.
const snapshotID = "state"

// Suffixes of the path of the state file for one that is being received.
const (
	receivedSuffix = ".received" // while Restore reads a stream
	snapshotSuffix = ".snapshot" // while Raft receives one from the leader
)

// raftConfigRow is the latest Raft configuration and its log index.
type raftConfigRow struct {
	Index         uint64             `json:"index"`
	Configuration raft.Configuration `json:"configuration"`
}

// Snapshot returns a snapshot without contents; see SnapshotStore.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return emptySnapshot{}, nil }

type emptySnapshot struct{}

func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (emptySnapshot) Release()                             {}

// StoreConfiguration notes a committed Raft configuration, which a snapshot must carry.
func (f *FSM) StoreConfiguration(index uint64, configuration raft.Configuration) {
	must(f.patiently(func() error {
		return f.write(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketMeta).Put(rowRaftConfig, marshal(raftConfigRow{index, configuration}))
		})
	}))
}

// write runs fn in a synced transaction that changes nothing of the view.
func (f *FSM) write(fn func(tx *bbolt.Tx) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.db.Update(fn)
}

// Restore replaces the state by a stream made by another pod; the caller closes it. A stream that breaks off or is no
// state file leaves the old state as it was.
func (f *FSM) Restore(source io.ReadCloser) error {
	received := f.path + receivedSuffix
	defer os.Remove(received)
	if err := f.receive(received, source); err != nil {
		return fmt.Errorf("receive state: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.New("restore state: closed")
	}
	if err := f.replaceBy(received); err != nil {
		return fmt.Errorf("restore state: %w", err)
	}
	return nil
}

// receive writes a stream to a file, syncs it and checks that it is whole and can be read.
func (f *FSM) receive(path string, source io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, source)
	if err = errors.Join(err, unseal(file)); err != nil {
		return err
	}
	db, err := openFile(path)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		view, err := loadView(tx)
		if err != nil {
			return err
		}
		return checkLevel(view, f.level)
	})
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// SnapshotStore is the raft.SnapshotStore of f. Raft must run with NoSnapshotRestoreOnStart.
func (f *FSM) SnapshotStore() raft.SnapshotStore { return &snapshotStore{fsm: f} }

type snapshotStore struct {
	fsm *FSM
}

// List returns the present state as the only snapshot, or nothing before the first entry.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	var meta *raft.SnapshotMeta
	err := s.fsm.read(func(tx *bbolt.Tx) (err error) {
		meta, err = snapshotMeta(tx)
		return err
	})
	if err != nil || meta.Index == 0 {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, nil
}

func snapshotMeta(tx *bbolt.Tx) (*raft.SnapshotMeta, error) {
	var applied, covered appliedRow
	var config raftConfigRow
	err := errors.Join(getRow(tx, rowApplied, &applied), getRow(tx, rowCovered, &covered), getRow(tx, rowRaftConfig, &config))
	if covered.Index > applied.Index {
		applied = covered
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: snapshotID, Index: applied.Index, Term: applied.Term,
		Configuration: config.Configuration, ConfigurationIndex: config.Index, Size: tx.Size() + sealBytes,
	}, err
}

// Open streams the state, or what Create has received. The state's transaction lasts until the reader is closed, and then a
// received file is deleted.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if id != snapshotID {
		return s.openReceived(id)
	}
	s.fsm.mu.RLock()
	defer s.fsm.mu.RUnlock()
	tx, err := s.fsm.db.Begin(false)
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	meta, err := snapshotMeta(tx)
	if err != nil {
		return nil, nil, errors.Join(err, tx.Rollback())
	}
	return meta, newSealedStream(tx, tx.Rollback), nil
}

// Create begins a snapshot: a note for a local one, a file once bytes arrive from the leader.
func (s *snapshotStore) Create(_ raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &snapshotSink{
		store:   s,
		covered: appliedRow{index, term},
		config:  raftConfigRow{configurationIndex, configuration},
	}, nil
}

// receivedPath is where a snapshot of the leader waits until it is restored. There is one at a time; a rest of an earlier
// process is overwritten.
func (s *snapshotStore) receivedPath() string { return s.fsm.path + snapshotSuffix }

func (s *snapshotStore) openReceived(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	db, err := bbolt.Open(s.receivedPath(), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	var meta *raft.SnapshotMeta
	err = db.View(func(tx *bbolt.Tx) (err error) {
		meta, err = snapshotMeta(tx)
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	file, err := os.Open(s.receivedPath())
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
	}
	return meta, newSealedStream(file, func() error { return errors.Join(file.Close(), os.Remove(file.Name())) }), nil
}

// snapshotSink takes a snapshot. Without a byte written it is a local one.
type snapshotSink struct {
	store   *snapshotStore
	covered appliedRow
	config  raftConfigRow
	file    *os.File
	closed  bool
}

// ID returns what Open takes.
func (s *snapshotSink) ID() string {
	if s.file == nil {
		return snapshotID
	}
	return fmt.Sprintf("received-%d-%d", s.covered.Term, s.covered.Index)
}

// Write takes bytes of the leader's state file.
func (s *snapshotSink) Write(p []byte) (int, error) {
	if s.file == nil {
		file, err := os.OpenFile(s.store.receivedPath(), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
		if err != nil {
			return 0, err
		}
		s.file = file
	}
	return s.file.Write(p)
}

// Close completes the snapshot. A local one only records how far the log is covered: entries after the last command that
// carry nothing for the state.
func (s *snapshotSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.file != nil {
		if err := unseal(s.file); err != nil {
			return errors.Join(err, os.Remove(s.file.Name()))
		}
		return s.stamp()
	}
	return s.store.fsm.write(s.cover)
}

// stamp puts the index, term and configuration that Raft knows the snapshot by into the received file.
func (s *snapshotSink) stamp() error {
	db, err := openFile(s.store.receivedPath())
	if err != nil {
		return err
	}
	return errors.Join(db.Update(s.cover), db.Close())
}

// cover notes how far the file is a snapshot and under which configuration.
func (s *snapshotSink) cover(tx *bbolt.Tx) error {
	var config raftConfigRow
	if err := getRow(tx, rowRaftConfig, &config); err != nil {
		return err
	}
	meta := tx.Bucket(bucketMeta)
	if err := meta.Put(rowCovered, marshal(s.covered)); err != nil {
		return err
	}
	if s.config.Index > config.Index {
		return meta.Put(rowRaftConfig, marshal(s.config))
	}
	return nil
}

// Cancel drops the snapshot.
func (s *snapshotSink) Cancel() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
