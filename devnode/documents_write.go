package devnode

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"miroir/devnode/engine"
	"miroir/meili"
)

func addDocuments(q *request) (answer, *meili.Error) {
	params, err := meili.DecodeAddDocumentsParams(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	documents, err := q.documents(params)
	if err != nil {
		return answer{}, err
	}
	a := &addition{
		documents:   documents,
		merge:       q.Method == http.MethodPut,
		mayCreate:   q.grant.CanCreateIndex(uid),
		primaryKey:  params.PrimaryKey,
		updatesOnly: params.SkipCreation,
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDocumentAdditionOrUpdate, indexUID: &uid, customMetadata: params.CustomMetadata,
		details: object{{"receivedDocuments", len(documents)}, {"indexedDocuments", nil}},
		work:    a.run,
		payload: documents,
	})
}

// documents reads the payload of a request.
func (q *request) documents(params *meili.AddDocumentsParams) ([][]byte, *meili.Error) {
	kind, err := meili.PayloadKindOf(q.Header)
	if err != nil {
		return nil, err
	}
	if err := meili.CheckCSVDelimiter(kind, params.CSVDelimiter); err != nil {
		return nil, err
	}
	body, failed := decompress(q.Request)
	if failed != nil {
		return nil, payloadError(failed)
	}
	var delimiter byte
	if params.CSVDelimiter != nil {
		delimiter = *params.CSVDelimiter
	}
	limit := q.node.options.PayloadLimitBytes
	documents := [][]byte{}
	_, failed = meili.SplitPayload(kind, delimiter, &limitedReader{reader: body, limit: limit, remaining: limit}, func(doc []byte) error {
		documents = append(documents, bytes.Clone(doc))
		return nil
	})
	if failed != nil {
		return nil, payloadError(failed)
	}
	return documents, nil
}

// payloadError returns the error to answer for a payload that could not be read to its end.
func payloadError(failed error) *meili.Error {
	var err *meili.Error
	if errors.As(failed, &err) {
		return err
	}
	return meili.Errorf(meili.CodeBadRequest, "The provided payload is incomplete and cannot be parsed")
}

// addition is the work of adding or updating documents.
type addition struct {
	documents   [][]byte
	merge       bool    // partial documents: PUT
	mayCreate   bool    // the index, when it is missing
	primaryKey  *string // asked for by the request
	updatesOnly bool    // documents whose id is not stored are ignored
}

// run stores the documents, or none of them when one is refused. The index is created all the same.
func (a *addition) run(j *job) (object, *meili.Error) {
	ix, err := j.writableIndex(a.mayCreate)
	if err != nil {
		return nil, err
	}
	primaryKey, err := a.choosePrimaryKey(ix)
	if err != nil {
		return nil, err
	}
	documents := make([]engine.Document, len(a.documents))
	distinct := map[string]bool{}
	for i, doc := range a.documents {
		id, err := meili.DocumentID(doc, primaryKey)
		if err != nil {
			return nil, err
		}
		documents[i] = engine.Document{ID: id, JSON: doc}
		distinct[id] = true
	}
	before := ix.PrimaryKey()
	ix.SetPrimaryKey(primaryKey)
	write := ix.PutDocuments
	if a.merge {
		write = ix.UpdateDocuments
	}
	if _, err := write(documents, a.updatesOnly); err != nil {
		ix.SetPrimaryKey(before)
		return nil, inIndex(j.index, err)
	}
	j.wrote(ix, true, len(documents))
	return object{{"receivedDocuments", len(documents)}, {"indexedDocuments", len(distinct)}}, nil
}

// choosePrimaryKey returns the index's primary key, else the one the request gives, else what the first document suggests.
// It is "" only when there is nothing to store.
func (a *addition) choosePrimaryKey(ix *index) (string, *meili.Error) {
	known := ix.PrimaryKey()
	switch {
	case known != "" && a.primaryKey != nil && *a.primaryKey != known && len(a.documents) > 0:
		return "", meili.Errorf(meili.CodeIndexPrimaryKeyAlreadyExists, "Index already has a primary key: `%s`.", known)
	case known != "":
		return known, nil
	case a.primaryKey != nil:
		return *a.primaryKey, nil
	case len(a.documents) == 0:
		return "", nil
	}
	return meili.InferPrimaryKey(a.documents[0])
}

