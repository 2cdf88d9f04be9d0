package sim

import (
	"fmt"
	"slices"
	"time"
)

// document is the one kind of document that clients write. Zero fields are left out, so that a partial update leaves them as
// they are. The zero value stands for "no document".
type document struct {
	ID int    `json:"id"`
	N  int    `json:"n,omitempty"` // filtered by
	G  string `json:"g,omitempty"` // searched and counted
	V  string `json:"v,omitempty"` // names the write that put the document there
	U  string `json:"u,omitempty"` // names the last partial update
}

// updated is d after a partial update.
func (d document) updated(by document) document {
	d.ID = by.ID
	if by.N != 0 {
		d.N = by.N
	}
	if by.G != "" {
		d.G = by.G
	}
	if by.V != "" {
		d.V = by.V
	}
	if by.U != "" {
		d.U = by.U
	}
	return d
}

// kinds of operations
const (
	opAdd          = "add"
	opUpdate       = "update"
	opDelete       = "delete"
	opDeleteFilter = "deleteFilter"
	opEdit         = "edit" // n becomes one more
	opClear        = "clear"
	opSettings     = "settings"
	opCreate       = "create"
	opDrop         = "drop"
	opSwap         = "swap"
)

// operation is one write of a client.
type operation struct {
	marker    string // unique; travels as customMetadata where Meilisearch takes it
	kind      string
	index     string
	other     string // opSwap: the second index
	documents []document
	ids       []int
	session   string    // of the client; "" for none
	below     int       // opDeleteFilter, opEdit: documents with n below it
	ended     time.Time // of the task, once it is known
	stopWord  string    // opSettings: with "n" and "g" filterable, or without when stopWord is empty
}

// certainty of a task's effect
type certainty int

const (
	happened certainty = iota
	mayHave            // refused: shards that took it have it, the others do not
	didNot
)

// fact is what may be true from a task on.
type fact[T comparable] struct {
	uid    int64
	values []T
}

// timeline is what may be true of one thing after each task, by rising uid.
type timeline[T comparable] []fact[T]

// at is what may be true right after task uid.
func (t timeline[T]) at(uid int64) []T {
	var zero T
	for i := len(t) - 1; i >= 0; i-- {
		if t[i].uid <= uid {
			return t[i].values
		}
	}
	return []T{zero}
}

// within is what may be seen while the tasks after from up to to may or may not be done.
func (t timeline[T]) within(from, to int64) []T {
	values := slices.Clone(t.at(from))
	for _, f := range t {
		if f.uid > from && f.uid <= to {
			values = append(values, f.values...)
		}
	}
	return values
}

// now is what may be true at the end.
func (t timeline[T]) now() []T { return t.at(1 << 62) }

// note adds what a task makes of each value there may be.
func (t *timeline[T]) note(uid int64, sure certainty, change func(T) T) {
	if sure == didNot {
		return
	}
	before := t.now()
	var after []T
	if sure == mayHave {
		after = slices.Clone(before)
	}
	for _, value := range before {
		if next := change(value); !slices.Contains(after, next) {
			after = append(after, next)
		}
	}
	*t = append(*t, fact[T]{uid, after})
}

// modelIndex is an index of the model: what its name leads to.
type modelIndex struct {
	exists     timeline[bool]
	filterable timeline[bool]
	stopWord   timeline[string]
	documents  map[int]*timeline[document]
	flips      []flip
}

// flip is a task that exchanged the index for another.
type flip struct {
	uid int64
	at  time.Time // when it had happened
}

// model is one Meilisearch that does tasks in the order of their uids.
type model struct {
	indexes map[string]*modelIndex
	failed  map[int64]bool  // by task
	sent    []sentOperation // all there were, refused ones too, by task
}

type sentOperation struct {
	*operation
	uid int64
}

func newModel() *model { return &model{indexes: map[string]*modelIndex{}, failed: map[int64]bool{}} }

func (m *model) index(name string) *modelIndex {
	if m.indexes[name] == nil {
		m.indexes[name] = &modelIndex{documents: map[int]*timeline[document]{}}
	}
	return m.indexes[name]
}

func (ix *modelIndex) document(id int) *timeline[document] {
	if ix.documents[id] == nil {
		ix.documents[id] = &timeline[document]{}
	}
	return ix.documents[id]
}

func to[T any](value T) func(T) T { return func(T) T { return value } }

// mayBe reports whether value is among those a timeline ends with.
func mayBe[T comparable](t timeline[T], value T) bool { return slices.Contains(t.now(), value) }

