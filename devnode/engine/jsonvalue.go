package engine

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonKind is the type of a jsonValue.
type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
)

// jsonValue is a JSON value that keeps the order of members and the text of integers.
type jsonValue struct {
	kind  jsonKind
	text  string // of a string, number ("-1", "1.5") or boolean ("true")
	keys  []string
	items []*jsonValue // elements, or members in step with keys
}

var nullValue = &jsonValue{}

func stringValue(s string) *jsonValue { return &jsonValue{kind: jsonString, text: s} }

// parseJSON reads one value; the text is known to be valid JSON.
func parseJSON(data []byte) *jsonValue {
	p := jsonParser{data: data}
	return p.value()
}

type jsonParser struct {
	data []byte
	pos  int
}

func (p *jsonParser) space() {
	for p.pos < len(p.data) && (p.data[p.pos] == ' ' || p.data[p.pos] == '\n' || p.data[p.pos] == '\t' || p.data[p.pos] == '\r') {
		p.pos++
	}
}

func (p *jsonParser) value() *jsonValue {
	p.space()
	if p.pos >= len(p.data) {
		return nullValue
	}
	switch p.data[p.pos] {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		return stringValue(p.string())
	case 't':
		p.pos += 4
		return &jsonValue{kind: jsonBool, text: "true"}
	case 'f':
		p.pos += 5
		return &jsonValue{kind: jsonBool, text: "false"}
	case 'n':
		p.pos += 4
		return nullValue
	}
	start := p.pos
	for p.pos < len(p.data) && strings.IndexByte("+-.0123456789eE", p.data[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos == start { // not JSON: stop here rather than loop
		p.pos = len(p.data)
		return nullValue
	}
	return &jsonValue{kind: jsonNumber, text: canonicalNumber(string(p.data[start:p.pos]))}
}

func (p *jsonParser) object() *jsonValue {
	v := &jsonValue{kind: jsonObject}
	p.pos++
	for {
		p.space()
		if p.pos >= len(p.data) || p.data[p.pos] == '}' {
			p.pos++
			return v
		}
		if p.data[p.pos] == ',' {
			p.pos++
			continue
		}
		if p.data[p.pos] != '"' {
			p.pos = len(p.data)
			return v
		}
		key := p.string()
		p.space()
		p.pos++ // colon
		v.set(key, p.value())
	}
}

func (p *jsonParser) array() *jsonValue {
	v := &jsonValue{kind: jsonArray}
	p.pos++
	for {
		p.space()
		if p.pos >= len(p.data) || p.data[p.pos] == ']' {
			p.pos++
			return v
		}
		if p.data[p.pos] == ',' {
			p.pos++
			continue
		}
		v.items = append(v.items, p.value())
	}
}

func (p *jsonParser) string() string {
	start := p.pos
	p.pos++
	escaped := false
	for p.pos < len(p.data) && p.data[p.pos] != '"' {
		if p.data[p.pos] == '\\' {
			escaped = true
			p.pos++
		}
		p.pos++
	}
	p.pos++
	end := min(p.pos, len(p.data))
	if !escaped {
		return string(p.data[start+1 : max(end-1, start+1)])
	}
	var s string
	if json.Unmarshal(p.data[start:end], &s) != nil {
		return ""
	}
	return s
}

// get is the member of an object, nil when absent.
func (v *jsonValue) get(key string) *jsonValue {
	if v == nil || v.kind != jsonObject {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// set adds or replaces a member, keeping its place.
func (v *jsonValue) set(key string, value *jsonValue) {
	for i, k := range v.keys {
		if k == key {
			v.items[i] = value
			return
		}
	}
	v.keys = append(v.keys, key)
	v.items = append(v.items, value)
}

// remove takes a member out of an object.
func (v *jsonValue) remove(key string) {
	for i, k := range v.keys {
		if k == key {
			v.keys = append(v.keys[:i:i], v.keys[i+1:]...)
			v.items = append(v.items[:i:i], v.items[i+1:]...)
			return
		}
	}
}

// number is the value of a number.
func (v *jsonValue) number() float64 {
	f, _ := strconv.ParseFloat(v.text, 64)
	return f
}

// append writes the value as compact JSON.
func (v *jsonValue) append(b []byte) []byte {
	switch v.kind {
	case jsonNull:
		return append(b, "null"...)
	case jsonString:
		return appendJSONString(b, v.text)
	case jsonArray:
		b = append(b, '[')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.append(b)
		}
		return append(b, ']')
	case jsonObject:
		b = append(b, '{')
		for i, item := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, v.keys[i]), ':')
			b = item.append(b)
		}
		return append(b, '}')
	}
	return append(b, v.text...)
}

func (v *jsonValue) bytes() []byte { return v.append(nil) }

// clone is a deep copy.
func (v *jsonValue) clone() *jsonValue {
	c := *v
	c.items = make([]*jsonValue, len(v.items))
	for i, item := range v.items {
		c.items[i] = item.clone()
	}
	c.keys = append([]string(nil), v.keys...)
	return &c
}

// appendJSONString quotes s the way serde_json does: only what JSON demands is escaped.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}

// canonicalNumber is a JSON number as serde_json prints it after parsing: integers of 64 bits as they are, the rest as f64.
func canonicalNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		if _, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
			return text
		}
		if _, err := strconv.ParseUint(text, 10, 64); err == nil {
			return text
		}
	}
	return formatFloat(looseFloat(text))
}

// looseFloat parses a number as serde_json does: a 64-bit integer of the digits, scaled by a power of ten. The last digit may
// differ from that of an exact parser.
func looseFloat(text string) float64 {
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		exponent, _ = strconv.Atoi(strings.TrimPrefix(text[i+1:], "+"))
	}
	digits, negative := strings.CutPrefix(mantissa, "-")
	var significand uint64
	fraction, full := false, false
	for _, c := range []byte(digits) {
		if c == '.' {
			fraction = true
			continue
		}
		d := uint64(c - '0')
		if full = full || significand > (math.MaxUint64-d)/10; full {
			if !fraction {
				exponent++
			}
			continue
		}
		significand = significand*10 + d
		if fraction {
			exponent--
		}
	}
	f := float64(significand)
	for ; exponent < -308; exponent += 308 {
		f /= 1e308
	}
	if exponent < 0 {
		f /= math.Pow10(-exponent)
	} else if exponent > 0 && f != 0 {
		f *= math.Pow10(min(exponent, 308))
	}
	if negative {
		return -f
	}
	return f
}

// formatFloat prints an f64 as serde_json does: always with a fraction or an exponent.
func formatFloat(f float64) string {
	if f != 0 && (abs(f) < 1e-5 || abs(f) >= 1e16) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if strings.IndexByte(s, '.') < 0 {
		s += ".0"
	}
	return s
}

func abs(f float64) float64 {
	if f < 0 {
		return -f
	}
	return f
}

// firstRune is the first character of s as text.
func firstRune(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return s[:size]
}
