package engine

import (
	"encoding/json"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// filterDocs is the documents that satisfy a filter parameter, all for none; a new bitmap. Errors: invalid_search_filter,
// feature_not_enabled.
func (st *state) filterDocs(ctx SearchContext, raw json.RawMessage) (*roaring.Bitmap, *meili.Error) {
	f, err := meili.ParseFilter(raw)
	if err == nil {
		err = meili.CheckFilterFeatures(f, ctx.Features)
	}
	if err == nil {
		err = meili.CheckFilterable(st.reachable(f), st.cfg.filterable, ctx.IndexUID)
	}
	if err != nil {
		return nil, err
	}
	if f == nil {
		return st.live.Clone(), nil
	}
	return st.evaluate(f), nil
}

// reachable is a filter without the operators that Meilisearch never comes to check: those on fields no document ever had.
func (st *state) reachable(f *meili.Filter) *meili.Filter {
	if f == nil {
		return nil
	}
	c := *f
	c.Children = make([]*meili.Filter, len(f.Children))
	for i, child := range f.Children {
		c.Children[i] = st.reachable(child)
	}
	if _, known := st.fields.ids[f.Field]; !known && f.Field != "" {
		c.Op = meili.FilterExists
	}
	return &c
}

// evaluate is the documents that satisfy a filter, a new bitmap.
func (st *state) evaluate(f *meili.Filter) *roaring.Bitmap {
	switch f.Op {
	case meili.FilterAnd:
		out := st.evaluate(f.Children[0])
		for _, child := range f.Children[1:] {
			out.And(st.evaluate(child))
		}
		return out
	case meili.FilterOr:
		out := roaring.New()
		for _, child := range f.Children {
			out.Or(st.evaluate(child))
		}
		return out
	case meili.FilterNot:
		return roaring.AndNot(st.live, st.evaluate(f.Children[0]))
	case meili.FilterGeoRadius:
		return st.inRadius(numbersOf(f.Values))
	case meili.FilterGeoBoundingBox:
		return st.inBox(numbersOf(f.Values))
	case meili.FilterGeoPolygon:
		return st.inPolygon(numbersOf(f.Values))
	case meili.FilterVectorExists:
		return st.withVectors(f.Vector)
	case meili.FilterForeign:
		return roaring.New()
	}
	id, known := st.fields.ids[f.Field]
	if _, rule := meili.MatchFilterable(st.cfg.filterable, f.Field); !known || rule == nil {
		return roaring.New()
	}
	field := st.facets.fields[id]
	if field == nil {
		field = newFacetField()
	}
	return st.test(f, id, field)
}

// test evaluates an operator on one field.
func (st *state) test(f *meili.Filter, id fieldID, field *facetField) *roaring.Bitmap {
	switch f.Op {
	case meili.FilterExists:
		return field.exists.Clone()
	case meili.FilterIsNull:
		return field.null.Clone()
	case meili.FilterIsEmpty:
		return field.empty.Clone()
	case meili.FilterEqual:
		return field.equal(f.Values[0].Text)
	case meili.FilterNotEqual:
		return roaring.AndNot(st.live, field.equal(f.Values[0].Text))
	case meili.FilterIn:
		out := roaring.New()
		for _, v := range f.Values {
			out.Or(field.equal(v.Text))
		}
		return out
	case meili.FilterContains, meili.FilterStartsWith:
		return field.matching(f.Op, normalizeFacet(f.Values[0].Text))
	}
	return st.between(f, id, field)
}

func (x *facetField) equal(text string) *roaring.Bitmap {
	out := roaring.New()
	orInto(out, x.strings[normalizeFacet(text)])
	if n, ok := parseFinite(text); ok {
		orInto(out, x.numbers[n+0])
	}
	return out
}

func (x *facetField) matching(op meili.FilterOp, text string) *roaring.Bitmap {
	if op == meili.FilterStartsWith && text == "" {
		return x.exists.Clone()
	}
	out := roaring.New()
	for value, docs := range x.strings {
		if op == meili.FilterContains && strings.Contains(value, text) || op == meili.FilterStartsWith && strings.HasPrefix(value, text) {
			out.Or(docs)
		}
	}
	return out
}

// between evaluates comparisons: of numbers where the operands are numbers, and always of strings.
func (st *state) between(f *meili.Filter, id fieldID, field *facetField) *roaring.Bitmap {
	low, high := f.Values[0].Text, f.Values[len(f.Values)-1].Text
	lowText, highText := normalizeFacet(low), normalizeFacet(high)
	lowNumber, ok1 := parseFinite(low)
	highNumber, ok2 := parseFinite(high)
	inside := func(compareLow, compareHigh int) bool { // of a value with the operands
		switch f.Op {
		case meili.FilterGreater:
			return compareLow > 0
		case meili.FilterGreaterOrEqual:
			return compareLow >= 0
		case meili.FilterLess:
			return compareHigh < 0
		case meili.FilterLessOrEqual:
			return compareHigh <= 0
		}
		return compareLow >= 0 && compareHigh <= 0
	}
	out := roaring.New()
	if ok1 && ok2 {
		for n, docs := range field.numbers {
			if inside(compareNumbers(n, lowNumber), compareNumbers(n, highNumber)) {
				out.Or(docs)
			}
		}
	}
	for s, docs := range field.strings {
		if inside(strings.Compare(s, lowText), strings.Compare(s, highText)) {
			out.Or(docs)
		}
	}
	return out
}

func compareNumbers(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func numbersOf(values []meili.FilterValue) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i], _ = parseFinite(v.Text)
	}
	return out
}

