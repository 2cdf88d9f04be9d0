package meili

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf8"
)

// Fields yields the members of a JSON object in the order of its text: the decoded name and the JSON of the value,
// both slices of doc where the name holds no escapes. A doc that is no object yields nothing; doc must be valid JSON.
func Fields(doc []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for m := range rawMembers(doc) {
			name := doc[m.key+1 : m.keyEnd-1]
			if bytes.IndexByte(name, '\\') >= 0 {
				name = unquote(doc[m.key:m.keyEnd])
			}
			if !yield(name, doc[m.value:m.valueEnd:m.valueEnd]) {
				return
			}
		}
	}
}

// Get is the JSON of the top-level field of that very name, dots included. The last one counts.
func Get(doc []byte, field string) (value []byte, ok bool) {
	for name, v := range Fields(doc) {
		if string(name) == field {
			value, ok = v, true
		}
	}
	return value, ok
}

// GetPath is the JSON of a possibly nested field: the field of that very name, or a.b inside a.
func GetPath(doc []byte, path string) (value []byte, ok bool) {
	if value, ok = Get(doc, path); ok {
		return value, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, found := Get(doc, path[:i]); found {
			if value, ok = GetPath(inner, path[i+1:]); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// Strip is doc without the top-level field: doc itself when it has no such field, else a new compact object around the
// untouched values.
func Strip(doc []byte, field string) []byte {
	if _, found := Get(doc, field); !found {
		return doc
	}
	out := make([]byte, 0, len(doc))
	out = append(out, '{')
	for m := range rawMembers(doc) {
		if memberIs(doc, m, field) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, doc[m.key:m.keyEnd]...), ':'), doc[m.value:m.valueEnd]...)
	}
	return append(out, '}')
}

// Append is a copy of the object doc with one more member at its end. It does not look whether doc has that field.
func Append(doc []byte, field string, rawValue []byte) []byte {
	body := bytes.TrimRight(doc, " \n\t\r")
	body = bytes.TrimRight(body[:len(body)-1], " \n\t\r")
	out := make([]byte, 0, len(body)+len(field)+len(rawValue)+8)
	out = append(out, body...)
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = append(AppendString(out, field), ':')
	return append(append(out, rawValue...), '}')
}

func memberIs(doc []byte, m member, field string) bool {
	name := doc[m.key+1 : m.keyEnd-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = unquote(doc[m.key:m.keyEnd])
	}
	return string(name) == field
}

// rawMembers finds the members of an object in valid JSON.
func rawMembers(doc []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		i := skipSpace(doc, 0)
		if i >= len(doc) || doc[i] != '{' {
			return
		}
		for i = skipSpace(doc, i+1); i < len(doc) && doc[i] == '"'; i = skipSpace(doc, i+1) {
			m := member{key: i}
			m.keyEnd = skipString(doc, i)
			m.value = skipSpace(doc, skipSpace(doc, m.keyEnd)+1)
			m.valueEnd = skipValue(doc, m.value)
			if m.valueEnd > len(doc) || !yield(m) {
				return
			}
			if i = skipSpace(doc, m.valueEnd); i >= len(doc) || doc[i] != ',' {
				return
			}
		}
	}
}

// rawItems finds the items of an array in valid JSON.
func rawItems(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(array, 0)
		if i >= len(array) || array[i] != '[' {
			return
		}
		for i = skipSpace(array, i+1); i < len(array) && array[i] != ']'; i = skipSpace(array, i+1) {
			end := skipValue(array, i)
			if end > len(array) || !yield(array[i:end:end]) {
				return
			}
			if i = skipSpace(array, end); i >= len(array) || array[i] != ',' {
				return
			}
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString is the offset behind the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue is the offset behind the value that starts at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			i++
			continue
		default:
			for i < len(b) && !strings.ContainsRune(",:]} \n\t\r", rune(b[i])) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return len(b)
}

// unquote decodes a JSON string. Halves of surrogate pairs become U+FFFD.
func unquote(quoted []byte) []byte {
	p := jsonParser{text: quoted, pos: 1}
	if text, err := p.string(); err == nil {
		return []byte(text)
	}
	return unquoteLoosely(quoted[1 : len(quoted)-1])
}

func unquoteLoosely(text []byte) []byte {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+5 >= len(text) || text[i+1] != 'u' {
			out = append(out, text[i])
			continue
		}
		out = utf8.AppendRune(out, utf8.RuneError)
		i += 5
	}
	return out
}

// stringOf decodes a JSON value that is a string.
func stringOf(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return string(unquote(value)), true
}
