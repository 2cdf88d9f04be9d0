package engine

import (
	"strings"
	"unicode"
)

// valueGap is the distance between the last word of a value and the first of the next value of the same field, and between
// words on both sides of a hard separator.
const valueGap = 8

// maxPosition is one above the last position of a word in a field.
const maxPosition = 65536

// wordExtractor collects the words of a document in the order in which Meilisearch indexes them.
type wordExtractor struct {
	st        *state
	positions map[fieldID]int // of the last word
	words     []fieldWord
}

// wordsOf are the words of the searchable fields of a document.
func (st *state) wordsOf(document *jsonValue) []fieldWord {
	e := wordExtractor{st: st, positions: map[fieldID]int{}}
	for i, key := range document.keys {
		if key != vectorsField && key != geoField && key != geoJSONField {
			e.value(key, document.items[i])
		}
	}
	return e.words
}

func (e *wordExtractor) value(name string, v *jsonValue) {
	switch v.kind {
	case jsonObject:
		if len(v.keys) == 0 {
			e.touch(name)
		}
		for i, key := range v.keys {
			inner := name + "." + key
			if k := v.items[i].kind; k == jsonObject || k == jsonArray {
				e.touch(inner) // the seeker sees the value before what is in it
			}
			e.value(inner, v.items[i])
		}
	case jsonArray:
		if len(v.items) == 0 {
			e.touch(name)
		}
		for _, item := range v.items {
			e.value(name, item)
		}
	case jsonNull:
		e.touch(name)
	default:
		e.text(name, v)
	}
}

// touch moves on the position of a field for a value that has no words.
func (e *wordExtractor) touch(name string) {
	if e.st.cfg.isSearched(name) {
		e.next(e.st.fields.add(name))
	}
}

// next is the position at which the next value of a field starts.
func (e *wordExtractor) next(f fieldID) int {
	position, seen := e.positions[f]
	if seen {
		position += valueGap
	}
	e.positions[f] = position
	return position
}

func (e *wordExtractor) text(name string, v *jsonValue) {
	if !e.st.cfg.isSearched(name) {
		return
	}
	f := e.st.fields.add(name)
	position := e.next(f)
	if position >= maxPosition {
		return
	}
	tokens := e.st.cfg.tokenizer.tokenize(v.text, false)
	eachPlacedWord(tokens, position, func(position int, word string) {
		if position >= maxPosition || len(word) > maxWordBytes {
			return
		}
		e.positions[f] = position
		e.words = append(e.words, fieldWord{e.st.words.id(word), f, uint16(position)})
	})
}

// eachPlacedWord visits the words among tokens with their positions: one apart, valueGap apart across a hard separator. Stop
// words take a position but are not visited.
func eachPlacedWord(tokens []token, start int, visit func(position int, word string)) {
	position := start
	const none = tokenKind(255)
	previous := none
	started := false
	for i := range tokens {
		t := &tokens[i]
		if !started && t.isSeparator() {
			continue
		}
		started = true
		switch {
		case !t.isSeparator():
			if t.lemma == "" {
				continue
			}
			switch previous {
			case none:
			case hardSeparator:
				position += valueGap
			default:
				position++
			}
			previous = t.kind
			if word := strings.TrimSpace(t.lemma); t.kind == wordToken && word != "" {
				visit(position, word)
			}
		case t.kind == hardSeparator, previous != hardSeparator:
			previous = t.kind
		}
	}
}

// isNumeric reports whether a word has nothing but digits and ASCII punctuation.
func isNumeric(word string) bool {
	for _, r := range word {
		if !unicode.IsNumber(r) && (r >= 0x80 || !unicode.IsPunct(r) && !unicode.IsSymbol(r)) {
			return false
		}
	}
	return true
}
