package engine

import (
	"slices"
	"strings"
)

// termWord is a word a query term may stand for. A word the user did not write (a typo, a part of several words) does not
// match where typos are off.
type termWord struct {
	word    string
	derived bool
}

// phrase is a sequence of words; an empty word is a stop word, any word may stand there.
type phrase struct{ words []string }

func (p *phrase) text() string {
	words := slices.DeleteFunc(slices.Clone(p.words), func(w string) bool { return w == "" })
	return strings.Join(words, " ")
}

// words counts the words that are no stop words.
func (p *phrase) count() int {
	n := 0
	for _, w := range p.words {
		if w != "" {
			n++
		}
	}
	return n
}

func (p *phrase) first() string {
	for _, w := range p.words {
		if w != "" {
			return w
		}
	}
	return ""
}

// queryTerm is a word, phrase or run of joined words of the query with everything it may stand for. What needs edits is
// found when it is first asked for.
type queryTerm struct {
	original string
	ngram    []string // the words joined, nil for a plain word or phrase
	maxTypos int
	isPrefix bool

	phrase    *phrase   // the term is a quoted phrase
	exact     string    // the word itself when the index has it
	prefixOf  []string  // words that begin with it
	synonyms  []*phrase // each a sequence of words
	usePrefix bool      // beginnings are resolved through the prefix posting of original

	derived   bool // the next three are known
	oneTypo   []string
	twoTypos  []string
	splitWord *phrase // the best cut into two words
}

// allowsSplit reports whether the term may be cut in two.
func (t *queryTerm) allowsSplit() bool { return t.phrase == nil }

// subsetKind is how much of a list of derivations a subset keeps.
type subsetKind uint8

const (
	keepNothing subsetKind = iota
	keepExact              // only what the user wrote: queryTerm.exact or queryTerm.phrase
	keepAll
)

// termSubset is a query term with some of its derivations taken away. Comparable.
type termSubset struct {
	term           *queryTerm
	zero, one, two subsetKind
	mandatory      bool // not to be dropped by the matching strategy
}

func fullSubset(t *queryTerm) termSubset {
	return termSubset{term: t, zero: keepAll, one: keepAll, two: keepAll}
}

// locatedTerm is a subset with its place in the query. Comparable.
type locatedTerm struct {
	termSubset
	posStart, posEnd uint16 // of its first and last word
	idStart, idEnd   uint8  // numbers of the terms it covers
}

func (t *locatedTerm) numTerms() int     { return int(t.idEnd) - int(t.idStart) + 1 }
func (t *locatedTerm) numPositions() int { return int(t.posEnd) - int(t.posStart) + 1 }

// intersect keeps what both subsets of a term keep.
func (s *termSubset) intersect(other termSubset) {
	s.zero = min(s.zero, other.zero)
	s.one = min(s.one, other.one)
	s.two = min(s.two, other.two)
}

// exactTerm is what the user wrote, if the subset still holds it: a phrase, or a word of the index, or neither.
func (s *termSubset) exactTerm() (word string, p *phrase, ok bool) {
	t := s.term
	if t.ngram != nil || s.zero == keepNothing {
		return "", nil, false
	}
	if t.phrase != nil {
		return "", t.phrase, true
	}
	return t.exact, nil, t.exact != ""
}

// keepOnlyExact takes away all but what the user wrote, if that is in the subset.
func (s *termSubset) keepOnlyExact() {
	if _, _, ok := s.exactTerm(); ok {
		s.zero, s.one, s.two = keepExact, keepNothing, keepNothing
	}
}

// originalPhrase is the quoted phrase, nil for other terms.
func (s *termSubset) originalPhrase() *phrase {
	if s.zero == keepNothing {
		return nil
	}
	return s.term.phrase
}

// maxTypoCost is the greatest number of typos within the subset.
func (s *termSubset) maxTypoCost() int {
	switch {
	case s.term.maxTypos == 0:
		if s.term.allowsSplit() {
			return 1
		}
		return 0
	case s.term.maxTypos == 2 && s.two != keepNothing:
		return 2
	case s.one != keepNothing:
		return 1
	}
	return 0
}

// prefixPosting is the beginning to resolve through the dictionary's prefix postings, if any.
func (s *termSubset) prefixWord() (termWord, bool) {
	t := s.term
	if !t.usePrefix {
		return termWord{}, false
	}
	if s.zero == keepNothing || s.zero == keepExact && t.exact != t.original {
		return termWord{}, false
	}
	return termWord{t.original, t.ngram != nil}, true
}

// words are the single words of the subset, those covered by prefixWord left out.
func (s *termSubset) words(q *queryContext) []termWord {
	t := s.term
	if s.one != keepNothing || s.two != keepNothing {
		q.derive(t)
	}
	var out []termWord
	derived := t.ngram != nil
	if s.zero != keepNothing && t.exact != "" {
		out = append(out, termWord{t.exact, derived})
	}
	if s.zero == keepAll {
		for _, w := range t.prefixOf {
			out = append(out, termWord{w, derived})
		}
	}
	if s.one == keepAll {
		for _, w := range t.oneTypo {
			out = append(out, termWord{w, true})
		}
	}
	if s.two == keepAll {
		for _, w := range t.twoTypos {
			out = append(out, termWord{w, true})
		}
	}
	return out
}

// phrases are the sequences of words of the subset. A quoted phrase and synonyms belong to every subset.
func (s *termSubset) phrases(q *queryContext) []*phrase {
	t := s.term
	if s.one != keepNothing {
		q.derive(t)
	}
	var out []*phrase
	if t.phrase != nil {
		out = append(out, t.phrase)
	}
	for _, p := range t.synonyms {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	if s.one == keepAll && t.splitWord != nil && !slices.Contains(out, t.splitWord) {
		out = append(out, t.splitWord)
	}
	return out
}
