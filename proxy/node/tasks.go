package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
)

// Task is what Miroir reads of a task in a node's own queue.
type Task struct {
	UID            uint32          `json:"uid"`
	IndexUID       *string         `json:"indexUid"`
	Status         string          `json:"status"`
	Type           string          `json:"type"`
	Details        json.RawMessage `json:"details"`
	Error          json.RawMessage `json:"error"`
	EnqueuedAt     time.Time       `json:"enqueuedAt"`
	StartedAt      *time.Time      `json:"startedAt"`
	FinishedAt     *time.Time      `json:"finishedAt"`
	CustomMetadata string          `json:"customMetadata"`
}

// Finished reports whether the node is done with the task.
func (t *Task) Finished() bool { return t.Status != "enqueued" && t.Status != "processing" }

// Failed reports that the node ended the task without doing it.
func (t *Task) Failed() bool { return t.Status == "failed" || t.Status == "canceled" }

// What Miroir's own document writes carry begins with one of these: writes of clients, and those of the repair.
const (
	WriteMark  = "miroir-"
	RepairMark = "repair-"
)

// IsForeign reports a task that changes documents or indexes and was not created by Miroir, or, where it is Doubtful, may
// not have been.
func (t *Task) IsForeign() bool {
	switch t.Type {
	case "indexSwap":
		return true // Miroir swaps names, not indexes
	case "indexDeletion", "indexUpdate":
		return t.Doubtful()
	case "documentAdditionOrUpdate", "documentDeletion", "documentEdition":
		return !strings.HasPrefix(t.CustomMetadata, WriteMark) && !strings.HasPrefix(t.CustomMetadata, RepairMark)
	}
	return false
}

// Doubtful reports a task that takes an index away. Deletions carry no mark whoever asked for them: Miroir deletes the indexes
// of clients, and those of replicas that leave.
func (t *Task) Doubtful() bool {
	switch t.Type {
	case "indexDeletion":
		return true
	case "indexUpdate":
		var details struct{ NewIndexUID *string }
		return json.Unmarshal(t.Details, &details) == nil && details.NewIndexUID != nil // else a primary key
	}
	return false
}

type taskPage struct {
	Results []Task  `json:"results"`
	Total   int     `json:"total"`
	Next    *uint32 `json:"next"`
}

// maxTaskUIDs bounds how many uids one request names: the query stays below 8 KiB.
const maxTaskUIDs = 700

// Tasks returns those of the given tasks that the node knows, in no promised order. Errors: *Error, or what the
// node answered.
func (c *Client) Tasks(ctx context.Context, uids []uint32) ([]Task, error) {
	var tasks []Task
	for len(uids) > 0 {
		part := uids[:min(len(uids), maxTaskUIDs)]
		uids = uids[len(part):]
		page, err := c.taskPage(ctx, url.Values{"uids": {joinUIDs(part)}, "limit": {strconv.Itoa(len(part))}})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, page.Results...)
	}
	return tasks, nil
}

// NewestTask returns the highest task uid of the node, -1 when it has none.
func (c *Client) NewestTask(ctx context.Context) (int64, error) {
	newest, err := c.Newest(ctx)
	return UIDOf(newest), err
}

// Newest returns the node's newest task, nil when it has none.
func (c *Client) Newest(ctx context.Context) (*Task, error) {
	page, err := c.taskPage(ctx, url.Values{"limit": {"1"}})
	if err != nil || len(page.Results) == 0 {
		return nil, err
	}
	return &page.Results[0], nil
}

// UIDOf is a task's uid, -1 for none.
func UIDOf(t *Task) int64 {
	if t == nil {
		return -1
	}
	return int64(t.UID)
}

// IsSame reports that two tasks are most likely one: servers note the time of a task to the nanosecond. No task is the same as
// none.
func (t *Task) IsSame(other *Task) bool {
	return t != nil && other != nil && t.UID == other.UID && t.EnqueuedAt.Equal(other.EnqueuedAt)
}

// writeKinds are the task types that carry a write id.
const writeKinds = "documentAdditionOrUpdate,documentDeletion,documentEdition"

// trustedClock is how many tasks are looked at before the node's clock is believed that the rest are too old. Clocks may be
// hours wrong; that so many tasks of one index come after a write whose fate is open cannot be.
const trustedClock = 5000

// FindWrite looks for the task of a document write by its write id, newest first, among the node's tasks of one
// index that are not older than since. It returns nil, nil when the node surely has no such task.
func (c *Client) FindWrite(ctx context.Context, nodeUID string, write fsm.WriteID, since time.Time) (*Task, error) {
	query := url.Values{"indexUids": {nodeUID}, "types": {writeKinds}, "limit": {"1000"}}
	for seen := 0; ; {
		page, err := c.taskPage(ctx, query)
		if err != nil {
			return nil, err
		}
		for i := range page.Results {
			task := &page.Results[i]
			if task.CustomMetadata == string(write) {
				return task, nil
			}
			if seen++; seen >= trustedClock && task.EnqueuedAt.Before(since) {
				return nil, nil
			}
		}
		if page.Next == nil {
			return nil, nil
		}
		query.Set("from", strconv.FormatUint(uint64(*page.Next), 10))
	}
}

