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
	members []namedShape
	others  *shape
	items   *shape
}

// namedShape is what is in the members of a name. There are few of them, and they are quicker to look through than a map.
type namedShape struct {
	name  string
	shape *shape
}

var (
	bare      = &shape{strip: true}
	facetPair = &shape{members: []namedShape{{"distribution", bare}, {"stats", bare}}}
	hitShape  = &shape{strip: true, members: []namedShape{{"_formatted", bare}, {"_matchesPosition", bare}}}

	// documentShape is one document, documentsShape a page of documents, statsShape the statistics of an index.
	documentShape  = bare
	documentsShape = &shape{members: []namedShape{{"results", &shape{items: bare}}}}
	statsShape     = &shape{members: []namedShape{{"fieldDistribution", bare}}}
	// searchShape is the answer of a search, federated or not; multiShape that of a multi-search without federation.
	searchShape = &shape{members: []namedShape{
		{"hits", &shape{items: hitShape}}, {"facetDistribution", bare}, {"facetStats", bare}, {"facetsByIndex", &shape{others: facetPair}},
	}}
	multiShape = &shape{members: []namedShape{{"results", &shape{items: searchShape}}}}
)

// hiddenPrefix is what the names of the hidden fields begin with.
var hiddenPrefix = []byte("_miroir_")

// strip removes the hidden fields from an answer. All other bytes stay as they are; an answer without them is returned
// itself, otherwise the result is a new slice. Fields of those names nested in documents are the client's.
func strip(text []byte, s *shape) []byte { return cutter{text: text}.strip(s) }

// stripOwn is strip for text that nobody else uses: what stays of it moves together inside it.
func stripOwn(text []byte, s *shape) []byte { return cutter{text: text, own: true}.strip(s) }

// stripAnswer is stripOwn for the answer of a search. behind is where in it the hits end: what follows is short. ok is false
// where plausible says that it is no such answer; it is looked through once for both.
func stripAnswer(text []byte) (stripped []byte, behind int, ok bool) {
	c := cutter{text: text, own: true}
	start := skipSpace(text, 0)
	if start == len(text) || text[start] != '{' {
		return text, 0, false
	}
	end := c.object(start, searchShape)
	ok = c.behind > 0 && !c.torn && text[end-1] == '}' && skipSpace(text, end) == len(text)
	return c.rest(), c.behind, ok
}

// appendStripped appends text without the hidden fields to out, which is not nil.
func appendStripped(out, text []byte, s *shape) []byte {
	return cutter{text: text, out: out}.strip(s)
}

// cutter copies text without what is cut. out ends with text up to copied, without the cuts so far; nil while there are none.
type cutter struct {
	text, out []byte
	copied    int
	own       bool // out may lie in text: what is there has been read
	behind    int  // where in the result the last array ends that was looked into
	torn      bool // a member has no end
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
	at = min(at+1, len(c.text))
	c.behind = len(c.out) + at - c.copied
	return at
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
		c.torn = c.torn || end == len(c.text) || end == value
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
		if inner.shape.drops() {
			return true
		}
	}
	return false
}

func (s *shape) inside(key []byte) *shape {
	for _, inner := range s.members {
		if inner.name == string(key) {
			return inner.shape
		}
	}
	return s.others
}
