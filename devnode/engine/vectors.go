package engine

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// embedder is a configured embedder. This engine computes no embeddings itself: vectors come with documents and queries.
type embedder struct {
	name       string
	dimensions int // 0: any
	shift      *meili.Distribution
}

func newEmbedders(settings map[string]meili.Setting[meili.Embedder]) map[string]*embedder {
	out := map[string]*embedder{}
	for name, s := range settings {
		if !s.Set {
			continue
		}
		e := &embedder{name: name, dimensions: s.Value.Dimensions.Or(0)}
		if s.Value.Distribution.Set {
			e.shift = &s.Value.Distribution.Value
		}
		out[name] = e
	}
	return out
}

// documentVectors are the vectors of a document for one embedder.
type documentVectors struct {
	list       [][]float32
	regenerate bool
}

// similarity turns a cosine from -1 to 1 into a score from 0 to 1.
func (e *embedder) similarity(a, b []float32) float32 {
	var dot, na, nb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		na += float64(a[i]) * float64(a[i])
		nb += float64(b[i]) * float64(b[i])
	}
	cos := 0.0
	if na > 0 && nb > 0 {
		cos = dot / math.Sqrt(na*nb)
	}
	score := float32((1 + cos) / 2)
	if e.shift == nil {
		return score
	}
	// The native distribution of similarities is moved to a mean of 0.5 and a deviation of 0.4.
	factor := 0.4 / e.shift.Sigma
	score = factor*score + (0.5 - factor*e.shift.Mean)
	return min(max(score, 1.1920929e-7), 1)
}

// nearest lists the documents of universe that have a vector, most similar first.
func (st *state) nearest(e *embedder, target []float32, universe *roaring.Bitmap) []scoredDoc {
	var out []scoredDoc
	universe.Iterate(func(doc uint32) bool {
		best := float32(-1)
		for _, v := range st.docs[doc].vectors[e.name].list {
			if len(v) == len(target) {
				best = max(best, e.similarity(v, target))
			}
		}
		if best >= 0 {
			out = append(out, scoredDoc{doc, best})
		}
		return true
	})
	slices.SortStableFunc(out, func(a, b scoredDoc) int { return cmp.Compare(b.score, a.score) })
	return out
}

type scoredDoc struct {
	doc   uint32
	score float32
}

// vectorRule returns documents in order of similarity, then those without a vector.
type vectorRule struct {
	embedder *embedder
	target   []float32

	query *queryGraph
	queue []scoredDoc
}

func (r *vectorRule) start(q *queryContext, universe *roaring.Bitmap, query *queryGraph) {
	r.query, r.queue = query, q.st.nearest(r.embedder, r.target, universe)
}

func (r *vectorRule) next(universe *roaring.Bitmap) (bucket, bool) {
	for len(r.queue) > 0 {
		score := r.queue[0].score
		docs := roaring.New()
		for len(r.queue) > 0 && r.queue[0].score == score {
			docs.Add(r.queue[0].doc)
			r.queue = r.queue[1:]
		}
		if docs.And(universe); !docs.IsEmpty() {
			return bucket{r.query, docs, scoreDetail{kind: scoreVector, similarity: &score}}, true
		}
	}
	return bucket{r.query, universe.Clone(), scoreDetail{kind: scoreVector}}, true
}

func (r *vectorRule) end() { r.queue = nil }

// findEmbedder is a configured embedder; refused is the code of the error when there is none of that name.
func (st *state) findEmbedder(name string, refused meili.Code) (*embedder, *meili.Error) {
	if e := st.cfg.embedders[name]; e != nil {
		return e, nil
	}
	return nil, meili.Errorf(refused, "Cannot find embedder with name `%s`.", name)
}

// queryVector parses the vector of a query and checks its size.
func (e *embedder) queryVector(raw json.RawMessage) ([]float32, *meili.Error) {
	var vector []float32
	if err := json.Unmarshal(raw, &vector); err != nil {
		return nil, meili.Errorf(meili.CodeInvalidSearchVector, "Invalid value at `.vector`: %v", err)
	}
	if e.dimensions > 0 && len(vector) != e.dimensions {
		return nil, meili.Errorf(meili.CodeInvalidVectorDimensions, "Invalid vector dimensions: expected: `%d`, found: `%d`.", e.dimensions, len(vector))
	}
	return vector, nil
}

// keptVectors are the vectors of a stored document that an update which does not mention them keeps.
func keptVectors(old map[string]documentVectors, parsed *jsonValue) map[string]documentVectors {
	if parsed.get(vectorsField) != nil {
		return nil
	}
	return old
}

