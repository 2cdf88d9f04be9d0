package raftnode

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"miroir/fsm"
)

// keyTerm is where Raft keeps its current term.
var keyTerm = []byte("CurrentTerm")

// Restore makes a stopped pod's data directory hold what a backup holds, with this pod as the only member of the cluster.
// Other pods join it with empty directories. A backup that is damaged, cut off or of a newer version leaves the directory
// as it was, except for a log that had been there: it goes only after the state has been read.
func Restore(dataDir, id string, backup io.Reader) (err error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	state, err := fsm.Open(filepath.Join(dataDir, stateFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if err := state.Restore(io.NopCloser(backup)); err != nil {
		return err
	}
	_, term, err := state.ReplaceMembers(raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id), Address: unknownAddress}}}, 0, 0)
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, logFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log, err := raftboltdb.NewBoltStore(path)
	if err != nil {
		return err
	}
	return errors.Join(log.SetUint64(keyTerm, term), log.Set(keyNodeID, []byte(id)), log.Close())
}

// unknownAddress stands for the address of a pod that is its cluster's only member; it notes the true one when it leads.
const unknownAddress = "unknown:0"

// Recovered is what Recover found.
type Recovered struct {
	ID    string // of the pod
	Index uint64 // of the state; the pod with the highest one has the most
}

// Recover makes the pod whose data directory this is a member of a new set of pods, empty for itself alone, when the
// majority of the old one is lost for good. What is in its log counts as agreed upon. The other pods of the new set start
// with empty directories; those of the old set must not come back with theirs.
func Recover(dataDir string, peers []raft.Server) (r Recovered, err error) {
	path := filepath.Join(dataDir, logFile)
	if _, err := os.Stat(path); err != nil {
		return r, fmt.Errorf("no pod has been here: %w", err)
	}
	state, err := fsm.Open(filepath.Join(dataDir, stateFile))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	log, err := raftboltdb.New(raftboltdb.Options{Path: path})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	id, err := getStable(log, keyNodeID)
	if err != nil {
		return r, err
	}
	r.ID = string(id)
	if len(peers) == 0 {
		peers = []raft.Server{{ID: raft.ServerID(id), Address: unknownAddress}}
	}
	if !slices.ContainsFunc(peers, func(s raft.Server) bool { return string(s.ID) == r.ID }) {
		return r, fmt.Errorf("the data directory is that of pod %q, which is not among the new pods", r.ID)
	}
	err = recoverAs(&r, state, log, raft.Configuration{Servers: peers})
	return r, err
}

// recoverAs applies the rest of the log, makes the state stand for all of it, and empties it.
func recoverAs(r *Recovered, state *fsm.FSM, log *raftboltdb.BoltStore, members raft.Configuration) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil {
		return err
	}
	var entry raft.Log
	for index := max(first, state.View().AppliedIndex+1); index <= last && first > 0; index++ {
		entry = raft.Log{}
		if err := log.GetLog(index, &entry); err != nil {
			return fmt.Errorf("read entry %d of the log: %w", index, err)
		}
		state.Apply(&entry)
	}
	if r.Index, _, err = state.ReplaceMembers(members, entry.Index, entry.Term); err != nil {
		return err
	}
	if first == 0 {
		return nil
	}
	return log.DeleteRange(first, last)
}
