package edit

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind says what a token is.
type tokenKind uint8

const (
	endToken tokenKind = iota
	wordToken
	numberToken
	textToken
	symbolToken
)

// token is one word, literal or symbol of a function.
type token struct {
	kind         tokenKind
	text         string // of words, symbols and texts
	value        any    // of literals
	line, column int
}

// at says where the token stands, as Rhai's messages do.
func (t token) at() string { return fmt.Sprintf("(line %d, position %d)", t.line, t.column) }

// symbols are matched longest first.
var symbols = []string{
	"+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "&&", "||", "#{",
	"+", "-", "*", "/", "%", "=", "<", ">", "!", "(", ")", "[", "]", "{", "}", ".", ",", ";", ":",
}

// scanner cuts a function into tokens.
type scanner struct {
	source       string
	pos          int
	line, column int
	tokens       []token
}

func scan(source string) ([]token, error) {
	s := &scanner{source: source, line: 1, column: 1}
	for {
		s.skip()
		t := token{line: s.line, column: s.column}
		if s.pos == len(s.source) {
			return append(s.tokens, t), nil
		}
		if err := s.next(&t); err != nil {
			return nil, err
		}
		s.tokens = append(s.tokens, t)
	}
}

// advance moves over n bytes.
func (s *scanner) advance(n int) string {
	text := s.source[s.pos : s.pos+n]
	for _, r := range text {
		s.column++
		if r == '\n' {
			s.line, s.column = s.line+1, 1
		}
	}
	s.pos += n
	return text
}

// skip moves over blanks and line comments.
func (s *scanner) skip() {
	for s.pos < len(s.source) {
		rest := s.source[s.pos:]
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			s.advance(1)
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			s.advance(end)
		default:
			return
		}
	}
}

func (s *scanner) next(t *token) error {
	rest := s.source[s.pos:]
	first, _ := utf8.DecodeRuneInString(rest)
	switch {
	case first == '_' || unicode.IsLetter(first):
		t.kind, t.text = wordToken, s.advance(lengthOf(rest, func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }))
		return nil
	case unicode.IsDigit(first):
		return s.number(t, rest)
	case first == '"':
		return s.text(t, rest)
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(rest, symbol) {
			t.kind, t.text = symbolToken, s.advance(len(symbol))
			return nil
		}
	}
	return fmt.Errorf("Unexpected '%c' %s", first, t.at())
}

func lengthOf(text string, accept func(rune) bool) int {
	end := strings.IndexFunc(text, func(r rune) bool { return !accept(r) })
	if end < 0 {
		return len(text)
	}
	return end
}

func (s *scanner) number(t *token, rest string) error {
	digits := lengthOf(rest, unicode.IsDigit)
	t.kind = numberToken
	if digits+1 < len(rest) && rest[digits] == '.' && unicode.IsDigit(rune(rest[digits+1])) {
		digits += 1 + lengthOf(rest[digits+1:], unicode.IsDigit)
		value, err := strconv.ParseFloat(s.advance(digits), 64)
		t.value = value
		return err
	}
	value, err := strconv.ParseInt(s.advance(digits), 10, 64)
	t.value = value
	return err
}

func (s *scanner) text(t *token, rest string) error {
	for end := 1; end < len(rest); end++ {
		switch rest[end] {
		case '\\':
			end++
		case '"':
			quoted := s.advance(end + 1)
			value, err := strconv.Unquote(strings.ReplaceAll(quoted, "\n", `\n`))
			if err != nil {
				return fmt.Errorf("Malformed string %s", t.at())
			}
			t.kind, t.value = textToken, value
			return nil
		}
	}
	return fmt.Errorf("Open string is not terminated %s", t.at())
}
