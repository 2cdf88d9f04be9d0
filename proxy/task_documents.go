package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// taskDocuments is the experimental feature that shows the documents of tasks.
var taskDocuments = gated{"Getting the documents of an enqueued task", "getTaskDocumentsRoute",
	func(f meili.Features) bool { return f.GetTaskDocumentsRoute }, ""}

// handleTaskDocuments answers with the documents of a task that has not ended, one a line. Miroir keeps none: nodes that
// still have to index theirs give them back, and together show each once. Documents come node by node.
func (s *Server) handleTaskDocuments(w http.ResponseWriter, r *request) error {
	if err := taskDocuments.check(r.View); err != nil {
		return err
	}
	task, err := s.findTask(r)
	if err != nil {
		return err
	}
	if task.Kind != string(meili.TaskDocumentAdditionOrUpdate) {
		return noTaskDocuments(task)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.SearchTimeout)
	defer cancel()
	if task, err = s.awaitShares(ctx, task); err != nil {
		return err
	}
	if task.Finished() {
		return noTaskDocuments(task)
	}
	lines, complete := s.documentsOfTask(ctx, r.View, task)
	if !complete {
		return noTaskDocuments(task)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(lines) // a client that left needs no answer
	return nil
}

// shareWait bounds how long a request waits until it is recorded which nodes have a task: clients hear of a write that
// every replica has just before that.
const shareWait = time.Second

// awaitShares returns a task once its nodes are recorded or it has ended, or as it is when that takes too long.
func (s *Server) awaitShares(ctx context.Context, task *fsm.Task) (*fsm.Task, error) {
	ctx, cancel := context.WithTimeout(ctx, shareWait)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !task.Finished() && len(task.NodeTasks) == 0 {
		select {
		case <-ctx.Done():
			return task, nil
		case <-tick.C:
		}
		again, err := s.cluster.Tasks().Task(task.UID)
		if errors.Is(err, fsm.ErrNotFound) {
			return nil, meili.TaskNotFound(task.UID)
		}
		if err != nil {
			return nil, err
		}
		task = again
	}
	return task, nil
}

func noTaskDocuments(task *fsm.Task) error {
	return meili.Errorf(meili.CodeTaskFileNotFound,
		"Task `%d` does not contain any documents. Only `documentAdditionOrUpdate` tasks with the statuses `enqueued` or `processing` contain documents", task.UID)
}

// documentsOfTask joins the payloads that nodes got for a task, without the hidden fields. It is not complete when for some
// shard no node gives them back: all have indexed them, or cannot be reached.
func (s *Server) documentsOfTask(ctx context.Context, v *fsm.View, task *fsm.Task) (lines []byte, complete bool) {
	wanted, whole := shardsOfTask(task)
	for _, share := range task.NodeTasks {
		useful := func(shard fsm.ShardID) bool { return wanted[EncodeShard(shard)] }
		if share.Shards != nil && !slices.ContainsFunc(share.Shards, useful) {
			continue
		}
		payload, err := s.payloadOn(ctx, v, share)
		if err != nil {
			s.log.Debug("a node does not give a task's documents back", "node", share.Node, "task", task.UID, "error", err)
			continue
		}
		if share.Shards == nil {
			return appendDocuments(nil, payload, nil), true
		}
		lines = appendDocuments(lines, payload, wanted)
		for _, shard := range share.Shards {
			delete(wanted, EncodeShard(shard))
		}
	}
	return lines, !whole && len(wanted) == 0
}

// shardsOfTask are the shards that a task's nodes have documents of, as the hidden field names them. whole: the index is
// not cut.
func shardsOfTask(task *fsm.Task) (shards map[string]bool, whole bool) {
	shards = map[string]bool{}
	for _, share := range task.NodeTasks {
		whole = whole || share.Shards == nil
		for _, shard := range share.Shards {
			shards[EncodeShard(shard)] = true
		}
	}
	return shards, whole || len(task.NodeTasks) == 0
}

// payloadOn asks a node for the documents of its share of a task, one a line.
func (s *Server) payloadOn(ctx context.Context, v *fsm.View, share fsm.NodeTask) ([]byte, error) {
	path := "/tasks/" + strconv.FormatUint(uint64(share.UID), 10) + "/documents"
	response, err := s.exchange(ctx, s.nodes.Client(v, share.Node), node.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// appendDocuments appends the documents of the wanted shards, nil meaning all, without the hidden field.
func appendDocuments(lines, payload []byte, wanted map[string]bool) []byte {
	for line := range bytes.Lines(payload) {
		document := bytes.TrimSpace(line)
		if len(document) == 0 || wanted != nil && !wanted[shardIn(document)] {
			continue
		}
		lines = append(append(lines, strip(document, documentShape)...), '\n')
	}
	return lines
}

// shardIn is the hidden field of a document, "" when it has none.
func shardIn(document []byte) string {
	var shard string
	raw, ok := meili.Get(document, shardField)
	if !ok || json.Unmarshal(raw, &shard) != nil {
		return ""
	}
	return shard
}
