package proxy

import (
	"container/list"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// fieldValues are all values of a facet over all nodes, in order, with the groups one server would put them in.
type fieldValues struct {
	numbers, strings           []string // numbers as facets print them, strings normalized
	numberLevels, stringLevels []meili.FacetLevel
	single                     bool // no document has several of them
	bytes                      int
}

// newFieldValues orders the values of a field. regroups is what meili.FacetLevels needs.
func newFieldValues(values []facetValue, hasNumbers bool, regroups int) *fieldValues {
	numbers, strs := splitNumbers(values, hasNumbers)
	sortFacet(numbers, "alpha", compareNumbers)
	f := &fieldValues{}
	for _, value := range numbers {
		f.numbers = append(f.numbers, value.text)
	}
	for _, value := range strs {
		f.strings = append(f.strings, normalizeFacet(value.text))
	}
	slices.Sort(f.strings)
	f.numberLevels, f.stringLevels = meili.FacetLevels(len(f.numbers), regroups), meili.FacetLevels(len(f.strings), regroups)
	return f
}

// measure sets the memory that the values take.
func (f *fieldValues) measure() {
	const overhead = 40 // of a value: its header and its places in the levels
	f.bytes = 200       // with none
	for _, text := range slices.Concat(f.numbers, f.strings) {
		f.bytes += len(text) + overhead
	}
}

// tree counts the groups of numbers or strings; the second result is where values[i] stands. nil when a value is missing.
func (f *fieldValues) tree(values []facetValue, numbers bool) (*facetTree, []int) {
	texts, levels := f.strings, f.stringLevels
	if numbers {
		texts, levels = f.numbers, f.numberLevels
	}
	counts, places := make([]uint64, len(texts)), make([]int, len(values))
	for i, value := range values {
		found := false
		if numbers {
			places[i], found = slices.BinarySearchFunc(texts, value.text, compareNumberTexts)
		} else {
			places[i], found = slices.BinarySearch(texts, normalizeFacet(value.text))
		}
		if !found {
			return nil, nil
		}
		counts[places[i]] = value.count
	}
	return newFacetTree(levels, counts), places
}

// fieldKey names one version of the values of a field.
type fieldKey struct {
	cluster  string
	index    fsm.IndexID
	updated  time.Time
	settings uint64
	field    string
	ordering bool // for lists that are not cut, see maxOrderedDocuments
}

// fieldCache remembers the values of fields, those asked for last, up to a number of bytes. Every finished write of an
// index gives its fields a new version; old ones are never asked for again and fall out.
type fieldCache struct {
	mu       sync.Mutex
	maxBytes int
	bytes    int
	order    *list.List // of fieldEntry, used last first
	places   map[fieldKey]*list.Element
}

type fieldEntry struct {
	key    fieldKey
	values *fieldValues
}

// fieldValuesCache is shared by all searches.
var fieldValuesCache = newFieldCache(64 << 20)

func newFieldCache(maxBytes int) *fieldCache {
	return &fieldCache{maxBytes: maxBytes, order: list.New(), places: map[fieldKey]*list.Element{}}
}

func (c *fieldCache) get(key fieldKey) *fieldValues {
	c.mu.Lock()
	defer c.mu.Unlock()
	place := c.places[key]
	if place == nil {
		return nil
	}
	c.order.MoveToFront(place)
	return place.Value.(fieldEntry).values
}

func (c *fieldCache) put(key fieldKey, values *fieldValues) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places[key] != nil || values.bytes > c.maxBytes {
		return
	}
	c.places[key] = c.order.PushFront(fieldEntry{key, values})
	for c.bytes += values.bytes; c.bytes > c.maxBytes; {
		oldest := c.order.Remove(c.order.Back()).(fieldEntry)
		delete(c.places, oldest.key)
		c.bytes -= oldest.values.bytes
	}
}

// valuesOf are the values of a field over the whole index, to order a list or to cut it. Without groups where these are not worth
// finding out; nil when a node does not answer or has more values than it lists.
func (q *search) valuesOf(ctx context.Context, field string, ordering bool) *fieldValues {
	key := fieldKey{q.view.ClusterID, q.ix.ID, q.ix.UpdatedAt, q.ix.SettingsVersion, field, ordering}
	if known := fieldValuesCache.get(key); known != nil {
		return known
	}
	everything := *q
	everything.query, everything.within = &meili.SearchQuery{Distinct: new(tasks.NoField)}, nil
	everything.lost = nil // only the order of equal counts depends on it
	plan := planRead(q.s.planRequest(q.view, q.ix, nil, q.seed))
	if len(plan.Missing) > 0 {
		return nil
	}
	most := maxFacetDocuments
	if ordering {
		most = maxOrderedDocuments
	}
	values := q.valuesWritten(ctx, plan.Calls, field, most)
	switch {
	case values != nil:
	case ordering:
		values = &fieldValues{}
	default:
		values = everything.valuesCounted(ctx, plan.Calls, field)
	}
	if values == nil {
		return nil
	}
	values.measure()
	fieldValuesCache.put(key, values)
	return values
}

// valuesCounted are the values of a field with the groups that one task makes of them, and changes of settings after it. nil
// when a node does not answer or has more than it lists.
func (q *search) valuesCounted(ctx context.Context, calls []Call, field string) *fieldValues {
	answers := q.countAll(ctx, calls, []countQuery{{facets: &[]string{field}}})
	if answers == nil {
		return nil
	}
	parts := make([]*facets, len(answers))
	total, uses := 0, 0
	for i, a := range answers {
		if parts[i] = a[0].facets; parts[i] == nil || isCut(len(parts[i].values[field]), q.settings.MaxValuesPerFacet()) {
			return nil
		}
		total += a[0].total
	}
	sum := sumFacets(parts)
	for _, value := range sum.values[field] {
		uses += int(value.count)
	}
	regroups := 0
	plain := !strings.Contains(field, ".") || strings.HasPrefix(field, "_geo.")
	if uses <= total && plain { // only values outside of arrays and objects are grouped again
		regroups = max(0, int(q.ix.SettingsVersion)-1)
	}
	_, hasNumbers := sum.stats[field]
	return newFieldValues(sum.values[field], hasNumbers, regroups)
}

// comparesValues reports whether filters or sorts may compare the values of a field: the strings of others are not grouped.
func (q *search) comparesValues(field string) bool {
	_, rule := meili.MatchFilterable(q.settings.Filterable(), field)
	return rule != nil && rule.Comparison || isSorted(q.settings, field)
}

// isSorted reports whether searches or ranking rules may sort by a field.
func isSorted(settings *meili.Settings, field string) bool {
	for _, sorted := range settings.Sortable() {
		if meili.IsFieldOrBelow(field, sorted) {
			return true
		}
	}
	for _, rule := range settings.Ranking() {
		if name, _, custom := strings.Cut(rule, ":"); custom && meili.IsFieldOrBelow(field, name) {
			return true
		}
	}
	return false
}
