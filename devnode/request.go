package devnode

import (
	"io"
	"net/http"
	"time"

	"miroir/meili"
)

// request is what a handler knows: the HTTP request, who may do what, and the node's memory as it was when the request came.
type request struct {
	*http.Request
	node   *Node
	store  *store
	params map[string]string // unescaped
	grant  *meili.Grant
	now    time.Time
}

// handler answers one request; an error is answered in Meilisearch's shape.
type handler func(q *request) (answer, *meili.Error)

// param returns a segment of the path.
func (q *request) param(name string) string { return q.params[name] }

// indexUID returns the index the path names. Error: invalid_index_uid.
func (q *request) indexUID() (string, *meili.Error) {
	uid := q.param("uid")
	return uid, meili.CheckIndexUID(uid)
}

// index returns the index the path names. Errors: invalid_index_uid, index_not_found.
func (q *request) index() (*index, *meili.Error) {
	uid, err := q.indexUID()
	if err != nil {
		return nil, err
	}
	return q.store.index(uid)
}

// jsonBody returns the body of a route that takes JSON, decompressed.
// Errors: missing_content_type, invalid_content_type, payload_too_large, bad_request; internal for a body whose announced
// length is over the limit, which is what Meilisearch v1.50 answers.
func (q *request) jsonBody() ([]byte, *meili.Error) {
	if err := meili.CheckJSONContentType(q.Header); err != nil {
		return nil, err
	}
	limit := q.node.options.PayloadLimitBytes
	if q.ContentLength > limit && q.Header.Get("Content-Encoding") == "" {
		return nil, meili.Errorf(meili.CodeInternal,
			"JSON payload (%d bytes) is larger than allowed (limit: %d bytes).", q.ContentLength, limit)
	}
	reader, err := decompress(q.Request)
	if err != nil {
		return nil, badPayload(err)
	}
	body, err := io.ReadAll(io.LimitReader(reader, limit+1))
	if err != nil {
		return nil, badPayload(err)
	}
	if int64(len(body)) > limit {
		return nil, meili.Errorf(meili.CodePayloadTooLarge, "JSON payload has exceeded limit (%d bytes).", limit)
	}
	return body, nil
}

func badPayload(err error) *meili.Error {
	return meili.Errorf(meili.CodeBadRequest, "Error that occur during reading payload: %s", err)
}

// authorized tells whether the key of the request covers an index.
func (q *request) authorized(uid string) bool { return q.grant.IndexAllowed(uid) }
