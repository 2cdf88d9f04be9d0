package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// batchStatsTimeout bounds how long a list of batches waits for what only nodes know.
const batchStatsTimeout = time.Second

// nodeBatchStats is what only nodes know of a batch: those that indexed report how their writers waited and how their
// files grew, and all how they fared with embedders.
type nodeBatchStats struct {
	Congestion *congestion       `json:"writeChannelCongestion,omitempty"`
	Sizes      json.RawMessage   `json:"internalDatabaseSizes,omitempty"`
	Embedders  *embedderRequests `json:"embedderRequests,omitempty"`
}

// embedderRequests counts what a node asked the embedders of an index, with the last error they gave.
type embedderRequests struct {
	Total     uint64  `json:"total"`
	Failed    uint64  `json:"failed"`
	LastError *string `json:"lastError,omitempty"`
}

// congestion tells how often a node's indexing threads had to wait for the one that writes.
type congestion struct {
	Attempts         uint64 `json:"attempts"`
	BlockingAttempts uint64 `json:"blocking_attempts"`
}

// MarshalJSON adds the ratio of the two, in Meilisearch's notation of real numbers: null is that of nothing.
func (c congestion) MarshalJSON() ([]byte, error) {
	ratio := "0.0"
	if c.Attempts == 0 {
		ratio = "null"
	}
	if c.BlockingAttempts > 0 {
		ratio = strconv.FormatFloat(float64(c.BlockingAttempts)/float64(max(c.Attempts, 1)), 'f', -1, 64)
	}
	return fmt.Appendf(nil, `{"attempts":%d,"blocking_attempts":%d,"blocking_ratio":%s}`, c.Attempts, c.BlockingAttempts, ratio), nil
}

// add joins the statistics of another node: attempts and requests add up, sizes and errors are those of the first node that has them.
func (b *nodeBatchStats) add(other nodeBatchStats) {
	if c := other.Congestion; c != nil {
		if b.Congestion == nil {
			b.Congestion = &congestion{}
		}
		b.Congestion.Attempts += c.Attempts
		b.Congestion.BlockingAttempts += c.BlockingAttempts
	}
	if b.Sizes == nil {
		b.Sizes = other.Sizes
	}
	if e := other.Embedders; e != nil {
		if b.Embedders == nil {
			b.Embedders = &embedderRequests{}
		}
		b.Embedders.Total += e.Total
		b.Embedders.Failed += e.Failed
		if b.Embedders.LastError == nil {
			b.Embedders.LastError = e.LastError
		}
	}
}

// addNodeStats fills in what the nodes know of a page of batches. Each node is asked once for all of them; what a node
// does not tell in time is left out.
func (s *Server) addNodeStats(ctx context.Context, v *fsm.View, batches []fsm.Batch, views []batchView) {
	shares := sharesOf(batches)
	ctx, cancel := context.WithTimeout(ctx, min(s.opts.SearchTimeout, batchStatsTimeout))
	defer cancel()
	var mu sync.Mutex
	told := map[fsm.NodeID]map[uint32]nodeBatchStats{}
	var asked errgroup.Group
	asked.SetLimit(16)
	for id, uids := range shares {
		client := s.nodes.Client(v, id)
		if client == nil || !client.Alive() {
			continue
		}
		asked.Go(func() error {
			stats, err := s.batchesOfNode(ctx, client, uids)
			if err != nil {
				s.log.Debug("batch statistics of a node are left out", "node", id, "error", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			told[id] = stats
			return nil
		})
	}
	_ = asked.Wait() // what was not told is left out
	for i, batch := range batches {
		stats := &views[i].Stats
		for _, task := range batch.Tasks {
			succeeded := task.Status == fsm.StatusSucceeded
			if succeeded && wroteNothing(task) {
				stats.add(nodeBatchStats{Congestion: &congestion{}})
			}
			for _, share := range task.NodeTasks {
				known := told[share.Node][share.UID]
				if !succeeded { // one server has nothing else to tell of it
					known = nodeBatchStats{Embedders: known.Embedders}
				}
				stats.add(known)
			}
		}
	}
}

// sharesOf lists by node the node task uids of tasks that index something, or have.
func sharesOf(batches []fsm.Batch) map[fsm.NodeID][]uint32 {
	shares := map[fsm.NodeID][]uint32{}
	for _, batch := range batches {
		for _, task := range batch.Tasks {
			if task.Status == fsm.StatusEnqueued || !indexes(meili.TaskKind(task.Kind)) {
				continue
			}
			for _, share := range task.NodeTasks {
				shares[share.Node] = append(shares[share.Node], share.UID)
			}
		}
	}
	return shares
}

// wroteNothing tells tasks that one server indexes for and no node: additions of no documents, and changes of one dynamic
// search rule.
func wroteNothing(task *fsm.Task) bool {
	switch meili.TaskKind(task.Kind) {
	case meili.TaskDocumentAdditionOrUpdate, meili.TaskDSRUpdate:
		return len(task.NodeTasks) == 0
	}
	return false
}

// indexes tells tasks that may make a node index.
func indexes(kind meili.TaskKind) bool {
	switch kind {
	case meili.TaskDocumentAdditionOrUpdate, meili.TaskDocumentDeletion, meili.TaskDocumentEdition, meili.TaskSettingsUpdate:
		return true
	}
	return false
}

// maxListedUIDs bounds how many uids one request names: its target stays below 8 KiB.
const maxListedUIDs = 700

// batchesOfNode returns the statistics of the batches that a node's tasks were in, by task.
func (s *Server) batchesOfNode(ctx context.Context, client *node.Client, uids []uint32) (map[uint32]nodeBatchStats, error) {
	stats := map[uint32]nodeBatchStats{}
	for part := range slices.Chunk(uids, maxListedUIDs) {
		tasks, err := listOfNode[struct {
			UID      uint32  `json:"uid"`
			BatchUID *uint32 `json:"batchUid"`
		}](ctx, s, client, "/tasks", "uids", part)
		if err != nil {
			return nil, err
		}
		tasksOf := map[uint32][]uint32{}
		for _, task := range tasks {
			if task.BatchUID != nil {
				tasksOf[*task.BatchUID] = append(tasksOf[*task.BatchUID], task.UID)
			}
		}
		batches, err := listOfNode[struct {
			UID   uint32         `json:"uid"`
			Stats nodeBatchStats `json:"stats"`
		}](ctx, s, client, "/batches", "batchUids", slices.Sorted(maps.Keys(tasksOf)))
		if err != nil {
			return nil, err
		}
		for _, batch := range batches {
			for _, task := range tasksOf[batch.UID] {
				stats[task] = batch.Stats
			}
		}
	}
	return stats, nil
}

// listOfNode returns the entries of a node's list whose uids are named by the parameter.
func listOfNode[T any](ctx context.Context, s *Server, client *node.Client, path, parameter string, uids []uint32) ([]T, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	texts := make([]string, len(uids))
	for i, uid := range uids {
		texts[i] = strconv.FormatUint(uint64(uid), 10)
	}
	query := url.Values{parameter: {strings.Join(texts, ",")}, "limit": {strconv.Itoa(len(uids))}}
	response, err := s.exchange(ctx, client, node.Request{Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return nil, err
	}
	var page struct {
		Results []T `json:"results"`
	}
	if err := json.Unmarshal(response.Body, &page); err != nil {
		return nil, fmt.Errorf("list %s of node %s: %w", path, client.ID(), err)
	}
	return page.Results, nil
}
