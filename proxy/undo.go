package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// UndoChange takes a failed change of settings or primary key back on nodes that made it: in the order of the index's
// writes, so that a change accepted later is not undone with it. Call it after the task has failed in the log. An
// error means that some node may still have the change. That of an index being deleted stays: a change of settings that
// reaches a node after the deletion makes the index anew.
func (s *Server) UndoChange(ctx context.Context, task *fsm.Task, nodes []fsm.NodeID) error {
	unlock, err := s.lockIndex(ctx, task.Index)
	if errors.Is(err, errNoRoute) {
		return nil
	}
	if err != nil {
		return err
	}
	view := s.cluster.View()
	ix := view.Indexes[task.Index]
	if ix == nil {
		unlock()
		return nil
	}
	requests, err := undoRequests(task, ix)
	if err != nil || len(requests) == 0 {
		unlock()
		return err
	}
	s.writer.watches.note(ix.ID, nil)
	answers := make([]chan delivery, len(nodes))
	for i, id := range nodes {
		answers[i] = make(chan delivery, 1)
		s.writer.lanes.enqueue(ix.ID, &subWrite{
			target: fsm.Target{Node: id}, client: s.nodes.Client(view, id), began: s.opts.Now(), index: ix.NodeUID,
			steps: stepsOf(requests), answer: answers[i],
		})
	}
	unlock()
	for _, answer := range answers {
		if done := <-answer; done.ack.Err != "" {
			return fmt.Errorf("undo task %d on node %s: %s", task.UID, done.ack.Node, done.ack.Err)
		}
	}
	return nil
}

func undoRequests(task *fsm.Task, ix *fsm.Index) ([]node.Request, error) {
	switch meili.TaskKind(task.Kind) {
	case meili.TaskIndexUpdate:
		if ix.NextPrimaryKey == "" {
			return nil, nil // nodes take the key of the next documents
		}
		return tasks.Request{PrimaryKey: &ix.NextPrimaryKey}.NodeRequests(ix.NodeUID, false), nil
	case meili.TaskSettingsUpdate:
		delta, _ := tasks.ReadNote(task.Details)
		bodies, err := undoSettings(delta, ix)
		if err != nil {
			return nil, err
		}
		var requests []node.Request
		for _, body := range bodies {
			requests = append(requests, jsonRequest(http.MethodPatch, indexPath(ix.NodeUID)+"/settings", body))
		}
		return requests, nil
	}
	return nil, nil
}

// mergedSettings are the settings whose members a PATCH merges, so that putting a value back takes a reset first.
var mergedSettings = map[string]bool{"typoTolerance": true, "faceting": true, "pagination": true, "chat": true}

// undoSettings are the bodies of the settings changes that, one after the other, take delta back to the settings
// of the index without it: each setting it names gets its former value, or is reset. Embedders are put back one by one:
// resetting them all would throw away vectors.
func undoSettings(delta json.RawMessage, ix *fsm.Index) ([]json.RawMessage, error) {
	former, err := membersOf(ix.NextSettings)
	if err != nil {
		return nil, err
	}
	changed, err := membersOf(delta)
	if err != nil {
		return nil, err
	}
	first, second := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for name, change := range changed {
		value, had := former[name]
		switch {
		case name == "embedders" && had && string(value) != "null":
			if first[name], err = undoEmbedders(change, value); err != nil {
				return nil, err
			}
		case !had:
			first[name] = json.RawMessage("null")
		case mergedSettings[name]:
			first[name], second[name] = json.RawMessage("null"), value
		default:
			first[name] = value
		}
	}
	bodies := make([]json.RawMessage, 0, 2)
	for _, part := range []map[string]json.RawMessage{first, second} {
		if len(part) == 0 {
			continue
		}
		text, err := marshal(part)
		if err != nil {
			return nil, err
		}
		settings, err := meili.LoadSettings(text)
		if err != nil {
			return nil, err
		}
		restored, err := meili.LoadSettings(ix.NextSettings)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, settingsFor(ix, settings, restored))
	}
	return bodies, nil
}

func undoEmbedders(change, before json.RawMessage) (json.RawMessage, error) {
	former, err := membersOf(before)
	if err != nil {
		return nil, err
	}
	changed, err := membersOf(change)
	if err != nil {
		return nil, err
	}
	undo := map[string]json.RawMessage{}
	for name := range changed {
		undo[name] = json.RawMessage("null")
		if value, had := former[name]; had {
			undo[name] = value
		}
	}
	return marshal(undo)
}

// membersOf reads a JSON object; null and nothing are an empty one.
func membersOf(object json.RawMessage) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if len(object) == 0 || string(object) == "null" {
		return members, nil
	}
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return members, nil
}

func jsonRequest(method, path string, body []byte) node.Request {
	return node.Request{Method: method, Path: path, Body: body, ContentType: "application/json"}
}
