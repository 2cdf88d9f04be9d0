package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// copyNode is one node's copy of an index, as the repair reads and writes it.
type copyNode struct {
	client  *node.Client
	index   string        // node-side name
	timeout time.Duration // of one request
}

// maxPageBytes bounds the documents of one request; a page with more is read in halves.
const maxPageBytes = 32 << 20

// send sends a request and reads its JSON answer into into, unless that is nil. Errors: *node.Error, *meili.Error.
func (n copyNode) send(ctx context.Context, r node.Request, into any) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	response, err := n.client.Do(ctx, r)
	if err != nil {
		return err
	}
	if !response.OK() {
		return fmt.Errorf("node %s: %s %s: %w", n.client.ID(), r.Method, r.Path, refusal(response))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(response.Body, into); err != nil {
		return fmt.Errorf("node %s: read the answer of %s %s: %w", n.client.ID(), r.Method, r.Path, err)
	}
	return nil
}

// documentsQuery is the body of POST documents/fetch.
type documentsQuery struct {
	Fields          []string `json:"fields,omitempty"`
	Filter          string   `json:"filter,omitempty"`
	IDs             []string `json:"ids,omitempty"`
	Offset          int64    `json:"offset,omitempty"`
	Limit           int64    `json:"limit"`
	RetrieveVectors bool     `json:"retrieveVectors,omitempty"`
}

type documentsPage struct {
	Results []json.RawMessage `json:"results"`
	Total   int64             `json:"total"`
}

func (n copyNode) documents(ctx context.Context, query documentsQuery, maxBytes int64) (*documentsPage, error) {
	body, err := json.Marshal(query)
	if err != nil {
		return nil, err
	}
	page := &documentsPage{}
	return page, n.send(ctx, node.Request{
		Method: http.MethodPost, Path: "/indexes/" + n.index + "/documents/fetch", Body: body, ContentType: "application/json",
		Read: true, MaxAnswerBytes: maxBytes,
	}, page)
}

// ids lists the ids of the documents that match a filter ("" for all), in the node's order, which is that of insertion. They
// are of one moment: one request reads one state of the index, which pages of it would not.
func (n copyNode) ids(ctx context.Context, primaryKey, filter string) ([]string, error) {
	return n.list(ctx, primaryKey, documentsQuery{Filter: filter, Limit: math.MaxUint32})
}

// list lists the ids that a query finds, in the node's order.
func (n copyNode) list(ctx context.Context, primaryKey string, query documentsQuery) ([]string, error) {
	if primaryKey == "" {
		return nil, nil // an index without a primary key has no documents
	}
	query.Fields = []string{primaryKey}
	page, err := n.documents(ctx, query, 0)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(page.Results))
	for i, document := range page.Results {
		id, problem := meili.DocumentID(document, primaryKey)
		if problem != nil {
			return nil, problem
		}
		ids[i] = id
	}
	return ids, nil
}

// count is the number of documents that match a filter, "" for all.
func (n copyNode) count(ctx context.Context, filter string) (int64, error) {
	page, err := n.documents(ctx, documentsQuery{Filter: filter}, 0)
	if err != nil {
		return 0, err
	}
	return page.Total, nil
}

// fetch reads documents by id, vectors and all. Those the node does not have are missing from the answer.
func (n copyNode) fetch(ctx context.Context, primaryKey string, ids []string) (map[string][]byte, error) {
	documents := make(map[string][]byte, len(ids))
	if len(ids) == 0 || primaryKey == "" {
		return documents, nil
	}
	page, err := n.documents(ctx, documentsQuery{IDs: ids, Limit: int64(len(ids)), RetrieveVectors: true}, maxPageBytes)
	if errors.Is(err, node.ErrBodyTooLarge) && len(ids) > 1 {
		return n.fetchHalves(ctx, primaryKey, ids)
	}
	if err != nil {
		return nil, err
	}
	for _, document := range page.Results {
		document := withoutEmptyVectors(document)
		id, problem := meili.DocumentID(document, primaryKey)
		if problem != nil {
			return nil, problem
		}
		documents[id] = document
	}
	return documents, nil
}

func (n copyNode) fetchHalves(ctx context.Context, primaryKey string, ids []string) (map[string][]byte, error) {
	documents, err := n.fetch(ctx, primaryKey, ids[:len(ids)/2])
	if err != nil {
		return nil, err
	}
	rest, err := n.fetch(ctx, primaryKey, ids[len(ids)/2:])
	for id, document := range rest {
		documents[id] = document
	}
	return documents, err
}

// post adds documents, replacing what has their ids, and returns the uids of the node's tasks.
func (n copyNode) post(ctx context.Context, primaryKey string, documents [][]byte) (uids []uint32, err error) {
	for len(documents) > 0 {
		part, size := 0, 0
		for part < len(documents) && (part == 0 || size+len(documents[part]) <= maxPageBytes) {
			size += len(documents[part]) + 1
			part++
		}
		uid, err := n.enqueue(ctx, node.Request{
			Method: http.MethodPost, Path: "/indexes/" + n.index + "/documents", ContentType: "application/x-ndjson",
			Query: url.Values{"primaryKey": {primaryKey}}, Body: append(bytes.Join(documents[:part], []byte("\n")), '\n'),
		})
		if err != nil {
			return uids, err
		}
		uids, documents = append(uids, uid), documents[part:]
	}
	return uids, nil
}

func (n copyNode) delete(ctx context.Context, ids []string) (uint32, error) {
	body, err := json.Marshal(ids)
	if err != nil {
		return 0, err
	}
	return n.enqueue(ctx, node.Request{
		Method: http.MethodPost, Path: "/indexes/" + n.index + "/documents/delete-batch", ContentType: "application/json", Body: body,
	})
}

