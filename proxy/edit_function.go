package proxy

import (
	"fmt"
	"regexp"
	"strings"

	"miroir/meili"
	"miroir/tasks"
)

// editFunction is the function of an edition as nodes get it. Meilisearch runs functions in Rhai, on a variable `doc`.
//
// The client's text is put between statements that take the hidden fields out of the document and put them back: a function that
// gives the document anew (`doc = #{...}`) would lose them, and one that counts its fields would find too many. The statements before
// stand in the client's first line, so that its lines keep their numbers.
type editFunction struct {
	text      string
	at        int  // characters before the client's text in its first line
	wrappable bool // else nodes get the client's text
}

// replacesDocument matches functions that may give a document anew, without its hidden fields; `doc = ()` deletes it.
var replacesDocument = regexp.MustCompile(`\bdoc\s*=\s*([^=\s(]|\(\s*[^)\s])|\bdoc\s*\.\s*(clear|retain|drain)\b`)

// mayLoseHidden reports a function that nodes cannot be given: documents would lose their hidden fields, and nobody would find them.
func (e *editFunction) mayLoseHidden() bool {
	return !e.wrappable && replacesDocument.MatchString(e.text)
}

// Names that begin so belong to the statements around a function.
const ownVariable = "miroir_"

// newEditFunction wraps a function unless it may leave before what follows it.
func newEditFunction(client string) *editFunction {
	e := &editFunction{}
	words := wordsOf(client)
	before, after := "", ""
	switch {
	case words["exit"]:
		return &editFunction{text: client}
	case !words["return"]:
	case words["fn"] || words["for"] || words["while"] || words["loop"] || words["do"] || words[closureMark]:
		return &editFunction{text: client}
	default: // a return leaves a loop around the text instead, and takes as many characters
		client, before, after = returnsAsBreaks(client), "loop{", "\n;break;}"
	}
	for _, field := range []string{tasks.ShardField, tasks.OrderField} {
		before = fmt.Sprintf("let %s=doc.remove(%q);", ownVariable+field, field) + before
		after += fmt.Sprintf("\n;if type_of(doc)==\"map\"&&type_of(%[1]s)!=\"()\"{doc.%[2]s=%[1]s;}", ownVariable+field, field)
	}
	e.wrappable, e.at, e.text = true, len(before), before+client+after
	return e
}

// editBody is an edition as a node gets it.
func editBody(edit *meili.Edit, function string) ([]byte, error) {
	return marshal(meili.Edit{Filter: edit.Filter, Context: edit.Context, Function: function})
}

// wordsOf are the words of a function outside of texts and comments. Those in functions that it defines count only if
// they matter there.
func wordsOf(function string) map[string]bool {
	words := map[string]bool{}
	eachWord(function, func(_ int, word string, inFunction bool) {
		if !inFunction || word != "return" {
			words[word] = true
		}
	})
	return words
}

func returnsAsBreaks(function string) string {
	out := []byte(function)
	eachWord(function, func(at int, word string, _ bool) {
		if word == "return" {
			copy(out[at:], "break ")
		}
	})
	return string(out)
}

// closureMark stands for the bars that begin a function without a name.
const closureMark = "|"

// eachWord visits the words of a function in Rhai, and closureMark, apart from texts and comments; inFunction tells that it defines
// a function there.
func eachWord(function string, visit func(at int, word string, inFunction bool)) {
	s := &wordScanner{text: function, visit: visit}
	for s.pos < len(s.text) {
		s.code()
		s.pos++ // a brace too many
	}
}

type wordScanner struct {
	text     string
	pos      int
	visit    func(at int, word string, inFunction bool)
	defines  bool // `fn` was read, and the brace that opens its body was not
	inBodies int
	operand  bool // a bar that follows is an operator
}

// code reads up to the brace that closes what it stands in, or to the end.
func (s *wordScanner) code() {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		operand := s.operand
		s.operand = false
		switch c := rest[0]; {
		case isWordByte(c):
			s.word(rest)
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			s.operand = operand
			s.pos++
		case c == '{':
			s.braces()
		case c == '}':
			return
		case strings.HasPrefix(rest, "//"):
			s.skipTo("\n", 0)
			s.operand = operand
		case strings.HasPrefix(rest, "/*"):
			s.comment()
			s.operand = operand
		case c == '"' || c == '\'':
			s.quoted(c)
			s.operand = true
		case c == '`':
			s.interpolated()
			s.operand = true
		case c == '#':
			s.operand = s.raw()
		case c == '|':
			if !operand {
				s.visit(s.pos, closureMark, s.inBodies > 0)
			}
			s.pos += len(rest) - len(strings.TrimLeft(rest, "|"))
		default:
			s.operand = c == ')' || c == ']'
			s.pos++
		}
	}
}

func (s *wordScanner) word(rest string) {
	n := 1
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	word := rest[:n]
	s.visit(s.pos, word, s.inBodies > 0)
	s.defines = s.defines || word == "fn"
	s.operand = word != "return" && word != "throw" && word != "in"
	s.pos += n
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// braces reads what stands in braces.
func (s *wordScanner) braces() {
	body := s.defines
	if s.defines = false; body {
		s.inBodies++
	}
	s.pos++
	s.code()
	s.pos++
	if body {
		s.inBodies--
	}
}

// skipTo moves behind the next end, looked for from some bytes on.
func (s *wordScanner) skipTo(end string, from int) {
	from = min(s.pos+from, len(s.text))
	if i := strings.Index(s.text[from:], end); i >= 0 {
		s.pos = from + i + len(end)
		return
	}
	s.pos = len(s.text)
}

// comment skips a comment, and those in it.
func (s *wordScanner) comment() {
	s.pos += len("/*")
	for s.pos < len(s.text) {
		switch rest := s.text[s.pos:]; {
		case strings.HasPrefix(rest, "*/"):
			s.pos += len("*/")
			return
		case strings.HasPrefix(rest, "/*"):
			s.comment()
		default:
			s.pos++
		}
	}
}

// quoted skips a text or a character. A quote that begins neither ends at the next one or with the function.
func (s *wordScanner) quoted(quote byte) {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\\':
			s.pos++
		case quote:
			s.pos++
			return
		}
	}
}

// interpolated reads a text in backticks, with the code in it.
func (s *wordScanner) interpolated() {
	s.pos++
	for s.pos < len(s.text) {
		switch rest := s.text[s.pos:]; {
		case strings.HasPrefix(rest, "``"):
			s.pos += 2
		case rest[0] == '`':
			s.pos++
			return
		case strings.HasPrefix(rest, "${"):
			s.pos++
			s.braces()
		default:
			s.pos++
		}
	}
}

// raw skips a text between hashes, as in #"x"#; other hashes it passes over.
func (s *wordScanner) raw() (isText bool) {
	rest := s.text[s.pos:]
	hashes := len(rest) - len(strings.TrimLeft(rest, "#"))
	if hashes < len(rest) && rest[hashes] == '"' {
		s.skipTo(`"`+rest[:hashes], hashes+1)
		return true
	}
	s.pos += hashes
	return false
}