// takeVectors moves the vectors of configured embedders out of a parsed document. Errors: invalid_vector_dimensions,
// invalid_vectors_type.
func (st *state) takeVectors(d *storedDocument, parsed *jsonValue) *meili.Error {
	field := parsed.get(vectorsField)
	if field == nil || field.kind == jsonNull {
		parsed.remove(vectorsField)
		return nil
	}
	if field.kind != jsonObject {
		return meili.Errorf(meili.CodeInvalidVectorsType, "The `_vectors` field in the document with id: `%s` is not an object. Was expecting an object with a key for each embedder with manually provided vectors, but instead got `%s`", d.id, field.bytes())
	}
	rest := &jsonValue{kind: jsonObject}
	kept := map[string]documentVectors{}
	for i, name := range field.keys {
		e := st.cfg.embedders[name]
		if e == nil {
			rest.set(name, field.items[i])
			continue
		}
		vectors, err := e.parseVectors(d.id, field.items[i])
		if err != nil {
			return err
		}
		kept[name] = vectors
	}
	d.vectors = kept
	if len(rest.keys) > 0 {
		parsed.set(vectorsField, rest)
	} else {
		parsed.remove(vectorsField)
	}
	return nil
}

// parseVectors reads one member of _vectors: a vector, a list of vectors, null, or an object with embeddings and regenerate.
func (e *embedder) parseVectors(id string, v *jsonValue) (documentVectors, *meili.Error) {
	var out documentVectors
	if v.kind == jsonObject {
		if r := v.get("regenerate"); r != nil {
			out.regenerate = r.text == "true"
		}
		if v = v.get("embeddings"); v == nil {
			return out, nil
		}
	}
	lists := []*jsonValue{v}
	if len(v.items) > 0 && v.items[0].kind == jsonArray {
		lists = v.items
	}
	if v.kind == jsonArray && len(v.items) > 0 {
		for _, list := range lists {
			vector := make([]float32, len(list.items))
			for i, n := range list.items {
				vector[i] = float32(n.number())
			}
			out.list = append(out.list, vector)
		}
	}
	for i, vector := range out.list {
		if e.dimensions > 0 && len(vector) != e.dimensions {
			return out, meili.Errorf(meili.CodeInvalidVectorDimensions, "Invalid vector dimensions in document with id `%s` in `._vectors.%s`.\n  - note: embedding #%d has dimensions %d\n  - note: embedder `%s` requires %d", id, e.name, i, len(vector), e.name, e.dimensions)
		}
	}
	return out, nil
}

// checkVectors checks the stored documents against the embedders of a new configuration.
func (st *state) checkVectors() *meili.Error {
	if len(st.cfg.embedders) == 0 {
		return nil
	}
	for _, d := range st.docs {
		if d == nil {
			continue
		}
		if field := parseJSON(d.json).get(vectorsField); field != nil {
			for i, name := range field.keys {
				if e := st.cfg.embedders[name]; e != nil {
					if _, err := e.parseVectors(d.id, field.items[i]); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// moveVectors brings a stored document in line with the embedders: vectors of new ones leave its JSON, those of removed ones
// return there.
func (st *state) moveVectors(d *storedDocument, parsed *jsonValue) {
	changed := false
	field := parsed.get(vectorsField)
	if field == nil {
		field = &jsonValue{kind: jsonObject}
	}
	for name, vectors := range d.vectors {
		if st.cfg.embedders[name] == nil {
			field.set(name, vectors.value())
			delete(d.vectors, name)
			changed = true
		}
	}
	for _, name := range slices.Clone(field.keys) {
		e := st.cfg.embedders[name]
		if e == nil {
			continue
		}
		if vectors, err := e.parseVectors(d.id, field.get(name)); err == nil {
			if d.vectors == nil {
				d.vectors = map[string]documentVectors{}
			}
			d.vectors[name] = vectors
			field.remove(name)
			changed = true
		}
	}
	if !changed {
		return
	}
	if len(field.keys) > 0 {
		parsed.set(vectorsField, field)
	} else {
		parsed.remove(vectorsField)
	}
	d.json = parsed.bytes()
}

// value is how documents show the vectors of an embedder.
func (v documentVectors) value() *jsonValue {
	list := &jsonValue{kind: jsonArray}
	for _, vector := range v.list {
		item := &jsonValue{kind: jsonArray}
		for _, f := range vector {
			item.items = append(item.items, &jsonValue{kind: jsonNumber, text: formatFloat32(f)})
		}
		list.items = append(list.items, item)
	}
	out := &jsonValue{kind: jsonObject}
	out.set("embeddings", list)
	out.set("regenerate", &jsonValue{kind: jsonBool, text: strconv.FormatBool(v.regenerate)})
	return out
}

// showVectors replaces _vectors of a shown document by the vectors of every configured embedder.
func (st *state) showVectors(shown *jsonValue, d *storedDocument) {
	field := shown.get(vectorsField)
	shown.remove(vectorsField)
	if field == nil || field.kind != jsonObject {
		field = &jsonValue{kind: jsonObject}
	}
	for name := range st.cfg.embedders {
		vectors, ok := d.vectors[name]
		if !ok {
			vectors.regenerate = true
		}
		field.set(name, vectors.value())
	}
	shown.set(vectorsField, field)
}

func (st *state) countEmbeddings() (vectors, docs int) {
	for _, d := range st.docs {
		if d == nil {
			continue
		}
		n := 0
		for _, v := range d.vectors {
			n += len(v.list)
		}
		vectors += n
		if n > 0 {
			docs++
		}
	}
	return vectors, docs
}
