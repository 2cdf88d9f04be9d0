package meili

import (
	"io"
	"mime"
	"net/http"
	"strings"
)

// PayloadKind is the format of a documents payload, as Meilisearch's messages name it.
type PayloadKind string

// The formats documents may be sent in.
const (
	PayloadJSON   PayloadKind = "json"
	PayloadNDJSON PayloadKind = "ndjson"
	PayloadCSV    PayloadKind = "csv"
)

const acceptedPayloads = "Accepted values for the Content-Type header are: `application/json`, `application/x-ndjson`, `text/csv`"

// PayloadKindOf is the format a Content-Type header names; its parameters are ignored.
// Errors: missing_content_type, invalid_content_type.
func PayloadKindOf(header http.Header) (PayloadKind, *Error) {
	if len(header["Content-Type"]) == 0 {
		return "", newError(CodeMissingContentType, "A Content-Type header is missing. "+acceptedPayloads)
	}
	contentType := header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && media == "" {
		media = contentType
	} else if at := strings.LastIndexByte(media, '+'); at > 0 { // what follows is a suffix of the type
		media = media[:at]
	}
	switch media {
	case "application/json":
		return PayloadJSON, nil
	case "application/x-ndjson":
		return PayloadNDJSON, nil
	case "text/csv":
		return PayloadCSV, nil
	}
	return "", newError(CodeInvalidContentType, "The Content-Type `"+media+"` is invalid. "+acceptedPayloads)
}

// CheckCSVDelimiter refuses the csvDelimiter parameter for formats other than CSV. Error: invalid_content_type.
func CheckCSVDelimiter(kind PayloadKind, delimiter *byte) *Error {
	if delimiter == nil || kind == PayloadCSV {
		return nil
	}
	media := "application/json"
	if kind == PayloadNDJSON {
		media = "application/x-ndjson"
	}
	return newError(CodeInvalidContentType, "The Content-Type `"+media+"` does not support the use of a csv delimiter. "+
		"The csv delimiter can only be used with the Content-Type `text/csv`.")
}

// SplitPayload reads r to its end and calls emit with each document: one compact JSON object, numbers spelled as they
// were sent, of two members of one name the last value at the place of the first. The slice is emit's until it returns.
// It holds one document and a buffer of fixed size in memory, whatever the size of r.
//
// The delimiter is of CSV only, 0 means a comma. n counts the documents emitted. An *Error means the whole payload is
// refused, documents emitted before it included: missing_payload, malformed_payload, or internal for array items and
// lines that are no object (Meilisearch v1.50 answers 500 there). Errors of r and emit come back as they are.
func SplitPayload(kind PayloadKind, delimiter byte, r io.Reader, emit func(doc []byte) error) (n int, err error) {
	counted := func(doc []byte) error {
		err := emit(doc)
		if err == nil {
			n++
		}
		return err
	}
	switch kind {
	case PayloadCSV:
		err = splitCSV(delimiter, r, counted)
	case PayloadNDJSON:
		err = splitNDJSON(r, counted)
	default:
		err = splitJSON(r, counted)
	}
	return n, err
}

func missingPayload(kind PayloadKind) *Error {
	return newError(CodeMissingPayload, "A "+string(kind)+" payload is missing.")
}

// malformedJSON quotes an error of the JSON text in the words of the documents routes. Long ones lose their middle.
func malformedJSON(kind PayloadKind, message string) *Error {
	const head, tail, ellipsis = 50, 85, "..."
	if len(message) > head+tail+len(ellipsis) {
		message = message[:head] + ellipsis + message[len(message)-tail:]
	}
	return newError(CodeMalformedPayload, "The `"+string(kind)+"` payload provided is malformed. `Couldn't serialize document value: "+message+"`.")
}

func malformedCSV(message string) *Error {
	return newError(CodeMalformedPayload, "The `csv` payload provided is malformed: `"+message+"`.")
}
