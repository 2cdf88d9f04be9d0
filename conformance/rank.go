package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
)

// rank is a group of documents with equal rank: any of the ids may stand at the positions First … First+Count-1, each
// once. IDs is nil when the ties were too many to record, and then any id will do.
type rank struct {
	First, Count int
	IDs          []any
}

// UnmarshalJSON reads the recorded form [first, count, ids or null].
func (r *rank) UnmarshalJSON(data []byte) error {
	var parts [3]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	for i, target := range []any{&r.First, &r.Count, &r.IDs} {
		if err := json.Unmarshal(parts[i], target); err != nil {
			return fmt.Errorf("rank member %d: %w", i, err)
		}
	}
	return nil
}

// ranks compares the order of the hits with the recorded ranking.
func (c *comparison) ranks(ranks []rank, hits []any, idField string) {
	wanted := 0
	for _, r := range ranks {
		wanted += r.Count
	}
	if len(hits) != wanted {
		c.addf("hits: expected %d, got %d", wanted, len(hits))
	}
	ids := make([]any, len(hits))
	seen := map[string]bool{}
	for i, hit := range hits {
		ids[i] = member(hit, idField)
		seen[text(ids[i])] = true
	}
	if len(seen) != len(ids) {
		c.addf("hits: the same document twice")
	}
	for _, r := range ranks {
		for at := r.First; at < min(r.First+r.Count, len(ids)); at++ {
			same := func(id any) bool { return sameScalar(id, ids[at]) }
			if r.IDs != nil && !slices.ContainsFunc(r.IDs, same) {
				c.addf("hits.%d: expected one of %s, got %s", at, short(r.IDs), short(ids[at]))
			}
		}
	}
}

// rankedAnswer compares an answer whose hits may be in any order that the ranks allow. Hits that both sides returned are
// compared member by member.
func (c *comparison) rankedAnswer(want map[string]any, got any, s *Step) {
	answer, _ := got.(map[string]any)
	hits, ok := answer["hits"].([]any)
	if !ok {
		c.addf("no hits in %s", short(got))
		return
	}
	c.ranks(s.Expect.Ranks, hits, s.IDField)
	byID := map[string]any{}
	wantHits, _ := want["hits"].([]any)
	for _, hit := range wantHits {
		byID[text(member(hit, s.IDField))] = hit
	}
	for i, hit := range hits {
		if reference, ok := byID[text(member(hit, s.IDField))]; ok {
			c.values(reference, hit, fmt.Sprintf("hits.%d", i))
		}
	}
	c.values(without(want, "hits"), without(answer, "hits"), "$")
}

// member returns a member of a decoded object, nil when there is none.
func member(v any, name string) any {
	m, _ := v.(map[string]any)
	return m[name]
}

// without returns a copy of an object that lacks one member.
func without(m map[string]any, name string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}
