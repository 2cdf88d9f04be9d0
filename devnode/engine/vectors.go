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
	manual     bool // source userProvided: documents must bring vectors or null
	dimensions int  // 0: any
	shift      *meili.Distribution
}

func newEmbedders(settings map[string]meili.Setting[meili.Embedder]) map[string]*embedder {
	out := map[string]*embedder{}
	for name, s := range settings {
		if !s.Set {
			continue
		}
		e := &embedder{name: name, dimensions: s.Value.Dimensions.Or(0), manual: s.Value.Source.Or("") == "userProvided"}
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
