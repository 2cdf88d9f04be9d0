package proxy

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Bounds of what is done to keep the places of documents.
const (
	maxAskedIDs    = 1000                   // documents of one payload
	insertionsWait = 500 * time.Millisecond // for nodes to tell where documents are
	maxInsertions  = 30_000                 // numbers remembered at least, twice as many at most
)

// insertions knows the numbers of documents that are written again, so that they keep their places (see orderField).
//
// Nodes are asked for them before the index is locked: an in-sync replica of each shard, for no longer than insertionsWait. Not those of
// an index that lives whole: their own order counts as long as it does. What is given by writes that nodes have yet to do this pod
// remembers, so that nothing waits for these. Nor does a write hang on it: where a number is not known, because the payload has more
// than maxAskedIDs documents, nodes do not answer, or another pod led when the earlier write was accepted, the document gets a new one
// and comes behind those before it. Numbers are decided here once, and all replicas get the same.
type insertions struct {
	server *Server

	mu sync.Mutex
	// young and old are what the last writes gave. When young is full it takes the place of old. Guarded by mu.
	young, old map[documentKey]givenNumber
}

// documentKey is a document, by a hash of its id; allDocuments stands for those of an index.
type documentKey struct {
	index fsm.IndexID
	id    uint64
}

const allDocuments = 0

// givenNumber is the number of insertion that a document has after a task, "" when it has none or is deleted.
type givenNumber struct {
	task      uint32
	insertion string
	deleted   bool
}

// askedInsertions is what nodes told of some documents. The zero value is nothing.
type askedInsertions struct {
	index fsm.IndexID
	found map[string]string // numbers by id, of documents that are there
	// since is the first task whose documents nodes may not have had.
	since uint32
}

// ask asks nodes for the numbers of documents of an index.
func (m *insertions) ask(ctx context.Context, uid, primaryKey string, ids []string) askedInsertions {
	view := m.server.cluster.View()
	ix := view.Route(uid)
	if ix == nil || ix.Whole() || ix.PrimaryKey != primaryKey || primaryKey == "" || len(ids) == 0 {
		return askedInsertions{}
	}
	asked := askedInsertions{index: ix.ID, found: map[string]string{}, since: m.openFrom(ix.ID, ids, view.NextTaskUID)}
	ctx, cancel := withTime(ctx, insertionsWait)
	defer cancel()
	request := m.server.planRequest(view, ix, shardsOfIDs(ids, ix), seedOf(ix.UID, "documents"))
	request.partly = true
	got, err := scatter(ctx, m.server, request, func(ctx context.Context, c *node.Client, call Call) ([]byte, error) {
		return m.askNode(ctx, c, ix, call, ids)
	})
	if err != nil || len(got.Missing) > 0 {
		m.server.log.Debug("documents get new numbers: nodes do not tell theirs", "index", ix.UID, "shards", joinShards(got.Missing), "error", err)
	}
	if err != nil {
		asked.since = 0 // what is remembered is all there is
	}
	for _, answer := range got.Answers {
		for _, document := range itemsOf(memberOf(answer.Value, "results")) {
			asked.found[documentID(document, primaryKey)], _ = readNumber(orderOf(document))
		}
	}
	return asked
}

func (m *insertions) askNode(ctx context.Context, c *node.Client, ix *fsm.Index, call Call, ids []string) ([]byte, error) {
	var some []string
	for _, id := range ids {
		if slices.Contains(call.Shards, ShardOf(id, ix.Shards)) {
			some = append(some, id)
		}
	}
	body, err := marshal(meili.DocumentsQuery{IDs: &some, Limit: len(some), Fields: &[]string{ix.PrimaryKey, orderField}})
	if err != nil {
		return nil, err
	}
	response, err := m.server.exchange(ctx, c, node.Request{
		Method: "POST", Path: indexPath(ix.NodeUID) + "/documents/fetch", Body: body, ContentType: "application/json",
	})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// openFrom is the first task that has not ended of those which this pod remembers to have written documents, next when all have. Tasks
// of an index end in their order, save for those that are canceled.
func (m *insertions) openFrom(index fsm.IndexID, ids []string, next uint32) uint32 {
	var tasks []uint32
	for _, id := range ids {
		if given, known := m.given(index, id); known {
			tasks = append(tasks, given.task)
		}
	}
	slices.Sort(tasks)
	tasks = slices.Compact(tasks)
	open := sort.Search(len(tasks), func(i int) bool {
		task, err := m.server.cluster.Tasks().Task(tasks[i])
		return err == nil && !task.Finished()
	})
	if open < len(tasks) {
		return tasks[open]
	}
	return next
}

// of are the numbers of those documents of a payload that are in the index already, by id. Call with the index's name locked.
func (m *insertions) of(asked askedInsertions, ix *fsm.Index, ids []string) map[string]string {
	known := map[string]string{}
	if ix == nil || !isNumbered(ix) {
		return known
	}
	if asked.index != ix.ID {
		asked = askedInsertions{}
	}
	for _, id := range ids {
		if given, remembered := m.given(ix.ID, id); remembered && given.task >= asked.since {
			if !given.deleted {
				known[id] = given.insertion
			}
		} else if insertion, found := asked.found[id]; found {
			known[id] = insertion
		}
	}
	return known
}

// number has documents of a payload keep the numbers that are known, and remembers those that new ones get.
func (m *insertions) number(n *numbering, begun *fsm.BeginWriteResult, ids []string, known map[string]string) {
	if n.width == 0 {
		return
	}
	for place, id := range slices.Backward(ids) { // the first place of those that come twice counts
		if insertion, found := known[id]; found {
			n.keep(place, ShardOf(id, begun.Index.Shards), insertion)
		} else {
			m.note(documentKey{begun.Index.ID, xxh3.HashString(id)}, givenNumber{task: begun.TaskUID, insertion: n.insertion(place)})
		}
	}
}

// noteDeleted remembers that documents have no numbers any more.
func (m *insertions) noteDeleted(begun *fsm.BeginWriteResult, ids []string) {
	for _, id := range ids {
		m.note(documentKey{begun.Index.ID, xxh3.HashString(id)}, givenNumber{task: begun.TaskUID, deleted: true})
	}
}

// noteCleared is noteDeleted for all documents of an index.
func (m *insertions) noteCleared(begun *fsm.BeginWriteResult) {
	m.note(documentKey{begun.Index.ID, allDocuments}, givenNumber{task: begun.TaskUID, deleted: true})
}

func (m *insertions) note(key documentKey, given givenNumber) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= maxInsertions || m.young == nil {
		m.young, m.old = map[documentKey]givenNumber{}, m.young
	}
	m.young[key] = given
}

// given is what the last write that touched a document made of its number, false when that is not remembered.
func (m *insertions) given(index fsm.IndexID, id string) (given givenNumber, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range []uint64{xxh3.HashString(id), allDocuments} {
		for _, notes := range []map[documentKey]givenNumber{m.old, m.young} {
			if note, noted := notes[documentKey{index, id}]; noted && (!known || note.task > given.task) {
				given, known = note, true
			}
		}
	}
	return given, known
}

// forget forgets all: another pod may have taken writes meanwhile.
func (m *insertions) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.young, m.old = nil, nil
}
