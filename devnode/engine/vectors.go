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
func similarity(a, b []float32) float32 {
	var dot, na, nb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		na += float64(a[i]) * float64(a[i])
		nb += float64(b[i]) * float64(b[i])
	}
	if na == 0 || nb == 0 {
		return 0.5
	}
	return float32((1 + dot/math.Sqrt(na*nb)) / 2)
}

// shifted is the score of a similarity: the distribution of the embedder is moved to a mean of 0.5 and a deviation of 0.4.
func (e *embedder) shifted(score float32) float32 {
	if e.shift == nil {
		return score
	}
	factor := 0.4 / e.shift.Sigma
	score = factor*score + (0.5 - factor*e.shift.Mean)
	return min(max(score, 1.1920929e-7), 1)
}

// nearDoc is a document and its similarity, not shifted.
type nearDoc struct {
	doc        uint32
	similarity float32
}

func sortNearest(list []nearDoc) {
	slices.SortStableFunc(list, func(a, b nearDoc) int { return cmp.Compare(b.similarity, a.similarity) })
}

// nearest lists the documents of universe by the similarity of their n-th vector, most similar first.
func (st *state) nearest(e *embedder, n int, target []float32, universe *roaring.Bitmap) []nearDoc {
	var out []nearDoc
	universe.Iterate(func(doc uint32) bool {
		if list := st.docs[doc].vectors[e.name].list; n < len(list) && len(list[n]) == len(target) {
			out = append(out, nearDoc{doc, similarity(list[n], target)})
		}
		return true
	})
	sortNearest(out)
	return out
}

// maxVectors is the most vectors that a document of universe has.
func (st *state) maxVectors(e *embedder, universe *roaring.Bitmap) int {
	out := 0
	universe.Iterate(func(doc uint32) bool {
		out = max(out, len(st.docs[doc].vectors[e.name].list))
		return true
	})
	return out
}

// vectorRule returns documents in order of similarity, then those without a vector. Meilisearch keeps first, second and later
// vectors of documents in stores of their own and asks each for the limit nearest, and again only when all those are used up.
// So documents past the limit are not in order when some have several vectors.
type vectorRule struct {
	embedder *embedder
	target   []float32
	limit    int

	query  *queryGraph
	stores [][]nearDoc
	queue  []nearDoc
}

func (r *vectorRule) start(q *queryContext, universe *roaring.Bitmap, query *queryGraph) {
	r.query, r.stores = query, nil
	for n := range q.st.maxVectors(r.embedder, universe) {
		r.stores = append(r.stores, q.st.nearest(r.embedder, n, r.target, universe))
	}
	r.fill(universe)
}

// fill queues the nearest documents of each store that are left in universe.
func (r *vectorRule) fill(universe *roaring.Bitmap) {
	r.queue = nil
	for n, store := range r.stores {
		for len(store) > 0 && !universe.Contains(store[0].doc) {
			store = store[1:]
		}
		r.stores[n] = store
		for taken := 0; len(store) > 0 && taken < r.limit; store = store[1:] {
			if universe.Contains(store[0].doc) {
				r.queue = append(r.queue, store[0])
				taken++
			}
		}
	}
	sortNearest(r.queue)
}

func (r *vectorRule) next(universe *roaring.Bitmap) (bucket, bool) {
	for {
		for len(r.queue) > 0 {
			same := r.queue[0].similarity
			docs := roaring.New()
			for len(r.queue) > 0 && r.queue[0].similarity == same {
				docs.Add(r.queue[0].doc)
				r.queue = r.queue[1:]
			}
			if docs.And(universe); !docs.IsEmpty() {
				score := r.embedder.shifted(same)
				return bucket{r.query, docs, scoreDetail{kind: scoreVector, similarity: &score}}, true
			}
		}
		if r.fill(universe); len(r.queue) == 0 {
			return bucket{r.query, universe.Clone(), scoreDetail{kind: scoreVector}}, true
		}
	}
}

func (r *vectorRule) end() { r.queue, r.stores = nil, nil }

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
