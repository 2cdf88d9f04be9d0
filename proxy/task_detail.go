package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
)

// taskReplica is what one node made of a task.
type taskReplica struct {
	Node        fsm.NodeID      `json:"node"`
	NodeTaskUID uint32          `json:"node_task_uid"`
	Shards      []fsm.ShardID   `json:"shards"` // null: all that the node has of the index
	Status      string          `json:"status"`
	Error       json.RawMessage `json:"error"`
	DurationMs  *int64          `json:"duration_ms"` // null while it lasts, and when the node cannot be asked
}

// handleTaskDetail shows a client task with what became of it on each node, which is asked where it answers.
func (s *Server) handleTaskDetail(w http.ResponseWriter, r *request) error {
	uid, err := strconv.ParseUint(r.Params.ByName("task"), 10, 32)
	if err != nil {
		return miroirError(codeInvalidArgument, "The task uid `%s` is not a number.", r.Params.ByName("task"))
	}
	task, err := s.cluster.Tasks().Task(uint32(uid))
	if errors.Is(err, fsm.ErrNotFound) {
		return miroirError(codeNotFound, "There is no task %d.", uid)
	}
	if err != nil {
		return err
	}
	more, err := marshal(struct {
		Shards   []fsm.ShardID `json:"shards"` // null: all
		WriteID  fsm.WriteID   `json:"write_id"`
		Replicas []taskReplica `json:"replicas"`
	}{task.Shards, task.WriteID, s.taskReplicas(r.Context(), r.View, task)})
	if err != nil {
		return err
	}
	text, err := marshal(taskView(task))
	if err != nil {
		return err
	}
	joined := append(append(bytes.TrimSuffix(text, []byte("}")), ','), more[1:]...)
	writeJSON(w, http.StatusOK, json.RawMessage(joined))
	return nil
}

func (s *Server) taskReplicas(ctx context.Context, v *fsm.View, task *fsm.Task) []taskReplica {
	ctx, cancel := context.WithTimeout(ctx, askLeader)
	defer cancel()
	replicas := make([]taskReplica, len(task.NodeTasks))
	var asking sync.WaitGroup
	for i, share := range task.NodeTasks {
		replicas[i] = taskReplica{Node: share.Node, NodeTaskUID: share.UID, Shards: share.Shards, Status: share.Status, Error: share.Error}
		client := s.nodes.Client(v, share.Node)
		if client == nil || !client.Alive() {
			continue
		}
		asking.Go(func() {
			list, err := client.Tasks(ctx, []uint32{share.UID})
			if err == nil && len(list) == 1 && isShareOf(task, &list[0]) {
				replicas[i].Status, replicas[i].Error, replicas[i].DurationMs = list[0].Status, list[0].Error, shareDuration(&list[0])
			}
		})
	}
	asking.Wait()
	return replicas
}

// isShareOf reports that a node's task is the share of a client's: a node that lost its disk counts anew.
func isShareOf(task *fsm.Task, share *node.Task) bool {
	return share.CustomMetadata == "" || share.CustomMetadata == string(task.WriteID)
}

func shareDuration(t *node.Task) *int64 {
	if t.StartedAt == nil || t.FinishedAt == nil {
		return nil
	}
	took := t.FinishedAt.Sub(*t.StartedAt)
	return new(int64(took / time.Millisecond))
}
