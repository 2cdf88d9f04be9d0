package engine

import (
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

func (st *state) setDistinct(r *request) *meili.Error {
	r.distinct = -1
	name := st.cfg.distinct
	if asked := r.query.Distinct; asked != nil {
		name = *asked
		if !st.isFilterable(name) {
			var names []string
			for i := range st.cfg.filterable {
				if st.cfg.filterable[i].IsFilterable() {
					names = append(names, st.cfg.filterable[i].Patterns...)
				}
			}
			text := strings.Replace(st.available("filterable attributes patterns", names), "configured filterable attributes patterns", "configured filterable attributes", 1)
			return meili.Errorf(meili.CodeInvalidSearchDistinct, "%sAttribute `%s` is not filterable and thus, cannot be used as distinct attribute. %s", r.ctx.prefix(), name, text)
		}
	}
	if id, ok := st.fields.ids[name]; ok && name != "" {
		r.distinct = int(id)
	}
	return nil
}

// countDistinct makes the candidates of paged searches one document per distinct value.
func (st *state) countDistinct(r *request, out *found) {
	if r.exhaustive && r.distinct >= 0 {
		out.candidates, _ = st.distinctDocs(fieldID(r.distinct), out.candidates)
	}
}

// distinctDocs keeps the first document of each value of a field. Documents without a value are kept.
func (st *state) distinctDocs(f fieldID, docs *roaring.Bitmap) (remaining, excluded *roaring.Bitmap) {
	remaining, excluded = roaring.New(), roaring.New()
	docs.Iterate(func(doc uint32) bool {
		if !excluded.Contains(doc) {
			st.addSameValues(f, doc, excluded)
			remaining.Add(doc)
		}
		return true
	})
	return remaining, excluded
}

// addSameValues adds to out the documents that share a value of a field with doc.
func (st *state) addSameValues(f fieldID, doc uint32, out *roaring.Bitmap) {
	for i := range st.docs[doc].facets.values {
		v := &st.docs[doc].facets.values[i]
		if v.field != f {
			continue
		}
		field := st.facets.fields[f]
		if v.isString {
			orInto(out, field.strings[v.normalized])
		} else {
			orInto(out, field.numbers[v.number])
		}
	}
}

// dropSameBlank keeps one ranked document whose field holds a blank text. Blank texts are no facet values, so ranking lets them
// all through, but Meilisearch compares the values that hits hold once more when the query names the field.
func (st *state) dropSameBlank(field string, f *found) {
	docs, scores := f.docs, f.scores
	f.docs, f.scores, f.candidates = nil, nil, f.candidates.Clone()
	seen := false
	for i, doc := range docs {
		if st.hasBlank(doc, field) {
			if seen {
				f.candidates.Remove(doc)
				continue
			}
			seen = true
		}
		f.docs, f.scores = append(f.docs, doc), append(f.scores, scores[i])
	}
}

// hasBlank says whether a field of a document is a blank text or a list with one.
func (st *state) hasBlank(doc uint32, field string) bool {
	out := false
	blank := func(v *jsonValue) bool { return v.kind == jsonString && normalizeFacet(v.text) == "" }
	visitField(parseJSON(st.docs[doc].json), field, func(v *jsonValue) {
		out = out || blank(v) || v.kind == jsonArray && slices.ContainsFunc(v.items, blank)
	})
	return out
}

// visitField visits the values that a name with dots leads to in an object.
func visitField(object *jsonValue, name string, visit func(*jsonValue)) {
	if v := object.get(name); v != nil {
		visit(v)
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		switch v := object.get(name[:i]); {
		case v == nil:
		case v.kind == jsonObject:
			visitField(v, name[i+1:], visit)
		case v.kind == jsonArray:
			for _, item := range v.items {
				if item.kind == jsonObject {
					visitField(item, name[i+1:], visit)
				}
			}
		}
	}
}
