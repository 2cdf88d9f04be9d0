package engine

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
)

// facetValue is one value of a field of a document: a number, or a string as written and as compared.
type facetValue struct {
	field      fieldID
	isString   bool
	number     float64
	original   string
	normalized string
}

// documentFacets is everything the facet index knows about one document. Values are distinct.
type documentFacets struct {
	values                     []facetValue
	exists, null, empty, plain []fieldID
}

// facetField is the facet index of one field. Numbers and strings are apart.
type facetField struct {
	exists, null, empty *roaring.Bitmap
	numbers             map[float64]*roaring.Bitmap
	strings             map[string]*roaring.Bitmap // by normalized value

	plain *roaring.Bitmap // documents that have their value outside of objects and arrays
	since int             // the write that made it a facet
	flat  bool            // strings cannot be compared, so they are not grouped; see facetLevels
}

func newFacetField() *facetField {
	return &facetField{
		exists: roaring.New(), null: roaring.New(), empty: roaring.New(), plain: roaring.New(),
		numbers: map[float64]*roaring.Bitmap{}, strings: map[string]*roaring.Bitmap{},
	}
}

// facetIndex is the facet index of all faceted fields. Only writers change it, but for the sorted lists, that are made when
// first asked for after a write.
type facetIndex struct {
	fields map[fieldID]*facetField
	writes []facetWrite    // those so far, oldest first
	added  *roaring.Bitmap // documents of the write that is not finished

	mu     sync.Mutex
	sorted map[fieldID]*sortedFacets
}

// sortedFacets are the values of a field in order, with their documents.
type sortedFacets struct {
	numbers []float64
	strings []string

	numberLevels []facetLevel
	stringLevels []facetLevel
}

func newFacetIndex() *facetIndex {
	return &facetIndex{fields: map[fieldID]*facetField{}, added: roaring.New(), sorted: map[fieldID]*sortedFacets{}}
}

func (x *facetIndex) field(f fieldID) *facetField {
	field := x.fields[f]
	if field == nil {
		field = newFacetField()
		x.fields[f] = field
	}
	return field
}

func (x *facetIndex) add(doc uint32, facets *documentFacets) {
	for _, f := range facets.exists {
		x.field(f).exists.Add(doc)
	}
	for _, f := range facets.null {
		x.field(f).null.Add(doc)
	}
	for _, f := range facets.empty {
		x.field(f).empty.Add(doc)
	}
	for _, f := range facets.plain {
		x.field(f).plain.Add(doc)
	}
	x.added.Add(doc)
	for i := range facets.values {
		v := &facets.values[i]
		if v.isString {
			addValue(x.field(v.field).strings, v.normalized, doc)
		} else {
			addValue(x.field(v.field).numbers, v.number, doc)
		}
	}
}

func (x *facetIndex) remove(doc uint32, facets *documentFacets) {
	for _, f := range facets.exists {
		x.field(f).exists.Remove(doc)
	}
	for _, f := range facets.null {
		x.field(f).null.Remove(doc)
	}
	for _, f := range facets.empty {
		x.field(f).empty.Remove(doc)
	}
	for _, f := range facets.plain {
		x.field(f).plain.Remove(doc)
	}
	for i := range facets.values {
		v := &facets.values[i]
		if v.isString {
			removeValue(x.field(v.field).strings, v.normalized, doc)
		} else {
			removeValue(x.field(v.field).numbers, v.number, doc)
		}
	}
}

func addValue[K comparable](m map[K]*roaring.Bitmap, key K, doc uint32) {
	if m[key] == nil {
		m[key] = roaring.New()
	}
	m[key].Add(doc)
}

func removeValue[K comparable](m map[K]*roaring.Bitmap, key K, doc uint32) {
	if docs := m[key]; docs != nil {
		docs.Remove(doc)
		if docs.IsEmpty() {
			delete(m, key)
		}
	}
}

// changed ends a write and forgets what was derived before it. A document that is written again has most of its values still: it
// stays with the write that inserted it.
func (x *facetIndex) changed() {
	for _, write := range x.writes {
		x.added.AndNot(write.docs)
	}
	if !x.added.IsEmpty() {
		x.writes, x.added = append(x.writes, facetWrite{docs: x.added}), roaring.New()
		x.forgetWrites()
	}
	x.sorted = map[fieldID]*sortedFacets{}
}

// deleted takes a document out of all writes: its number can be another's.
func (x *facetIndex) deleted(doc uint32) {
	for _, write := range x.writes {
		write.docs.Remove(doc)
	}
}

// inOrder is the sorted lists of a field, nil for a field without facets. Safe for concurrent use.
func (x *facetIndex) inOrder(f fieldID) *sortedFacets {
	field := x.fields[f]
	if field == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.sorted[f]; s != nil {
		return s
	}
	s := &sortedFacets{numbers: sortedKeys(field.numbers), strings: sortedKeys(field.strings)}
	s.numberLevels = facetLevels(s.numbers, field.numbers, x.writesOf(field))
	if s.stringLevels = facetLevels(s.strings, field.strings, x.writesOf(field)); field.flat {
		s.stringLevels = s.stringLevels[:1]
	}
	x.sorted[f] = s
	return s
}

