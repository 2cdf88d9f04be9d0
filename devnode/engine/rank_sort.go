package engine

import (
	"math"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
)

// sortRule returns documents in order of the values of a field: numbers, strings, then documents without the field. Of
// several values of a document the one that comes first counts.
type sortRule struct {
	field     string
	ascending bool

	st     *state
	query  *queryGraph
	sorted *sortedFacets
	values *facetField
	number int // of values left in either list
	text   int
}

func (r *sortRule) start(q *queryContext, _ *roaring.Bitmap, query *queryGraph) {
	r.st, r.query, r.sorted, r.number, r.text = q.st, query, nil, 0, 0
	f, ok := q.st.fields.ids[r.field]
	if !ok {
		return
	}
	r.sorted, r.values = q.st.facets.inOrder(f), q.st.facets.fields[f]
	if r.sorted != nil {
		r.number, r.text = len(r.sorted.numbers), len(r.sorted.strings)
	}
}

// take is the index of the next value of a list of n of which left are left.
func (r *sortRule) take(n, left int) int {
	if r.ascending {
		return n - left
	}
	return left - 1
}

func (r *sortRule) next(universe *roaring.Bitmap) (bucket, bool) {
	for ; r.number > 0; r.number-- {
		n := r.sorted.numbers[r.take(len(r.sorted.numbers), r.number)]
		if docs := roaring.And(r.values.numbers[n], universe); !docs.IsEmpty() {
			r.number--
			return r.bucket(docs, &jsonValue{kind: jsonNumber, text: formatFloat(n)}), true
		}
	}
	for ; r.text > 0; r.text-- {
		s := r.sorted.strings[r.take(len(r.sorted.strings), r.text)]
		if docs := roaring.And(r.values.strings[s], universe); !docs.IsEmpty() {
			r.text--
			return r.bucket(docs, stringValue(s)), true
		}
	}
	return r.bucket(universe.Clone(), nullValue), true
}

func (r *sortRule) bucket(docs *roaring.Bitmap, value *jsonValue) bucket {
	return bucket{r.query, docs, scoreDetail{
		kind: scoreSort, field: r.field, ascending: r.ascending, value: value, redacted: !r.st.cfg.isDisplayed(r.field),
	}}
}

func (r *sortRule) end() { r.sorted, r.values = nil, nil }

// Distances that differ less than geoMargin metres from the first of a bucket share it, up to maxGeoBucket documents.
const (
	geoMargin    = 1.0
	maxGeoBucket = 1000
)

// geoRule returns documents in order of distance from a point, then documents without a point.
type geoRule struct {
	target    geoPoint
	ascending bool

	st    *state
	query *queryGraph
	queue []geoDoc // in order
}

type geoDoc struct {
	doc      uint32
	point    geoPoint
	distance float64
}

func (r *geoRule) start(q *queryContext, universe *roaring.Bitmap, query *queryGraph) {
	r.st, r.query, r.queue = q.st, query, nil
	docs := roaring.And(universe, q.st.geoDocs)
	docs.Iterate(func(doc uint32) bool {
		p := q.st.docs[doc].geo
		r.queue = append(r.queue, geoDoc{doc, *p, r.target.distance(*p)})
		return true
	})
	slices.SortStableFunc(r.queue, func(a, b geoDoc) int { return int(math.Trunc(a.distance)) - int(math.Trunc(b.distance)) })
	if !r.ascending {
		slices.Reverse(r.queue)
	}
}

func (r *geoRule) next(universe *roaring.Bitmap) (bucket, bool) {
	var first *geoDoc
	docs := roaring.New()
	for len(r.queue) > 0 && docs.GetCardinality() < maxGeoBucket {
		d := r.queue[0]
		if universe.Contains(d.doc) {
			if first == nil {
				first = &d
			} else if math.Abs(first.distance-d.distance) > geoMargin {
				break
			}
			docs.Add(d.doc)
		}
		r.queue = r.queue[1:]
	}
	detail := scoreDetail{kind: scoreGeo, target: r.target, ascending: r.ascending}
	if first == nil {
		return bucket{r.query, universe.Clone(), detail}, true
	}
	detail.point = &first.point
	return bucket{r.query, docs, detail}, true
}

func (r *geoRule) end() { r.queue = nil }

// sortCriterion is one entry of the sort parameter.
type sortCriterion struct {
	field     string // "" for a geographic one
	point     geoPoint
	ascending bool
}

// rankingRules makes the rules of a search. kind tells which of them a query of words, a vector or nothing uses.
func (st *state) rankingRules(kind ruleKind, strategy string, sorts []sortCriterion, vector func() rankingRule) []rankingRule {
	b := ruleBuilder{st: st, kind: kind, strategy: strategy, seen: map[string]bool{}, vector: vector}
	if strategy == matchAll {
		b.seen["words"] = true
	}
	for _, name := range st.cfg.ranking {
		b.add(name, sorts)
	}
	return b.rules
}

// ruleKind is what a search ranks by.
type ruleKind uint8

const (
	placeholderRules ruleKind = iota
	queryRules
	vectorRules
)

type ruleBuilder struct {
	st       *state
	kind     ruleKind
	strategy string
	vector   func() rankingRule
	rules    []rankingRule
	seen     map[string]bool
}

// once reports whether a rule is not there yet, and notes it.
func (b *ruleBuilder) once(name string) bool {
	if b.seen[name] {
		return false
	}
	b.seen[name] = true
	return true
}

func (b *ruleBuilder) add(name string, sorts []sortCriterion) {
	if name == "sort" {
		if b.once("sort") {
			b.sort(sorts)
		}
		return
	}
	if field, ok := strings.CutSuffix(name, ":asc"); ok {
		b.byField(field, true)
		return
	}
	if field, ok := strings.CutSuffix(name, ":desc"); ok {
		b.byField(field, false)
		return
	}
	switch b.kind {
	case vectorRules:
		if b.once("vector") {
			b.rules = append(b.rules, b.vector())
		}
	case queryRules:
		b.relevancy(name)
	}
}

func (b *ruleBuilder) sort(sorts []sortCriterion) {
	for _, s := range sorts {
		if s.field != "" {
			b.byField(s.field, s.ascending)
		} else {
			b.rules = append(b.rules, &geoRule{target: s.point, ascending: s.ascending})
		}
	}
}

func (b *ruleBuilder) byField(field string, ascending bool) {
	if b.once("field " + field) {
		b.rules = append(b.rules, &sortRule{field: field, ascending: ascending})
	}
}

// relevancy adds a rule that ranks by the query. The rule words comes before any other of them.
func (b *ruleBuilder) relevancy(name string) {
	if b.once("words") {
		b.rules = append(b.rules, &graphRanking{rule: wordsRule{}, strategy: b.strategy})
	}
	if name == "words" || !b.once(name) {
		return
	}
	graph := func(rule graphRule) { b.rules = append(b.rules, &graphRanking{rule: rule}) }
	position := func() { graph(&positionRule{positions: map[positionCondition][]uint16{}}) }
	switch name {
	case "typo":
		graph(typoRule{})
	case "proximity":
		graph(proximityRule{})
	case "attribute":
		graph(attributeRule{})
		position()
	case "attributeRank":
		graph(attributeRule{})
	case "wordPosition":
		position()
	case "exactness":
		b.rules = append(b.rules, &exactAttribute{}, &graphRanking{rule: exactnessRule{}})
	}
}
