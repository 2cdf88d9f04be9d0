package meili

import (
	"errors"
	"fmt"
	"io"
)

// scanBufferBytes is how much of a payload is read at once.
const scanBufferBytes = 64 << 10

// syntaxFailure is an error of a JSON text at a position, in the words of serde_json 1.0.
type syntaxFailure struct {
	what         string
	line, column int
}

func (f *syntaxFailure) Error() string {
	return fmt.Sprintf("%s at line %d column %d", f.what, f.line, f.column)
}

// jsonScanner validates a stream of JSON values and keeps the one it is in, without white space. It accepts and refuses
// what serde_json 1.0 does when it skips a value (src/de.rs, ignore_value), with the same words and positions: columns
// count bytes, an error of a byte not yet taken points behind it.
type jsonScanner struct {
	r        io.Reader
	buf      []byte
	pos, end int   // the unread part of buf
	base     int64 // offset of buf[0] in the stream
	readErr  error // what r said last, io.EOF at the end

	line      int   // of the cursor, from 1
	lineStart int64 // offset of the first byte of that line

	verbatim []byte // every byte taken, when keepAll
	keepAll  bool

	doc       []byte // the current value, compact
	docLine   int    // where it starts
	docStart  int64
	frames    []byte   // open arrays and objects of it, '[' and '{'
	members   []member // of it, when it is an object
	sortSpace []int32
}

// member is where a member of the outermost object stands in doc.
type member struct {
	key, keyEnd     int   // with quotes
	value, valueEnd int   // the value
	line            int   // of the key, relative to the document
	column          int64 // bytes of that line before the key
	escaped         bool  // the key holds a backslash
}

func newJSONScanner(r io.Reader) *jsonScanner {
	return &jsonScanner{r: r, buf: make([]byte, scanBufferBytes), line: 1}
}

// fill reads more once buf is used up; false at the end of the stream.
func (s *jsonScanner) fill() bool {
	s.base += int64(s.end)
	s.pos, s.end = 0, 0
	for empty := 0; s.readErr == nil && s.end == 0; empty++ {
		s.end, s.readErr = s.r.Read(s.buf)
		if s.end == 0 && s.readErr == nil && empty > 100 {
			s.readErr = io.ErrNoProgress
		}
	}
	return s.end > 0
}

func (s *jsonScanner) peek() (byte, bool) {
	if s.pos == s.end && !s.fill() {
		return 0, false
	}
	return s.buf[s.pos], true
}

// drop takes the byte peeked at and forgets it; take keeps it as part of the document.
func (s *jsonScanner) drop() {
	c := s.buf[s.pos]
	s.pos++
	if c == '\n' {
		s.line++
		s.lineStart = s.offset()
	}
	if s.keepAll {
		s.verbatim = append(s.verbatim, c)
	}
}

func (s *jsonScanner) take() {
	s.doc = append(s.doc, s.buf[s.pos])
	s.drop()
}

func (s *jsonScanner) offset() int64 { return s.base + int64(s.pos) }

// failHere reports an error behind the last byte taken, failNext one at the byte peeked at.
func (s *jsonScanner) failHere(what string) *syntaxFailure {
	return &syntaxFailure{what, s.line, int(s.offset() - s.lineStart)}
}

func (s *jsonScanner) failNext(what string) *syntaxFailure {
	switch c, ok := s.peek(); {
	case !ok:
		return s.failHere(what)
	case c == '\n':
		return &syntaxFailure{what, s.line + 1, 0}
	}
	return &syntaxFailure{what, s.line, int(s.offset()-s.lineStart) + 1}
}

// brokenStream is the error of the reader if it ended for another reason than its end.
func (s *jsonScanner) brokenStream() error {
	if s.readErr == nil || errors.Is(s.readErr, io.EOF) {
		return nil
	}
	return s.readErr
}

// space skips white space and peeks at what follows.
func (s *jsonScanner) space() (byte, bool) {
	for {
		c, ok := s.peek()
		if !ok || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, ok
		}
		s.drop()
	}
}

// value scans one value into doc and members.
func (s *jsonScanner) value() *syntaxFailure {
	s.doc, s.members, s.frames = s.doc[:0], s.members[:0], s.frames[:0]
	s.space()
	s.docLine, s.docStart = s.line, s.offset()
	for {
		opened, err := s.scalarOrOpening()
		if err != nil {
			return err
		}
		if done, err := s.betweenValues(!opened); done || err != nil {
			return err
		}
	}
}

func (s *jsonScanner) scalarOrOpening() (opened bool, err *syntaxFailure) {
	c, ok := s.space()
	switch {
	case !ok:
		return false, s.failNext("EOF while parsing a value")
	case c == 'n':
		return false, s.word("null")
	case c == 't':
		return false, s.word("true")
	case c == 'f':
		return false, s.word("false")
	case c == '-' || isDigit(c):
		return false, s.number(c)
	case c == '"':
		return false, s.string()
	case c == '[' || c == '{':
		s.take()
		s.frames = append(s.frames, c)
		return true, nil
	}
	return false, s.failNext("expected value")
}

// betweenValues scans what may stand behind a value (then a comma is welcome) or an opening, up to the next value.
// It is done when the outermost value is closed.
func (s *jsonScanner) betweenValues(comma bool) (done bool, err *syntaxFailure) {
	for {
		depth := len(s.frames)
		if depth == 0 {
			return true, nil
		}
		isObject := s.frames[depth-1] == '{'
		c, ok := s.space()
		switch {
		case !ok && isObject:
			return false, s.failNext("EOF while parsing an object")
		case !ok:
			return false, s.failNext("EOF while parsing a list")
		case c == ',' && comma:
			s.endMember(depth)
			s.take()
		case c == '}' && isObject || c == ']' && !isObject:
			s.endMember(depth)
			s.take()
			s.frames = s.frames[:depth-1]
			comma = true
			continue
		case comma && isObject:
			return false, s.failNext("expected `,` or `}`")
		case comma:
			return false, s.failNext("expected `,` or `]`")
		}
		if isObject {
			return false, s.key(depth)
		}
		return false, nil
	}
}

func (s *jsonScanner) endMember(depth int) {
	if last := len(s.members) - 1; depth == 1 && last >= 0 {
		s.members[last].valueEnd = len(s.doc)
	}
}

// key scans the key and colon of a member of the object at depth.
func (s *jsonScanner) key(depth int) *syntaxFailure {
	c, ok := s.space()
	if !ok {
		return s.failNext("EOF while parsing an object")
	}
	if c != '"' {
		return s.failNext("key must be a string")
	}
	m := member{key: len(s.doc), line: s.line - s.docLine + 1, column: s.offset() - max(s.lineStart, s.docStart)}
	if err := s.string(); err != nil {
		return err
	}
	m.keyEnd = len(s.doc)
	if c, ok = s.space(); !ok {
		return s.failNext("EOF while parsing an object")
	}
	if c != ':' {
		return s.failNext("expected `:`")
	}
	s.take()
	if depth == 1 && s.frames[0] == '{' {
		m.value = len(s.doc)
		m.escaped = indexByte(s.doc[m.key:m.keyEnd], '\\') >= 0
		s.members = append(s.members, m)
	}
	return nil
}

func (s *jsonScanner) word(want string) *syntaxFailure {
	for i := range len(want) {
		c, ok := s.peek()
		if !ok {
			return s.failHere("EOF while parsing a value")
		}
		s.take()
		if c != want[i] {
			return s.failHere("expected ident")
		}
	}
	return nil
}
