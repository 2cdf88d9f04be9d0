package meili

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
)

// SerdeStruct is a body that Meilisearch decodes with serde_json alone, which words errors in its own way.
type SerdeStruct struct {
	Name      string // of the Rust type
	NumFields int
	Fields    []SerdeField // as far as they are checked, the first ones in the order of the Rust type
}

// SerdeField is one member of such a body.
type SerdeField struct {
	Name     string
	Required bool
	Expected string    // the Rust type in messages
	Kinds    []Kind    // null besides, where the field is not required
	Tag      *SerdeTag // of the items of an array
}

// SerdeTag is a member that tells variants of objects apart.
type SerdeTag struct {
	Enum, Member string
	Variants     []string
}

// Check refuses a body that is no object with the required members. Errors: missing_payload, malformed_payload, bad_request.
func (s SerdeStruct) Check(body []byte) *Error {
	v, refused := ParseBody(body)
	if refused != nil {
		return refused
	}
	switch v.Kind {
	case KindObject:
		return s.checkMembers(body)
	case KindArray:
		return s.checkItems(body)
	}
	return SerdeError(body, "invalid type: "+serdeUnexpected(&v)+", expected struct "+s.Name)
}

func (s SerdeStruct) checkMembers(body []byte) *Error {
	seen := map[string]bool{}
	for m := range rawMembers(body) {
		name := string(unquote(body[m.key:m.keyEnd]))
		seen[name] = true
		i := slices.IndexFunc(s.Fields, func(f SerdeField) bool { return f.Name == name })
		if i < 0 {
			continue
		}
		if refused := s.Fields[i].check(body, m.value, m.valueEnd); refused != nil {
			return refused
		}
	}
	for _, f := range s.Fields {
		if f.Required && !seen[f.Name] {
			return SerdeError(body, "missing field `"+f.Name+"`")
		}
	}
	return nil
}

// checkItems checks an array, whose items stand for the fields in their order.
func (s SerdeStruct) checkItems(body []byte) *Error {
	n := 0
	for at, end := range itemSpans(body, 0) {
		if n == len(s.Fields) {
			return nil
		}
		if refused := s.Fields[n].check(body, at, end); refused != nil {
			return refused
		}
		n++
	}
	return SerdeError(body, fmt.Sprintf("invalid length %d, expected struct %s with %d elements", n, s.Name, s.NumFields))
}

// itemSpans finds the items of the array that begins at an offset of valid JSON.
func itemSpans(text []byte, at int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := skipSpace(text, skipSpace(text, at)+1); i < len(text) && text[i] != ']'; i = skipSpace(text, i+1) {
			end := skipValue(text, i)
			if !yield(i, end) {
				return
			}
			if i = skipSpace(text, end); i >= len(text) || text[i] != ',' {
				return
			}
		}
	}
}

// check checks the value between two offsets of the body.
func (f SerdeField) check(body []byte, at, end int) *Error {
	v, err := ParseJSON(body[at:end])
	if err != nil || !f.Required && v.Kind == KindNull {
		return nil // it was parsed before
	}
	if !slices.Contains(f.Kinds, v.Kind) {
		return unexpected(body, at, end, &v, f.Expected)
	}
	if f.Tag == nil {
		return nil
	}
	for itemAt, itemEnd := range itemSpans(body, at) {
		if refused := f.Tag.check(body, itemAt, itemEnd); refused != nil {
			return refused
		}
	}
	return nil
}

func (t *SerdeTag) check(body []byte, at, end int) *Error {
	v, err := ParseJSON(body[at:end])
	if err != nil {
		return nil // it was parsed before
	}
	if v.Kind != KindObject {
		return unexpected(body, at, end, &v, "internally tagged enum "+t.Enum)
	}
	for m := range rawMembers(body[at:end]) {
		if string(unquote(body[at+m.key:at+m.keyEnd])) != t.Member {
			continue
		}
		variant, err := ParseJSON(body[at+m.value : at+m.valueEnd])
		switch {
		case err != nil:
			return nil
		case variant.Kind != KindString:
			return unexpected(body, at+m.value, at+m.valueEnd, &variant, "variant identifier")
		case !slices.Contains(t.Variants, variant.Text):
			return serdeError(body, at+m.valueEnd, "unknown variant `"+variant.Text+"`, "+expectedOneOf(t.Variants))
		}
		return nil
	}
	return serdeError(body, end, "missing field `"+t.Member+"`")
}

// unexpected is the error of a value of another type. serde_json has not entered arrays and objects when it finds out.
func unexpected(body []byte, at, end int, v *Value, expected string) *Error {
	if v.Kind == KindArray || v.Kind == KindObject {
		end = at
	}
	return serdeError(body, end, "invalid type: "+serdeUnexpected(v)+", expected "+expected)
}

// SerdeError is an error that serde_json finds at the end of a body. Error: bad_request.
func SerdeError(body []byte, problem string) *Error {
	return serdeError(body, len(bytes.TrimRight(body, " \t\r\n")), problem)
}

func serdeError(body []byte, at int, problem string) *Error {
	line := bytes.LastIndexByte(body[:at], '\n') + 1
	return Errorf(CodeBadRequest, "Json deserialize error: %s at line %d column %d", problem, 1+bytes.Count(body[:line], []byte{'\n'}), at-line)
}