// EachTask visits the tasks of an index with a uid above after, newest first.
func (c *Client) EachTask(ctx context.Context, nodeUID string, after int64, visit func(*Task) error) error {
	query := url.Values{"indexUids": {nodeUID}, "limit": {"200"}}
	for {
		page, err := c.taskPage(ctx, query)
		if err != nil {
			return err
		}
		for i := range page.Results {
			if int64(page.Results[i].UID) <= after {
				return nil
			}
			if err := visit(&page.Results[i]); err != nil {
				return err
			}
		}
		if page.Next == nil {
			return nil
		}
		query.Set("from", strconv.FormatUint(uint64(*page.Next), 10))
	}
}

// foreignKinds are the types of tasks that IsForeign looks at.
const foreignKinds = writeKinds + ",indexSwap,indexDeletion,indexUpdate"

// WrittenDirectly reports whether the node has a task of an index, enqueued after a time, that Miroir did not create. Of a
// replica that is in sync since then Miroir deletes nothing.
func (c *Client) WrittenDirectly(ctx context.Context, nodeUID string, since time.Time) (bool, error) {
	query := url.Values{
		"types": {foreignKinds}, "indexUids": {nodeUID}, "limit": {"200"}, "afterEnqueuedAt": {since.UTC().Format(time.RFC3339Nano)},
	}
	for {
		page, err := c.taskPage(ctx, query)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(page.Results, func(t Task) bool { return t.IsForeign() }) {
			return true, nil
		}
		if page.Next == nil {
			return false, nil
		}
		query.Set("from", strconv.FormatUint(uint64(*page.Next), 10))
	}
}

// ChangesSettings reports a task that changes settings of an index, whoever asked for it: such tasks carry no mark.
func (t *Task) ChangesSettings() bool { return t.Type == "settingsUpdate" }

// NotableTasks lists the tasks with a uid above after that Miroir did not create, or that change settings, newest first, the first
// 10,000 looked at. newest is the node's newest task, nil without any. Without a newer task it costs one small request.
func (c *Client) NotableTasks(ctx context.Context, after int64) (notable []Task, newest *Task, err error) {
	newest, err = c.Newest(ctx)
	if err != nil || UIDOf(newest) <= after {
		return nil, newest, err
	}
	query := url.Values{"types": {foreignKinds + ",settingsUpdate"}, "limit": {"200"}}
	for range 50 {
		page, err := c.taskPage(ctx, query)
		if err != nil {
			return nil, newest, err
		}
		for _, task := range page.Results {
			if int64(task.UID) <= after {
				return notable, newest, nil
			}
			if task.UID <= newest.UID && (task.IsForeign() || task.ChangesSettings()) {
				notable = append(notable, task)
			}
		}
		if page.Next == nil {
			break
		}
		query.Set("from", strconv.FormatUint(uint64(*page.Next), 10))
	}
	return notable, newest, nil
}

func (c *Client) taskPage(ctx context.Context, query url.Values) (*taskPage, error) {
	response, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/tasks", Query: query, Read: true})
	if err != nil {
		return nil, err
	}
	if err := response.Refused(c.id); err != nil {
		return nil, err
	}
	if !response.OK() {
		return nil, fmt.Errorf("list tasks of node %s: status %d: %.200s", c.id, response.Status, response.Body)
	}
	var page taskPage
	if err := json.Unmarshal(response.Body, &page); err != nil {
		return nil, fmt.Errorf("list tasks of node %s: %w", c.id, err)
	}
	return &page, nil
}

func joinUIDs(uids []uint32) string {
	var b strings.Builder
	for i, uid := range uids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(uid), 10))
	}
	return b.String()
}

// CancelTasks cancels those of the given tasks that the node has not finished, and returns once the node has done so. uid is that
// of the node's task which does it, -1 when it is not known.
func (c *Client) CancelTasks(ctx context.Context, uids []uint32) (uid int64, err error) {
	response, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/tasks/cancel", Query: url.Values{"uids": {joinUIDs(uids)}}})
	if err != nil {
		return -1, err
	}
	var summary struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if !response.OK() || json.Unmarshal(response.Body, &summary) != nil {
		return -1, fmt.Errorf("cancel tasks of node %s: status %d: %.200s", c.id, response.Status, response.Body)
	}
	return int64(summary.TaskUID), c.awaitTask(ctx, summary.TaskUID)
}

// awaitTask polls until a task has ended.
func (c *Client) awaitTask(ctx context.Context, uid uint32) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		list, err := c.Tasks(ctx, []uint32{uid})
		if err != nil {
			return err
		}
		if len(list) > 0 && list[0].Finished() {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
