package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// handleCreateSnapshot has every node take a snapshot of itself.
func (s *Server) handleCreateSnapshot(w http.ResponseWriter, r *request) error {
	return s.enqueueJob(w, r, http.StatusAccepted, fsm.BeginWrite{Kind: string(meili.TaskSnapshotCreation)})
}

// snapshot succeeds when every node has written its snapshot, where its own --snapshot-dir says.
func (j *job) snapshot(ctx context.Context) error {
	if err := j.settled(ctx); err != nil {
		return err
	}
	view := j.server.cluster.View()
	asking, ctx := errgroup.WithContext(ctx)
	for id := range view.Nodes {
		asking.Go(func() error {
			if err := j.snapshotOf(ctx, view, id); err != nil {
				return fmt.Errorf("snapshot of node %s: %w", id, err)
			}
			return nil
		})
	}
	return asking.Wait()
}

func (j *job) snapshotOf(ctx context.Context, view *fsm.View, id fsm.NodeID) error {
	client := j.server.nodes.Client(view, id)
	answer, err := j.server.askNode(ctx, client, node.Request{Method: http.MethodPost, Path: "/snapshots"})
	if err != nil {
		return err
	}
	var summary struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer.Body, &summary); err != nil {
		return err
	}
	if _, err := fsm.Do(ctx, j.server.cluster, fsm.RecordNodeTask{Node: id, UID: int64(summary.TaskUID)}); err != nil {
		return err
	}
	return j.awaitNodeTask(ctx, client, summary.TaskUID)
}

// askNode sends a request to a node within the time of a write; any answer that is no success is an error.
func (s *Server) askNode(ctx context.Context, c *node.Client, r node.Request) (*node.Response, error) {
	if c == nil {
		return nil, fmt.Errorf("the node is not known any more")
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	answer, err := c.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return nil, refusalOf(answer)
	}
	return answer, nil
}

// awaitNodeTask waits for the end of a node task. A node that does not answer for as long as a write may take fails it.
func (j *job) awaitNodeTask(ctx context.Context, c *node.Client, uid uint32) error {
	answered := time.Now()
	for {
		list, err := c.Tasks(ctx, []uint32{uid})
		switch {
		case err != nil && time.Since(answered) > j.server.opts.WriteTimeout:
			return err
		case err == nil && len(list) == 0:
			return fmt.Errorf("it does not know its task %d any more", uid)
		case err == nil && list[0].Failed():
			return fmt.Errorf("its task %d ended %s: %s", uid, list[0].Status, list[0].Error)
		case err == nil && list[0].Finished():
			return nil
		case err == nil:
			answered = time.Now()
		}
		if !sleep(ctx, jobPoll) {
			return ctx.Err()
		}
	}
}
