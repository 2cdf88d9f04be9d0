package meili

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// defaultPageLimit is the limit of every list that is not a search.
const defaultPageLimit = 20

// DocumentsQuery asks for a page of documents.
type DocumentsQuery struct {
	Offset          int             `json:"offset"`
	Limit           int             `json:"limit"`
	Fields          *[]string       `json:"fields,omitempty"` // nil: all
	RetrieveVectors bool            `json:"retrieveVectors"`
	IDs             *[]string       `json:"ids,omitempty"` // canonical
	Filter          json.RawMessage `json:"filter,omitempty"`
	Sort            *[]string       `json:"sort,omitempty"`
	UseNetwork      *bool           `json:"useNetwork,omitempty"`
}

// DecodeDocumentsFetch decodes the body of POST /indexes/{uid}/documents/fetch. Errors: invalid_document_*, bad_request.
// What is wrong with an id Meilisearch reports only once it has found the index.
func DecodeDocumentsFetch(body []byte) (*DocumentsQuery, *Error) {
	q := &DocumentsQuery{Limit: defaultPageLimit}
	var ids *[]Value
	err := DecodeBody(body, []Field{
		{Name: "offset", Code: CodeInvalidDocumentOffset, Decode: Into(&q.Offset, ReadInt)},
		{Name: "limit", Code: CodeInvalidDocumentLimit, Decode: Into(&q.Limit, ReadInt)},
		{Name: "fields", Code: CodeInvalidDocumentFields, Decode: IntoOptional(&q.Fields, ReadStrings)},
		{Name: "retrieveVectors", Code: CodeInvalidDocumentRetrieveVectors, Decode: Into(&q.RetrieveVectors, ReadBool)},
		{Name: "ids", Code: CodeInvalidDocumentIDs, Decode: IntoOptional(&ids, ReadList(readValue))},
		{Name: "filter", Code: CodeInvalidDocumentFilter, Decode: IntoRaw(&q.Filter)},
		{Name: "sort", Code: CodeInvalidDocumentSort, Decode: IntoOptional(&q.Sort, ReadStrings)},
		{Name: "useNetwork", Code: CodeInvalidDocumentUseNetwork, Decode: IntoOptional(&q.UseNetwork, ReadBool)},
	})
	if err == nil && ids != nil {
		q.IDs, err = documentIDs(*ids)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

func readValue(v *Value, _ *Location) (Value, *Error) { return *v, nil }

func documentIDs(values []Value) (*[]string, *Error) {
	ids := make([]string, len(values))
	for i := range values {
		id, refused := documentIDOf(&values[i])
		if refused != "" {
			return nil, newError(CodeInvalidDocumentIDs, fmt.Sprintf("In `.ids[%d]`: %s", i, refused))
		}
		ids[i] = id
	}
	return &ids, nil
}

// DecodeDocumentsParams decodes the query string of GET /indexes/{uid}/documents. Errors: invalid_document_*, bad_request.
func DecodeDocumentsParams(rawQuery string) (*DocumentsQuery, *Error) {
	q := &DocumentsQuery{Limit: defaultPageLimit}
	var fields []string
	var filter, sort *string
	var ids *[]string
	err := DecodeParams(rawQuery, []Field{
		{Name: "offset", Code: CodeInvalidDocumentOffset, Decode: Into(&q.Offset, ReadParamInt)},
		{Name: "limit", Code: CodeInvalidDocumentLimit, Decode: Into(&q.Limit, ReadParamInt)},
		{Name: "fields", Code: CodeInvalidDocumentFields, Decode: Into(&fields, ReadParamListOrStar)},
		{Name: "retrieveVectors", Code: CodeInvalidDocumentRetrieveVectors, Decode: Into(&q.RetrieveVectors, ReadParamBool)},
		{Name: "ids", Code: CodeInvalidDocumentIDs, Decode: IntoPresent(&ids, ReadParamList)},
		{Name: "filter", Code: CodeInvalidDocumentFilter, Decode: IntoPresent(&filter, ReadString)},
		{Name: "sort", Code: CodeInvalidDocumentSort, Decode: IntoPresent(&sort, ReadString)},
		{Name: "useNetwork", Code: CodeInvalidDocumentUseNetwork, Decode: IntoPresent(&q.UseNetwork, readParamJSONBool)},
	})
	if err != nil {
		return nil, err
	}
	if fields != nil {
		q.Fields = &fields
	}
	if sort != nil {
		sorts := SplitSort(*sort)
		q.Sort = &sorts
	}
	q.Filter = paramFilter(filter)
	if ids != nil {
		values := make([]Value, len(*ids))
		for i, id := range *ids {
			values[i] = Value{Kind: KindString, Text: id}
		}
		if q.IDs, err = documentIDs(values); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// readParamJSONBool never accepts anything: Meilisearch types this parameter of the documents routes as a JSON boolean,
// which a query string cannot hold.
func readParamJSONBool(v *Value, at *Location) (bool, *Error) {
	return false, at.WrongKind(v, KindBool)
}

// DocumentQuery is the query string of GET /indexes/{uid}/documents/{id}.
type DocumentQuery struct {
	Fields          *[]string // nil: all
	RetrieveVectors bool
}

// DecodeDocumentParams decodes the query string of GET /indexes/{uid}/documents/{id}. Errors: invalid_document_*, bad_request.
func DecodeDocumentParams(rawQuery string) (*DocumentQuery, *Error) {
	q := &DocumentQuery{}
	var fields []string
	var useNetwork *bool
	err := DecodeParams(rawQuery, []Field{
		{Name: "fields", Code: CodeInvalidDocumentFields, Decode: Into(&fields, ReadParamListOrStar)},
		{Name: "retrieveVectors", Code: CodeInvalidDocumentRetrieveVectors, Decode: Into(&q.RetrieveVectors, ReadParamBool)},
		{Name: "useNetwork", Code: CodeInvalidDocumentUseNetwork, Decode: IntoPresent(&useNetwork, readParamJSONBool)},
	})
	if err != nil {
		return nil, err
	}
	if fields != nil {
		q.Fields = &fields
	}
	return q, nil
}

// AddDocumentsParams is the query string of POST and PUT /indexes/{uid}/documents.
type AddDocumentsParams struct {
	PrimaryKey     *string
	CSVDelimiter   *byte // ASCII
	CustomMetadata *string
	SkipCreation   bool // leave out documents the index does not have
}

// DecodeAddDocumentsParams decodes the query string of POST and PUT /indexes/{uid}/documents. Errors:
// invalid_index_primary_key, invalid_document_csv_delimiter, invalid_index_custom_metadata, invalid_skip_creation, bad_request.
func DecodeAddDocumentsParams(rawQuery string) (*AddDocumentsParams, *Error) {
	p := &AddDocumentsParams{}
	err := DecodeParams(rawQuery, []Field{
		{Name: "primaryKey", Code: CodeInvalidIndexPrimaryKey, Decode: IntoPresent(&p.PrimaryKey, ReadString)},
		{Name: "csvDelimiter", Code: CodeInvalidDocumentCSVDelimiter, Decode: IntoPresent(&p.CSVDelimiter, readDelimiter)},
		{Name: "customMetadata", Code: CodeInvalidIndexCustomMetadata, Decode: IntoPresent(&p.CustomMetadata, ReadString)},
		{Name: "skipCreation", Code: CodeInvalidSkipCreation, Decode: Into(&p.SkipCreation, readSkipCreation)},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func readDelimiter(v *Value, at *Location) (byte, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return 0, err
	}
	switch count := utf8.RuneCountInString(text); {
	case count == 0:
		return 0, at.Invalid("expected a string of one character, but found an empty string")
	case count > 1:
		return 0, at.Invalid(fmt.Sprintf("expected a string of one character, but found the following string of %d characters: `%s`", count, text))
	case len(text) > 1:
		return 0, newError(at.code, "csv delimiter must be an ascii character. Found: `"+text+"`")
	}
	return text[0], nil
}

func readSkipCreation(v *Value, at *Location) (bool, *Error) {
	text, err := ReadString(v, at)
	switch {
	case err != nil:
		return false, err
	case strings.EqualFold(text, "true"):
		return true, nil
	case strings.EqualFold(text, "false"):
		return false, nil
	}
	return false, newError(at.code, "skipCreation must be either `true` or `false`. Found: `"+text+"`")
}

// DecodeCustomMetadata decodes the query string of routes that take customMetadata alone, nil if absent.
// Errors: invalid_index_custom_metadata, bad_request.
func DecodeCustomMetadata(rawQuery string) (metadata *string, err *Error) {
	err = DecodeParams(rawQuery, []Field{
		{Name: "customMetadata", Code: CodeInvalidIndexCustomMetadata, Decode: IntoPresent(&metadata, ReadString)},
	})
	return metadata, err
}

// DecodeDeleteByFilter decodes the body of POST /indexes/{uid}/documents/delete; the filter still has to be parsed, and
// must not be empty (see EmptyFilter). Errors: missing_document_filter, bad_request.
func DecodeDeleteByFilter(body []byte) (filter json.RawMessage, err *Error) {
	err = DecodeBody(body, []Field{
		{Name: "filter", Code: CodeInvalidDocumentFilter, Required: true, Missing: CodeMissingDocumentFilter, Decode: intoPrinted(&filter)},
	})
	return filter, err
}

// EmptyFilter is the error of a deletion or edition whose filter is empty.
func EmptyFilter() *Error {
	return newError(CodeInvalidDocumentFilter, "Sending an empty filter is forbidden.")
}

// EachDeletedID calls visit with the ids in the body of POST /indexes/{uid}/documents/delete-batch, as text: strings as they
// are, other values as their JSON. It calls it before the end of the body was checked. Errors: bad_request for anything but
// an array, malformed_payload, missing_payload, or what visit returned, which ends it.
func EachDeletedID(body []byte, visit func(id string) error) error {
	if err := refuseNoArray(body); err != nil {
		return err
	}
	if len(body) == 0 {
		_, missing := ParseBody(body)
		return missing
	}
	p := jsonParser{text: body, depth: maxDepth - 1} // inside the array
	first, ok := p.space()
	switch {
	case !ok:
		return malformed(p.failNext("EOF while parsing a value"))
	case first != '[': // nor any other value
		if _, err := ParseBody(body); err != nil {
			return err
		}
	}
	p.pos++
	var stopped error
	err := p.items(func(item *Value) error {
		id := item.Text
		if item.Kind != KindString {
			id = item.JSON()
		}
		stopped = visit(id)
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	if err == nil {
		if _, more := p.space(); more {
			err = p.failNext("trailing characters")
		}
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

// refuseNoArray reports a body that is not an array the way serde does: as soon as the kind is known, before the end of
// the text is checked.
func refuseNoArray(body []byte) *Error {
	p := jsonParser{text: body, depth: maxDepth}
	c, ok := p.space()
	if !ok || c == '[' {
		return nil
	}
	found := "map"
	if c != '{' {
		v, err := p.value()
		if err != nil {
			return nil // malformed
		}
		found = serdeKind(&v)
	}
	return newError(CodeBadRequest, p.failHere("Json deserialize error: invalid type: "+found+", expected a sequence").Error())
}

// serdeKind names a scalar the way serde's type errors do.
func serdeKind(v *Value) string {
	switch v.Kind {
	case KindBool:
		return "boolean `" + v.JSON() + "`"
	case KindUint, KindInt:
		return "integer `" + v.JSON() + "`"
	case KindFloat:
		return "floating point `" + v.JSON() + "`"
	case KindString:
		return "string " + rustDebug(v.Text)
	}
	return "null"
}

// Edit is the body of POST /indexes/{uid}/documents/edit.
type Edit struct {
	Filter   json.RawMessage `json:"filter,omitempty"`
	Context  json.RawMessage `json:"context,omitempty"` // an object
	Function string          `json:"function"`
}

// DecodeEdit decodes the body of POST /indexes/{uid}/documents/edit. Errors: missing_document_edition_function,
// invalid_document_edition_function_filter, bad_request.
func DecodeEdit(body []byte) (*Edit, *Error) {
	e := &Edit{}
	err := DecodeBody(body, []Field{
		{Name: "filter", Code: CodeInvalidDocumentFilter, Decode: intoPrinted(&e.Filter)},
		{Name: "context", Code: CodeInvalidDocumentEditionContext, Decode: IntoRaw(&e.Context)},
		{Name: "function", Code: CodeInvalidDocumentEditionFunctionFilter, Required: true, Missing: CodeMissingDocumentEditionFunction, Decode: Into(&e.Function, ReadString)},
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// CheckContext refuses a context that is no object; Meilisearch does so after it has compiled the function and parsed the
// filter. Error: invalid_document_edition_context.
func (e *Edit) CheckContext() *Error {
	if e.Context != nil && e.Context[0] != '{' {
		return newError(CodeInvalidDocumentEditionContext, "The context must be an object")
	}
	return nil
}
