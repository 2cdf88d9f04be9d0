package meili

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// splitJSON splits an array of objects, or takes a single one. What follows the array is not looked at, as in Meilisearch.
func splitJSON(r io.Reader, emit func([]byte) error) error {
	s := newJSONScanner(r)
	s.keepAll = true
	c, ok := s.space()
	if err := s.brokenStream(); err != nil {
		return err
	}
	if !ok && s.offset() == 0 {
		return missingPayload(PayloadJSON)
	}
	if !ok || c != '[' {
		return splitSingle(s, emit)
	}
	s.keepAll, s.verbatim = false, nil
	s.drop()
	return settle(s, PayloadJSON, splitArray(s, emit))
}

// splitArray scans the items behind the opening bracket. An item that is refused ends the walk, and then what is wrong
// with the text right behind it is reported rather than the item.
func splitArray(s *jsonScanner, emit func([]byte) error) error {
	for first := true; ; first = false {
		if more, err := nextItem(s, first); !more || err != nil {
			return err
		}
		if err := s.value(); err != nil {
			return err
		}
		if err := s.checkUTF8(); err != nil {
			return err
		}
		if refused := s.refusal(PayloadJSON); refused != nil {
			if err := endArray(s); err != nil {
				return err
			}
			return refused
		}
		if err := emit(s.document()); err != nil {
			return err
		}
	}
}

// nextItem moves to the next item; false behind the last.
func nextItem(s *jsonScanner, first bool) (bool, error) {
	c, ok := s.space()
	switch {
	case !ok:
		return false, s.failNext("EOF while parsing a list")
	case c == ']':
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, s.failNext("expected `,` or `]`")
	}
	s.drop()
	switch c, ok = s.space(); {
	case !ok:
		return false, s.failNext("EOF while parsing a value")
	case c == ']':
		return false, s.failNext("trailing comma")
	}
	return true, nil
}

// endArray is what serde_json checks when a reader leaves an array early.
func endArray(s *jsonScanner) error {
	c, ok := s.space()
	switch {
	case !ok:
		return s.failNext("EOF while parsing a list")
	case c == ']':
		return nil
	case c != ',':
		return s.failNext("trailing characters")
	}
	s.drop()
	if c, _ = s.space(); c == ']' {
		return s.failNext("trailing comma")
	}
	return s.failNext("trailing characters")
}

// splitSingle takes a payload that is no array. Its value is parsed more strictly than array items are (nesting up to
// 128, numbers within range), so it is scanned only to find its end and then parsed whole.
func splitSingle(s *jsonScanner, emit func([]byte) error) error {
	fail := s.value()
	if err := s.brokenStream(); err != nil {
		return err
	}
	if c, ok := s.peek(); fail != nil && ok {
		s.verbatim = append(s.verbatim, c) // the byte that was refused: the parser refuses it too
	}
	s.keepAll = false
	v, err := ParseJSON(s.verbatim)
	switch {
	case err != nil:
		return malformedJSON(PayloadJSON, err.Error())
	case fail != nil:
		return malformedJSON(PayloadJSON, fail.Error())
	case v.Kind != KindObject:
		return malformedJSON(PayloadJSON, "data are neither an object nor a list of objects")
	}
	if _, more := s.space(); more {
		return malformedJSON(PayloadJSON, s.failNext("trailing characters").Error())
	}
	if err := s.brokenStream(); err != nil {
		return err
	}
	return emit(s.document())
}

// splitNDJSON splits values that follow each other, on lines of their own or not. Members of the same name stay, as in the file
// that a server makes of them: an id that comes twice fails its task.
func splitNDJSON(r io.Reader, emit func([]byte) error) error {
	s := newJSONScanner(r)
	for {
		c, ok := s.space()
		if err := s.brokenStream(); err != nil {
			return err
		}
		if !ok && s.offset() == 0 {
			return missingPayload(PayloadNDJSON)
		}
		if !ok {
			return nil
		}
		if err := settle(s, PayloadNDJSON, nextLine(s, c)); err != nil {
			return err
		}
		if err := emit(s.doc); err != nil {
			return err
		}
	}
}

