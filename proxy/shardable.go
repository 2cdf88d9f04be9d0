package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// The nodes of an index that lives whole need not be able to filter it by shard: the tables for that cost them time and room.
// Whoever is about to ask for some of its shards has them made first.

// FiltersShards reports whether a node can filter an index by shard, and has nothing left to do that could end it. While the
// writes of the index are held, it stays so.
func (s *Server) FiltersShards(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (bool, error) {
	check, err := s.settledSettings(ctx, index, id)
	return err == nil && check.FiltersShards, ignoreMove(err)
}

// MakeShardsFilterable sees to it that a node can filter an index by shard, and reports whether it can. If not, the node has been
// told, or cannot be told yet: ask again.
func (s *Server) MakeShardsFilterable(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (bool, error) {
	check, err := s.settledSettings(ctx, index, id)
	if err != nil || check.FiltersShards || check.Missing() {
		return err == nil && check.FiltersShards, ignoreMove(err)
	}
	err = s.putRight(ctx, index, id, check, func(ix *fsm.Index) ([]json.RawMessage, error) {
		if tasks.SettingsPending(ix, nil) {
			return nil, tasks.ErrSettingsMove
		}
		state, err := meili.LoadSettings(ix.NextSettings)
		if err != nil {
			return nil, err
		}
		change := &meili.Settings{FilterableAttributes: meili.SetTo(state.FilterableAttributes.Value)}
		return []json.RawMessage{settingsForSpread(change, state)}, nil
	})
	return false, ignoreMove(err)
}

// settledSettings are a node's settings of an index once no change of them is open or left to the node. Error:
// tasks.ErrSettingsMove.
func (s *Server) settledSettings(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (*tasks.SettingsCheck, error) {
	view := s.cluster.View()
	ix, client := view.Indexes[index], s.nodes.Client(view, id)
	if ix == nil || client == nil || tasks.SettingsPending(ix, nil) {
		return nil, tasks.ErrSettingsMove
	}
	asking, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	busy, err := client.HasOpenSettings(asking, ix.NodeUID)
	if err != nil {
		return nil, err
	}
	if busy {
		return nil, tasks.ErrSettingsMove
	}
	return s.CheckSettings(ctx, index, id)
}

func ignoreMove(err error) error {
	if errors.Is(err, tasks.ErrSettingsMove) {
		return nil
	}
	return err
}

// shardablePause is the pause between two looks at a node that is to make shards filterable.
const shardablePause = 100 * time.Millisecond

// awaitShardsFilterable returns once a node can filter an index by shard.
func (s *Server) awaitShardsFilterable(ctx context.Context, index fsm.IndexID, id fsm.NodeID) error {
	for {
		if ready, err := s.MakeShardsFilterable(ctx, index, id); ready || err != nil {
			return err
		}
		if !sleep(ctx, shardablePause) {
			return context.Cause(ctx)
		}
	}
}