// apply does a task. succeeded says how it ended in Miroir, unless sure is mayHave. The error says that one Meilisearch would
// have ended it otherwise.
func (m *model) apply(uid int64, op *operation, sure certainty, succeeded bool) error {
	ix := m.index(op.index)
	canSucceed, canFail := true, false
	switch op.kind {
	case opDelete, opClear, opDrop:
		canSucceed, canFail = mayBe(ix.exists, true), mayBe(ix.exists, false)
	case opDeleteFilter, opEdit:
		canSucceed = mayBe(ix.exists, true) && mayBe(ix.filterable, true)
		canFail = mayBe(ix.exists, false) || mayBe(ix.filterable, false)
	case opCreate:
		canSucceed, canFail = mayBe(ix.exists, false), mayBe(ix.exists, true)
	case opSwap:
		other := m.index(op.other)
		canSucceed = mayBe(ix.exists, true) && mayBe(other.exists, true)
		canFail = mayBe(ix.exists, false) || mayBe(other.exists, false)
	}
	if sure != mayHave {
		if succeeded && !canSucceed || !succeeded && !canFail {
			return fmt.Errorf("task %d (%s %s on %s): succeeded is %v", uid, op.marker, op.kind, op.index, succeeded)
		}
		sure = didNot
		if succeeded {
			sure = happened
		}
	}
	m.effect(uid, op, ix, sure)
	return nil
}

func (m *model) effect(uid int64, op *operation, ix *modelIndex, sure certainty) {
	switch op.kind {
	case opAdd, opUpdate:
		ix.exists.note(uid, sure, to(true))
		for _, d := range op.documents {
			ix.document(d.ID).note(uid, sure, op.change(d.ID))
		}
	case opDelete:
		for _, id := range op.ids {
			ix.document(id).note(uid, sure, op.change(id))
		}
	case opDeleteFilter, opEdit, opClear:
		ix.all(uid, sure, op)
	case opSettings:
		ix.exists.note(uid, sure, to(true))
		ix.filterable.note(uid, sure, to(op.stopWord != ""))
		ix.stopWord.note(uid, sure, to(op.stopWord))
	case opCreate:
		ix.exists.note(uid, sure, to(true))
	case opDrop:
		ix.exists.note(uid, sure, to(false))
		ix.filterable.note(uid, sure, to(false))
		ix.stopWord.note(uid, sure, to(""))
		ix.all(uid, sure, op)
	case opSwap:
		if sure == happened {
			ix.swap(uid, op, m.index(op.other))
		}
	}
}

func (ix *modelIndex) all(uid int64, sure certainty, op *operation) {
	for id, d := range ix.documents {
		d.note(uid, sure, op.change(id))
	}
}

// change is what the operation makes of a document, nil where it does not touch it.
func (op *operation) change(id int) func(document) document {
	switch op.kind {
	case opAdd, opUpdate:
		if !slices.ContainsFunc(op.documents, func(d document) bool { return d.ID == id }) {
			return nil
		}
		return func(now document) document {
			for _, d := range op.documents {
				switch {
				case d.ID != id:
				case op.kind == opAdd:
					now = d
				default:
					now = now.updated(d)
				}
			}
			return now
		}
	case opDelete:
		if slices.Contains(op.ids, id) {
			return to(document{})
		}
	case opDeleteFilter:
		return func(d document) document {
			if d.N != 0 && d.N < op.below {
				return document{}
			}
			return d
		}
	case opEdit:
		return func(d document) document {
			if d.N != 0 && d.N < op.below {
				d.N, d.U = d.N+1, op.marker
			}
			return d
		}
	case opClear, opDrop:
		return to(document{})
	}
	return nil
}

// mixed is what a document may be on a replica that missed writes and gets new ones while it is repaired, refused ones
// too: any state there was, with any of the writes sent after it. Only a pod without a leader, whose view is from before,
// reads such a replica, and marks the answer.
func (m *model) mixed(index string, id int) []document {
	ix := m.index(index)
	values := ix.document(id).within(-1, 1<<62)
	for _, op := range m.sent {
		change := op.change(id)
		if change == nil || op.index != index && len(ix.flips) == 0 {
			continue
		}
		for _, value := range slices.Clone(values) {
			if next := change(value); !slices.Contains(values, next) {
				values = append(values, next)
			}
		}
	}
	return values
}

// skipping is what a document may be on a replica that fails tasks after from, up to to. A node that fails a task goes on with
// the next ones at once: until Miroir has heard of it, and while nobody has seen the task succeed, reads may show these
// without it. No proxy before such nodes can prevent that.
func (m *model) skipping(index string, id int, from, to int64) []document {
	values := slices.Clone(m.index(index).document(id).at(from))
	for _, op := range m.sent {
		change := op.change(id)
		if change == nil || op.index != index || op.uid <= from || op.uid > to {
			continue
		}
		for _, value := range slices.Clone(values) {
			if next := change(value); !slices.Contains(values, next) {
				values = append(values, next)
			}
		}
	}
	return values
}

func (ix *modelIndex) swap(uid int64, op *operation, other *modelIndex) {
	exchange(uid, &ix.exists, &other.exists)
	exchange(uid, &ix.filterable, &other.filterable)
	exchange(uid, &ix.stopWord, &other.stopWord)
	for id := range ix.documents {
		other.document(id)
	}
	for id := range other.documents {
		exchange(uid, ix.document(id), other.document(id))
	}
	ix.flips, other.flips = append(ix.flips, flip{uid, op.ended}), append(other.flips, flip{uid, op.ended})
}

func exchange[T comparable](uid int64, a, b *timeline[T]) {
	ofA, ofB := a.now(), b.now()
	*a, *b = append(*a, fact[T]{uid, ofB}), append(*b, fact[T]{uid, ofA})
}