// nextLine scans one value that starts with c and refuses what is no document.
func nextLine(s *jsonScanner, c byte) error {
	if err := s.value(); err != nil {
		return err
	}
	if err := s.checkUTF8(); err != nil {
		return err
	}
	if next, ok := s.peek(); ok && !bytes.ContainsRune([]byte(`["{`), rune(c)) && !bytes.ContainsRune([]byte(" \n\t\r\"[]{},:"), rune(next)) {
		return s.failNext("trailing characters")
	}
	if refused := s.refusal(PayloadNDJSON); refused != nil {
		return refused
	}
	return nil
}

// settle turns the end of a walk into the error to answer with. A stream that broke outranks the syntax error it caused.
func settle(s *jsonScanner, kind PayloadKind, err error) error {
	if broken := s.brokenStream(); broken != nil {
		return broken
	}
	if fail, ok := err.(*syntaxFailure); ok {
		return malformedJSON(kind, fail.Error())
	}
	return err
}

func (s *jsonScanner) checkUTF8() error {
	if !utf8.Valid(s.doc) {
		return s.failHere("invalid unicode code point")
	}
	return nil
}

// refusal says why the value just scanned is no document: it is no object, or a key holds half a surrogate pair.
func (s *jsonScanner) refusal(kind PayloadKind) *Error {
	if s.doc[0] != '{' {
		return newError(CodeInternal, invalidType(s.doc))
	}
	for i := range s.members {
		if err := s.checkKey(&s.members[i]); err != nil {
			return malformedJSON(kind, err.Error())
		}
	}
	return nil
}

// invalidType is what serde_json says about a value that should have been an object.
func invalidType(value []byte) string {
	if value[0] == '[' {
		return "invalid type: sequence, expected a map at line 1 column 0" // it is not entered
	}
	v, err := ParseJSON(value)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("invalid type: %s, expected a map at line 1 column %d", serdeUnexpected(&v), len(value))
}

// checkKey refuses halves of surrogate pairs in a key; the position counts from the start of the document.
func (s *jsonScanner) checkKey(m *member) error {
	if !m.escaped {
		return nil
	}
	before := bytes.Repeat([]byte{'\n'}, m.line-1)
	before = append(before, bytes.Repeat([]byte{' '}, int(m.column))...)
	p := jsonParser{text: append(before, s.doc[m.key:m.keyEnd]...), pos: len(before) + 1}
	_, err := p.string()
	return err
}

// document is the object just scanned without members that a later one of the same name replaces.
func (s *jsonScanner) document() []byte {
	last := s.lastOfName()
	if last == nil {
		return s.doc
	}
	out := []byte{'{'}
	for i, m := range s.members {
		if last[i] < 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, s.doc[m.key:m.keyEnd]...)
		out = append(out, ':')
		out = append(out, s.doc[s.members[last[i]].value:s.members[last[i]].valueEnd]...)
	}
	return append(out, '}')
}

// lastOfName maps each member that is the first of its name to the last of that name, the others to -1.
// It is nil when all names differ, which needs no memory of its own to find out.
func (s *jsonScanner) lastOfName() []int {
	order := s.sortSpace[:0]
	for i := range s.members {
		order = append(order, int32(i))
	}
	slices.SortStableFunc(order, func(a, b int32) int { return bytes.Compare(s.name(a), s.name(b)) })
	s.sortSpace = order
	var last []int
	for i := 1; i < len(order); i++ {
		if !bytes.Equal(s.name(order[i-1]), s.name(order[i])) {
			continue
		}
		if last == nil {
			last = make([]int, len(s.members))
			for j := range last {
				last[j] = j
			}
		}
		first := i - 1
		for first > 0 && bytes.Equal(s.name(order[first-1]), s.name(order[i])) {
			first--
		}
		last[order[first]], last[order[i]] = int(order[i]), -1
	}
	return last
}

// name is the decoded name of a member.
func (s *jsonScanner) name(i int32) []byte {
	m := s.members[i]
	if !m.escaped {
		return s.doc[m.key+1 : m.keyEnd-1]
	}
	return unquote(s.doc[m.key:m.keyEnd])
}