// writableIndex returns the task's index, created when it is missing and that is allowed. Error: index_not_found.
func (j *job) writableIndex(mayCreate bool) (*index, *meili.Error) {
	ix, err := j.store.index(j.index)
	if err != nil && mayCreate {
		return j.store.createIndex(j.index), nil
	}
	return ix, err
}

// wrote records that the task changed an index, whether the indexer ran for it, and how many documents it changed.
func (j *job) wrote(ix *index, indexed bool, numDocuments int) {
	j.indexed, j.resized = indexed, numDocuments > 0
	j.store.touch(ix)
}

// inIndex puts the index in front of a message that does not name it yet.
func inIndex(uid string, err *meili.Error) *meili.Error {
	prefix := "Index `" + uid + "`: "
	if bytes.HasPrefix([]byte(err.Message), []byte("Index `")) {
		return err
	}
	return err.WithPrefix(prefix)
}

func clearDocuments(q *request) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDocumentDeletion, indexUID: &uid, customMetadata: metadata,
		details: object{{"deletedDocuments", nil}},
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.store.index(j.index)
			if err != nil {
				return nil, err
			}
			count := ix.Clear()
			j.wrote(ix, false, count)
			return object{{"deletedDocuments", count}}, nil
		},
	})
}

func deleteDocument(q *request) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	return q.deleteIDs([]string{q.param("id")}, metadata)
}

func deleteBatch(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	var ids []string
	var refused *meili.Error
	if errors.As(meili.EachDeletedID(body, func(id string) error {
		ids = append(ids, id)
		return nil
	}), &refused) {
		return answer{}, refused
	}
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	return q.deleteIDs(ids, metadata)
}

// deleteIDs enqueues the deletion of documents by id.
func (q *request) deleteIDs(ids []string, metadata *string) (answer, *meili.Error) {
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	details := object{{"providedIds", len(ids)}, {"deletedDocuments", nil}, {"originalFilter", nil}}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDocumentDeletion, indexUID: &uid, customMetadata: metadata, details: details,
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.store.index(j.index)
			if err != nil {
				return nil, err
			}
			count := ix.DeleteDocuments(ids)
			j.wrote(ix, count > 0, count)
			return details.set("deletedDocuments", count), nil
		},
	})
}

func deleteByFilter(q *request) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	filter, err := meili.DecodeDeleteByFilter(body)
	if err != nil {
		return answer{}, err
	}
	if err := checkDocumentFilter(filter, q.store.currentFeatures(), ""); err != nil {
		return answer{}, err
	}
	details := object{{"providedIds", 0}, {"deletedDocuments", nil}, {"originalFilter", string(filter)}}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDocumentDeletion, indexUID: &uid, customMetadata: metadata, details: details,
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.store.index(j.index)
			if err != nil {
				return nil, err
			}
			count, err := ix.DeleteByFilter(j.context(), filter)
			if err != nil {
				return nil, documentFilterError(err)
			}
			j.wrote(ix, count > 0, count)
			return details.set("deletedDocuments", count), nil
		},
	})
}

// context is what the engine has to know about a task.
func (j *job) context() engine.SearchContext {
	return engine.SearchContext{IndexUID: j.index, Features: j.store.currentFeatures()}
}

// checkDocumentFilter refuses filters of a deletion that are empty, malformed or need a feature that is off.
// Where indexUID is not empty, they name it. Errors: invalid_document_filter, feature_not_enabled.
func checkDocumentFilter(filter json.RawMessage, features meili.Features, indexUID string) *meili.Error {
	if string(filter) == "null" {
		return meili.Errorf(meili.CodeInvalidDocumentFilter,
			"Invalid syntax for the filter parameter: `expected String, Array, found: null`.")
	}
	parsed, err := meili.ParseFilter(filter)
	if err != nil {
		return meili.InIndex(indexUID, documentFilterError(err))
	}
	if parsed == nil {
		return meili.EmptyFilter()
	}
	if err := meili.CheckFilterFeatures(parsed, features); err != nil {
		return meili.InIndex(indexUID, err)
	}
	return nil
}

// documentFilterError is a filter's error as the documents routes report it.
func documentFilterError(err *meili.Error) *meili.Error {
	if err.Code == meili.CodeInvalidSearchFilter {
		return err.WithCode(meili.CodeInvalidDocumentFilter)
	}
	return err
}
