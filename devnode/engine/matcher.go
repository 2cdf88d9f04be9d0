package engine

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// matchingWords are the words and phrases that a query came to stand for while documents were ranked. It finds them again in
// texts to show.
type matchingWords struct {
	phrases []placedPhrase
	words   []placedWords
}

// placedPhrase is a phrase and the place of its term in the query.
type placedPhrase struct {
	words      []string
	start, end uint16
}

// placedWords are the words one term stands for.
type placedWords struct {
	words      []string
	start, end uint16
	isPrefix   bool
	numChars   int // of the term as written
}

// newMatchingWords collects what is known of the terms by now: typos that nothing asked for are not looked for.
func newMatchingWords(terms []placedTerm) *matchingWords {
	m := &matchingWords{}
	for _, t := range terms {
		words, phrases := t.term.known()
		for _, p := range phrases {
			m.phrases = append(m.phrases, placedPhrase{p.words, t.start, t.end})
		}
		m.words = append(m.words, placedWords{words, t.start, t.end, t.term.isPrefix, utf8.RuneCountInString(t.term.original)})
	}
	slices.SortStableFunc(m.words, func(a, b placedWords) int {
		return cmp.Or(boolOrder(a.isPrefix)-boolOrder(b.isPrefix), int(b.end-b.start)-int(a.end-a.start))
	})
	return m
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// known are the words and phrases found for a term so far.
func (t *queryTerm) known() (words []string, phrases []*phrase) {
	if t.exact != "" {
		words = append(words, t.exact)
	}
	words = append(words, t.prefixOf...)
	typos := slices.Concat(t.oneTypo, t.twoTypos)
	slices.Sort(typos)
	words = append(words, typos...)
	if t.phrase != nil {
		phrases = append(phrases, t.phrase)
	}
	phrases = append(phrases, t.synonyms...)
	if t.splitWord != nil {
		phrases = append(phrases, t.splitWord)
	}
	return words, phrases
}

// textMatch is a place in a text that matches the query.
type textMatch struct {
	ids                   []uint16 // places in the query
	numChars              int
	firstWord, lastWord   int // numbers of words in the text
	firstToken, lastToken int
}

func (m *textMatch) numWords() int { return m.lastWord - m.firstWord + 1 }

// find lists the matches in a text that is cut into tokens.
func (m *matchingWords) find(tokens []token) []textMatch {
	if m == nil {
		return nil
	}
	var out []textMatch
	type place struct{ token, word int }
	var places []place
	for i := range tokens {
		if !tokens[i].isSeparator() {
			places = append(places, place{i, len(places)})
		}
	}
	for i := 0; i < len(places); i++ {
		t := &tokens[places[i].token]
		n, phrase := m.phraseAt(len(places)-i, func(k int) *token { return &tokens[places[i+k].token] })
		if phrase != nil {
			last := places[i+n-1]
			match := textMatch{idRange(phrase.start, phrase.end), t.charEnd - t.charStart, places[i].word, last.word, places[i].token, last.token}
			if n > 1 {
				match.numChars = tokens[last.token].charEnd - t.charStart
			}
			out = append(out, match)
			i += n - 1
			continue
		}
		if w, chars := m.wordAt(t); w != nil {
			out = append(out, textMatch{idRange(w.start, w.end), chars, places[i].word, places[i].word, places[i].token, places[i].token})
		}
	}
	return out
}

func idRange(start, end uint16) []uint16 {
	var out []uint16
	for id := start; ; id++ {
		out = append(out, id)
		if id == end {
			return out
		}
	}
}

// phraseAt is the first phrase that matches at a place, and its number of words. at returns the k-th word from there.
func (m *matchingWords) phraseAt(left int, at func(k int) *token) (int, *placedPhrase) {
next:
	for i := range m.phrases {
		p := &m.phrases[i]
		if len(p.words) > left || len(p.words) == 0 {
			continue
		}
		for k, word := range p.words {
			t := at(k)
			if word == "" && t.kind != stopWordToken || word != "" && t.lemma != word {
				continue next
			}
		}
		return len(p.words), p
	}
	return 0, nil
}

// wordAt is the first term that stands for a token, and how many characters of the token match.
func (m *matchingWords) wordAt(t *token) (*placedWords, int) {
	for i := range m.words {
		w := &m.words[i]
		for _, word := range w.words {
			if w.isPrefix && strings.HasPrefix(t.lemma, word) {
				if bytes := headBytes(word, w.numChars); bytes > 0 {
					return w, t.originalChars(bytes)
				}
			} else if t.lemma == word {
				return w, t.charEnd - t.charStart
			}
		}
	}
	return nil, 0
}

// headBytes is the length in bytes of the first n characters of a word.
func headBytes(word string, n int) int {
	for i := range word {
		if n == 0 {
			return i
		}
		n--
	}
	return len(word)
}
