package devnode

import (
	"encoding/json"
	"net/http"

	"miroir/meili"
)

// listFields answers with the fields of an index, by name.
func listFields(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	query, err := meili.DecodeFields(body)
	if err != nil {
		return answer{}, err
	}
	ix, err := q.store.index(q.param("uid"))
	if err != nil {
		return answer{}, err
	}
	results := []json.RawMessage{}
	for _, name := range ix.Fields() {
		if f := meili.ViewField(name, ix.Settings()); f.Passes(query.Filter) {
			results = append(results, encode(f))
		}
	}
	shown := paginate(results, query.Offset, query.Limit)
	return respond(http.StatusOK, pageView(shown, query.Offset, query.Limit, len(results))), nil
}
