package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// compareHits compares the hits of a window with the order of all hits.
func compareHits(t *testing.T, settings, q object, window [2]int, ranks, contents, want, got []byte) {
	t.Helper()
	ranked, byID := hitsOf(t, ranks), map[string]string{} // ranked ends with the hits that can be reached
	wanted, given := hitsOf(t, want), hitsOf(t, got)
	for _, h := range append(hitsOf(t, contents), wanted...) {
		byID[h.id] = h.text
	}
	group := make([]int, len(ranked)) // position → position of the first hit of equal rank
	groupOf := map[string]int{}
	for i, h := range ranked {
		if group[i] = i; i > 0 && h.rank == ranked[i-1].rank {
			group[i] = group[i-1]
		}
		groupOf[h.id] = group[i]
	}
	if len(wanted) != len(given) {
		fail(t, q, "want %d hits, got %d\nwant %s\ngot  %s", len(wanted), len(given), idsOf(wanted), idsOf(given))
		return
	}
	if idsOf(wanted) != idsOf(given) {
		fail(t, q, "other order\nwant %s\ngot  %s", idsOf(wanted), idsOf(given))
	}
	seen := map[string]bool{}
	for i, h := range given {
		at, known := groupOf[h.id]
		switch position := window[0] + i; {
		case seen[h.id]:
			fail(t, q, "document %s twice", h.id)
		case wanted[i].id == h.id: // where lists of several queries are cut, a longer list need not begin like a shorter one
		case !known && position < len(group) && group[position] == group[len(group)-1]: // of a rank that goes on behind them
		case !known || position >= len(group) || group[position] != at:
			fail(t, q, "document %s out of place at %d\nwant %s\ngot  %s", h.id, position, idsOf(wanted), idsOf(given))
			return
		}
		if text, known := byID[h.id]; known && text != h.text && sureMarks(t, settings, q, text) != sureMarks(t, settings, q, h.text) {
			fail(t, q, "document %s\nwant %s\ngot  %s", h.id, text, h.text)
			return
		}
		seen[h.id] = true
	}
}

// partlyMarked are words of which the beginning is marked.
var partlyMarked = regexp.MustCompile(`<em>(\w+)</em>(\w+)`)

// markedLength is how much of a word is marked.
var markedLength = regexp.MustCompile(`"length":(\d+)`)

// sureBeginnings are marks with what may be marked of words that a last word with typos is taken to begin put alike.
func sureBeginnings(q object, marks []byte) []byte {
	words := strings.Fields(fmt.Sprint(q["q"]))
	if len(words) == 0 {
		return marks
	}
	last := words[len(words)-1]
	marks = partlyMarked.ReplaceAllFunc(marks, func(word []byte) []byte {
		if parts := partlyMarked.FindSubmatch(word); string(parts[1]) != last {
			return slices.Concat([]byte("<em>"), parts[1], parts[2], []byte("</em>"))
		}
		return word
	})
	return markedLength.ReplaceAllFunc(marks, func(length []byte) []byte {
		if n, _ := strconv.Atoi(string(markedLength.FindSubmatch(length)[1])); n < len(last) && n >= len(last)-2 {
			return fmt.Appendf(nil, `"length":%d`, len(last))
		}
		return length
	})
}

// sureMarks is a hit without those marks that may differ, see above.
func sureMarks(t *testing.T, settings, q object, hit string) string {
	t.Helper()
	searched, some := settings["searchableAttributes"].([]string)
	if on, asked := q["attributesToSearchOn"].([]string); asked {
		searched, some = on, true
	}
	asked := q["hybrid"] == nil && q["queries"] == nil
	var members map[string]json.RawMessage
	decode(t, []byte(hit), &members)
	for _, name := range []string{"_formatted", "_matchesPosition"} {
		if members[name] == nil {
			continue
		}
		var fields map[string]json.RawMessage // in the order in which a server first met them
		decode(t, members[name], &fields)
		maps.DeleteFunc(fields, func(field string, _ json.RawMessage) bool {
			return !asked || field == "_geo" || strings.HasPrefix(field, "_geo.") /* never searched */ || some && !slices.ContainsFunc(searched, func(s string) bool { return s == field || strings.HasPrefix(s, field+".") })
		})
		for field, marks := range fields {
			fields[field] = sureBeginnings(q, marks)
		}
		members[name], _ = json.Marshal(fields)
	}
	names := slices.Sorted(maps.Keys(members))
	rest := make([]string, len(names))
	for i, name := range names {
		rest[i] = name + string(members[name])
	}
	return strings.Join(rest, ",")
}

// rankedHit is one hit: text is all of it, rank what it is ordered by.
type rankedHit struct{ id, text, rank string }

