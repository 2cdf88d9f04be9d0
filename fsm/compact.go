package fsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// compactedSuffix is that of the path of the state file while Compact writes a copy.
const compactedSuffix = ".compacted"

// compactTxBytes bounds what one transaction of the copy holds in memory.
const compactTxBytes = 1 << 20

// ErrBusy says that the state file is being streamed to another pod.
var ErrBusy = errors.New("the state is being read by another pod")

// Compact replaces the state file by a copy without free pages and returns its size before and after, in bytes. Commands
// and reads of tasks wait meanwhile. After an error the file is the old one. Error: ErrBusy, those of the disk.
func (f *FSM) Compact() (before, after int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, 0, errors.New("compact state: closed")
	}
	if f.db.Stats().OpenTxN > 0 {
		return 0, 0, ErrBusy // and closing it would wait for that
	}
	copied := f.path + compactedSuffix
	defer os.Remove(copied)
	if before, err = fileBytes(f.path); err == nil {
		err = f.copyTo(copied)
	}
	if err == nil {
		after, err = fileBytes(copied)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("compact state: %w", err)
	}
	return before, after, f.replaceBy(copied)
}

func (f *FSM) copyTo(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = bbolt.Compact(db, f.db, compactTxBytes)
	return errors.Join(err, db.Sync(), db.Close())
}

// replaceBy makes another file the state. Call with mu held.
func (f *FSM) replaceBy(path string) error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close the old file: %w", err)
	}
	err := os.Rename(path, f.path)
	if err == nil {
		err = syncDir(filepath.Dir(f.path))
	}
	return errors.Join(err, f.reopen())
}

func fileBytes(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
