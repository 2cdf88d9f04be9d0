package meili

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the kind of a JSON value as error messages name it: whole numbers are told apart by sign.
type Kind uint8

const (
	KindNull Kind = iota
	KindBool
	KindUint  // whole number from 0 to 2^64-1
	KindInt   // whole number from -2^63 to -1
	KindFloat // any other number
	KindString
	KindArray
	KindObject
)

// Value is one parsed JSON value. Members keep the order of the text; of two members of one name the last value stays
// at the place of the first.
type Value struct {
	Kind    Kind
	Bool    bool
	Uint    uint64
	Int     int64
	Float   float64
	Text    string // of a string
	Items   []Value
	Members []Member
	raw     []byte // the text it was parsed from, nil for values made from a query string
}

// Member is one member of a JSON object.
type Member struct {
	Key   string
	Value Value
}

// Raw is the compact JSON text of v, in memory of its own. Numbers keep the spelling they were sent in.
func (v *Value) Raw() json.RawMessage {
	if v.raw == nil {
		return v.AppendJSON(nil)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, v.raw); err != nil {
		return v.AppendJSON(nil)
	}
	return out.Bytes()
}

// Member returns the member called key, nil if v has none or is no object.
func (v *Value) Member(key string) *Value {
	for i := range v.Members {
		if v.Members[i].Key == key {
			return &v.Members[i].Value
		}
	}
	return nil
}

// maxDepth is the nesting at which serde_json 1.0 gives up.
const maxDepth = 128

// ParseJSON parses one JSON text. A malformed one gives the sentence and position serde_json 1.0 (src/de.rs, src/error.rs)
// reports, which is what Meilisearch quotes: "expected value at line 1 column 2". Columns count bytes.
func ParseJSON(text []byte) (Value, error) {
	p := jsonParser{text: text, depth: maxDepth}
	v, err := p.value()
	if err != nil {
		return Value{}, err
	}
	if _, more := p.space(); more {
		return Value{}, p.failNext("trailing characters")
	}
	return v, nil
}

// ParseBody parses the body of a JSON route. Errors: missing_payload for an empty body, malformed_payload.
func ParseBody(body []byte) (Value, *Error) {
	if len(body) == 0 {
		return Value{}, newError(CodeMissingPayload, "A json payload is missing.")
	}
	v, err := ParseJSON(body)
	if err != nil {
		return Value{}, malformed(err)
	}
	return v, nil
}

func malformed(err error) *Error {
	return Errorf(CodeMalformedPayload, "The json payload provided is malformed. `%s`.", err)
}

type jsonParser struct {
	text  []byte
	pos   int
	depth int
}

// failHere reports an error after the last byte read, failNext one at the byte about to be read.
func (p *jsonParser) failHere(what string) error { return p.failAt(what, p.pos) }
func (p *jsonParser) failNext(what string) error {
	return p.failAt(what, min(p.pos+1, len(p.text)))
}

func (p *jsonParser) failAt(what string, pos int) error {
	line, column := 1, 0
	for _, c := range p.text[:pos] {
		column++
		if c == '\n' {
			line, column = line+1, 0
		}
	}
	return fmt.Errorf("%s at line %d column %d", what, line, column)
}

// space skips white space and peeks at what follows.
func (p *jsonParser) space() (byte, bool) {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case ' ', '\n', '\t', '\r':
			p.pos++
		default:
			return c, true
		}
	}
	return 0, false
}

func (p *jsonParser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *jsonParser) value() (Value, error) {
	c, ok := p.space()
	if !ok {
		return Value{}, p.failNext("EOF while parsing a value")
	}
	start := p.pos
	v, err := p.valueFrom(c)
	if err != nil {
		return Value{}, err
	}
	v.raw = p.text[start:p.pos:p.pos]
	return v, nil
}

