package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"miroir/conformance/generate"
)

// verdict is what came of one step: nothing found is agreement, up to the order of documents that rank equally.
type verdict struct {
	ties  bool // equal documents stand in another order
	found []string
}

// judge compares the answers to a step.
func (t *trial) judge(ctx context.Context, q step, want, got reply) (verdict, error) {
	if want.status != got.status {
		return verdict{found: []string{fmt.Sprintf("status: want %d, got %d: %s", want.status, got.status, short(string(got.body)))}}, nil
	}
	v := verdict{found: t.differ(q, want.body, got.body)}
	if len(v.found) > 0 && q.search != nil && want.status == 200 {
		reordered, err := t.reorder(ctx, q, want.body, got.body)
		if err != nil {
			return v, err
		}
		if reordered != nil {
			v = verdict{ties: true, found: reordered.found}
		}
	}
	for _, difference := range differ(want.task, got.task) {
		v.found = append(v.found, "task"+difference)
	}
	return v, nil
}

// rankedHit is a hit of a search that lists all: its text, and what it is ranked by.
type rankedHit struct {
	raw  json.RawMessage
	rank string
}

// differ lists where two answers differ. Lists of other documents, or in another order, are told by ids alone.
func (t *trial) differ(q step, want, got []byte) []string {
	found := differ(want, got)
	if q.kind == "get" { // the answer is a document
		found = slices.DeleteFunc(found, func(line string) bool { return strings.HasPrefix(line, "order:") })
	}
	if len(found) == 0 {
		return nil
	}
	for _, name := range []string{"hits", "results"} {
		wanted, given := t.ids(want, name), t.ids(got, name)
		if slices.Equal(wanted, given) {
			continue
		}
		what := "documents"
		if same := slices.Clone(given); len(wanted) == len(given) {
			slices.Sort(same)
			if slices.Equal(slices.Sorted(slices.Values(wanted)), same) {
				what = "order"
			}
		}
		apart := func(line string) bool { return inDocument.MatchString(line) }
		found = slices.DeleteFunc(found, apart)
		found = append(found, fmt.Sprintf(".%s.%s: want %v, got %v", name, what, wanted, given))
	}
	return found
}

// ids are the primary keys of a list of documents in an answer.
func (t *trial) ids(answer []byte, name string) []string {
	var lists map[string]json.RawMessage
	var documents []json.RawMessage
	_ = json.Unmarshal(answer, &lists) // an answer without the list has none
	_ = json.Unmarshal(lists[name], &documents)
	ids := make([]string, len(documents))
	for i, d := range documents {
		ids[i] = member(d, t.shape.PrimaryKey)
	}
	return ids
}

// reorder compares two answers whose hits may stand in another order where they tie. nil: they do not tie, or are the
// same hits in the same order.
func (t *trial) reorder(ctx context.Context, q step, want, got []byte) (*verdict, error) {
	wanted, given := hitsOf(want), hitsOf(got)
	key := t.corpus.Shape.PrimaryKey
	if len(wanted) != len(given) || slices.EqualFunc(wanted, given, func(a, b json.RawMessage) bool { return member(a, key) == member(b, key) }) {
		return nil, nil
	}
	all, err := t.rank(ctx, q)
	if err != nil {
		return nil, err
	}
	byKey := map[string]rankedHit{}
	for _, h := range all {
		byKey[member(h.raw, key)] = h
	}
	from := generate.Window(q.search)[0]
	seen, v := map[string]bool{}, &verdict{}
	for i, h := range given {
		id := member(h, key)
		known, ok := byKey[id]
		if !ok || seen[id] || from+i >= len(all) || known.rank != all[from+i].rank {
			return nil, nil
		}
		seen[id] = true
		for _, difference := range differ(known.raw, h) {
			v.found = append(v.found, fmt.Sprintf(".hits.%d%s", i, difference))
		}
	}
	v.found = append(v.found, differ(withoutHits(want), withoutHits(got))...)
	return v, nil
}

// rank asks the one server for all hits of a search, as the client would see them and by what they are ranked.
func (t *trial) rank(ctx context.Context, q step) ([]rankedHit, error) {
	wide := maps.Clone(q.search)
	if wide["page"] != nil || wide["hitsPerPage"] != nil {
		wide["page"], wide["hitsPerPage"] = 1, 1000
	} else {
		wide["offset"], wide["limit"] = 0, 1000
	}
	path := "/indexes/" + t.uid + "/search"
	shown, err := t.alone.send(ctx, step{method: "POST", path: path, body: wide})
	if err != nil {
		return nil, err
	}
	wide["showRankingScoreDetails"] = true
	ranked, err := t.alone.send(ctx, step{method: "POST", path: path, body: wide})
	if err != nil {
		return nil, err
	}
	hits, details := hitsOf(shown.body), hitsOf(ranked.body)
	all := make([]rankedHit, min(len(hits), len(details)))
	for i := range all {
		all[i] = rankedHit{hits[i], member(details[i], "_rankingScoreDetails")}
	}
	return all, nil
}

func hitsOf(answer []byte) []json.RawMessage {
	var decoded struct{ Hits []json.RawMessage }
	_ = json.Unmarshal(answer, &decoded) // an answer without hits has none
	return decoded.Hits
}

func withoutHits(answer []byte) []byte {
	var decoded map[string]json.RawMessage
	if json.Unmarshal(answer, &decoded) != nil {
		return answer
	}
	delete(decoded, "hits")
	rest, _ := json.Marshal(decoded)
	return rest
}

// member is the text of a member of an object, "" when it is not there.
func member(object json.RawMessage, name string) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(object, &members)
	return string(members[name])
}

var numbers = regexp.MustCompile(`^\d+$`)

// aspect names what a difference is about: the first names on the way to it.
func aspect(difference string) string {
	path, _, _ := strings.Cut(difference, ":")
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		if name == "" || numbers.MatchString(name) {
			continue
		}
		if names = append(names, name); len(names) == 2 || strings.HasPrefix(name, "facet") || name == "fieldDistribution" {
			break
		}
	}
	return strings.Join(names, ".")
}
