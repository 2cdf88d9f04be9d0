package meili

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rustDebug prints s as Rust's {:?} does: in double quotes, what cannot be printed escaped.
func rustDebug(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r == '\'' {
			b.WriteByte('\'')
			continue
		}
		writeRustEscape(&b, r, true)
	}
	b.WriteByte('"')
	return b.String()
}

// rustEscape prints s as Rust's escape_debug does: both kinds of quotes escaped, combining marks only at the start.
func rustEscape(s string) string {
	var b strings.Builder
	for i, r := range s {
		writeRustEscape(&b, r, i == 0)
	}
	return b.String()
}

func writeRustEscape(b *strings.Builder, r rune, marks bool) {
	switch {
	case r == 0:
		b.WriteString(`\0`)
	case r == '\t':
		b.WriteString(`\t`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\'' || r == '"' || r == '\\':
		b.WriteByte('\\')
		b.WriteRune(r)
	case marks && unicode.In(r, unicode.Mn, unicode.Me, unicode.Other_Grapheme_Extend) || !unicode.IsPrint(r):
		b.WriteString(`\u{` + strconv.FormatInt(int64(r), 16) + `}`)
	default:
		b.WriteRune(r)
	}
}

// rustList prints a list of strings as Rust's {:?} does.
func rustList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = rustDebug(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// rustFloat prints f as Rust's {} does: shortest digits, never an exponent, no point for whole numbers.
func rustFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// parseRustFloat is str::parse::<f64>: decimal numbers, inf, infinity and nan; no hexadecimal, no underscores.
func parseRustFloat(s string) (float64, bool) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return 0, false
	}
	if c, _ := utf8.DecodeRuneInString(digits); isDigit(byte(c)) || c == '.' {
		if strings.ContainsAny(digits, "xX_pP") {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && err.(*strconv.NumError).Err != strconv.ErrRange {
		return 0, false
	}
	return f, true
}

// serdeUnexpected describes a value as Rust's serde does when it expected another kind.
func serdeUnexpected(v *Value) string {
	switch v.Kind {
	case KindNull:
		return "null"
	case KindBool:
		return "boolean `" + v.JSON() + "`"
	case KindUint, KindInt:
		return "integer `" + v.JSON() + "`"
	case KindFloat:
		return "floating point `" + v.JSON() + "`"
	case KindString:
		return "string " + rustDebug(v.Text)
	case KindArray:
		return "sequence"
	}
	return "map"
}