func sortedKeys[K cmp.Ordered](m map[K]*roaring.Bitmap) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// facetsOf extracts the facets of a document.
func (st *state) facetsOf(document *jsonValue) documentFacets {
	e := facetExtractor{st: st, strings: map[facetKey]int{}, numbers: map[facetNumberKey]bool{}}
	for i, key := range document.keys {
		if key == vectorsField || key == geoField || key == geoJSONField {
			continue
		}
		e.topLevel(key, document.items[i])
	}
	if geo := document.get(geoField); geo != nil && st.cfg.geoEnabled {
		if point, ok := parseGeo(geo); ok {
			e.value(geoLatField, true, &jsonValue{kind: jsonNumber, text: formatFloat(point.lat)})
			e.value(geoLngField, true, &jsonValue{kind: jsonNumber, text: formatFloat(point.lng)})
			e.out.plain = append(e.out.plain, e.st.fields.add(geoLatField), e.st.fields.add(geoLngField))
		}
	}
	return e.out
}

type facetKey struct {
	field      fieldID
	normalized string
}

type facetNumberKey struct {
	field  fieldID
	number float64
}

type facetExtractor struct {
	st      *state
	out     documentFacets
	strings map[facetKey]int // index in out.values
	numbers map[facetNumberKey]bool
}

func (e *facetExtractor) topLevel(name string, v *jsonValue) {
	match := e.st.cfg.facetMatch(name)
	if match == noMatch {
		return
	}
	switch v.kind {
	case jsonObject:
		e.insideObject(name, true, v)
	case jsonArray:
		e.insideArray(name, true, v)
	}
	if match == fullMatch || v.kind != jsonObject && v.kind != jsonArray {
		e.value(name, true, v)
		if id, ok := e.st.fields.ids[name]; ok && v.kind != jsonObject && v.kind != jsonArray {
			e.out.plain = append(e.out.plain, id)
		}
	}
}

// insideObject visits the members of an object; base tells whether the object is the value of a field rather than an
// element of an array.
func (e *facetExtractor) insideObject(name string, base bool, object *jsonValue) {
	if len(object.keys) == 0 {
		e.visit(name, base, object)
	}
	for i, key := range object.keys {
		inner, v := name+"."+key, object.items[i]
		if e.visit(inner, true, v) == noMatch {
			continue
		}
		switch v.kind {
		case jsonObject:
			e.insideObject(inner, true, v)
		case jsonArray:
			e.insideArray(inner, true, v)
		}
	}
}

func (e *facetExtractor) insideArray(name string, base bool, array *jsonValue) {
	if len(array.items) == 0 {
		e.visit(name, base, array)
	}
	for _, v := range array.items {
		switch v.kind {
		case jsonObject:
			e.insideObject(name, false, v)
		case jsonArray:
			e.insideArray(name, false, v)
		default:
			e.visit(name, false, v)
		}
	}
}

func (e *facetExtractor) visit(name string, base bool, v *jsonValue) patternMatch {
	match := e.st.cfg.facetMatch(name)
	if match == fullMatch {
		e.value(name, base, v)
	}
	return match
}

// value records one value of a field; base is false for elements of arrays, of which null and empty do not count.
func (e *facetExtractor) value(name string, base bool, v *jsonValue) {
	if e.st.cfg.facetMatch(name) != fullMatch {
		return
	}
	f := e.st.fields.add(name)
	e.out.exists = appendNew(e.out.exists, f)
	switch {
	case v.kind == jsonNumber:
		if n := v.number(); !math.IsInf(n, 0) {
			if key := (facetNumberKey{f, n}); !e.numbers[key] {
				e.numbers[key] = true
				e.out.values = append(e.out.values, facetValue{field: f, number: n})
			}
		}
	case v.kind == jsonString && v.text != "", v.kind == jsonBool:
		e.text(f, v.text)
	case v.kind == jsonNull && base:
		e.out.null = appendNew(e.out.null, f)
	case base && v.kind == jsonString, base && (v.kind == jsonArray || v.kind == jsonObject) && len(v.items) == 0:
		e.out.empty = appendNew(e.out.empty, f)
	}
}

func (e *facetExtractor) text(f fieldID, text string) {
	key := facetKey{f, truncateFacet(normalizeFacet(text))}
	value := facetValue{field: f, isString: true, original: text, normalized: key.normalized}
	if i, ok := e.strings[key]; ok { // the last spelling wins
		e.out.values[i] = value
		return
	}
	e.strings[key] = len(e.out.values)
	e.out.values = append(e.out.values, value)
}

func appendNew(list []fieldID, f fieldID) []fieldID {
	if slices.Contains(list, f) {
		return list
	}
	return append(list, f)
}
