package engine

import "unicode"

// script is a writing system, as far as tokenizing differs.
type script uint8

const (
	scriptOther script = iota
	scriptLatin
	scriptCyrillic
	scriptArabic
	scriptHebrew
	scriptGeorgian
	scriptArmenian
	scriptGreek
	scriptThai
	scriptHangul
	scriptCJ
	scriptElse // any other script: its texts are a run of their own, nothing more
)

// scriptRun is the longest beginning of text in one script; characters of no script belong to the run they stand in.
func scriptRun(text string) (string, script) {
	current := scriptOther
	var table *unicode.RangeTable
	for i, r := range text {
		s, t := scriptOf(r)
		if s == scriptOther || (s == current && t == table) {
			continue
		}
		if current != scriptOther {
			return text[:i], current
		}
		current, table = s, t
	}
	return text, current
}

// scriptOf is the script of a character; the table tells scripts of scriptElse apart.
func scriptOf(r rune) (script, *unicode.RangeTable) {
	switch {
	case r < 0x80:
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return scriptLatin, nil
		}
		return scriptOther, nil
	case r <= 0x2AF, r >= 0x1D00 && r <= 0x1DBF && r != 0x1D2B && r != 0x1D78, r >= 0x1E00 && r <= 0x1EFF, r >= 0x2100 && r <= 0x214F,
		r >= 0x2C60 && r <= 0x2C7F, r >= 0xA720 && r <= 0xA7FF, r >= 0xAB30 && r <= 0xAB6F:
		return scriptLatin, nil
	case r >= 0x400 && r <= 0x52F && r != 0x485 && r != 0x486, r >= 0x2DE0 && r <= 0x2DFF, r >= 0xA640 && r <= 0xA69D, r == 0xA69F:
		return scriptCyrillic, nil
	case r >= 0x600 && r <= 0x6FF, r >= 0x750 && r <= 0x7FF, r >= 0x8A0 && r <= 0x8FF, r >= 0xFB50 && r <= 0xFDFF, r >= 0xFE70 && r <= 0xFEFF:
		return scriptArabic, nil
	case r >= 0x590 && r <= 0x5FF:
		return scriptHebrew, nil
	case r >= 0x10A0 && r <= 0x10FF:
		return scriptGeorgian, nil
	case r >= 0xAC00 && r <= 0xD7FF, r >= 0x1100 && r <= 0x11FF, r >= 0x3130 && r <= 0x318F, r >= 0x3200 && r <= 0x32FF, r >= 0xA960 && r <= 0xA97F,
		r >= 0xFF00 && r <= 0xFFEF:
		return scriptHangul, nil
	case r >= 0x3040 && r <= 0x30FF, r >= 0x2E80 && r <= 0x2FD5, r == 0x3005, r == 0x3007, r >= 0x3021 && r <= 0x3029, r >= 0x3038 && r <= 0x303B,
		r >= 0x3400 && r <= 0x4DB5, r >= 0x4E00 && r <= 0x9FCC, r >= 0xF900 && r <= 0xFAD9:
		return scriptCJ, nil
	case r >= 0x370 && r <= 0x3FF:
		return scriptGreek, nil
	case r >= 0xE00 && r <= 0xE7F:
		return scriptThai, nil
	}
	for _, table := range otherScripts {
		if unicode.Is(table, r) {
			return scriptElse, table
		}
	}
	return scriptOther, nil
}

var otherScripts = []*unicode.RangeTable{
	unicode.Devanagari, unicode.Ethiopic, unicode.Bengali, unicode.Kannada, unicode.Tamil, unicode.Gujarati, unicode.Gurmukhi,
	unicode.Telugu, unicode.Malayalam, unicode.Oriya, unicode.Myanmar, unicode.Sinhala, unicode.Khmer,
}
