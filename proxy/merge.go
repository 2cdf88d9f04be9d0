package proxy

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"miroir/meili"
)

// hit is one hit of one node's answer: raw bytes and what it is ranked by.
type hit struct {
	raw   []byte
	extra []byte // values of fields the hit does not show, a JSON object or nil
	score score
	order []byte // when the document was inserted, see orderField, raw; nil when it is not known
	key   []byte // the primary key's value where the hit tells it, raw
	pin   int    // 1 + the position at which a rule pins it, 0: it is ranked
	// ranking and federation are its members _rankingScoreDetails and _federation as its node sent them, raw; nil without.
	ranking, federation []byte
	// Of federated searches: the query's position and turn, and its weighted global score.
	query, turn int
	global      float64
}

// merged is the outcome of merging: hits of the window from one position to another, and the duplicates met up to its end.
type merged struct {
	from, to int
	pinned   bool // rules pin documents besides
	hits     []hit
	rejected []hit
}

// mergeHits merges lists, each sorted best first, into one order and returns the hits at [from, to) of it. Hits that tie
// come in the order of the lists. With distinct, a hit that shares a value of that field with an earlier one is rejected;
// all is set when duplicates behind the window matter too.
func mergeHits(lists [][]hit, from, to int, distinct string, all bool, compare func(a, b *hit) int) merged {
	m := merged{from: from, to: to}
	heads := make([]int, len(lists))
	seen := map[string]bool{}
	for position := 0; position < to || all; {
		best := bestHead(lists, heads, compare)
		if best < 0 {
			break
		}
		h := lists[best][heads[best]]
		heads[best]++
		if distinct != "" && isDuplicate(&h, distinct, seen) {
			m.rejected = append(m.rejected, h)
			continue
		}
		if position >= from && position < to {
			m.hits = append(m.hits, h)
		}
		position++
	}
	return m
}

// bestHead is the list whose next hit comes first, -1 when all are used up.
func bestHead(lists [][]hit, heads []int, compare func(a, b *hit) int) int {
	best := -1
	for i := range lists {
		if heads[i] >= len(lists[i]) {
			continue
		}
		if best < 0 || compare(&lists[i][heads[i]], &lists[best][heads[best]]) > 0 {
			best = i
		}
	}
	return best
}

func byScore(a, b *hit) int { return compareScores(a.score, b.score) }

// compareHits is byScore, and among hits that tie the order of insertion. Those that do not tell it come first, by primary
// key, integers before strings: documents often have the order of their keys, and lists of several nodes get a stable one.
func compareHits(a, b *hit) int {
	return cmp.Or(byScore(a, b), bytes.Compare(b.order, a.order), compareKeys(b.key, a.key))
}

// compareKeys orders the raw values of primary keys. Unknown ones are equal to all.
func compareKeys(a, b []byte) int {
	switch {
	case len(a) == 0 || len(b) == 0:
		return 0
	case a[0] == '"' && b[0] == '"':
		return strings.Compare(text(a), text(b))
	case a[0] == '"' || b[0] == '"':
		return signOf(a[0] == '"')
	}
	return cmp.Compare(number(a), number(b))
}

// isDuplicate reports whether a value of the hit's distinct field was seen, and if not remembers its values. A hit without
// the field is no duplicate.
func isDuplicate(h *hit, field string, seen map[string]bool) bool {
	values := h.facetValues(field)
	for _, value := range values {
		if seen[value] {
			return true
		}
	}
	for _, value := range values {
		seen[value] = true
	}
	return false
}

