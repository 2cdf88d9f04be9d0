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
	if problem := numericHostProblem(strings.Split(strings.TrimSuffix(domain, "."), ".")); problem {
		return "invalid IPv4 address"
	}
	return ""
}

// numericHostProblem reports whether a host that ends in a number is no IPv4 address: up to four numbers, of which the
// last fills the bytes the others leave.
func numericHostProblem(parts []string) bool {
	const bits = 32
	if _, isNumber := hostNumber(parts[len(parts)-1]); !isNumber {
		return false
	}
	for i, part := range parts {
		n, isNumber := hostNumber(part)
		width := 8
		if i == len(parts)-1 {
			width = bits - 8*i
		}
		if !isNumber || width <= 0 || n>>width != 0 {
			return true
		}
	}
	return false
}

// hostNumber reads a decimal, 0x hexadecimal or 0 octal number; nothing after 0x is 0.
func hostNumber(text string) (n uint64, ok bool) {
	base, digits := 10, text
	if hex, isHex := strings.CutPrefix(strings.ToLower(text), "0x"); isHex {
		base, digits = 16, hex
		if hex == "" {
			return 0, true
		}
	} else if len(text) > 1 && text[0] == '0' {
		base, digits = 8, text[1:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil
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
