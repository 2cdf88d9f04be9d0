package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind is what a token is to the search: a word, a word to leave out, or what stands between words.
type tokenKind uint8

const (
	wordToken tokenKind = iota
	stopWordToken
	softSeparator
	hardSeparator
)

// token is a piece of a text with its normal form. Offsets are bytes and characters of the original text.
type token struct {
	lemma              string
	kind               tokenKind
	charStart, charEnd int
	byteStart, byteEnd int
	lengths            []charLength // one per original character when the normal form differs, else nil
}

// charLength is the length in bytes of a character before and after normalization.
type charLength struct{ original, normal uint8 }

func (t *token) isSeparator() bool { return t.kind == softSeparator || t.kind == hardSeparator }

// originalChars is the number of original characters whose normal form makes up the first numBytes bytes of the lemma.
func (t *token) originalChars(numBytes int) int {
	if t.lengths == nil {
		return utf8.RuneCountInString(t.lemma[:min(numBytes, len(t.lemma))])
	}
	seen := 0
	for i, l := range t.lengths {
		if seen >= numBytes {
			return i
		}
		seen += int(l.normal)
	}
	return len(t.lengths)
}

// tokenizer cuts texts as charabia 0.9 does for scripts that separate their words. Immutable, safe for concurrent use.
type tokenizer struct {
	stopWords map[string]bool
	kinds     map[string]tokenKind // separators by text
	longest   map[rune][]string    // words of the dictionary and separators longer than one character, by first one, longest first
}

var defaultTokenizer = newTokenizer(nil, nil, nil, nil)

// newTokenizer makes a tokenizer. stopWords are in unlossy normal form; separators are added to the usual ones,
// nonSeparators taken from them; dictionary holds texts that are never cut.
func newTokenizer(stopWords, separators, nonSeparators, dictionary []string) *tokenizer {
	t := &tokenizer{kinds: map[string]tokenKind{}, longest: map[rune][]string{}}
	if len(stopWords) > 0 {
		t.stopWords = map[string]bool{}
		for _, w := range stopWords {
			t.stopWords[decompose(w)] = true
		}
	}
	hard := map[string]bool{}
	for _, r := range hardSeparators {
		hard[string(r)] = true
	}
	for _, s := range longSeparators {
		hard[s] = true
	}
	add := func(s string) {
		t.kinds[s] = softSeparator
		if hard[s] {
			t.kinds[s] = hardSeparator
		}
	}
	for _, r := range softSeparators {
		add(string(r))
	}
	for s := range hard {
		add(s)
	}
	for _, s := range separators {
		add(s)
	}
	for _, s := range nonSeparators {
		delete(t.kinds, s)
	}
	for s := range t.kinds {
		if utf8.RuneCountInString(s) > 1 {
			t.addLongest(s)
		}
	}
	for _, w := range dictionary {
		t.addLongest(w)
	}
	return t
}

func (t *tokenizer) addLongest(s string) {
	if s == "" {
		return
	}
	first, _ := utf8.DecodeRuneInString(s)
	list := append(t.longest[first], s)
	for i := len(list) - 1; i > 0 && len(list[i]) > len(list[i-1]); i-- {
		list[i], list[i-1] = list[i-1], list[i]
	}
	t.longest[first] = list
}

// match is the length of the separator or dictionary word that text starts with, 0 for none.
func (t *tokenizer) match(text string) int {
	first, size := utf8.DecodeRuneInString(text)
	for _, s := range t.longest[first] {
		if strings.HasPrefix(text, s) {
			return len(s)
		}
	}
	if _, ok := t.kinds[text[:size]]; ok {
		return size
	}
	return 0
}

// tokenize cuts text into tokens that cover it whole. With lengths the tokens can tell original from normal characters.
func (t *tokenizer) tokenize(text string, lengths bool) []token {
	tokens := make([]token, 0, len(text)/4+1)
	chars, start := 0, 0
	emit := func(piece string, s script) {
		tok := token{charStart: chars, byteStart: start}
		t.normalize(piece, s, lengths, &tok)
		chars += utf8.RuneCountInString(piece)
		start += len(piece)
		tok.charEnd, tok.byteEnd = chars, start
		tokens = append(tokens, tok)
	}
	for len(text) > 0 {
		group, s := scriptRun(text)
		text = text[len(group):]
		t.segment(group, s, emit)
	}
	return tokens
}

// segment cuts one run of a script at separators and dictionary words.
func (t *tokenizer) segment(group string, s script, emit func(string, script)) {
	begin := 0
	flush := func(end int) {
		if begin < end {
			segmentWord(group[begin:end], s, emit)
		}
	}
	for i := 0; i < len(group); {
		if n := t.match(group[i:]); n > 0 {
			flush(i)
			emit(group[i:i+n], s)
			i += n
			begin = i
			continue
		}
		_, size := utf8.DecodeRuneInString(group[i:])
		i += size
	}
	flush(len(group))
}

// segmentWord cuts a text without separators. Chinese and Japanese are cut at every ideograph and where the kind of
// character changes, which differs from the dictionaries of charabia.
func segmentWord(word string, s script, emit func(string, script)) {
	if s != scriptCJ {
		emit(word, s)
		return
	}
	begin := 0
	var previous *unicode.RangeTable
	for i, r := range word {
		class := unicode.Han
		switch {
		case unicode.Is(unicode.Hiragana, r):
			class = unicode.Hiragana
		case unicode.Is(unicode.Katakana, r):
			class = unicode.Katakana
		case !unicode.Is(unicode.Han, r):
			class = nil
		}
		if i > begin && (class != previous || class == unicode.Han) {
			emit(word[begin:i], s)
			begin = i
		}
		previous = class
	}
	emit(word[begin:], s)
}
