package meili

import (
	"slices"
	"strconv"
	"strings"
)

// maxDocumentIDBytes is the longest id of a document.
const maxDocumentIDBytes = 511

// InferPrimaryKey chooses the primary key of an index from its first document: the only top-level field whose name ends
// with id in any case. Errors, as the task fails with them: index_primary_key_no_candidate_found,
// index_primary_key_multiple_candidates_found.
func InferPrimaryKey(firstDoc []byte) (string, *Error) {
	var candidates []string
	for name := range Fields(firstDoc) {
		if n := len(name); n >= 2 && name[n-2]|0x20 == 'i' && name[n-1]|0x20 == 'd' {
			candidates = append(candidates, string(name))
		}
	}
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	const hint = "Please specify the primary key manually using the `primaryKey` query parameter."
	switch len(candidates) {
	case 0:
		return "", newError(CodeIndexPrimaryKeyNoCandidateFound,
			"The primary key inference failed as the engine did not find any field ending with `id` in its name. "+hint)
	case 1:
		return candidates[0], nil
	}
	return "", Errorf(CodeIndexPrimaryKeyMultipleCandidatesFound,
		"The primary key inference failed as the engine found %d fields ending with `id` in their names: '%s' and '%s'. "+hint,
		len(candidates), candidates[0], candidates[1])
}

// DocumentID is the id of doc as text: a string as it is, an integer in decimal, so that 1 and "1" are one document.
// The primary key may be a path with dots. Errors, as the task fails with them: missing_document_id, invalid_document_id.
func DocumentID(doc []byte, primaryKey string) (string, *Error) {
	ids := idSearch{}
	if err := ids.search(doc, primaryKey); err != nil {
		return "", err
	}
	switch ids.found {
	case 0:
		return "", Errorf(CodeMissingDocumentID, "Document doesn't have a `%s` attribute: `%s`.", primaryKey, quoteJSON(doc))
	case 1:
		return ids.id, nil
	}
	return "", Errorf(CodeInvalidDocumentID, "Document have too many matching `%s` attribute: `%s`.", primaryKey, quoteJSON(doc))
}

// idSearch walks the ways a dotted primary key can be read: a.b is the field "a.b" or the field b inside a.
type idSearch struct {
	id    string
	found int
}

// search stops at the second match and at the first that is no id.
func (s *idSearch) search(object []byte, path string) *Error {
	for name, value := range Fields(object) {
		field := string(name)
		rest, nested := strings.CutPrefix(path, field+".")
		switch {
		case field == path:
			id, ok := CanonicalID(value)
			if !ok {
				return invalidDocumentID(value)
			}
			s.id, s.found = id, s.found+1
		case nested:
			if err := s.search(value, rest); err != nil {
				return err
			}
		}
		if s.found > 1 {
			return nil
		}
	}
	return nil
}

// CanonicalID is the text of a JSON value that can be a document id: a non-empty string of up to 511 of the bytes
// A-Z a-z 0-9 - _, or an integer of 64 bits.
func CanonicalID(value []byte) (id string, ok bool) {
	if text, isString := stringOf(value); isString {
		return text, IsDocumentID(text)
	}
	text := string(value)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return strconv.FormatUint(n, 10), true
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n < 0 {
		return text, true
	}
	return "", false
}

// IsDocumentID reports whether a text can be the id of a document.
func IsDocumentID(id string) bool {
	if id == "" || len(id) > maxDocumentIDBytes {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func invalidDocumentID(value []byte) *Error {
	return newError(CodeInvalidDocumentID, "Document identifier `"+quoteJSON(value)+"` is invalid. A document identifier can be of type integer or string, "+
		"only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores (_), and can not be more than 511 bytes.")
}

// quoteJSON is a value as messages quote it.
func quoteJSON(value []byte) string {
	v, err := ParseJSON(value)
	if err != nil {
		return string(value)
	}
	return v.JSON()
}