// deleteMatching deletes the documents that match a filter.
func (n copyNode) deleteMatching(ctx context.Context, filter string) (uint32, error) {
	body, err := json.Marshal(map[string]string{"filter": filter})
	if err != nil {
		return 0, err
	}
	return n.enqueue(ctx, node.Request{
		Method: http.MethodPost, Path: "/indexes/" + n.index + "/documents/delete", ContentType: "application/json", Body: body,
	})
}

// lateAnswerPauses are the waits before a node is asked again for a request of ours whose answer was lost: it must not
// turn up after newer writes.
var lateAnswerPauses = []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond}

// enqueue sends a write and returns the uid of its node task. It carries an id of its own, so that a lost answer is
// settled by looking for it.
func (n copyNode) enqueue(ctx context.Context, r node.Request) (uint32, error) {
	mark := fsm.WriteID(node.RepairMark + uuid.Must(uuid.NewV7()).String())
	if r.Query == nil {
		r.Query = url.Values{}
	}
	r.Query.Set("customMetadata", string(mark))
	began := time.Now()
	var summary struct {
		TaskUID uint32 `json:"taskUid"`
	}
	err := n.send(ctx, r, &summary)
	if outcome := node.OutcomeOf(err); outcome != node.Unknown && outcome != node.Canceled {
		return summary.TaskUID, err
	}
	if task, lookErr := n.findLate(ctx, mark, began); lookErr == nil && task != nil {
		return task.UID, nil
	}
	return 0, err
}

// findLate looks for the task of a write whose answer was lost, several times: it may turn up a moment later. It goes on
// when the context ends, so that the caller knows.
func (n copyNode) findLate(ctx context.Context, mark fsm.WriteID, began time.Time) (task *node.Task, err error) {
	ctx = context.WithoutCancel(ctx)
	for _, pause := range lateAnswerPauses {
		if !sleep(ctx, pause) {
			break
		}
		asking, cancel := context.WithTimeout(ctx, min(n.timeout, askTimeout))
		task, err = n.client.FindWrite(asking, n.index, mark, began.Add(-clockSkew))
		cancel()
		if err == nil && task != nil {
			return task, nil
		}
	}
	return nil, err
}

// await waits until the node has finished tasks; one that failed is an error.
func (n copyNode) await(ctx context.Context, uids []uint32) error {
	for pause := time.Millisecond; len(uids) > 0; pause = min(2*pause, 200*time.Millisecond) {
		list, err := n.tasks(ctx, uids)
		if err != nil {
			return err
		}
		left := uids[:0:0]
		for _, task := range list {
			if task.Failed() {
				return fmt.Errorf("node %s: task %d of the repair %s: %s", n.client.ID(), task.UID, task.Status, task.Error)
			}
			if !task.Finished() {
				left = append(left, task.UID)
			}
		}
		if len(list) < len(uids) {
			return fmt.Errorf("node %s does not know the tasks of the repair any more", n.client.ID())
		}
		if uids = left; len(uids) > 0 && !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
	return nil
}

// finished waits until the node has finished a task, well or not, and returns it.
func (n copyNode) finished(ctx context.Context, uid uint32) (task node.Task, err error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		list, err := n.tasks(ctx, []uint32{uid})
		if err != nil {
			return task, err
		}
		if len(list) == 0 {
			return task, fmt.Errorf("node %s does not know task %d any more", n.client.ID(), uid)
		}
		if list[0].Finished() {
			return list[0], nil
		}
		if !sleep(ctx, pause) {
			return task, ctx.Err()
		}
	}
}

func (n copyNode) tasks(ctx context.Context, uids []uint32) ([]node.Task, error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	return n.client.Tasks(ctx, uids)
}

// settle waits until the node has worked off what was enqueued for the index when it was called.
func (n copyNode) settle(ctx context.Context) error {
	newest, err := n.taskUID(ctx, url.Values{})
	if err != nil {
		return err
	}
	unfinished := url.Values{"statuses": {"enqueued,processing"}, "reverse": {"true"}}
	for pause := time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		oldest, err := n.taskUID(ctx, unfinished)
		if err != nil || oldest < 0 || oldest > newest {
			return err
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// taskUID is the uid of the first task of the index that a query lists, -1 for none.
func (n copyNode) taskUID(ctx context.Context, query url.Values) (int64, error) {
	query.Set("indexUids", n.index)
	query.Set("limit", strconv.Itoa(1))
	var page struct {
		Results []node.Task `json:"results"`
	}
	err := n.send(ctx, node.Request{Method: http.MethodGet, Path: "/tasks", Query: query, Read: true}, &page)
	if err != nil || len(page.Results) == 0 {
		return -1, err
	}
	return int64(page.Results[0].UID), nil
}

// primaryKey is the key that the node's index has, "" for none.
func (n copyNode) primaryKey(ctx context.Context) (string, error) {
	var index struct{ PrimaryKey string }
	err := n.send(ctx, node.Request{Method: http.MethodGet, Path: "/indexes/" + n.index, Read: true}, &index)
	return index.PrimaryKey, err
}

// settings are the index's settings on the node in a form that compares.
func (n copyNode) settings(ctx context.Context) (string, error) {
	var settings map[string]any
	if err := n.send(ctx, node.Request{Method: http.MethodGet, Path: "/indexes/" + n.index + "/settings", Read: true}, &settings); err != nil {
		return "", err
	}
	for name, value := range settings {
		if list, ok := value.([]any); ok && name != "rankingRules" && name != "searchableAttributes" {
			slices.SortFunc(list, func(a, b any) int { return bytes.Compare(text(a), text(b)) })
		}
	}
	return string(text(settings)), nil
}

func text(value any) []byte {
	out, _ := json.Marshal(value) // it was JSON
	return out
}
