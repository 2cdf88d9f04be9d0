package meili

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// at reports whether the byte at pos is c.
func (p filterParser) at(pos int, c byte) bool { return pos < len(p.text) && p.text[pos] == c }

// space skips what the grammar takes for white space between tokens.
func (p filterParser) space(pos int) int { return skipSpaceString(p.text, pos) }

func skipSpaceString(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// wordEnd is the offset behind the letters, digits, _, - and . from pos on.
func (p filterParser) wordEnd(pos int) int { return pos + prefixLen(p.text[pos:], isWordRune) }

func isWordRune(r rune) bool {
	return r == '_' || r == '-' || r == '.' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Other_Alphabetic, r)
}

// prefixLen counts the bytes of s before the first rune that is not accepted.
func prefixLen(s string, accept func(rune) bool) int {
	for i, r := range s {
		if !accept(r) {
			return i
		}
	}
	return len(s)
}

// word is the offset behind the whole word at pos, if it is want.
func (p filterParser) word(pos int, want string) (int, bool) {
	end := p.wordEnd(pos)
	return end, p.text[pos:end] == want
}

// tags is the offset behind texts separated by white space, if they stand at pos. The last may be the start of a longer word.
func (p filterParser) tags(pos int, texts ...string) (int, bool) {
	for i, text := range texts {
		if i > 0 {
			next := p.space(pos)
			if next == pos {
				return 0, false
			}
			pos = next
		}
		if !strings.HasPrefix(p.text[pos:], text) {
			return 0, false
		}
		pos += len(text)
	}
	return pos, true
}

// token is the text between two offsets as a value.
func (p filterParser) token(start, end int) FilterValue {
	return FilterValue{Text: p.text[start:end], source: p.filterText, start: start, end: end}
}

var filterKeywords = []string{"AND", "OR", "IN", "NOT", "TO", "EXISTS", "IS", "NULL", "EMPTY", "CONTAINS", "STARTS", "WITH", "_geoRadius", "_geoBoundingBox"}

// value = white space, then a word that is no keyword or a quoted text, then white space
func (p filterParser) value(pos int) (FilterValue, int, *filterFail) {
	pos += prefixLen(p.text[pos:], unicode.IsSpace)
	if fail := p.misusedGeo(pos); fail != nil {
		return FilterValue{}, 0, fail
	}
	v, next, fail := p.bareValue(pos)
	if fail != nil {
		return FilterValue{}, 0, fail
	}
	if v, fail = p.unescaped(v); fail != nil {
		return FilterValue{}, 0, fail
	}
	return v, p.space(next), nil
}

// misusedGeo refuses geographic words where a value must be.
func (p filterParser) misusedGeo(pos int) *filterFail {
	reserved := ""
	switch word := p.text[pos:p.wordEnd(pos)]; {
	case strings.HasPrefix(p.text[pos:], "_geoPoint"):
		reserved = "_geoPoint"
	case strings.HasPrefix(p.text[pos:], "_geoDistance"):
		reserved = "_geoDistance"
	case word == "_geo":
		reserved = "_geo"
	case word == "_geoRadius":
		return p.fatal(faultMisusedGeoRadius, pos)
	case word == "_geoBoundingBox":
		return p.fatal(faultMisusedBoundingBox, pos)
	default:
		return nil
	}
	fail := p.fatal(faultReservedGeo, pos)
	fail.word = reserved
	return fail
}

func (p filterParser) bareValue(pos int) (FilterValue, int, *filterFail) {
	if p.at(pos, '\'') || p.at(pos, '"') {
		v, next, fail := p.quoted(pos)
		if fail != nil && fail.fault == faultUnclosed {
			fail.start = pos
		}
		return v, next, fail
	}
	end := p.wordEnd(pos)
	word := p.text[pos:end]
	if word != "" && !slices.Contains(filterKeywords, word) {
		return p.token(pos, end), end, nil
	}
	fail := p.rest(faultExpectedValue, pos)
	if word != "" {
		fail.fault = faultKeywordValue
	}
	fail.end = pos + prefixLen(p.text[pos:], func(r rune) bool { return !unicode.IsSpace(r) && !strings.ContainsRune("()=<>!", r) })
	return FilterValue{}, 0, fail
}

