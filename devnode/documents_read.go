package devnode

import (
	"encoding/json"
	"net/http"

	"miroir/devnode/engine"
	"miroir/meili"
)

// context is what the engine has to know about a request. An empty uid leaves the index out of messages, as the routes about
// documents and facet values do.
func (q *request) context(uid string) engine.SearchContext {
	return engine.SearchContext{IndexUID: uid, Features: q.store.currentFeatures()}
}

func getDocument(q *request) (answer, *meili.Error) {
	query, err := meili.DecodeDocumentParams(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	ix, err := q.index()
	if err != nil {
		return answer{}, err
	}
	document, found := ix.Document(q.param("id"), query)
	if !found {
		return answer{}, meili.Errorf(meili.CodeDocumentNotFound, "Document `%s` not found.", q.param("id"))
	}
	return respond(http.StatusOK, document), nil
}

func listDocuments(q *request) (answer, *meili.Error) {
	query, err := meili.DecodeDocumentsParams(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	return q.documentPage(query)
}

func fetchDocuments(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	query, err := meili.DecodeDocumentsFetch(body)
	if err != nil {
		return answer{}, err
	}
	return q.documentPage(query)
}

// documentPage answers with a page of documents.
func (q *request) documentPage(query *meili.DocumentsQuery) (answer, *meili.Error) {
	if err := checkUseNetwork(query.UseNetwork, q.store.currentFeatures()); err != nil {
		return answer{}, err
	}
	ix, err := q.index()
	if err != nil {
		return answer{}, err
	}
	page, err := ix.Documents(q.context(""), query)
	if err != nil {
		return answer{}, documentFilterError(err)
	}
	documents := page.Documents
	if documents == nil {
		documents = []json.RawMessage{}
	}
	if q.Method == http.MethodPost && q.isProxy() {
		if documents, err = withSortValues(ix, query, documents); err != nil {
			return answer{}, documentFilterError(err)
		}
	}
	return respond(http.StatusOK, pageView(documents, query.Offset, query.Limit, page.Total)), nil
}

// isProxy tells whether the client is a coordinator that merges the answers of several nodes.
func (q *request) isProxy() bool { return q.Header.Get("Meili-Proxy-Search") == "true" }

// withSortValues adds to each document of a page what its place among those of other nodes is decided by.
func withSortValues(ix *index, query *meili.DocumentsQuery, documents []json.RawMessage) ([]json.RawMessage, *meili.Error) {
	whole := *query
	whole.Fields = nil
	page, err := ix.Documents(engine.SearchContext{Features: meili.AllFeatures()}, &whole)
	if err != nil {
		return nil, err
	}
	var sort []string
	if query.Sort != nil {
		sort = *query.Sort
	}
	out := make([]json.RawMessage, len(documents))
	for i := range documents {
		values := sortValues(page.Documents[min(i, len(page.Documents)-1)], sort)
		hit := engine.Hit{Document: documents[i]}
		out[i] = hit.Object(encode(object{{"weightedScoreValues", values}}))
	}
	return out, nil
}
