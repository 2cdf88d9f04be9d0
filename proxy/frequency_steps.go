package proxy

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"miroir/meili"
	"miroir/proxy/node"
)

// stepwise is the search that asks nodes step by step. Its query is that of the last step, which all hits match: what is
// counted is counted by it.
func (q *search) stepwise(r *removal, f searchForm) (*search, searchForm) {
	all, query := *q, *q.query
	query.Q, query.MatchingStrategy = &r.steps[len(r.steps)-1].text, new("all")
	all.query, all.removal, all.shown = &query, r, q.query
	if f.federated && !q.sortsByHidden() { // scores of searches for other words do not compare, details do
		f.detailed = true
		if !isTrue(q.query.ShowRankingScoreDetails) {
			f.cutter = f.cutter.also("_rankingScoreDetails")
		}
	}
	return &all, f
}

// askSteps is askPart for each step, and joins the hits as if the node had dropped the words itself.
func (q *search) askSteps(ctx context.Context, c *node.Client, call Call, f searchForm) (*nodeAnswer, error) {
	answers := make([]*nodeAnswer, len(q.removal.steps))
	errs := make([]error, len(answers))
	own, marked := map[string]hit{}, map[string]hit{} // hits by number, as the client's words find and mark them
	eachAtOnce(len(answers)+2, func(i int) {
		one, query := *q, *q.query
		one.query, one.send = &query, one.sendAlone
		if i < len(answers) {
			query.Q = &q.removal.steps[i].text
			if i < len(answers)-1 {
				query.Facets = nil
			}
			answers[i], errs[i] = one.askOnce(ctx, c, call, f)
			return
		}
		query.Q, query.MatchingStrategy, query.Facets = q.shown.Q, q.shown.MatchingStrategy, nil
		hits := own
		if i > len(answers) { // dropping words from the end finds others to mark
			if hits = marked; !hasFormatted(&query) && !isTrue(query.ShowMatchesPosition) {
				return
			}
			query.MatchingStrategy = new("last")
		}
		if a, err := one.askOnce(ctx, c, call, f); err == nil { // what is better known for it is worth no failure
			for _, h := range a.hits {
				hits[string(h.order)] = h
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	joined := answers[len(answers)-1]
	hits, known := []hit{}, map[string]bool{}
	for i, a := range answers {
		for _, h := range a.hits {
			id := string(h.order) + string(h.key)
			if known[id] {
				continue
			}
			known[id] = true
			step := q.removal.steps[i]
			if as, found := own[string(h.order)]; found && (i == 0 || q.removal.agrees(as, step)) {
				h = as
				q.removal.read(&h, f)
			} else {
				if as, found = own[string(h.order)]; !found {
					as, found = marked[string(h.order)]
				}
				if found {
					h.raw = withScores(as.raw, h.raw)
				}
				q.removal.rank(&h, step)
				q.removal.read(&h, f)
			}
			hits = append(hits, h)
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return -compareHits(&a, &b) })
	joined.hits = hits
	return joined, nil
}

// withScores is the hit marked with the members about ranking of another answer for the same document.
func withScores(marked, ranked []byte) []byte {
	for _, name := range []string{"_rankingScore", "_rankingScoreDetails", "_federation"} {
		if value := memberOf(ranked, name); value != nil {
			marked = replaceRaw(marked, name, value)
		}
	}
	return marked
}

// replaceRaw replaces the value of a member of an object, if it is there.
func replaceRaw(object []byte, name string, value []byte) []byte {
	replaced := object
	eachMember(object, skipSpace(object, 0), func(m member) bool {
		if string(m.key) != name {
			return true
		}
		replaced = slices.Concat(object[:m.value], value, object[m.end:])
		return false
	})
	return replaced
}

// agrees reports that a node that drops words in its own order dropped as many for a hit.
func (r *removal) agrees(h hit, step removalStep) bool {
	words := memberOf(memberOf(h.raw, "_rankingScoreDetails"), "words")
	return words != nil && int(number(memberOf(words, "maxMatchingWords"))) == r.maxWords && int(number(memberOf(words, "matchingWords"))) == r.maxWords-step.dropped
}

// read takes the score of a hit from its details, where it has them.
func (r *removal) read(h *hit, f searchForm) {
	if details := memberOf(h.raw, "_rankingScoreDetails"); details != nil && (!f.federated || f.detailed) {
		h.score = detailsScore(details)
	}
}

// rank adds the verdict of the words rule to a hit of a step.
func (r *removal) rank(h *hit, step removalStep) {
	matching := r.maxWords - step.dropped
	within := func(score float64) float64 { return (float64(matching-1) + score) / float64(r.maxWords) }
	details := memberOf(h.raw, "_rankingScoreDetails")
	if score := memberOf(h.raw, "_rankingScore"); score != nil {
		rest := number(score)
		if ranks := rankMembers(details); len(ranks) > 0 && string(ranks[0].key) == "typo" {
			rest = step.withMaxTypos(rest, details[ranks[0].value:ranks[0].end])
		}
		h.raw = replaceRaw(h.raw, "_rankingScore", appendFloat(nil, within(rest)))
	}
	if details != nil {
		h.raw = replaceRaw(h.raw, "_rankingScoreDetails", r.withWords(details, matching, step))
	}
	at := min(r.before, len(h.score))
	if at < len(h.score) && h.score[at].kind == rankEntry {
		h.score = slices.Clone(h.score)
		h.score[at].value = within(h.score[at].value)
		return
	}
	h.score = slices.Insert(slices.Clone(h.score), at, scoreEntry{value: within(1)})
}

// rankMembers are the details of rules that rank, not sort.
func rankMembers(details []byte) []member {
	var ranks []member
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		if memberOf(details[m.value:m.end], "score") != nil || memberOf(details[m.value:m.end], "attributeRankingOrderScore") != nil {
			ranks = append(ranks, m)
		}
		return true
	})
	return ranks
}

// withMaxTypos is a score that begins with the typo rule, as if the rule allowed for the typos of the words left only: a
// search that must match all words also counts those of words written as one.
func (s removalStep) withMaxTypos(score float64, typo []byte) float64 {
	count, most := number(memberOf(typo, "typoCount")), number(memberOf(typo, "maxTypoCount"))
	rest := score*(most+1) - (most - count)
	return (float64(s.maxTypos) - count + rest) / float64(s.maxTypos+1)
}

// typoDetails are the details of the typo rule with its maximum put right.
func (s removalStep) typoDetails(typo []byte) []byte {
	count := number(memberOf(typo, "typoCount"))
	typo = replaceRaw(typo, "maxTypoCount", strconv.AppendInt(nil, int64(s.maxTypos), 10))
	return replaceRaw(typo, "score", appendFloat(nil, (float64(s.maxTypos)+1-count)/float64(s.maxTypos+1)))
}

// exactnessDetails are the details of the exactness rule. With words missing before others no document is like the query;
// one that seems so has all words left.
func (s removalStep) exactnessDetails(exactness []byte, place int) []byte {
	if match := text(memberOf(exactness, "matchType")); !s.gap || match != "exactMatch" && match != "matchesStart" {
		return exactness
	}
	return fmt.Appendf(nil, `{"order":%d,"matchType":"noExactMatch","matchingWords":%d,"maxMatchingWords":%d,"score":0.3333333333333333}`, place, s.words, s.words)
}

// withWords inserts the details of the words rule.
func (r *removal) withWords(details []byte, matching int, step removalStep) []byte {
	out, place := []byte{'{'}, 0
	comma := func() {
		if place > 0 {
			out = append(out, ',')
		}
	}
	words := func() {
		comma()
		out = strconv.AppendInt(append(out, `"words":{"order":`...), int64(place), 10)
		out = strconv.AppendInt(append(out, `,"matchingWords":`...), int64(matching), 10)
		out = strconv.AppendInt(append(out, `,"maxMatchingWords":`...), int64(r.maxWords), 10)
		out = append(appendFloat(append(out, `,"score":`...), float64(matching)/float64(r.maxWords)), '}')
		place++
	}
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		if place == r.before {
			words()
		}
		comma()
		value := replaceRaw(details[m.value:m.end], "order", strconv.AppendInt(nil, int64(place), 10))
		switch string(m.key) {
		case "typo":
			value = step.typoDetails(value)
		case "exactness":
			value = step.exactnessDetails(value, place)
		}
		out = append(append(out, details[m.start:m.value]...), value...)
		place++
		return true
	})
	if bytes.Equal(out, []byte{'{'}) || place <= r.before {
		words()
	}
	return append(out, '}')
}

// shownQuery is the client's query.
func (q *search) shownQuery() *meili.SearchQuery {
	if q.shown != nil {
		return q.shown
	}
	return q.query
}
