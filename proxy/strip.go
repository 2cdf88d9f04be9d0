package proxy

import (
	"bytes"
	"slices"
)

// shape tells where in an answer the hidden fields may stand: in the object itself, in members by name, in any other
// member, or in the items of an array.
type shape struct {
	strip   bool
	drop    []string // other members to remove here
	members map[string]*shape
	others  *shape
	items   *shape
}

var (
	bare      = &shape{strip: true}
	facetPair = &shape{members: map[string]*shape{"distribution": bare, "stats": bare}}
	hitShape  = &shape{strip: true, members: map[string]*shape{"_formatted": bare, "_matchesPosition": bare}}

	// documentShape is one document, documentsShape a page of documents, statsShape the statistics of an index.
	documentShape  = bare
	documentsShape = &shape{members: map[string]*shape{"results": {items: bare}}}
	statsShape     = &shape{members: map[string]*shape{"fieldDistribution": bare}}
	// searchShape is the answer of a search, federated or not; multiShape that of a multi-search without federation.
	searchShape = &shape{members: map[string]*shape{
		"hits": {items: hitShape}, "facetDistribution": bare, "facetStats": bare, "facetsByIndex": {others: facetPair},
	}}
	multiShape = &shape{members: map[string]*shape{"results": {items: searchShape}}}
)

// hiddenPrefix is what the names of the hidden fields begin with.
var hiddenPrefix = []byte("_miroir_")

// strip removes the hidden fields from an answer. All other bytes stay as they are; an answer without them is returned
// itself, otherwise the result is a new slice. Fields of those names nested in documents are the client's.
func strip(text []byte, s *shape) []byte { return cutter{text: text}.strip(s) }

// stripOwn is strip for text that nobody else uses: what stays of it moves together inside it.
func stripOwn(text []byte, s *shape) []byte { return cutter{text: text, own: true}.strip(s) }

// appendStripped appends text without the hidden fields to out, which is not nil.
func appendStripped(out, text []byte, s *shape) []byte {
	return cutter{text: text, out: out}.strip(s)
}

// cutter copies text without what is cut. out ends with text up to copied, without the cuts so far; nil while there are none.
type cutter struct {
	text, out []byte
	copied    int
	own       bool // out may lie in text: what is there has been read
}

func (c cutter) strip(s *shape) []byte {
	if !s.drops() && !bytes.Contains(c.text, hiddenPrefix) {
		return c.rest()
	}
	c.walk(skipSpace(c.text, 0), s)
	return c.rest()
}

// rest is the text without what was cut.
func (c *cutter) rest() []byte {
	if c.out == nil {
		return c.text
	}
	return append(c.out, c.text[c.copied:]...)
}

func (c *cutter) cut(from, to int) {
	switch {
	case c.out != nil:
	case c.own:
		c.out = c.text[:0]
	default:
		c.out = make([]byte, 0, len(c.text))
	}
	c.out = append(c.out, c.text[c.copied:from]...)
	c.copied = to
}

// walk cuts inside the value at text[at] and returns the position after it.
func (c *cutter) walk(at int, s *shape) int {
	if at >= len(c.text) {
		return len(c.text)
	}
	switch {
	case c.text[at] == '{':
		return c.object(at, s)
	case c.text[at] == '[' && s.items != nil:
		return c.array(at, s.items)
	}
	return skipValue(c.text, at)
}

func (c *cutter) array(at int, items *shape) int {
	at = skipSpace(c.text, at+1)
	for at < len(c.text) && c.text[at] != ']' {
		end := c.walk(at, items)
		if end == at {
			return end
		}
		at = skipSpace(c.text, end)
		if at < len(c.text) && c.text[at] == ',' {
			at = skipSpace(c.text, at+1)
		}
	}
	return min(at+1, len(c.text))
}

func (c *cutter) object(at int, s *shape) int {
	kept := -1 // end of the last member that stays
	at = skipSpace(c.text, at+1)
	first := at
	for at < len(c.text) && c.text[at] == '"' {
		start, keyEnd := at, skipString(c.text, at)
		key := c.text[start+1 : max(start+1, keyEnd-1)]
		value := skipSpace(c.text, min(skipSpace(c.text, keyEnd)+1, len(c.text)))
		cutting := s.cuts(key)
		var end int
		if inner := s.inside(key); inner != nil && !cutting {
			end = c.walk(value, inner)
		} else {
			end = skipValue(c.text, value)
		}
		next := skipSpace(c.text, end)
		comma := next < len(c.text) && c.text[next] == ','
		if comma {
			next = skipSpace(c.text, next+1)
		}
		switch {
		case !cutting:
			kept = end
		case kept >= 0: // the comma before it goes with it
			c.cut(max(kept, c.copied), end)
		case comma: // no member before it: the comma behind it goes with it
			c.cut(start, next)
		default:
			c.cut(max(first, c.copied), end)
		}
		at = next
	}
	return min(at+1, len(c.text))
}

func (s *shape) cuts(key []byte) bool {
	return s.strip && isHidden(string(key)) || len(s.drop) > 0 && slices.Contains(s.drop, string(key))
}

// drops reports whether other members than the hidden fields are removed somewhere.
func (s *shape) drops() bool {
	if s == nil {
		return false
	}
	if len(s.drop) > 0 || s.others.drops() || s.items.drops() {
		return true
	}
	for _, inner := range s.members {
		if inner.drops() {
			return true
		}
	}
	return false
}

func (s *shape) inside(key []byte) *shape {
	if inner := s.members[string(key)]; inner != nil {
		return inner
	}
	return s.others
}
