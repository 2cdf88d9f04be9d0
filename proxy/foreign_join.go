package proxy

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
)

// foreignBatch is how many foreign documents are read at once.
const foreignBatch = 1000

// foreignJoin puts foreign documents into the hits of one search.
type foreignJoin struct {
	s         *Server
	view      *fsm.View
	documents map[string]map[string][]byte // by foreign index and id; nil: not read yet, or no such document
}

// note remembers the documents that a hit names in the fields of foreign keys, as values or in lists.
func (j *foreignJoin) note(hit []byte, keys []meili.ForeignKey) {
	for _, key := range keys {
		j.noteBelow(hit, skipSpace(hit, 0), key.FieldName, key.ForeignIndexUID)
	}
}

func (j *foreignJoin) noteBelow(text []byte, object int, field, foreignUID string) {
	eachMember(text, object, func(m member) bool {
		name := keyText(text, m)
		if name == field {
			j.noteIDs(text[m.value:m.end], foreignUID)
		}
		rest, below := strings.CutPrefix(field, name+".")
		if !below {
			return true
		}
		j.noteBelow(text, m.value, rest, foreignUID)
		eachItem(text, m.value, func(start, _ int) bool {
			j.noteBelow(text, start, rest, foreignUID)
			return true
		})
		return true
	})
}

// noteIDs remembers the id that a value is, or those of a list up to the first item that is none.
func (j *foreignJoin) noteIDs(value []byte, foreignUID string) {
	items := [][]byte{value}
	if value[0] == '[' {
		items = itemsOf(value)
	}
	for _, item := range items {
		id, ok := foreignID(item)
		if !ok {
			return
		}
		if j.documents[foreignUID] == nil {
			j.documents[foreignUID] = map[string][]byte{}
		}
		j.documents[foreignUID][id] = nil
	}
}

// read reads the documents noted, as their indexes display them. Error: index_not_found.
func (j *foreignJoin) read(ctx context.Context) error {
	for uid, documents := range j.documents {
		ix := j.view.Index(uid)
		if ix == nil {
			return meili.IndexNotFound(uid)
		}
		ids := make([]string, 0, len(documents))
		for id := range documents {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for some := range slices.Chunk(ids, foreignBatch) {
			query, hidden := displayedDocuments(ix, some)
			list, err := j.s.foreignList(ctx, j.view, ix, query)
			if err != nil {
				return err
			}
			for _, document := range list {
				documents[documentID(document, ix.PrimaryKey)] = strip(document, hidden)
			}
		}
	}
	return nil
}

// displayedDocuments asks for documents with their displayed fields and their id, and says what to remove then.
func displayedDocuments(ix *fsm.Index, ids []string) (*meili.DocumentsQuery, *shape) {
	query := &meili.DocumentsQuery{IDs: &ids, Limit: len(ids)}
	shown := settingsOf(ix).Displayed()
	if shown == nil || slices.Contains(shown, "*") {
		return query, documentShape
	}
	fields := slices.Clone(shown)
	query.Fields = &fields
	root, _, _ := strings.Cut(ix.PrimaryKey, ".")
	if retrievesBelow(shown, root) {
		return query, documentShape
	}
	fields = append(fields, ix.PrimaryKey)
	return query, &shape{strip: true, drop: []string{root}}
}

// joined is the hit with the documents that were read. One that does not exist shows as empty.
func (j *foreignJoin) joined(hit []byte, keys []meili.ForeignKey) []byte {
	return editHit(hit, keys, func(value []byte, key meili.ForeignKey) []byte {
		id, _ := foreignID(value)
		document, noted := j.documents[key.ForeignIndexUID][id]
		if noted && document == nil {
			return []byte("{}")
		}
		return document
	})
}

// joinForeign puts foreign documents into the answer of a search.
func (q *search) joinForeign(ctx context.Context, answer *searchAnswer) error {
	keys := foreignKeysOf(q.view, q.ix)
	if keys == nil {
		return nil
	}
	join := &foreignJoin{s: q.s, view: q.view, documents: map[string]map[string][]byte{}}
	if answer.raw != nil {
		var err error
		answer.raw, err = join.answer(ctx, answer.raw, func([]byte) []meili.ForeignKey { return keys })
		return err
	}
	for i := range answer.hits {
		join.note(answer.hits[i].raw, keys)
	}
	if err := join.read(ctx); err != nil {
		return err
	}
	for i := range answer.hits {
		answer.hits[i].raw = join.joined(answer.hits[i].raw, keys)
	}
	return nil
}

// answer puts foreign documents into the hits of an answer. keysOf tells the foreign keys of a hit's index.
func (j *foreignJoin) answer(ctx context.Context, body []byte, keysOf func(hit []byte) []meili.ForeignKey) ([]byte, error) {
	list := memberOf(body, "hits")
	hits := itemsOf(list)
	for _, hit := range hits {
		j.note(hit, keysOf(hit))
	}
	if err := j.read(ctx); err != nil || len(hits) == 0 {
		return body, err
	}
	from := bytes.Index(body, list) // the first member of an answer
	out := append(slices.Clone(body[:from]), '[')
	for i, hit := range hits {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, j.joined(hit, keysOf(hit))...)
	}
	return append(append(out, ']'), body[from+len(list):]...), nil
}

