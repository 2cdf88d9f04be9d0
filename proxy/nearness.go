package proxy

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"miroir/tasks"
)

// With proximityPrecision byAttribute a server finds out once which documents have two words in one field, among those of the bucket
// that it ranks then, and goes by that for later buckets too: there it takes the words for far apart. The same holds for the words
// the other way round, which it looks for where documents are left, so that those of one later bucket may be near at the cost of one.
// Only about the very words of the query it knows of all documents, because it has tried to write them as one (Meilisearch v1.50: milli
// search/new/db_cache.rs, ranking_rule_graph/proximity, query_term/compute_derivations.rs). So it matters for a last word that is the
// beginning of another. A node does not know that other nodes have earlier buckets. That is put right for searches of two words
// without typos.

// Costs of the proximity rule for two words: in one field, in one field the other way round, far apart.
const (
	costNear     = 0
	costTurned   = 1
	costFarApart = 3
)

// splitsBeforeProximity reports whether documents with the same words come to the proximity rule in several buckets.
func (q *search) splitsBeforeProximity() bool {
	if q.settings == nil || q.settings.ProximityPrecision.Value != "byAttribute" {
		return false
	}
	splits, typo := false, false
	for _, rule := range q.settings.Ranking() {
		switch {
		case rule == "proximity":
			return splits && (typo || !q.settings.Typo().Enabled.Value)
		case rule == "typo":
			typo = true
		case rule == "sort":
			splits = splits || len(deref(q.query.Sort)) > 0
		case rule != "words":
			return false // what is near cannot be found out apart from such a rule
		}
	}
	return false
}

// proximityCosts are the costs that one server finds for hits, by identity; those that are not in it are left alone.
func (s *rankSettling) proximityCosts(ctx context.Context) map[string]int {
	if len(s.form.words) != 2 || !s.splitsBeforeProximity() {
		return nil
	}
	lists := slices.Clone(hitLists(s.answers))
	length := 0
	for _, list := range lists {
		length += len(list)
	}
	all := slices.DeleteFunc(mergeHits(lists, 0, length, "", false, compareHits).hits, func(h hit) bool { return h.score.isSemantic() })
	text := strings.TrimRight(deref(s.query.Q), " ")
	if text != deref(s.query.Q) {
		return nil // all words are those of the query
	}
	if s.near == nil {
		s.near, s.alike = s.inOneField(ctx, text), s.inOneField(ctx, text+" ")
	}
	if s.near == nil || s.alike == nil {
		return nil
	}
	costs, taken, known, turned := map[string]int{}, map[string]bool{}, false, false
	for start := 0; start < len(all); {
		place, _, _ := all[start].pathTo("proximity")
		end := start
		var bucket []*hit
		for ; end < len(all); end++ {
			if next, _, _ := all[end].pathTo("proximity"); !bytes.Equal(next, place) {
				break
			}
			if !slices.ContainsFunc(all[end].facetValues(s.distinct()), func(v string) bool { return taken[v] }) {
				bucket = append(bucket, &all[end])
			}
		}
		start = end
		if len(bucket) > 0 && bothAsWritten(bucket[0].details()) {
			near := func(known bool) func(id string) bool {
				return func(id string) bool { return s.alike[id] || !known && s.near[id] }
			}
			left := costBucket(bucket, costNear, near(known), costs)
			known = true
			if len(left) > 0 {
				left, turned = costBucket(left, costTurned, near(turned), costs), true
			}
			for _, h := range left {
				costs[h.identity()] = costFarApart
			}
		}
		for _, h := range bucket {
			if s.distinct() != "" {
				isDuplicate(h, s.distinct(), taken)
			}
		}
	}
	return costs
}

// costBucket gives those hits a cost that are near, and returns the others.
func costBucket(bucket []*hit, cost int, near func(id string) bool, costs map[string]int) (left []*hit) {
	for _, h := range bucket {
		if id := h.identity(); near(id) {
			costs[id] = cost
		} else {
			left = append(left, h)
		}
	}
	return left
}

// inOneField tells which documents have both words of a text in one field: a search that does not sort ranks all of them in its
// first bucket. nil where a node does not answer.
func (s *rankSettling) inOneField(ctx context.Context, words string) map[string]bool {
	one := *s
	search, query := *s.search, *s.query
	query.Sort, query.Distinct = nil, new(tasks.NoField)
	search.query, one.search, one.form.distinct, one.form.distinctFederated = &query, &search, tasks.NoField, true
	answers := one.list(ctx, words)
	if len(answers) < len(s.answers) {
		return nil
	}
	near := map[string]bool{}
	for _, a := range answers {
		for i := range a.hits {
			details := a.hits[i].details()
			near[a.hits[i].identity()] = bothAsWritten(details) && number(memberOf(memberOf(details, "proximity"), "score")) == 1
		}
	}
	return near
}

// bothAsWritten reports that a document was found by two words without typos.
func bothAsWritten(details []byte) bool {
	words := memberOf(details, "words") // nil where all must match
	return (words == nil || number(memberOf(words, "matchingWords")) == 2) && number(memberOf(memberOf(details, "typo"), "typoCount")) == 0
}
