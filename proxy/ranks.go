package proxy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"miroir/meili"
	"miroir/tasks"
)

// What rules say of a document depends on others in three places. Exactness asks whether a field is the query, word by word, but
// passes over words that the server does not know, and over those that no document of the same rank so far has as they are written
// (milli search/new/exact_attribute.rs): "quick bro" is all of a field "quick" while nothing contains "bro" itself. And the most typos
// there can be, by which the score of the typo rule is computed, are those of the readings of the query that are left. For the third see nearness.go. A node
// knows only its own documents, so such verdicts are put right by what others know.

// rankedWords are the words of a search that verdicts are put right for, as they are written.
type rankedWords []string

// rankedWordsOf are the plain words of a search whose verdicts can depend on other documents; nil for a search of another
// kind.
func (q *search) rankedWordsOf() rankedWords {
	if q.kind == meili.SemanticSearch || q.removal != nil || q.splitsWordsItsOwnWay() || deref(q.query.MatchingStrategy) == "frequency" {
		return nil
	}
	if rules := q.settings.Ranking(); !slices.ContainsFunc(rules, func(rule string) bool { return rule == "exactness" || rule == "typo" || rule == "proximity" }) {
		return nil
	}
	pieces, ok := queryPieces(strings.TrimLeftFunc(deref(q.query.Q), unicode.IsSpace), q.stopWords())
	if !ok || len(pieces) > maxFrequencyWords {
		return nil
	}
	var words rankedWords
	for _, piece := range pieces {
		if piece.phrase > 0 {
			return nil
		}
		if piece.removable {
			words = append(words, piece.text)
		}
	}
	if len(words) < 2 {
		return nil
	}
	return words
}

// quoted is a search with the word number i in quotes, so that it must be there as it is written.
func (w rankedWords) quoted(text string, i int) string {
	fields, n := strings.Split(text, " "), 0
	for at, field := range fields {
		if field != w[n] {
			continue
		}
		if n == i {
			fields[at] = `"` + field + `"`
			break
		}
		n++
	}
	return strings.Join(fields, " ")
}

// settleRanks puts right what nodes could not know about their hits, and these in order. Where hits that a node did not list can
// come before others then, it is asked for more.
func (q *search) settleRanks(ctx context.Context, answers []answered[*nodeAnswer], f searchForm) {
	if f.words == nil || len(answers) < 2 {
		return
	}
	s := rankSettling{search: q.byWords(), form: f, answers: answers, weight: 1}
	if q.kind == meili.HybridSearch {
		s.weight = wordsShare(q.query.Hybrid.EffectiveSemanticRatio())
	}
	for {
		short := s.settle(ctx)
		if most := q.settings.MaxTotalHits(); len(short) > 0 && f.reach < most {
			f.reach = min(4*f.reach, most)
			for i, part := range q.again(ctx, answers, short, f) {
				longer := *answers[i].Value
				longer.hits = part.hits
				answers[i].Value = &longer
			}
			continue
		}
		return
	}
}

// byWords is what a search finds by words.
func (q *search) byWords() *search {
	words, query := *q, *q.query
	query.Hybrid, query.Vector, query.Media = nil, nil, nil
	words.query, words.kind = &query, meili.KeywordSearch
	return &words
}

// rankSettling is what is found out for the hits of one search that were found by words.
type rankSettling struct {
	*search
	form    searchForm
	answers []answered[*nodeAnswer]
	weight  float64                 // of the search in a federation, or of words in a hybrid search
	known   map[int]bool            // words that are in the index as they are written, by number
	all     map[int]*nodeAnswer     // all hits of each node, asked for once
	exact   map[int]map[string]bool // by word: which hits have it as it is written
	near    map[string]bool         // which hits have both words in one field
	alike   map[string]bool         // and of these as the query has them
}

// settled is a hit whose verdicts have been put right.
type settled struct {
	details []byte
	chain   rankChain
	score   float64
}

