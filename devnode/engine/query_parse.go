package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a query.
const (
	maxQueryTokens = 1000
	maxQueryWords  = 10
)

// placedTerm is a query term at its place in the query: the positions of its first and last word.
type placedTerm struct {
	term       *queryTerm
	start, end uint16
}

// parsedQuery is a query cut into terms. Terms follow each other; joined words come after all others.
type parsedQuery struct {
	graph           *queryGraph
	terms           []placedTerm
	negativeWords   []string
	negativePhrases []*phrase
}

// queryParser goes through the tokens of a query: words, "phrases", -word and -"phrase".
type queryParser struct {
	q        *queryContext
	out      parsedQuery
	position uint16 // of the last word

	phrase         *phraseBuilder // not nil inside quotes
	negativePhrase bool           // the phrase is excluded
	negativeNext   bool           // a minus sign stands right before the token
	afterSpace     bool           // the last token ended in white space, or there was none
}

type phraseBuilder struct {
	words      []string
	start, end uint16
}

func (b *phraseBuilder) isEmpty() bool {
	for _, w := range b.words {
		if w != "" {
			return false
		}
	}
	return true
}

// parseQuery cuts text into terms and builds their graph.
func (q *queryContext) parseQuery(text string) *parsedQuery {
	tokens := q.cfg.tokenizer.tokenize(text, false)
	tokens = tokens[:min(len(tokens), maxQueryTokens)]
	p := &queryParser{q: q, position: 65535, afterSpace: true}
	for i := range tokens {
		t := &tokens[i]
		if t.lemma == "" {
			continue
		}
		if len(p.out.terms) >= maxQueryWords {
			return p.finish()
		}
		if t.isSeparator() {
			p.separator(t)
		} else {
			p.word(t, i == len(tokens)-1)
		}
		last, _ := utf8.DecodeLastRuneInString(t.lemma)
		p.afterSpace = unicode.IsSpace(last)
	}
	p.closePhrase()
	return p.finish()
}

func (p *queryParser) finish() *parsedQuery {
	p.out.graph, p.out.terms = p.q.buildGraph(p.out.terms)
	return &p.out
}

func (p *queryParser) word(t *token, last bool) {
	p.position++
	switch {
	case p.phrase != nil:
		if p.phrase.isEmpty() {
			p.phrase.start = p.position
		}
		p.phrase.end = p.position
		word := t.lemma
		if t.kind == stopWordToken {
			word = ""
		}
		p.phrase.words = append(p.phrase.words, word)
	case p.negativeNext:
		p.out.negativeWords = append(p.out.negativeWords, t.lemma)
		p.negativeNext = false
	case last || t.kind == wordToken:
		cfg := p.q.cfg
		term := p.q.newTerm(t.lemma, cfg.typosAllowed(t.lemma), last && cfg.prefixSearch, false)
		p.out.terms = append(p.out.terms, placedTerm{term, p.position, p.position})
	}
}

func (p *queryParser) separator(t *token) {
	if t.kind == hardSeparator {
		p.position += 7
		if p.phrase != nil { // a hard separator ends a phrase and starts the next
			negative := p.negativePhrase
			p.closePhrase()
			p.phrase, p.negativePhrase = &phraseBuilder{}, negative
		}
	}
	if quotes := strings.Count(t.lemma, `"`); quotes > 0 {
		if p.phrase != nil {
			quotes--
			p.closePhrase()
		}
		if quotes%2 == 1 {
			p.phrase, p.negativePhrase = &phraseBuilder{}, p.negativeNext
		}
	}
	p.negativeNext = p.phrase == nil && t.lemma == "-" && p.afterSpace
}

// closePhrase turns the open phrase, if any, into a term. An empty one leaves negativePhrase as it is.
func (p *queryParser) closePhrase() {
	b := p.phrase
	p.phrase = nil
	if b == nil || b.isEmpty() {
		return
	}
	ph := p.q.internPhrase(b.words)
	if p.negativePhrase {
		p.out.negativePhrases = append(p.out.negativePhrases, ph)
		p.negativePhrase = false
		return
	}
	p.out.terms = append(p.out.terms, placedTerm{&queryTerm{original: ph.text(), phrase: ph}, b.start, b.end})
}

// joinTerms makes the term of several neighbours written as one word, nil when they cannot be joined.
func (q *queryContext) joinTerms(terms []placedTerm) *placedTerm {
	var words []string
	for i, t := range terms {
		if t.term.phrase != nil || t.term.ngram != nil || i > 0 && terms[i-1].end+1 != t.start {
			return nil
		}
		words = append(words, t.term.original)
	}
	joined := strings.Join(words, "")
	if len(joined) > maxWordBytes {
		return nil
	}
	last := terms[len(terms)-1]
	maxTypos := max(q.cfg.typosAllowed(joined)-(len(terms)-1), 0)
	term := q.newTerm(joined, maxTypos, last.term.isPrefix, true)
	term.ngram = words
	term.synonyms = append(term.synonyms, q.synonymPhrases(words...)...)
	return &placedTerm{term, terms[0].start, last.end}
}