func (p *jsonParser) valueFrom(c byte) (Value, error) {
	switch {
	case c == 'n':
		return Value{}, p.word("null")
	case c == 't':
		return Value{Kind: KindBool, Bool: true}, p.word("true")
	case c == 'f':
		return Value{Kind: KindBool}, p.word("false")
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == '"':
		p.pos++
		text, err := p.string()
		return Value{Kind: KindString, Text: text}, err
	case c == '[' || c == '{':
		return p.nested(c)
	}
	return Value{}, p.failNext("expected value")
}

func (p *jsonParser) nested(c byte) (Value, error) {
	p.depth--
	defer func() { p.depth++ }()
	if p.depth == 0 {
		return Value{}, p.failNext("recursion limit exceeded")
	}
	p.pos++
	if c == '[' {
		return p.array()
	}
	return p.object()
}

func (p *jsonParser) word(want string) error {
	for i := range len(want) {
		if p.pos == len(p.text) {
			return p.failHere("EOF while parsing a value")
		}
		p.pos++
		if p.text[p.pos-1] != want[i] {
			return p.failHere("expected ident")
		}
	}
	return nil
}

func (p *jsonParser) array() (Value, error) {
	v := Value{Kind: KindArray, Items: []Value{}}
	err := p.items(func(item *Value) error {
		v.Items = append(v.Items, *item)
		return nil
	})
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// items parses what follows the bracket of an array and calls visit with each item, until one fails.
func (p *jsonParser) items(visit func(item *Value) error) error {
	for first := true; ; first = false {
		c, ok := p.space()
		switch {
		case !ok:
			return p.failNext("EOF while parsing a list")
		case c == ']':
			p.pos++
			return nil
		case first:
		case c != ',':
			return p.failNext("expected `,` or `]`")
		default:
			p.pos++
			if c, ok = p.space(); !ok {
				return p.failNext("EOF while parsing a value")
			} else if c == ']' {
				return p.failNext("trailing comma")
			}
		}
		item, err := p.value()
		if err == nil {
			err = visit(&item)
		}
		if err != nil {
			return err
		}
	}
}

func (p *jsonParser) object() (Value, error) {
	v := Value{Kind: KindObject, Members: []Member{}}
	var places map[string]int // of big objects only
	for first := true; ; first = false {
		c, ok := p.space()
		if !ok {
			return Value{}, p.failNext("EOF while parsing an object")
		}
		if c == '}' {
			p.pos++
			return v, nil
		}
		if !first {
			if c != ',' {
				return Value{}, p.failNext("expected `,` or `}`")
			}
			p.pos++
			if c, ok = p.space(); !ok {
				return Value{}, p.failNext("EOF while parsing a value")
			} else if c == '}' {
				return Value{}, p.failNext("trailing comma")
			}
		}
		if c != '"' {
			return Value{}, p.failNext("key must be a string")
		}
		member, err := p.member()
		if err != nil {
			return Value{}, err
		}
		v.Members, places = putMember(v.Members, places, member)
	}
}

func (p *jsonParser) member() (Member, error) {
	p.pos++
	key, err := p.string()
	if err != nil {
		return Member{}, err
	}
	if c, ok := p.space(); !ok {
		return Member{}, p.failNext("EOF while parsing an object")
	} else if c != ':' {
		return Member{}, p.failNext("expected `:`")
	}
	p.pos++
	v, err := p.value()
	return Member{Key: key, Value: v}, err
}

// putMember appends m or replaces the value of the member of that name. Objects of many members are looked up by places.
func putMember(members []Member, places map[string]int, m Member) ([]Member, map[string]int) {
	const many = 16
	if len(members) == many && places == nil {
		places = make(map[string]int, 2*many)
		for i := range members {
			places[members[i].Key] = i
		}
	}
	if places != nil {
		if i, ok := places[m.Key]; ok {
			members[i].Value = m.Value
			return members, places
		}
		places[m.Key] = len(members)
		return append(members, m), places
	}
	for i := range members {
		if members[i].Key == m.Key {
			members[i].Value = m.Value
			return members, nil
		}
	}
	return append(members, m), nil
}

// number parses a number at the cursor.
func (p *jsonParser) number() (Value, error) {
	start := p.pos
	negative := p.peek() == '-'
	if negative {
		p.pos++
	}
	if p.pos == len(p.text) {
		return Value{}, p.failHere("EOF while parsing a value")
	}
	first := p.text[p.pos]
	p.pos++
	if first < '0' || first > '9' {
		return Value{}, p.failHere("invalid number")
	}
	if first == '0' && isDigit(p.peek()) {
		return Value{}, p.failNext("invalid number")
	}
	p.digits()
	whole := true
	if p.peek() == '.' {
		whole = false
		p.pos++
		if p.digits() == 0 {
			if p.pos == len(p.text) {
				return Value{}, p.failNext("EOF while parsing a value")
			}
			return Value{}, p.failNext("invalid number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		whole = false
		if err := p.exponent(); err != nil {
			return Value{}, err
		}
	}
	return p.numberOf(string(p.text[start:p.pos]), whole, negative)
}

func (p *jsonParser) exponent() error {
	p.pos++
	if c := p.peek(); c == '+' || c == '-' {
		p.pos++
	}
	if p.pos == len(p.text) {
		return p.failHere("EOF while parsing a value")
	}
	p.pos++
	if !isDigit(p.text[p.pos-1]) {
		return p.failHere("invalid number")
	}
	p.digits()
	return nil
}

func (p *jsonParser) numberOf(text string, whole, negative bool) (Value, error) {
	if whole && !negative {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return Value{Kind: KindUint, Uint: n}, nil
		}
	}
	if whole && negative {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n < 0 {
			return Value{Kind: KindInt, Int: n}, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return Value{}, p.failHere("number out of range")
	}
	return Value{Kind: KindFloat, Float: f}, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (p *jsonParser) digits() (n int) {
	for isDigit(p.peek()) {
		p.pos++
		n++
	}
	return n
}

// string parses the rest of a string whose opening quote was read.
func (p *jsonParser) string() (string, error) {
	var out []byte // used once an escape was met
	start := p.pos
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '"':
			out = append(out, p.text[start:p.pos]...)
			p.pos++
			if !utf8.Valid(out) {
				return "", p.failHere("invalid unicode code point")
			}
			return string(out), nil
		case c == '\\':
			out = append(out, p.text[start:p.pos]...)
			p.pos++
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			start = p.pos
		case c < ' ':
			p.pos++
			return "", p.failHere("control character (\\u0000-\\u001F) found while parsing a string")
		default:
			p.pos++
		}
	}
	return "", p.failHere("EOF while parsing a string")
}

// escape parses what follows a backslash.
func (p *jsonParser) escape() (rune, error) {
	if p.pos == len(p.text) {
		return 0, p.failHere("EOF while parsing a string")
	}
	c := p.text[p.pos]
	p.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicodeEscape()
	}
	return 0, p.failHere("invalid escape")
}

func (p *jsonParser) unicodeEscape() (rune, error) {
	high, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if high >= 0xDC00 {
		return 0, p.failHere("lone leading surrogate in hex escape")
	}
	for _, want := range []byte{'\\', 'u'} {
		if p.pos == len(p.text) {
			return 0, p.failHere("EOF while parsing a string")
		}
		p.pos++
		if p.text[p.pos-1] != want {
			return 0, p.failHere("unexpected end of hex escape")
		}
	}
	low, err := p.hex4()
	if err != nil {
		return 0, err
	}
	if low < 0xDC00 || low > 0xDFFF {
		return 0, p.failHere("lone leading surrogate in hex escape")
	}
	return utf16.DecodeRune(high, low), nil
}

func (p *jsonParser) hex4() (rune, error) {
	if p.pos+4 > len(p.text) {
		p.pos = len(p.text)
		return 0, p.failHere("EOF while parsing a string")
	}
	digits := string(p.text[p.pos : p.pos+4])
	p.pos += 4
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0, p.failHere("invalid escape")
	}
	return rune(n), nil
}