// settle goes through the lists of all nodes once and returns those that may go on with hits that rank before some of them.
func (s *rankSettling) settle(ctx context.Context) (short []int) {
	most := map[string]int{}
	for _, list := range hitLists(s.answers) {
		for i := range list {
			if key, typo := list[i].bucketBefore("typo"); typo != nil {
				most[key] = max(most[key], int(number(memberOf(typo, "maxTypoCount"))))
			}
		}
	}
	costs := s.proximityCosts(ctx)
	for i := range s.answers {
		a := *s.answers[i].Value
		list := make([]hit, 0, len(a.hits))
		changed, knowsAll := false, false
		for _, h := range a.hits {
			if right, ok := s.judge(ctx, &h, most, costs, &knowsAll); ok {
				changed = true
				if threshold := s.query.RankingScoreThreshold; threshold != nil && right.score < *threshold {
					a.total--
					continue
				}
				h = right.hit(h, s.form, s.weight)
			}
			list = append(list, h)
		}
		if !changed {
			continue
		}
		slices.SortStableFunc(list, func(a, b hit) int { return -compareHits(&a, &b) })
		if full := len(a.hits) >= s.form.reach; full && (len(list) == 0 || byScore(&list[len(list)-1], &a.hits[len(a.hits)-1]) < 0) {
			short = append(short, i)
		}
		a.hits = list
		s.answers[i].Value = &a
	}
	return short
}

func (h *hit) details() []byte { return memberOf(h.raw, "_rankingScoreDetails") }

// judge is what one server would say of a hit; false where its node says that too, or where it cannot be told. knowsAll is set once
// a hit shows that its node has all words as they are written, so that what it finds just like the query is.
func (s *rankSettling) judge(ctx context.Context, h *hit, most, costs map[string]int, knowsAll *bool) (settled, bool) {
	right := settled{details: h.details()}
	key, typo := h.bucketBefore("typo")
	fewer := typo != nil && int(number(memberOf(typo, "maxTypoCount"))) < most[key]
	match := text(memberOf(memberOf(right.details, "exactness"), "matchType"))
	cost, apart := costs[h.identity()]
	alike := (match == exactnessTypes[1] || match == exactnessTypes[2]) && !(*knowsAll && number(memberOf(typo, "typoCount")) == 0)
	if !fewer && !alike && !apart {
		return right, false
	}
	if right.chain = readChain(right.details, len(s.form.words)); right.chain.terms < 2 || !right.chain.solve(number(memberOf(h.raw, "_rankingScore"))) {
		return right, false
	}
	changed := false
	if at := right.chain.at("proximity"); apart && at >= 0 && right.chain.ranks[at].most-right.chain.ranks[at].value != cost {
		right.chain.set("proximity", right.chain.ranks[at].most-cost, right.chain.ranks[at].most)
		changed = true
	}
	if fewer {
		r := right.chain.ranks[right.chain.at("typo")]
		right.chain.set("typo", most[key]+1-(r.most-r.value), most[key]+1)
		changed = true
	}
	if at := right.chain.at(exactWordsRank); at >= 0 && right.chain.ranks[at-1].value > 1 {
		*knowsAll = *knowsAll || right.chain.ranks[at].value-1 == len(s.form.words)
		if key, exactness := h.bucketBefore("exactness"); s.hasMore(ctx, right.chain.ranks[at].value-1, right.chain.terms, key, typo, exactness) {
			right.chain.set("exactness", 1, len(exactnessTypes))
			changed = true
		}
	}
	right.details, right.score = right.chain.inDetails(right.details), right.chain.score()
	return right, changed
}

// hasMore reports whether one server would look for words that a node does not know, those from one number to another, when it
// compares the fields of a bucket's documents with the query.
func (s *rankSettling) hasMore(ctx context.Context, from, to int, key string, typo, exactness []byte) bool {
	byTypos := typo != nil && order(typo) < order(exactness) && number(memberOf(typo, "typoCount")) > 0
	for i := from; i < min(to, len(s.form.words)); i++ {
		if byTypos && s.isReadInBucket(ctx, i, key) || !byTypos && s.isKnown(ctx, i) {
			return true
		}
	}
	return false
}

func order(detail []byte) int { return int(number(memberOf(detail, "order"))) }

// isKnown reports whether a document of the index has a word as it is written.
func (s *rankSettling) isKnown(ctx context.Context, word int) bool {
	if known, ok := s.known[word]; ok {
		return known
	}
	one := *s.search
	one.within = nil
	one.query = &meili.SearchQuery{Q: new(`"` + s.form.words[word] + `"`), Locales: s.query.Locales, Page: new(1), Distinct: new(tasks.NoField)}
	known := false
	for _, a := range one.countAll(ctx, one.allCalls(), []countQuery{{}}) {
		known = known || a[0].total > 0
	}
	if s.known == nil {
		s.known = map[int]bool{}
	}
	s.known[word] = known
	return known
}

