package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// JoinReplicas makes an index ready on a node, with the primary key and settings that the next write will find, and
// commits changes of its replicas there. Both happen at one point in the order of the index's writes: what comes later
// reaches the node after it. It returns the uid of the node's last task for it.
func (s *Server) JoinReplicas(ctx context.Context, index fsm.IndexID, to fsm.NodeID, changes []fsm.ReplicaChange) (int64, error) {
	view := s.cluster.View()
	ix, client := view.Indexes[index], s.nodes.Client(view, to)
	if ix == nil || client == nil {
		return 0, errNoRoute
	}
	found, err := s.lookAtIndex(ctx, client, ix.NodeUID)
	if err != nil {
		return 0, err
	}
	sub, err := s.join(ctx, index, to, client, found, changes)
	if err != nil {
		return 0, err
	}
	done := <-sub.answer
	if done.ack.Err != "" {
		return 0, fmt.Errorf("prepare index %s on node %s: %s", ix.NodeUID, to, done.ack.Err)
	}
	return done.ack.NodeTaskUID, nil
}

// join hands the requests to the node's lane and commits the changes, with the index locked.
func (s *Server) join(ctx context.Context, index fsm.IndexID, to fsm.NodeID, client *node.Client, found *foundIndex, changes []fsm.ReplicaChange) (*subWrite, error) {
	unlock, err := s.lockIndex(ctx, index)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ix := s.cluster.View().Indexes[index]
	requests, err := found.prepare(ix, to)
	if errors.Is(err, errForeignKey) {
		err = s.leaveForeignKey(ctx, ix, to)
	}
	if err != nil {
		return nil, err
	}
	sub := &subWrite{
		target: fsm.Target{Node: to}, client: client, began: s.opts.Now(), index: ix.NodeUID,
		steps: stepsOf(requests), answer: make(chan delivery, 1),
	}
	s.writer.lanes.enqueue(index, sub)
	if len(changes) > 0 {
		if _, err = fsm.Do(ctx, s.cluster, fsm.MarkReplicas{Now: s.opts.Now(), Changes: changes}); err != nil {
			return sub, err
		}
		// The next write goes to the node too. A pod that did not know could count its documents twice.
		err = s.WaitEverywhere(ctx, s.cluster.View().AppliedIndex)
	}
	return sub, err
}

// leaveForeignKey takes all of an index on a node out of sync that has another primary key there, as after a first write that
// this node did and the cluster did not. The next try then finds nothing that is read there and makes the node's index anew.
// It returns errForeignKey, also when that cannot be done: because the key is about to change, because the node may be the only
// one that has an open write, or because some shard is in sync nowhere else.
func (s *Server) leaveForeignKey(ctx context.Context, ix *fsm.Index, to fsm.NodeID) error {
	if ix.PrimaryKey != ix.NextPrimaryKey {
		return errForeignKey
	}
	intents, err := s.cluster.Tasks().OpenIntents()
	if err != nil || slices.ContainsFunc(intents, func(in *fsm.Intent) bool { return in.Index == ix.ID }) {
		return errors.Join(errForeignKey, err)
	}
	mark := fsm.MarkReplicas{Now: s.opts.Now()}
	for group, slots := range ix.Placement {
		for shard, replicas := range slots {
			for _, r := range replicas {
				if r.Node == to && r.State == fsm.Active {
					ref := fsm.ReplicaRef{Index: ix.ID, Group: group, Shard: fsm.ShardID(shard), Node: to}
					mark.Changes = append(mark.Changes, fsm.ReplicaChange{ReplicaRef: ref, From: fsm.Active, To: fsm.Stale})
				}
			}
		}
	}
	if _, err := fsm.Do(ctx, s.cluster, mark); err != nil {
		return fmt.Errorf("%w: %w", errForeignKey, err)
	}
	s.log.Warn("replicas are stale: their node's index has another primary key", "index", ix.UID, "node_id", to, "replicas", len(mark.Changes))
	return errors.Join(errForeignKey, s.WaitEverywhere(ctx, s.cluster.View().AppliedIndex))
}

// WaitEverywhere returns once no pod reads by a picture older than the Raft index.
func (s *Server) WaitEverywhere(ctx context.Context, index uint64) error {
	if s.peers != nil {
		return s.peers.WaitEverywhere(ctx, index)
	}
	return nil
}

// foundIndex is what a node has of an index. settings is nil when it has none.
type foundIndex struct {
	primaryKey string
	settings   map[string]json.RawMessage
}

func (s *Server) lookAtIndex(ctx context.Context, client *node.Client, nodeUID string) (*foundIndex, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	var index struct{ PrimaryKey string }
	found := &foundIndex{}
	missing, err := getJSON(ctx, client, indexPath(nodeUID), &index)
	if err != nil || missing {
		return found, err
	}
	found.primaryKey = index.PrimaryKey
	_, err = getJSON(ctx, client, indexPath(nodeUID)+"/settings", &found.settings)
	return found, err
}

