package proxy

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file walk JSON text by position, without decoding it: answers of nodes are large, and what
// the client gets must be the node's bytes. They expect valid JSON (nodes send nothing else); on anything else they
// stop at the end of the text instead of failing.

// skipSpace returns the position of the first byte of text from at that is no white space.
func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// skipString returns the position after the string that starts at the quote text[at].
func skipString(text []byte, at int) int {
	for at++; at < len(text); {
		if at+8 <= len(text) {
			found := quotesAndSlashes(binary.LittleEndian.Uint64(text[at:]))
			if found == 0 {
				at += 8
				continue
			}
			at += bits.TrailingZeros64(found) / 8
		}
		switch text[at] {
		case '"':
			return at + 1
		case '\\':
			at++ // what is behind it is no end
		}
		at++
	}
	return len(text)
}

// quotesAndSlashes has the highest bit of each of the eight bytes set that is a quote or a backslash, as far as the first of
// them: bytes behind it may be marked for nothing.
func quotesAndSlashes(eight uint64) uint64 {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	quotes, slashes := eight^'"'*ones, eight^'\\'*ones // bytes that are zero where they were those
	return ((quotes-ones)&^quotes | (slashes-ones)&^slashes) & highest
}

// skipValue returns the position after the value that starts at text[at].
func skipValue(text []byte, at int) int {
	if at >= len(text) {
		return len(text)
	}
	switch text[at] {
	case '"':
		return skipString(text, at)
	case '{', '[':
		return skipNested(text, at)
	}
	for at < len(text) && !isDelimiter(text[at]) {
		at++
	}
	return at
}

func isDelimiter(c byte) bool {
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r'
}

func skipNested(text []byte, at int) int {
	depth := 0
	for at < len(text) {
		switch text[at] {
		case '"':
			at = skipString(text, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return len(text)
}

// member is one member of an object by position: text[start:end] is `"key":value` without the comma around it.
type member struct {
	key        []byte // between the quotes, escapes not undone
	start      int    // of the key's quote
	value, end int    // text[value:end] is the value
}

// eachMember calls visit for the members of the object at text[at] until it returns false, and returns the position
// after the object, or where it was stopped. Anything but an object has no members.
func eachMember(text []byte, at int, visit func(member) bool) int {
	if at >= len(text) || text[at] != '{' {
		return skipValue(text, at)
	}
	return eachMemberFrom(text, at+1, visit)
}

// eachMemberFrom is eachMember from a place inside an object, which is before a member or the comma in front of one.
func eachMemberFrom(text []byte, at int, visit func(member) bool) int {
	at = skipComma(text, at)
	for at < len(text) && text[at] == '"' {
		m := member{start: at}
		keyEnd := skipString(text, at)
		m.key = text[at+1 : max(at+1, keyEnd-1)]
		colon := skipSpace(text, keyEnd)
		m.value = skipSpace(text, min(colon+1, len(text)))
		m.end = skipValue(text, m.value)
		if !visit(m) {
			return m.end
		}
		at = skipComma(text, m.end)
	}
	return min(at+1, len(text))
}

// skipComma returns the position of what comes behind text[at] but white space and a comma.
func skipComma(text []byte, at int) int {
	at = skipSpace(text, at)
	if at < len(text) && text[at] == ',' {
		return skipSpace(text, at+1)
	}
	return at
}

// eachItem calls visit with the bounds of each item of the array at text[at] until it returns false.
func eachItem(text []byte, at int, visit func(start, end int) bool) {
	if at >= len(text) || text[at] != '[' {
		return
	}
	at = skipSpace(text, at+1)
	for at < len(text) && text[at] != ']' {
		end := skipValue(text, at)
		if end == at || !visit(at, end) {
			return
		}
		at = skipComma(text, end)
	}
}

// memberOf returns the raw value of one member of an object, nil when there is none.
func memberOf(text []byte, key string) []byte {
	var found []byte
	eachMember(text, skipSpace(text, 0), func(m member) bool {
		if string(m.key) == key {
			found = text[m.value:m.end]
			return false
		}
		return true
	})
	return found
}

// itemsOf returns the raw items of an array.
func itemsOf(text []byte) [][]byte {
	var items [][]byte
	eachItem(text, skipSpace(text, 0), func(start, end int) bool {
		items = append(items, text[start:end])
		return true
	})
	return items
}