// allCalls are those that the whole index is read by, whatever the filter leaves of it.
func (q *search) allCalls() []Call { return planRead(q.s.planRequest(q.view, q.ix, nil, q.seed)).Calls }

// isReadInBucket reports whether a document of a bucket has a word as it is written.
func (s *rankSettling) isReadInBucket(ctx context.Context, word int, key string) bool {
	if s.all == nil {
		s.all, s.exact = s.list(ctx, deref(s.query.Q)), map[int]map[string]bool{}
	}
	if s.exact[word] == nil {
		s.exact[word] = map[string]bool{}
		for _, a := range s.list(ctx, s.form.words.quoted(deref(s.query.Q), word)) {
			for i := range a.hits {
				s.exact[word][a.hits[i].identity()] = true
			}
		}
	}
	for _, a := range s.all {
		for i := range a.hits {
			if own, _ := a.hits[i].bucketBefore("exactness"); own == key && s.exact[word][a.hits[i].identity()] {
				return true
			}
		}
	}
	return false
}

// list asks all nodes for the hits of a text, as far as they can be reached.
func (s *rankSettling) list(ctx context.Context, words string) map[int]*nodeAnswer {
	f := s.form
	wide := s.lean(&f)
	wide.query.Q, wide.query.RankingScoreThreshold, wide.query.Facets = &words, nil, nil
	all := make([]int, len(s.answers))
	for i := range all {
		all[i] = i
	}
	return wide.again(ctx, s.answers, all, f)
}

// bucketBefore names the bucket of documents that a rule gets and that the rules about words before it read the query alike for, and
// returns the rule's own detail, nil for none. Only rules about words change what is read.
func (h *hit) bucketBefore(rule string) (key string, own []byte) {
	path, end, own := h.pathTo(rule)
	return string(path[:end]), own
}

// pathTo are the verdicts of the rules before one as text, and how much of it ends with a rule about words. What a document is sorted
// by comes from the score, since details may hide it.
func (h *hit) pathTo(rule string) (path []byte, end int, own []byte) {
	var sorted []scoreEntry
	for _, entry := range h.score {
		if !entry.isScore() {
			sorted = append(sorted, entry)
		}
	}
	details := h.details()
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		name, detail := string(m.key), details[m.value:m.end]
		if name == rule {
			own = detail
			return false
		}
		path = append(append(path, name...), '=')
		switch {
		case name == "typo":
			path = append(path, memberOf(detail, "typoCount")...)
		case memberOf(detail, "score") != nil || memberOf(detail, "attributeRankingOrderScore") != nil:
			path = append(path, detail...)
		default:
			if len(sorted) > 0 {
				path, sorted = fmt.Append(path, sorted[0]), sorted[1:]
			}
			path = append(path, ';')
			return true
		}
		path = append(path, ';')
		end = len(path)
		return true
	})
	return path, end, own
}

// hit is h with the verdicts put right.
func (v *settled) hit(h hit, f searchForm, weight float64) hit {
	h.raw = replaceRaw(h.raw, "_rankingScoreDetails", v.details)
	h.raw = replaceRaw(h.raw, "_rankingScore", appendFloat(nil, v.score))
	if !f.federated {
		h.score = detailsScore(v.details)
		return h
	}
	h.global = v.score * weight
	if federation := memberOf(h.raw, "_federation"); federation != nil {
		h.raw = replaceRaw(h.raw, "_federation", replaceRaw(federation, "weightedRankingScore", appendFloat(nil, h.global)))
	}
	h.score = withSegments(h.score, v.chain.segments(v.details), weight)
	return h
}

// withSegments is s with other scores, times a weight, between the values that sort.
func withSegments(s score, segments []float64, weight float64) score {
	s = slices.Clone(s)
	for i := range s {
		if s[i].kind == rankEntry && len(segments) > 0 {
			s[i].value, segments = segments[0]*weight, segments[1:]
		}
	}
	return s
}