// joinForeign puts foreign documents into the answer of a federated search.
func (f *federated) joinForeign(ctx context.Context, body []byte) ([]byte, error) {
	keys := make([][]meili.ForeignKey, len(f.multi.Queries))
	for i := range f.multi.Queries {
		keys[i] = foreignKeysOf(f.view, f.indexes[f.multi.Queries[i].IndexUID])
	}
	if !slices.ContainsFunc(keys, func(k []meili.ForeignKey) bool { return k != nil }) {
		return body, nil
	}
	join := &foreignJoin{s: f.s, view: f.view, documents: map[string]map[string][]byte{}}
	return join.answer(ctx, body, func(hit []byte) []meili.ForeignKey {
		if position := int(number(memberOf(memberOf(hit, "_federation"), "queriesPosition"))); position >= 0 && position < len(keys) {
			return keys[position] // those of the query at that place, whoever numbers them: as one server
		}
		return nil
	})
}

// editHit applies edit to the values of foreign keys in a hit and in its _formatted, and replaces those it returns
// something for. All other bytes stay.
func editHit(hit []byte, keys []meili.ForeignKey, edit leafEdit) []byte {
	if len(keys) == 0 {
		return hit
	}
	e := leafEditor{text: hit, keys: keys, edit: edit}
	eachMember(hit, skipSpace(hit, 0), func(m member) bool {
		switch name := keyText(hit, m); name {
		case "_formatted":
			e.object(m.value, "")
		case "_matchesPosition", "_rankingScore", "_rankingScoreDetails", "_federation":
		default:
			e.member(m, name)
		}
		return true
	})
	if e.out == nil {
		return hit
	}
	return append(e.out, hit[e.copied:]...)
}

// leafEditor replaces strings, numbers and their like in a JSON text. A key covers what is above and below it too, as far
// as that is a plain value (permissive-json-pointer, map_leaf_values).
type leafEditor struct {
	text, out []byte
	copied    int
	keys      []meili.ForeignKey
	edit      leafEdit
}

// leafEdit returns what stands in place of a value that key covers, nil for the value itself.
type leafEdit func(value []byte, key meili.ForeignKey) []byte

func (e *leafEditor) object(at int, path string) {
	eachMember(e.text, at, func(m member) bool {
		name := keyText(e.text, m)
		if path != "" {
			name = path + "." + name
		}
		e.member(m, name)
		return true
	})
}

func (e *leafEditor) member(m member, path string) {
	at := slices.IndexFunc(e.keys, func(k meili.ForeignKey) bool {
		return meili.IsFieldOrBelow(path, k.FieldName) || meili.IsFieldOrBelow(k.FieldName, path)
	})
	if at >= 0 {
		e.value(m.value, m.end, path, e.keys[at])
	}
}

func (e *leafEditor) value(start, end int, path string, key meili.ForeignKey) {
	switch e.text[start] {
	case '{':
		e.object(start, path)
	case '[':
		eachItem(e.text, start, func(start, end int) bool {
			e.value(start, end, path, key)
			return true
		})
	default:
		if with := e.edit(e.text[start:end], key); with != nil {
			e.out = append(append(e.out, e.text[e.copied:start]...), with...)
			e.copied = end
		}
	}
}
