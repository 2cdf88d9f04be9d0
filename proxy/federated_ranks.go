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
		words := f.words[i]
		if words == nil {
			continue
		}
		query := f.multi.Queries[i]
		plain := query.SearchQuery
		plain.RankingScoreThreshold = nil // of a federated search it is left to a census
		one := f.s.newSearch(f.view, f.indexes[query.IndexUID], &plain).byWords()
		one.lost, one.seed = f.lost[query.IndexUID], f.seed
		s := rankSettling{search: one, weight: 1, form: searchForm{federated: true, detailed: true, reach: one.settings.MaxTotalHits(), distinct: f.distinctOf(i), words: words}}
		s.form.distinctFederated = s.form.distinct != ""
		if query.FederationOptions != nil && query.FederationOptions.Weight != nil {
			s.weight = *query.FederationOptions.Weight
		}
		var lists []*federatedAnswer
		for _, a := range answers {
			if call, asked := a.part.calls[query.IndexUID]; asked {
				lists = append(lists, a)
				s.answers = append(s.answers, answered[*nodeAnswer]{call, &nodeAnswer{hits: a.hits[i]}})
			}
		}
		if len(lists) < 2 {
			continue
		}
		s.settle(ctx)
		for n, a := range lists {
			a.hits[i] = s.answers[n].Value.hits
		}
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
