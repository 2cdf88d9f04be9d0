package proxy

import (
	"cmp"
	"slices"

	"miroir/meili"
)

// Clients may number the queries of a federated search themselves (federationOptions.queryPosition), also all alike. One server's
// hits, vectors and most of its messages tell these numbers then, and of hits that tie that of the lesser number comes first. To the
// nodes queries have turns: places in that order, each once.

// position is the number that clients know a query by.
func (f *federated) position(i int) int {
	if options := f.multi.Queries[i].FederationOptions; options != nil && options.QueryPosition != nil {
		return *options.QueryPosition
	}
	return i
}

// inQuery says by its number which query an error is about that one server meets when it runs it, rather than before.
func (f *federated) inQuery(i int, err *meili.Error) *meili.Error {
	return meili.InQuery(f.position(i), err)
}

// orderQueries notes whose turn is when.
func (f *federated) orderQueries() {
	f.order = make([]int, len(f.multi.Queries))
	for i := range f.order {
		f.order[i] = i
	}
	slices.SortStableFunc(f.order, func(a, b int) int { return cmp.Compare(f.position(a), f.position(b)) })
	f.turns = make([]int, len(f.order))
	for turn, i := range f.order {
		f.turns[i] = turn
	}
}

// queryOf is the query that has a turn, -1 for none.
func (f *federated) queryOf(turn int) int {
	if turn < 0 || turn >= len(f.order) {
		return -1
	}
	return f.order[turn]
}
