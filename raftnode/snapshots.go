package raftnode

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// newSnapshots keeps snapshots as files.
func newSnapshots(dir string, _ *fsm.FSM, logger hclog.Logger) (raft.SnapshotStore, error) {
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, 1, logger)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot directory: %w", err)
	}
	return store, nil
}
