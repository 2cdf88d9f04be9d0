package devnode

import (
	"encoding/json"
	"math"
	"net/http"

	"miroir/devnode/edit"
	"miroir/devnode/engine"
	"miroir/meili"
)

// editDocuments enqueues an edition of documents by a function.
func editDocuments(q *request) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	request, err := meili.DecodeEdit(body)
	if err != nil {
		return answer{}, err
	}
	features := q.store.currentFeatures()
	if err := needs(features.EditDocumentsByFunction, "Using the documents edit route", "editDocumentsByFunction"); err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	function, failed := edit.Compile(request.Function)
	if failed != nil {
		return answer{}, meili.Errorf(meili.CodeBadRequest, "%s", failed)
	}
	if request.Filter != nil {
		if err := checkDocumentFilter(request.Filter, features, uid); err != nil {
			return answer{}, err
		}
	}
	if err := request.CheckContext(); err != nil {
		return answer{}, err
	}
	e := &edition{request, function, editionDetails(request)}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDocumentEdition, indexUID: &uid, customMetadata: metadata, details: e.details, work: e.run,
	})
}

// edition is the work of editing documents.
type edition struct {
	request  *meili.Edit
	function *edit.Function
	details  object
}

// editionDetails are the details of an edition that is not finished.
func editionDetails(e *meili.Edit) object {
	details := object{{"editedDocuments", nil}, {"deletedDocuments", nil}, {"originalFilter", nil}, {"context", nil}}
	if e.Filter != nil {
		details = details.set("originalFilter", string(e.Filter))
	}
	if e.Context != nil {
		details = details.set("context", e.Context)
	}
	return append(details, member{"function", e.Function})
}

// run edits every document the filter selects, or none when one of them fails. As Meilisearch does it reports the number of
// selected documents as both edited and deleted.
func (e *edition) run(j *job) (object, *meili.Error) {
	ix, err := j.store.index(j.index)
	if err != nil {
		return nil, err
	}
	page, err := ix.Documents(j.context(), &meili.DocumentsQuery{Limit: math.MaxInt, RetrieveVectors: true, Filter: e.request.Filter})
	if err != nil {
		return nil, documentFilterError(err)
	}
	var changed []engine.Document
	var removed []string
	for _, document := range page.Documents {
		id, edited, err := e.apply(document, ix.PrimaryKey())
		switch {
		case err != nil:
			return nil, inIndex(j.index, err)
		case edited == nil:
			removed = append(removed, id)
		default:
			changed = append(changed, engine.Document{ID: id, JSON: edited})
		}
	}
	if _, err := ix.PutDocuments(changed, false); err != nil {
		return nil, inIndex(j.index, err)
	}
	ix.DeleteDocuments(removed)
	j.wrote(ix, len(page.Documents) > 0, len(page.Documents))
	return e.details.set("editedDocuments", len(page.Documents)).set("deletedDocuments", len(page.Documents)), nil
}

// apply runs the function on a document. It returns the document's id and what became of it, nil when it is removed.
func (e *edition) apply(document json.RawMessage, primaryKey string) (string, json.RawMessage, *meili.Error) {
	id, err := meili.DocumentID(document, primaryKey)
	if err != nil {
		return "", nil, err
	}
	edited, failed := e.function.Run(document, e.request.Context)
	if failed == edit.ErrNotObject {
		return id, nil, editError("%s", failed)
	}
	if failed != nil {
		return id, nil, editError("Document edition runtime error encountered while running the function: %s", failed)
	}
	if edited == nil {
		return id, nil, nil
	}
	if after, err := meili.DocumentID(edited, primaryKey); err != nil || after != id {
		return id, nil, editError("Document editions cannot modify a document's primary key")
	}
	return id, edited, nil
}

func editError(format string, args ...any) *meili.Error {
	return meili.Errorf(meili.CodeEditDocumentsByFunctionError, format, args...)
}
