package proxy

import (
	"cmp"
	"context"
	"slices"

	"miroir/meili"
	"miroir/proxy/node"
)

// countQuery asks how many of the search's candidates satisfy a filter, and how often they have the values of facets.
type countQuery struct {
	query  *meili.SearchQuery // in place of the search's, nil for that
	filter string             // "" for all
	facets *[]string
	// ranked is how many hits are looked at in rank, so that with distinct each of them stands for its duplicates; retrieve
	// what they show. 0 for none.
	ranked   int
	retrieve []string
}

// countAll asks the nodes of all calls at once; answers[i][j] is of calls[i] to queries[j]. nil when a node does not
// answer.
func (q *search) countAll(ctx context.Context, calls []Call, queries []countQuery) [][]*nodeAnswer {
	answers := make([][]*nodeAnswer, len(calls))
	eachAtOnce(len(calls), func(i int) { answers[i], _ = q.askCounts(ctx, calls[i], queries) })
	if slices.ContainsFunc(answers, func(a []*nodeAnswer) bool { return a == nil }) {
		return nil
	}
	return answers
}

// askCounts asks a node in one request; answers[i] belongs to queries[i].
func (q *search) askCounts(ctx context.Context, call Call, queries []countQuery) ([]*nodeAnswer, error) {
	var multi meili.MultiSearch
	for _, query := range queries {
		part := meili.MultiQuery{IndexUID: q.ix.NodeUID, SearchQuery: *cmp.Or(query.query, q.query)}
		part.Filter = withShards(part.Filter, call.filterShards())
		within := q.within[call.Node]
		if query.ranked > 0 {
			within = ""
		}
		for _, filter := range []string{within, query.filter} {
			if filter != "" {
				part.Filter = meili.AndFilter(part.Filter, meili.AppendString(nil, filter))
			}
		}
		part.Offset, part.Limit, part.Page, part.HitsPerPage = q.nodePaging(0)
		part.AttributesToRetrieve, part.AttributesToHighlight, part.AttributesToCrop = &[]string{}, nil, nil
		part.RetrieveVectors, part.Facets = nil, query.facets
		if query.ranked > 0 {
			part.Offset, part.Limit, part.Page, part.HitsPerPage = nil, &query.ranked, nil, nil
			part.AttributesToRetrieve = new(append([]string{}, query.retrieve...))
		} else {
			part.Sort = nil
		}
		multi.Queries = append(multi.Queries, part)
	}
	body, err := marshal(multi)
	if err != nil {
		return nil, err
	}
	ctx, cancel := q.s.inTime(ctx, q.view, q.ix, call)
	defer cancel()
	response, err := q.s.exchange(ctx, q.s.nodes.Client(q.view, call.Node), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json",
	})
	if err != nil {
		q.lost.note(call, err)
		return nil, err
	}
	var answers []*nodeAnswer
	for _, result := range itemsOf(memberOf(response.Body, "results")) {
		answers = append(answers, readAnswer(result, q.ix.NodeUID, q.ix.PrimaryKey))
	}
	if len(answers) != len(queries) {
		err = &refusal{node: call.Node, status: response.Status, body: response.Body}
		q.lost.note(call, err)
		return nil, err
	}
	return answers, nil
}

// fieldIn is a filter expression for documents that have one of some values.
func fieldIn(field string, values []string) string {
	text := []byte(meili.QuoteFilterValue(field) + " IN [")
	for i, value := range values {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, meili.QuoteFilterValue(value)...)
	}
	return string(append(text, ']'))
}
