package meili

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends v as serde_json prints it: compact, non-ASCII text as it is, floats by their shortest digits.
// Error messages quote values in this form.
func (v *Value) AppendJSON(b []byte) []byte {
	switch v.Kind {
	case KindBool:
		return strconv.AppendBool(b, v.Bool)
	case KindUint:
		return strconv.AppendUint(b, v.Uint, 10)
	case KindInt:
		return strconv.AppendInt(b, v.Int, 10)
	case KindFloat:
		return appendFloat(b, v.Float)
	case KindString:
		return AppendString(b, v.Text)
	case KindArray:
		b = append(b, '[')
		for i := range v.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.Items[i].AppendJSON(b)
		}
		return append(b, ']')
	case KindObject:
		return v.appendObject(b)
	}
	return append(b, "null"...)
}

func (v *Value) appendObject(b []byte) []byte {
	b = append(b, '{')
	for i := range v.Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendString(b, v.Members[i].Key)
		b = append(b, ':')
		b = v.Members[i].Value.AppendJSON(b)
	}
	return append(b, '}')
}

// JSON is v as error messages quote it, see AppendJSON.
func (v *Value) JSON() string { return string(v.AppendJSON(nil)) }

// AppendString appends s as a JSON string without escaping more than JSON demands (encoding/json also escapes <, > and &).
// Bytes that are not UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, '\\', 'b')
		case r == '\f':
			b = append(b, '\\', 'f')
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendFloat prints f as the Rust crate zmij does: always with a point or an exponent, the exponent used from 1e16 and
// below 1e-5.
func appendFloat(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(b, "null"...)
	}
	magnitude := math.Abs(f)
	if magnitude != 0 && (magnitude < 1e-5 || magnitude >= 1e16) {
		return appendExponent(b, f)
	}
	text := strconv.AppendFloat(nil, f, 'f', -1, 64)
	b = append(b, text...)
	for _, c := range text {
		if c == '.' {
			return b
		}
	}
	return append(b, '.', '0')
}

// appendExponent prints 1e-07 as 1e-7.
func appendExponent(b []byte, f float64) []byte {
	text := strconv.AppendFloat(nil, f, 'e', -1, 64)
	if n := len(text); text[n-2] == '0' {
		text = append(text[:n-2], text[n-1])
	}
	return append(b, text...)
}