// quoted parses a text in quotes; pos is that of the opening one. Escaped quotes lose their backslash, other escapes are
// left to unescaped.
func (p filterParser) quoted(pos int) (FilterValue, int, *filterFail) {
	quote := p.text[pos]
	start, escaped := pos+1, false
	for i := start; i < len(p.text); i++ {
		switch p.text[i] {
		case quote:
			v := p.token(start, i)
			if escaped {
				v.Text = strings.ReplaceAll(v.Text, `\`+string(quote), string(quote))
			}
			return v, i + 1, nil
		case '\\':
			i++
			if i == len(p.text) {
				return FilterValue{}, 0, p.fatal(faultMalformedValue, start)
			}
			escaped = escaped || p.text[i] == quote
		}
	}
	fail := p.fatal(faultUnclosed, len(p.text))
	fail.delimiter = quote
	return FilterValue{}, 0, fail
}

// unescaped undoes the escapes of a value.
func (p filterParser) unescaped(v FilterValue) (FilterValue, *filterFail) {
	if strings.IndexByte(v.Text, '\\') < 0 {
		return v, nil
	}
	text, err := unescapeFilter(v.Text)
	fail := &filterFail{source: v.source, start: v.start, end: v.end}
	switch {
	case err == nil:
		v.Text = text
		return v, nil
	case errors.Is(err, errEscapeCut):
		return v, &filterFail{fault: faultIncomplete, source: v.source, end: len(p.text), fatal: true}
	case errors.Is(err, errEscapeNumber):
		fail.fault = faultEscapedNumber
	default:
		fail.fault = faultMalformedValue
	}
	return v, fail
}

var (
	errEscapeCut    = errors.New("escape cut short")
	errEscapeNumber = errors.New("escape with a bad number")
	errEscapeChar   = errors.New("escape of no character")
)

// unescapeFilter undoes \n and its like, \xHH, \uHHHH, \u{H…} and octal escapes, as the Rust crate unescaper 0.1 does.
func unescapeFilter(s string) (string, error) {
	var out []rune
	runes := []rune(s)
	for i := 0; i < len(runes); i++ {
		if runes[i] != '\\' {
			out = append(out, runes[i])
			continue
		}
		if i++; i == len(runes) {
			return "", errEscapeCut
		}
		r, used, err := unescapeOne(runes[i:])
		if err != nil {
			return "", err
		}
		out = append(out, r)
		i += used - 1
	}
	return string(out), nil
}

// unescapeOne decodes what follows a backslash and counts the runes it used.
func unescapeOne(s []rune) (r rune, used int, err error) {
	switch c := s[0]; c {
	case 'b':
		return '\b', 1, nil
	case 'f':
		return '\f', 1, nil
	case 'n':
		return '\n', 1, nil
	case 'r':
		return '\r', 1, nil
	case 't':
		return '\t', 1, nil
	case '\'', '"', '\\', '/':
		return c, 1, nil
	case 'u':
		return unescapeUnicode(s)
	case 'x':
		if len(s) < 3 {
			return 0, 0, errEscapeCut
		}
		n, err := parseEscape(s[1:3], 16, 8)
		return n, 3, err
	default:
		return unescapeOctal(s)
	}
}

func unescapeUnicode(s []rune) (r rune, used int, err error) {
	if len(s) < 2 {
		return 0, 0, errEscapeCut
	}
	digits, used := s[1:min(5, len(s))], 5
	if s[1] == '{' {
		end := slices.Index(s, '}')
		if end < 0 {
			digits, used = s[2:], len(s)
		} else {
			digits, used = s[2:end], end+1
		}
	} else if len(digits) < 4 {
		return 0, 0, errEscapeCut
	}
	n, err := parseEscape(digits, 16, 32)
	if err == nil && !utf8.ValidRune(n) {
		err = errEscapeChar
	}
	return n, used, err
}

func unescapeOctal(s []rune) (r rune, used int, err error) {
	longest := 0
	switch {
	case s[0] >= '0' && s[0] <= '3':
		longest = 3
	case s[0] >= '4' && s[0] <= '7':
		longest = 2
	default:
		return 0, 0, errEscapeChar
	}
	for used = 1; used < longest && used < len(s) && s[used] >= '0' && s[used] <= '7'; used++ {
	}
	n, err := parseEscape(s[:used], 8, 8)
	return n, used, err
}

func parseEscape(digits []rune, base, bits int) (rune, error) {
	text := strings.TrimPrefix(string(digits), "+")
	if strings.HasPrefix(text, "_") || strings.HasPrefix(text, "+") {
		return 0, errEscapeNumber
	}
	n, err := strconv.ParseUint(text, base, bits)
	if err != nil {
		return 0, errEscapeNumber
	}
	return rune(min(n, unicode.MaxRune+1)), nil
}
