package meili

import (
	"net/netip"
	"strconv"
	"strings"
)

// urlProblem says why a text is not an absolute URL by the URL standard, "" when it is, in the words of the Rust crate
// url. Schemes other than those of the web and FTP are not looked into.
func urlProblem(text string) string {
	text = strings.TrimFunc(text, func(r rune) bool { return r <= ' ' })
	text = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(text)
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || !isScheme(scheme) {
		return "relative URL without a base"
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss", "ftp":
		return authorityProblem(strings.TrimLeft(rest, `/\`))
	}
	return ""
}

func isScheme(scheme string) bool {
	for i := range len(scheme) {
		c := scheme[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !isDigit(c) && !strings.ContainsRune("+-.", rune(c))) {
			return false
		}
	}
	return scheme != ""
}

func authorityProblem(rest string) string {
	authority := rest
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		authority = rest[:end]
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	host, port := authority, ""
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		host, port = authority[:colon], authority[colon+1:]
	}
	if host == "" {
		return "empty host"
	}
	if problem := hostProblem(host); problem != "" {
		return problem
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return "invalid port number"
	}
	return ""
}

func hostProblem(host string) string {
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		if address, err := netip.ParseAddr(inner); !closed || err != nil || !address.Is6() || address.Zone() != "" {
			return "invalid IPv6 address"
		}
		return ""
	}
	domain := unescapePercent(host)
	if strings.ContainsFunc(domain, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`#/:<>?@[\]^|%`, r) }) {
		return "invalid international domain name"
	}
	last := domain[strings.LastIndexByte(strings.TrimSuffix(domain, "."), '.')+1:]
	if _, err := strconv.ParseUint(last, 10, 64); err == nil && strings.Contains(domain, ".") {
		if _, err := netip.ParseAddr(domain); err != nil {
			return "invalid IPv4 address"
		}
	}
	return ""
}

// unescapePercent decodes percent escapes and leaves broken ones as they are.
func unescapePercent(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}