// facetValues are the values of a field as facets compare them: strings normalized and marked with a leading `"`, numbers
// by their text.
func (h *hit) facetValues(field string) []string {
	var values []string
	for _, document := range [][]byte{h.raw, h.extra} {
		eachFacetLeaf(document, field, func(leaf []byte) {
			switch {
			case len(leaf) == 0:
			case leaf[0] == '"':
				values = append(values, `"`+normalizeFacet(text(leaf)))
			case leaf[0] == 't' || leaf[0] == 'f':
				values = append(values, `"`+string(leaf))
			case leaf[0] != 'n':
				values = append(values, facetNumber(number(leaf)))
			}
		})
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// eachFacetLeaf is eachLeaf for what facets take for the values of a field: coordinates are numbers, also where they are written as
// strings.
func eachFacetLeaf(object []byte, path string, visit func([]byte)) {
	eachLeaf(object, path, func(leaf []byte) {
		if len(leaf) > 0 && leaf[0] == '"' && (path == "_geo.lat" || path == "_geo.lng") {
			leaf = []byte(strings.TrimSpace(text(leaf)))
		}
		visit(leaf)
	})
}

// eachLeaf calls visit with the leaf values at a dotted path of an object: arrays on the way and at its end are entered,
// objects at its end are not leaves.
func eachLeaf(object []byte, path string, visit func([]byte)) {
	at := skipSpace(object, 0)
	eachMember(object, at, func(m member) bool {
		rest, ok := strings.CutPrefix(path, text(object[m.start:m.start+len(m.key)+2]))
		if !ok {
			return true
		}
		value := object[m.value:m.end]
		switch {
		case rest == "":
			eachLeafValue(value, visit)
		case rest[0] == '.':
			eachNested(value, func(inner []byte) { eachLeaf(inner, rest[1:], visit) })
		}
		return true
	})
}

func eachLeafValue(value []byte, visit func([]byte)) {
	switch {
	case len(value) > 0 && value[0] == '[':
		for _, item := range itemsOf(value) {
			if item[0] != '[' && item[0] != '{' {
				visit(item)
			}
		}
	case len(value) > 0 && value[0] != '{':
		visit(value)
	}
}

func eachNested(value []byte, visit func([]byte)) {
	switch {
	case len(value) > 0 && value[0] == '{':
		visit(value)
	case len(value) > 0 && value[0] == '[':
		for _, item := range itemsOf(value) {
			eachNested(item, visit)
		}
	}
}

// normalizeFacet is the form in which facet strings are compared: decomposed for compatibility, trimmed, lower case.
func normalizeFacet(s string) string { return strings.ToLower(norm.NFKD.String(strings.TrimSpace(s))) }

// hitCutter removes from hits what the client did not ask for.
type hitCutter struct{ shape *shape }

// newHitCutter cuts the hidden field everywhere and the members named, which stand at the top of hits and, when they are
// document fields, in _formatted and _matchesPosition too.
func newHitCutter(members, fields []string) hitCutter {
	if len(members) == 0 && len(fields) == 0 {
		return hitCutter{hitShape}
	}
	inner := &shape{strip: true, drop: fields}
	return hitCutter{&shape{
		strip: true, drop: append(slices.Clone(members), fields...),
		members: []namedShape{{"_formatted", inner}, {"_matchesPosition", inner}},
	}}
}

// inFormatted is c that removes one more field in _formatted.
func (c hitCutter) inFormatted(field string) hitCutter {
	more := *c.shape
	inner := shape{strip: true}
	if old := more.inside([]byte("_formatted")); old != nil {
		inner = *old
	}
	inner.drop = append(slices.Clone(inner.drop), field)
	more.members = append([]namedShape{{"_formatted", &inner}}, more.members...) // the first of a name counts
	return hitCutter{&more}
}

// also is c that removes one more member at the top of hits.
func (c hitCutter) also(member string) hitCutter {
	more := *c.shape
	more.drop = append(slices.Clone(more.drop), member)
	return hitCutter{&more}
}

func (c hitCutter) appendHit(out []byte, h *hit) []byte { return appendStripped(out, h.raw, c.shape) }

// isFilterable reports whether an attribute may be filtered by, and so be the distinct of a federated search.
func isFilterable(settings *meili.Settings, attribute string) bool {
	for _, rule := range settings.Filterable() {
		for _, pattern := range rule.Patterns {
			if meili.MatchAttributePattern(pattern, attribute) {
				return rule.IsFilterable()
			}
		}
	}
	return false
}
