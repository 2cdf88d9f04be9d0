package meili

import (
	"strconv"
	"strings"
	"time"
)

// FormatTime prints t as Meilisearch does: RFC 3339 in UTC with as many digits of a second as it takes, up to nanoseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// FormatDuration prints d as tasks show it: PT1.5S as PT1.500S, fractions in groups of three digits, days apart.
// A negative one is "".
func FormatDuration(d time.Duration) string {
	if d < 0 {
		return ""
	}
	const day = 24 * time.Hour
	days, rest := int64(d/day), d%day
	out := "P"
	if days > 0 {
		out += strconv.FormatInt(days, 10) + "D"
		if rest == 0 {
			return out
		}
	}
	out += "T" + strconv.FormatInt(int64(rest/time.Second), 10)
	if nanos := int(rest % time.Second); nanos > 0 {
		digits := strconv.Itoa(nanos + int(time.Second))[1:]
		for strings.HasSuffix(digits, "000") {
			digits = digits[:len(digits)-3]
		}
		out += "." + digits
	}
	return out + "S"
}

// parseRFC3339 parses a date-time with offset. Like Meilisearch it takes any byte between date and time.
func parseRFC3339(s string) (time.Time, bool) {
	const shape = "0000-00-00T00:00:00"
	if len(s) <= len(shape) || !hasShape(s[:len(shape)], shape) {
		return time.Time{}, false
	}
	rest := strings.ToUpper(s[len(shape):])
	if strings.Contains(rest, ",") {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s[:10]+"T"+s[11:len(shape)]+rest)
	return t, err == nil
}

// hasShape reports whether s has digits where shape has zeros, any byte for a T, and equals it elsewhere.
func hasShape(s, shape string) bool {
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		switch shape[i] {
		case '0':
			if !isDigit(s[i]) {
				return false
			}
		case 'T':
		default:
			if s[i] != shape[i] {
				return false
			}
		}
	}
	return true
}

// parseDate parses YYYY-MM-DD as midnight UTC.
func parseDate(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil && hasShape(s, "0000-00-00")
}
