package proxy

import "context"

// rankedWords are the words of each query whose verdicts may have to be put right (see settleRanks), nil for none.
func (f *federated) rankedWords() []rankedWords {
	words := make([]rankedWords, len(f.multi.Queries))
	for i := range f.multi.Queries {
		q := &f.multi.Queries[i]
		if ix := f.indexes[q.IndexUID]; ix != nil && !ix.Whole() {
			words[i] = f.s.newSearch(f.view, ix, &q.SearchQuery).rankedWordsOf()
		}
	}
	return words
}

// settleRanks puts right what nodes could not know about the hits of each query.
func (f *federated) settleRanks(ctx context.Context, answers []*federatedAnswer) {
	for i := range f.multi.Queries {
		lists := make([][]hit, len(answers))
		for n, a := range answers {
			lists[n] = a.hits[i]
		}
		f.settleQuery(ctx, answers, i, lists)
		for n, a := range answers {
			a.hits[i] = lists[n]
		}
	}
}

// settleQuery is settleRanks for the lists that the nodes of answers have for one query.
func (f *federated) settleQuery(ctx context.Context, answers []*federatedAnswer, i int, lists [][]hit) {
	query, words := f.multi.Queries[i], f.words[i]
	if words == nil || len(f.callsOf(answers, query.IndexUID)) < 2 {
		return
	}
	plain := query.SearchQuery
	plain.RankingScoreThreshold = nil // of a federated search it is left to a census
	one := f.s.newSearch(f.view, f.indexes[query.IndexUID], &plain).byWords()
	one.lost, one.seed = f.lost[query.IndexUID], f.seed
	s := rankSettling{search: one, weight: 1, form: searchForm{federated: true, detailed: true, reach: one.settings.MaxTotalHits(), distinct: f.distinctOf(i), words: words}}
	s.form.distinctFederated = s.form.distinct != ""
	if query.FederationOptions != nil && query.FederationOptions.Weight != nil {
		s.weight = *query.FederationOptions.Weight
	}
	var asked []int
	for n, a := range answers {
		if call, ok := a.part.calls[query.IndexUID]; ok {
			asked = append(asked, n)
			s.answers = append(s.answers, answered[*nodeAnswer]{call, &nodeAnswer{hits: lists[n]}})
		}
	}
	s.settle(ctx)
	for at, n := range asked {
		lists[n] = s.answers[at].Value.hits
	}
}

// cutRanks removes from a hit what it was asked for to put verdicts right.
func (f *federated) cutRanks(h *hit, shown []byte) []byte {
	query := &f.multi.Queries[h.query]
	var drop []string
	if f.words[h.query] != nil {
		if !isTrue(query.ShowRankingScore) {
			drop = append(drop, "_rankingScore")
		}
		if !isTrue(query.ShowRankingScoreDetails) {
			drop = append(drop, "_rankingScoreDetails")
		}
	}
	if drop == nil {
		return shown
	}
	return strip(shown, &shape{drop: drop})
}
