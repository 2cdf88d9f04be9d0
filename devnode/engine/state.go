package engine

import (
	"encoding/json"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// state is everything an Index holds. Methods that change it are called by one writer alone, the others by any number of
// readers.
type state struct {
	settings      *meili.Settings
	cfg           *config
	primaryKey    string
	fields        *fieldMap
	docs          []*storedDocument // by internal number, nil where there is none
	ids           map[string]uint32 // internal numbers by document id
	live          *roaring.Bitmap   // internal numbers in use
	free          *roaring.Bitmap   // internal numbers of deleted documents
	words         *wordIndex
	dict          *dictionary
	facets        *facetIndex
	geoDocs       *roaring.Bitmap // documents with a point
	documentBytes int64
	numWithField  map[string]int // documents by top-level field
}

// storedDocument is a document and what was indexed of it.
type storedDocument struct {
	id      string
	json    []byte
	fields  []string // top-level names
	words   []fieldWord
	facets  documentFacets
	geo     *geoPoint
	vectors map[string]documentVectors // by embedder

	mentioned bool // it came with _vectors
}

func newState() *state {
	st := &state{
		settings: &meili.Settings{}, cfg: newConfig(&meili.Settings{}), fields: newFieldMap(), ids: map[string]uint32{}, live: roaring.New(), free: roaring.New(),
	}
	st.resetIndexes()
	st.changed()
	return st
}

func (st *state) resetIndexes() {
	st.words, st.facets, st.geoDocs = newWordIndex(), newFacetIndex(), roaring.New()
	st.numWithField = map[string]int{}
}

// changed makes what searches derive be derived anew.
func (st *state) changed() {
	st.cfg.setFields(st.fields)
	st.dict = newDictionary(st.words, func(doc uint32) []fieldWord { return st.docs[doc].words })
	st.facets.changed()
	for f, field := range st.facets.fields {
		field.flat = !st.cfg.isCompared(st.fields.names[f])
	}
}

// apply makes settings the settings of the index and indexes every document again.
func (st *state) apply(settings *meili.Settings) *meili.Error {
	cfg := newConfig(settings)
	old := st.cfg
	st.cfg = cfg
	if err := st.checkVectors(); err != nil {
		st.cfg = old
		return err
	}
	st.settings = settings
	before := st.facets
	st.reindex()
	st.facets.reindexed(before)
	return nil
}

// reindex rebuilds every index from the stored documents.
func (st *state) reindex() {
	st.resetIndexes()
	for doc, d := range st.docs {
		if d != nil {
			parsed := parseJSON(d.json)
			st.moveVectors(d, parsed)
			st.index(uint32(doc), d, parsed)
		}
	}
	st.changed()
}

// index adds a document to every index.
func (st *state) index(doc uint32, d *storedDocument, parsed *jsonValue) {
	st.fields.addAll(parsed)
	if d.mentioned {
		st.fields.add(vectorsField)
	}
	d.words = st.wordsOf(parsed)
	d.facets = st.facetsOf(parsed)
	d.fields, d.geo = nil, nil
	for _, key := range parsed.keys {
		if key != vectorsField && key != geoField && key != geoJSONField {
			d.fields = append(d.fields, key)
			st.numWithField[key]++
		}
	}
	if st.cfg.geoEnabled {
		if geo := parsed.get(geoField); geo != nil {
			if point, ok := parseGeo(geo); ok {
				d.geo = &point
				st.geoDocs.Add(doc)
			}
		}
	}
	st.words.add(doc, d.words, st.isExact)
	st.facets.add(doc, &d.facets)
}

// unindex takes a document out of every index.
func (st *state) unindex(doc uint32) {
	d := st.docs[doc]
	for _, key := range d.fields {
		if st.numWithField[key]--; st.numWithField[key] == 0 {
			delete(st.numWithField, key)
		}
	}
	st.words.remove(doc, d.words)
	st.facets.remove(doc, &d.facets)
	st.geoDocs.Remove(doc)
}

// isExact reports whether a word of a field is closed to typos.
func (st *state) isExact(w fieldWord) bool {
	field := st.fields.names[w.field]
	if slices.ContainsFunc(st.cfg.typos.exactFields, func(f string) bool { return containedIn(field, f) }) {
		return true
	}
	return st.cfg.typos.exactNumbers && isNumeric(st.words.words[w.word])
}

// pending is a document about to be stored.
type pending struct {
	id     string
	parsed *jsonValue
	json   []byte // of parsed when that is known
	old    *storedDocument
}

// write stores documents; see Index.PutDocuments.
func (st *state) write(documents []Document, merge, skipCreation bool) (int, *meili.Error) {
	batch, order := map[string]*pending{}, []string{}
	for _, d := range documents {
		p := batch[d.ID]
		if p == nil {
			p = &pending{id: d.ID}
			if doc, ok := st.ids[d.ID]; ok {
				p.old = st.docs[doc]
			} else if skipCreation {
				continue
			}
			batch[d.ID] = p
			order = append(order, d.ID)
		}
		p.put(d.JSON, merge)
	}
	stored := make([]*storedDocument, len(order))
	for i, id := range order {
		d, err := st.prepare(batch[id])
		if err != nil {
			return 0, err
		}
		stored[i] = d
	}
	if st.primaryKey != "" {
		st.fields.add(st.primaryKey)
	}
	for i, id := range order {
		st.store(stored[i], batch[id].parsed)
	}
	st.changed()
	return len(order), nil
}

// put applies one operation to a pending document.
func (p *pending) put(json []byte, merge bool) {
	parsed := parseJSON(json)
	base := p.parsed
	if base == nil && p.old != nil && merge {
		base = parseJSON(p.old.json)
	}
	if !merge || base == nil {
		p.parsed, p.json = parsed, json
		return
	}
	for i, key := range parsed.keys {
		value, before := parsed.items[i], base.get(key)
		if key == vectorsField && before != nil && before.kind == jsonObject && value.kind == jsonObject {
			for n, name := range value.keys {
				before.set(name, value.items[n])
			}
			continue
		}
		base.set(key, value)
	}
	p.parsed, p.json = base, nil
}

// prepare checks a pending document and takes its vectors out of it.
func (st *state) prepare(p *pending) (*storedDocument, *meili.Error) {
	if err := st.checkGeo(p); err != nil {
		return nil, err
	}
	d := &storedDocument{id: p.id}
	mentioned := p.parsed.get(vectorsField) != nil
	if err := st.takeVectors(d, p.old, p.parsed); err != nil {
		return nil, err
	}
	d.mentioned = mentioned
	if d.json = p.json; d.json == nil || mentioned {
		d.json = p.parsed.bytes()
	}
	return d, nil
}

// store puts a checked document in its place.
func (st *state) store(d *storedDocument, parsed *jsonValue) {
	doc, ok := st.ids[d.id]
	if ok {
		st.unindex(doc)
		st.documentBytes -= int64(len(st.docs[doc].json))
	} else {
		doc = st.freeNumber()
		st.ids[d.id] = doc
		st.live.Add(doc)
	}
	st.docs[doc] = d
	st.documentBytes += int64(len(d.json))
	st.index(doc, d, parsed)
}

// freeNumber is the lowest internal number not in use.
func (st *state) freeNumber() uint32 {
	if !st.free.IsEmpty() {
		doc := st.free.Minimum()
		st.free.Remove(doc)
		return doc
	}
	st.docs = append(st.docs, nil)
	return uint32(len(st.docs) - 1)
}

func (st *state) delete(ids []string) int {
	n := 0
	for _, id := range ids {
		if doc, ok := st.ids[id]; ok {
			st.unindex(doc)
			st.facets.deleted(doc)
			st.documentBytes -= int64(len(st.docs[doc].json))
			st.docs[doc] = nil
			delete(st.ids, id)
			st.live.Remove(doc)
			st.free.Add(doc)
			n++
		}
	}
	if n > 0 {
		st.changed()
	}
	return n
}

func (st *state) deleteByFilter(ctx SearchContext, filter json.RawMessage) (int, *meili.Error) {
	docs, err := st.filterDocs(ctx, filter)
	if err != nil {
		return 0, err
	}
	var ids []string
	docs.Iterate(func(doc uint32) bool {
		ids = append(ids, st.docs[doc].id)
		return true
	})
	return st.delete(ids), nil
}

func (st *state) clear() int {
	n := st.numDocuments()
	st.docs, st.ids, st.documentBytes = nil, map[string]uint32{}, 0
	st.live, st.free = roaring.New(), roaring.New()
	st.fields = newFieldMap()
	st.resetIndexes()
	st.changed()
	return n
}

func (st *state) numDocuments() int { return int(st.live.GetCardinality()) }

func (st *state) each(visit func(string, json.RawMessage) bool) {
	for doc, d := range st.docs {
		if d != nil && !visit(d.id, st.fullDocument(uint32(doc)).bytes()) {
			return
		}
	}
}

func (st *state) fieldDistribution() map[string]int {
	out := make(map[string]int, len(st.numWithField))
	for field, n := range st.numWithField {
		out[field] = n
	}
	return out
}