// geoMatching is the documents whose point satisfies a test.
func (st *state) geoMatching(test func(geoPoint) bool) *roaring.Bitmap {
	out := roaring.New()
	st.geoDocs.Iterate(func(doc uint32) bool {
		if test(*st.docs[doc].geo) {
			out.Add(doc)
		}
		return true
	})
	return out
}

// inRadius takes a latitude, a longitude and metres.
func (st *state) inRadius(v []float64) *roaring.Bitmap {
	center := geoPoint{v[0], v[1]}
	return st.geoMatching(func(p geoPoint) bool { return center.distance(p) <= v[2]+2.220446049250313e-16 })
}

// inBox takes the top latitude, the right longitude, the bottom latitude and the left longitude. A box whose right side is
// west of its left side crosses the date line.
func (st *state) inBox(v []float64) *roaring.Bitmap {
	top, right, bottom, left := v[0], v[1], v[2], v[3]
	return st.geoMatching(func(p geoPoint) bool {
		if p.lat < bottom || p.lat > top {
			return false
		}
		if right < left {
			return p.lng >= left || p.lng <= right
		}
		return p.lng >= left && p.lng <= right
	})
}

// inPolygon takes latitudes and longitudes of corners.
func (st *state) inPolygon(v []float64) *roaring.Bitmap {
	return st.geoMatching(func(p geoPoint) bool {
		inside := false
		n := len(v) / 2
		for i, j := 0, n-1; i < n; i, j = i+1, i {
			lat1, lng1, lat2, lng2 := v[2*i], v[2*i+1], v[2*j], v[2*j+1]
			if (lat1 > p.lat) != (lat2 > p.lat) && p.lng < (lng2-lng1)*(p.lat-lat1)/(lat2-lat1)+lng1 {
				inside = !inside
			}
		}
		return inside
	})
}

// withVectors is the documents that have a vector the filter asks for.
func (st *state) withVectors(v meili.VectorFilter) *roaring.Bitmap {
	out := roaring.New()
	st.live.Iterate(func(doc uint32) bool {
		for name, vectors := range st.docs[doc].vectors {
			if !v.Any && name != v.Embedder || len(vectors.list) == 0 {
				continue
			}
			if v.Part == "" || v.Part == "userProvided" || v.Part == "regenerate" && vectors.regenerate {
				out.Add(doc)
			}
		}
		return true
	})
	return out
}
