package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWordBytes is the longest word that is indexed.
const maxWordBytes = 250

// maxFacetBytes is where facet strings are cut.
const maxFacetBytes = 479

// normalize fills in the lemma, kind and lengths of a token whose original text is piece.
func (t *tokenizer) normalize(piece string, s script, lengths bool, tok *token) {
	if isASCII(piece) {
		tok.kind = t.classify(piece)
		tok.lemma = piece
		if s != scriptOther {
			tok.lemma = strings.ToLower(piece)
		}
		if hasControl(piece) {
			t.normalizeSlow(piece, s, lengths, tok)
		}
		return
	}
	t.normalizeSlow(piece, s, lengths, tok)
}

func (t *tokenizer) normalizeSlow(piece string, s script, lengths bool, tok *token) {
	var unlossy, lossy strings.Builder
	if lengths {
		tok.lengths = make([]charLength, 0, len(piece))
	}
	for _, r := range piece {
		before := lossy.Len()
		for _, d := range decompose(string(r)) {
			if unicode.IsControl(d) && !unicode.IsSpace(d) {
				continue
			}
			unlossy.WriteRune(d)
			foldRune(&lossy, d, s)
		}
		if lengths {
			tok.lengths = append(tok.lengths, charLength{uint8(utf8.RuneLen(r)), uint8(lossy.Len() - before)})
		}
	}
	tok.kind = t.classify(unlossy.String())
	tok.lemma = lossy.String()
	if s == scriptGreek && strings.HasSuffix(tok.lemma, "ς") {
		tok.lemma = strings.TrimSuffix(tok.lemma, "ς") + "σ"
	}
}

// foldRune writes the lossy normal form of a decomposed character of a text in script s.
func foldRune(b *strings.Builder, r rune, s script) {
	switch s {
	case scriptLatin, scriptCyrillic, scriptGreek, scriptGeorgian, scriptArmenian:
		r = unicode.ToLower(r)
	}
	switch s {
	case scriptLatin:
		switch r {
		case '’', '‘', '‛':
			r = '\''
		case 'œ':
			b.WriteString("oe")
			return
		case 'æ':
			b.WriteString("ae")
			return
		case 'đ', 'ð':
			r = 'd'
		case 'ı':
			r = 'i'
		}
	case scriptArabic:
		switch r {
		case 'ـ':
			return
		case 'أ', 'إ', 'آ', 'ٱ':
			r = 'ا'
		case 'ى':
			r = 'ي'
		case 'ة':
			r = 'ه'
		}
	case scriptCJ:
		if r >= 0x30A1 && r <= 0x30F6 { // katakana to hiragana
			r -= 0x60
		}
	}
	switch s {
	case scriptHebrew, scriptThai, scriptArabic, scriptLatin, scriptGreek:
		if unicode.Is(unicode.Mn, r) {
			return
		}
	}
	b.WriteRune(r)
}

// classify is the kind of a token by its unlossy form: stop words and separators are compared before letters are folded.
func (t *tokenizer) classify(unlossy string) tokenKind {
	if t.stopWords[unlossy] {
		return stopWordToken
	}
	return t.kinds[unlossy] // wordToken when absent
}

// decompose is the compatibility decomposition of each character by itself.
func decompose(s string) string {
	if isASCII(s) {
		return s
	}
	return norm.NFKD.String(s)
}

// normalizeFacet is the form under which facet strings are compared.
func normalizeFacet(s string) string {
	return strings.ToLower(decompose(strings.TrimSpace(s)))
}

// truncateFacet cuts a facet string at the last character that ends within maxFacetBytes.
func truncateFacet(s string) string {
	if len(s) <= maxFacetBytes {
		return s
	}
	end := maxFacetBytes
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	for i := range len(s) {
		if (s[i] < ' ' && (s[i] < '\t' || s[i] > '\r')) || s[i] == 0x7f {
			return true
		}
	}
	return false
}
