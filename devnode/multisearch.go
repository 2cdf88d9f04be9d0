package devnode

import (
	"net/http"

	"miroir/meili"
)

// multiSearch answers POST /multi-search, federated or not.
func multiSearch(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	m, err := meili.ParseMultiSearch(body)
	if err != nil {
		return answer{}, err
	}
	for i := range m.Queries {
		query := &m.Queries[i]
		if !q.authorized(query.IndexUID) {
			return answer{}, meili.InQuery(i, invalidKey())
		}
		query.Filter = meili.AndFilter(query.Filter, q.grant.Rule(query.IndexUID))
	}
	if m.Federation != nil {
		return q.federated(m)
	}
	return q.separate(m)
}

// separate runs queries whose answers are not merged; one that fails fails the request.
func (q *request) separate(m *meili.MultiSearch) (answer, *meili.Error) {
	results := []object{}
	for i := range m.Queries {
		query := &m.Queries[i]
		started := q.node.now()
		if err := m.CheckQuery(i); err != nil {
			return answer{}, meili.InQuery(i, err)
		}
		result, ix, err := q.runSearch(query.IndexUID, &query.SearchQuery)
		if err != nil {
			return answer{}, meili.InQuery(i, notInPath(err))
		}
		view := q.searchView(result, ix, query.IndexUID, &query.SearchQuery, started)
		results = append(results, append(object{{"indexUid", query.IndexUID}}, view...))
	}
	return respond(http.StatusOK, object{{"results", results}}), nil
}

// notInPath answers a missing index with 400: it was not named by the path.
func notInPath(err *meili.Error) *meili.Error {
	if err.Code == meili.CodeIndexNotFound {
		return err.WithStatus(http.StatusBadRequest)
	}
	return err
}