func hitsOf(t *testing.T, answer []byte) []rankedHit {
	t.Helper()
	var decoded struct{ Hits []json.RawMessage }
	decode(t, answer, &decoded)
	hits := make([]rankedHit, len(decoded.Hits))
	for i, raw := range decoded.Hits {
		var h struct {
			ID         json.RawMessage
			Details    json.RawMessage `json:"_rankingScoreDetails"`
			Federation struct {
				IndexUID             string
				QueriesPosition      int
				WeightedRankingScore float64
			} `json:"_federation"`
		}
		decode(t, raw, &h)
		h.Federation.IndexUID = strings.TrimSuffix(h.Federation.IndexUID, openSuffix)
		hits[i] = rankedHit{h.Federation.IndexUID + string(h.ID), string(raw), strings.ToLower(fmt.Sprint(h.Federation, string(h.Details)))}
	}
	return hits
}

func idsOf(hits []rankedHit) string {
	ids := make([]string, len(hits))
	for i, h := range hits {
		ids[i] = h.id
	}
	return strings.Join(ids, " ")
}

// compareRest compares all members of two answers but some. Their text must agree: the order of facet values counts.
func (p *pair) compareRest(t *testing.T, q object, want, got []byte, ignored []string) {
	t.Helper()
	ignored = append(ignored, "processingTimeMs", "requestUid", "indexUid")
	var wanted, given map[string]json.RawMessage
	decode(t, want, &wanted)
	decode(t, got, &given)
	for name := range given {
		if _, ok := wanted[name]; !ok {
			fail(t, q, "unexpected %s: %s", name, given[name])
		}
	}
	for name, value := range wanted {
		if !slices.Contains(ignored, name) && string(value) != string(given[name]) &&
			(p.settled || name != "facetDistribution" || !sameFacets(t, value, given[name])) && (p.settled || name != "facetsByIndex" || !sameByIndex(t, value, given[name])) {
			fail(t, q, "%s\nwant %s\ngot  %s", name, value, given[name])
		}
	}
}

// sameByIndex compares the facets of a federated search.
func sameByIndex(t *testing.T, want, got []byte) bool {
	t.Helper()
	type byIndex = map[string]struct{ Distribution, Stats json.RawMessage }
	var wanted, given byIndex
	decode(t, want, &wanted)
	decode(t, got, &given)
	for uid, w := range wanted {
		if g := given[uid]; string(g.Stats) != string(w.Stats) || !sameFacets(t, w.Distribution, g.Distribution) {
			return false
		}
	}
	return len(wanted) == len(given)
}

// sameFacets compares distributions where documents were written twice: fields and values in the same order, but values of one count in any. A list that goes
// by count and is cut may end with other values of its last count. One that seems to go by nothing went by count before
// duplicates were taken out: its values may come in any order.
func sameFacets(t *testing.T, want, got []byte) bool {
	t.Helper()
	wanted, given := facetLists(t, want), facetLists(t, got)
	for field, list := range wanted {
		other := given[field]
		if len(other) != len(list) {
			return false
		}
		byCount := slices.IsSortedFunc(list, func(a, b facetCount) int { return b.count - a.count })
		byValue := slices.IsSortedFunc(list, func(a, b facetCount) int { return strings.Compare(a.value, b.value) })
		for i, value := range list {
			tied := func(v facetCount) bool { return v == value }
			switch {
			case value == other[i]:
			case !byCount && !byValue && slices.ContainsFunc(other, tied):
			case !byCount || value.count != other[i].count:
				return false
			case value.count != list[len(list)-1].count && !slices.ContainsFunc(other, tied):
				return false
			}
		}
	}
	return len(wanted) == len(given)
}

// facetCount is a facet value and how many documents have it.
type facetCount struct {
	value string
	count int
}

// facetLists reads a facet distribution, keeping the order of values.
func facetLists(t *testing.T, distribution []byte) map[string][]facetCount {
	t.Helper()
	var fields map[string]json.RawMessage
	decode(t, distribution, &fields)
	lists := map[string][]facetCount{}
	for field, raw := range fields {
		var counts map[string]int
		decode(t, raw, &counts)
		lists[field] = []facetCount{}
		tokens := json.NewDecoder(bytes.NewReader(raw))
		for token, err := tokens.Token(); err == nil; token, err = tokens.Token() {
			if value, ok := token.(string); ok {
				lists[field] = append(lists[field], facetCount{strings.ToLower(value), counts[value]})
			}
		}
	}
	return lists
}

func compareMembers(t *testing.T, want, got []byte, names []string) {
	t.Helper()
	var wanted, given map[string]any
	decode(t, want, &wanted)
	decode(t, got, &given)
	for _, name := range names {
		if w, g := fmt.Sprint(wanted[name]), fmt.Sprint(given[name]); w != g {
			t.Errorf("%s: want %s, got %s", name, w, g)
		}
	}
}

func fail(t *testing.T, q object, format string, args ...any) {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Errorf("%s\n%s", text, fmt.Sprintf(format, args...))
}

func decode(t *testing.T, text []byte, target any) {
	t.Helper()
	if err := json.Unmarshal(text, target); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
