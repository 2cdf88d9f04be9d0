package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// scripts are the writing systems other than Latin that a city keeps names in.
var scripts = []*unicode.RangeTable{
	unicode.Arabic, unicode.Armenian, unicode.Bengali, unicode.Cyrillic, unicode.Devanagari, unicode.Ethiopic, unicode.Georgian,
	unicode.Greek, unicode.Han, unicode.Hangul, unicode.Hebrew, unicode.Hiragana, unicode.Katakana, unicode.Tamil, unicode.Thai,
}

// otherNames picks the names people use for p elsewhere: Latin ones that differ by more than accents (many for the largest
// cities, few for the rest) and up to two in each other script. GeoNames' lower-case transliterations are left out.
func otherNames(p place, rank int) []string {
	latin, perScript := 6, 1
	if rank <= 400 {
		latin, perScript = 40, 2
	}
	seen := map[string]bool{fold(p.name): true, fold(p.ascii): true}
	used := map[*unicode.RangeTable]int{}
	var names []string
	for _, name := range p.names {
		name = norm.NFC.String(strings.TrimSpace(name))
		key := fold(name)
		if key == "" || seen[key] || strings.ContainsAny(name, "-(/") {
			continue
		}
		first := []rune(name)[0]
		switch table := scriptOf(first); {
		case table != nil && used[table] < perScript:
			used[table]++
		case table == nil && unicode.Is(unicode.Latin, first) && unicode.IsUpper(first) && latin > 0:
			latin--
		default:
			continue
		}
		seen[key] = true
		names = append(names, name)
	}
	return names
}

func scriptOf(r rune) *unicode.RangeTable {
	for _, table := range scripts {
		if unicode.Is(table, r) {
			return table
		}
	}
	return nil
}

// fold drops case, accents and everything but letters.
func fold(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		if unicode.IsLetter(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
