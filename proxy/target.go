package proxy

import "strings"

// targetAllowed reports whether the bytes of a request's target are allowed where they stand. Others are answered with 400
// and no body, as Meilisearch's HTTP library does before anything looks at the request. It is laxer than RFC 3986: braces,
// bars, backslashes and carets pass, quotes pass in a path and backticks in a query.
func targetAllowed(target string) bool {
	target, _, _ = strings.Cut(target, "#")
	path, query, _ := strings.Cut(target, "?")
	return !hasUnescaped(path, '`') && !hasUnescaped(query, '"')
}

// hasUnescaped reports whether text has a byte that is never allowed, or also.
func hasUnescaped(text string, also byte) bool {
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b >= 0x7f || b == '<' || b == '>' || b == also {
			return true
		}
	}
	return false
}