// getJSON asks a node; missing reports that it does not have the index.
func getJSON(ctx context.Context, client *node.Client, path string, into any) (missing bool, err error) {
	response, err := client.Do(ctx, node.Request{Method: http.MethodGet, Path: path, Read: true})
	switch {
	case err != nil:
		return false, err
	case response.Status == http.StatusNotFound:
		return true, nil
	case !response.OK():
		return false, refusalOf(response)
	}
	return false, json.Unmarshal(response.Body, into)
}

var errForeignKey = errors.New("the node's index has another primary key, while some of its shards are in sync")

// prepare are the requests that make the node's index what the state says, from what was found there.
func (found *foundIndex) prepare(ix *fsm.Index, to fsm.NodeID) ([]node.Request, error) {
	var requests []node.Request
	present := found.settings
	if present != nil && found.primaryKey != "" && found.primaryKey != ix.NextPrimaryKey && !keyStands(ix, to) {
		if hasInSync(ix, to) {
			return nil, errForeignKey
		}
		requests, present = tasks.Request{Delete: true}.NodeRequests(ix.NodeUID, false), nil
	}
	if present == nil {
		requests = append(requests, tasks.Request{Create: createIndex(ix.NextPrimaryKey, !ix.Whole())}.NodeRequests(ix.NodeUID, true)...)
	} else if found.primaryKey == "" && ix.NextPrimaryKey != "" {
		requests = append(requests, tasks.Request{PrimaryKey: &ix.NextPrimaryKey}.NodeRequests(ix.NodeUID, false)...)
	}
	bodies, err := settingsFromState(ix, present)
	for _, body := range bodies {
		requests = append(requests, jsonRequest(http.MethodPatch, indexPath(ix.NodeUID)+"/settings", body))
	}
	return requests, err
}

// keyStands reports that the node's key came with documents which are in sync there although the cluster knows no key: those of a
// write that was refused because of other shards. What is copied to the node then gets that key too.
func keyStands(ix *fsm.Index, to fsm.NodeID) bool {
	return ix.NextPrimaryKey == "" && !ix.NextEmptyKey && hasInSync(ix, to)
}

// hasInSync reports whether the node has a replica of the index that is read.
func hasInSync(ix *fsm.Index, id fsm.NodeID) bool {
	for _, active := range ix.Nodes(fsm.Active) {
		if active == id {
			return true
		}
	}
	return false
}

// settingsFromState are the bodies of the changes that, one after the other, turn the settings a node has into those of
// the state. present nil means a new index. Members that a change would merge are reset first where they differ.
func settingsFromState(ix *fsm.Index, present map[string]json.RawMessage) ([]json.RawMessage, error) {
	state, err := meili.LoadSettings(ix.NextSettings)
	if err != nil {
		return nil, err
	}
	want, err := membersOf(ix.NextSettings)
	if err != nil {
		return nil, err
	}
	shown, err := membersOf(state.View(meili.AllFeatures()))
	if err != nil {
		return nil, err
	}
	resets := map[string]json.RawMessage{}
	for name, has := range present {
		switch {
		case name == "embedders":
			if resets[name], err = staleEmbedders(has, shown[name]); err != nil {
				return nil, err
			}
			if string(resets[name]) == "{}" {
				delete(resets, name)
			}
		case want[name] == nil:
			want[name] = json.RawMessage("null")
		case mergedSettings[name] && !bytes.Equal(has, shown[name]):
			resets[name] = json.RawMessage("null")
		}
	}
	return settingsBodies(ix, state, resets, want)
}

func settingsBodies(ix *fsm.Index, state *meili.Settings, parts ...map[string]json.RawMessage) ([]json.RawMessage, error) {
	var bodies []json.RawMessage
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		text, err := marshal(part)
		if err != nil {
			return nil, err
		}
		delta, err := meili.LoadSettings(text)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, settingsFor(ix, delta, state))
	}
	return bodies, nil
}

// staleEmbedders resets the embedders that a node has and the state does not, or has otherwise.
func staleEmbedders(has, wanted json.RawMessage) (json.RawMessage, error) {
	var present, want map[string]any
	if err := json.Unmarshal(has, &present); err != nil {
		return nil, fmt.Errorf("read the node's embedders: %w", err)
	}
	if err := json.Unmarshal(wanted, &want); err != nil {
		return nil, fmt.Errorf("read embedders: %w", err)
	}
	withoutInferred(present, want)
	resets := map[string]any{}
	for name, embedder := range present {
		if !reflect.DeepEqual(embedder, want[name]) {
			resets[name] = nil
		}
	}
	return marshal(resets)
}
