package engine

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of the words a term may stand for.
const (
	maxPrefixWords    = 1000
	maxOneTypoWords   = 150
	maxTwoTypoWords   = 50
	maxSynonymPhrases = 50
	maxSynonymWords   = 100
)

// newTerm makes the term of a word with all it stands for without typos.
func (q *queryContext) newTerm(word string, maxTypos int, isPrefix, isNgram bool) *queryTerm {
	if len(word) > maxWordBytes {
		return &queryTerm{original: word, derived: true}
	}
	t := &queryTerm{original: word, maxTypos: maxTypos, isPrefix: isPrefix}
	if q.words.lookup(word) != nil {
		t.exact = word
	}
	if isPrefix {
		if p := q.dict.prefix(word); p != nil && (p.docs != nil || !isNgram && p.exact != nil) {
			t.usePrefix = true
		} else {
			t.prefixOf = q.wordsWithPrefix(word)
		}
	}
	t.synonyms = q.synonymPhrases(word)
	return t
}

func (q *queryContext) wordsWithPrefix(prefix string) []string {
	words := withPrefix(q.dict.allWords(), prefix)
	if len(words) > 0 && words[0] == prefix {
		words = words[1:]
	}
	return words[:min(len(words), maxPrefixWords)]
}

func (q *queryContext) synonymPhrases(words ...string) []*phrase {
	var out []*phrase
	total := 0
	for i, synonym := range q.cfg.synonyms[strings.Join(words, "\x00")] {
		if len(words) == 1 && (i >= maxSynonymPhrases || total+len(synonym) > maxSynonymWords) {
			continue
		}
		total += len(synonym)
		out = append(out, q.internPhrase(synonym))
	}
	return out
}

// internPhrase makes equal phrases of a query the same pointer.
func (q *queryContext) internPhrase(words []string) *phrase {
	key := strings.Join(words, "\x00")
	if p := q.phrases[key]; p != nil {
		return p
	}
	p := &phrase{words: words}
	q.phrases[key] = p
	return p
}

// derive finds the words within the typos of a term, and its best cut, once.
func (q *queryContext) derive(t *queryTerm) {
	if t.derived {
		return
	}
	t.derived = true
	switch {
	case t.maxTypos > 1:
		q.oneAndTwoTypos(t)
	case t.maxTypos == 1:
		t.oneTypo = q.oneTypoWords(t)
	}
	if t.maxTypos > 1 || t.allowsSplit() {
		t.splitWord = q.splitWord(t)
	}
}

func (q *queryContext) oneTypoWords(t *queryTerm) []string {
	var out []string
	words := q.dict.tolerantWords()
	first := firstRune(t.original)
	start, _ := slices.BinarySearch(words, first)
	dfa := newLevenshtein(t.original, 1, t.isPrefix)
	searchWords(words, start, func(w string) bool { return strings.HasPrefix(w, first) }, func(w string, sets []editSet) bool {
		if dfa.distance(sets[0]) == 1 {
			out = append(out, w)
		}
		return len(out) < maxOneTypoWords
	}, dfa)
	return out
}

// oneAndTwoTypos finds words within two typos. A typo in the first letter counts as two, and leaves room for no other.
func (q *queryContext) oneAndTwoTypos(t *queryTerm) {
	one, two := newLevenshtein(t.original, 1, t.isPrefix), newLevenshtein(t.original, 2, t.isPrefix)
	first := firstRune(t.original)
	keep := func(string) bool { return true }
	visit := func(w string, sets []editSet) bool {
		sameFirst := strings.HasPrefix(w, first)
		distance := two.distance(sets[1])
		if sameFirst && distance > 2 || !sameFirst && one.distance(sets[0]) > 1 {
			return true
		}
		oneDone, twoDone := len(t.oneTypo) >= maxOneTypoWords, len(t.twoTypos) >= maxTwoTypoWords
		if oneDone && twoDone {
			return false
		}
		switch {
		case !sameFirst && !twoDone, sameFirst && distance == 2 && !twoDone:
			t.twoTypos = append(t.twoTypos, w)
		case distance == 1 && !oneDone:
			t.oneTypo = append(t.oneTypo, w)
		}
		return true
	}
	searchWords(q.dict.tolerantWords(), 0, keep, visit, one, two)
}

// splitWord is the cut of a term into the two words that stand side by side most often, nil when there is none. Joined
// words are not cut where they were joined.
func (q *queryContext) splitWord(t *queryTerm) *phrase {
	var best []string
	most := -1
	for i := range t.original {
		if i == 0 {
			continue
		}
		left, right := t.original[:i], t.original[i:]
		if docs := q.pairDocs(left, right, 1, nil); docs != nil && int(docs.GetCardinality()) > most {
			most = int(docs.GetCardinality())
			best = []string{left, right}
		}
	}
	if best == nil || t.maxTypos <= 1 && t.ngram != nil && slices.Equal(t.ngram, best) {
		return nil
	}
	return q.internPhrase(best)
}

// typosAllowed is the number of typos a word may have.
func (c *config) typosAllowed(word string) int {
	n := utf8.RuneCountInString(word)
	switch {
	case !c.typos.enabled || n < c.typos.oneTypo || c.typos.exactWords[word]:
		return 0
	case n < c.typos.twoTypos:
		return 1
	}
	return 2
}
