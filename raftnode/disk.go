package raftnode

import (
	"errors"
	"log/slog"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A full disk is no reason to die: space comes back. Entries of the log that cannot be written are refused by raft itself, and a
// leader steps down. What raft cannot do without, its term and vote, and what was committed, waits here until it can be
// written; the pod answers reads by its last view meanwhile, marked like those of any pod without a leader.

// diskPause is how long what cannot be written waits before it is tried again.
const diskPause = 500 * time.Millisecond

// disk waits for space.
type disk struct {
	ended chan struct{} // closed before Raft is shut down
	log   *slog.Logger
}

// patiently calls write until it fails for another reason than a full disk, or not at all. When Raft is shut down it ends the
// goroutine: whoever called could not go on without what was to be written.
func (d *disk) patiently(what string, write func() error) error {
	for tries := 0; ; tries++ {
		err := write()
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		if tries%20 == 0 {
			d.log.Error("the data directory is full: waiting for space", "what", what, "error", err)
		}
		timer := time.NewTimer(diskPause)
		select {
		case <-timer.C:
		case <-d.ended:
			timer.Stop()
			runtime.Goexit()
		}
	}
}

// patientStable is the stable store of raft, which panics when it cannot write.
type patientStable struct {
	raft.StableStore
	disk *disk
}

// Set waits for space.
func (s patientStable) Set(key, value []byte) error {
	return s.disk.patiently("the vote", func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 waits for space.
func (s patientStable) SetUint64(key []byte, value uint64) error {
	return s.disk.patiently("the term", func() error { return s.StableStore.SetUint64(key, value) })
}
