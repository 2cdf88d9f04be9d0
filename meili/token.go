package meili

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
)

// tokenClaims are what a tenant token says once its signature is checked.
type tokenClaims struct {
	keyUID string
	rules  []tokenRule
	exp    *int64 // seconds since 1970
	aud    bool   // has an audience
}

// tokenRule is one entry of searchRules: a pattern of index uids and the filter searches of them get, nil for none.
type tokenRule struct {
	pattern string
	filter  json.RawMessage
}

// tokenFailure is why a tenant token is refused, in the words of the Rust crate jsonwebtoken 10.4.
type tokenFailure string

// errNoToken is a bearer that does not have the shape of a token; it may be a key.
const errNoToken tokenFailure = "InvalidToken"

var tokenHashes = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}

// tokenAlgorithms are those a header may name; only the first three are accepted.
var tokenAlgorithms = []string{"HS256", "HS384", "HS512", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"}

// parseToken reads a tenant token and checks that the key it names signed it. keyValue derives the value of a key from
// its uid. Whether that key exists and whether the token expired is left to the caller. "" means no failure.
func parseToken(token string, keyValue func(uid string) string) (*tokenClaims, tokenFailure) {
	message, signature, ok := cutLast(token, ".")
	if !ok {
		return nil, errNoToken
	}
	header, payload, ok := cutLast(message, ".")
	if !ok {
		return nil, errNoToken
	}
	algorithm, fail := tokenHeader(header)
	if fail != "" {
		return nil, fail
	}
	claims, fail := tokenPayload(payload)
	if fail != "" {
		return nil, fail
	}
	newHash := tokenHashes[algorithm]
	if newHash == nil {
		return nil, "InvalidAlgorithm"
	}
	signed, fail := decodeBase64(signature)
	if fail != "" {
		return nil, fail
	}
	mac := hmac.New(newHash, []byte(keyValue(claims.keyUID)))
	mac.Write([]byte(message))
	if !hmac.Equal(signed, mac.Sum(nil)) {
		return nil, "InvalidSignature"
	}
	if claims.aud {
		return nil, "InvalidAudience"
	}
	return claims, ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// tokenPart decodes a part of a token that holds a JSON object; what names it in errors.
func tokenPart(part, what string) ([]byte, tokenFailure) {
	text, fail := decodeBase64(part)
	if fail != "" {
		return nil, fail
	}
	v, err := ParseJSON(text)
	if err != nil {
		return nil, tokenFailure("JSON error: " + err.Error())
	}
	if v.Kind != KindObject {
		end := len(text)
		if v.Kind == KindArray {
			end = 0
		}
		return nil, jsonFailure(text, end, "invalid type: "+serdeUnexpected(&v)+", expected struct "+what)
	}
	return text, ""
}

// jsonFailure is an error at an offset of a JSON text.
func jsonFailure(text []byte, offset int, what string) tokenFailure {
	line := bytes.LastIndexByte(text[:offset], '\n') + 1
	return tokenFailure(fmt.Sprintf("JSON error: %s at line %d column %d", what, 1+bytes.Count(text[:line], []byte{'\n'}), offset-line))
}

// tokenHeader reads the algorithm. Members nobody knows must be strings.
func tokenHeader(part string) (algorithm string, fail tokenFailure) {
	text, fail := tokenPart(part, "Header")
	if fail != "" {
		return "", fail
	}
	for m := range rawMembers(text) {
		v, err := ParseJSON(text[m.value:m.valueEnd])
		if err != nil {
			return "", tokenFailure("JSON error: " + err.Error())
		}
		end := m.valueEnd
		switch string(unquote(text[m.key:m.keyEnd])) {
		case "alg":
			if v.Kind != KindString {
				return "", jsonFailure(text, m.value+1, "expected value")
			}
			if algorithm = v.Text; !slices.Contains(tokenAlgorithms, algorithm) {
				return "", jsonFailure(text, end, "unknown variant `"+algorithm+"`, "+expectedOneOf(tokenAlgorithms))
			}
		case "jwk", "x5c", "crit", "enc", "zip":
			continue
		case "typ", "cty", "jku", "kid", "x5u", "x5t", "x5t#S256", "url", "nonce":
			if v.Kind == KindNull {
				continue
			}
		default:
			end = len(text) // read last
		}
		if v.Kind != KindString {
			return "", jsonFailure(text, end, "invalid type: "+serdeUnexpected(&v)+", expected a string")
		}
	}
	if algorithm == "" {
		return "", jsonFailure(text, len(text), "missing field `alg`")
	}
	return algorithm, ""
}

func tokenPayload(part string) (*tokenClaims, tokenFailure) {
	text, fail := tokenPart(part, "Claims")
	if fail != "" {
		return nil, fail
	}
	claims, seen := &tokenClaims{}, map[string]bool{}
	for m := range rawMembers(text) {
		name := string(unquote(text[m.key:m.keyEnd]))
		switch name {
		case "apiKeyUid", "searchRules", "exp", "aud", "nbf", "sub", "iss":
			if seen[name] {
				return nil, jsonFailure(text, m.keyEnd, "duplicate field `"+name+"`")
			}
		}
		seen[name] = true
		v, err := ParseJSON(text[m.value:m.valueEnd])
		if err != nil {
			return nil, tokenFailure("JSON error: " + err.Error())
		}
		if what := claims.set(name, &v); what != "" {
			return nil, jsonFailure(text, claimEnd(text, name, m), what)
		}
	}
	for _, name := range []string{"searchRules", "apiKeyUid"} {
		if !seen[name] {
			return nil, jsonFailure(text, len(text), "missing field `"+name+"`")
		}
	}
	return claims, ""
}

// claimEnd is where serde notices that a claim is wrong: before lists and objects, behind other values, and for
// searchRules behind a closing brace that follows it.
func claimEnd(text []byte, name string, m member) int {
	if name != "searchRules" {
		if c := text[m.value]; c == '[' || c == '{' {
			return m.value
		}
		return m.valueEnd
	}
	end := skipSpace(text, m.valueEnd)
	if end < len(text) && text[end] == '}' {
		end++
	}
	return end
}

// set stores one claim and says what is wrong with it.
func (c *tokenClaims) set(name string, v *Value) (what string) {
	switch name {
	case "apiKeyUid":
		if v.Kind != KindString {
			return "invalid type: " + serdeUnexpected(v) + ", expected a formatted UUID string"
		}
		uid, problem := ParseUUID(v.Text)
		if problem != "" {
			return "UUID parsing failed: " + problem
		}
		c.keyUID = uid
	case "searchRules":
		rules, ok := searchRules(v)
		if !ok {
			return "data did not match any variant of untagged enum SearchRules"
		}
		c.rules = rules
	case "exp":
		return c.setExpiry(v)
	case "aud":
		c.aud = v.Kind == KindString || v.Kind == KindArray && allStrings(v.Items)
	}
	return ""
}

func (c *tokenClaims) setExpiry(v *Value) (what string) {
	switch exp := int64(v.Uint); {
	case v.Kind == KindNull:
	case v.Kind == KindInt:
		c.exp = &v.Int
	case v.Kind == KindUint && exp >= 0:
		c.exp = &exp
	case v.Kind == KindUint:
		return "invalid value: " + serdeUnexpected(v) + ", expected i64"
	default:
		return "invalid type: " + serdeUnexpected(v) + ", expected i64"
	}
	return ""
}

func allStrings(items []Value) bool {
	return !slices.ContainsFunc(items, func(v Value) bool { return v.Kind != KindString })
}

// searchRules reads the claim of that name: a list of patterns, or patterns with null or a rule.
func searchRules(v *Value) ([]tokenRule, bool) {
	rules := []tokenRule{}
	switch v.Kind {
	case KindArray:
		if !allStrings(v.Items) {
			return nil, false
		}
		for i := range v.Items {
			rules = append(rules, tokenRule{pattern: v.Items[i].Text})
		}
	case KindObject:
		for i := range v.Members {
			filter, ok := ruleFilter(&v.Members[i].Value)
			if !ok {
				return nil, false
			}
			rules = append(rules, tokenRule{pattern: v.Members[i].Key, filter: filter})
		}
	default:
		return nil, false
	}
	return rules, true
}

// ruleFilter reads a rule: null, {"filter": …}, or the same as a list of one, which serde takes for a struct.
func ruleFilter(v *Value) (json.RawMessage, bool) {
	var filter *Value
	switch {
	case v.Kind == KindObject:
		filter = v.Member("filter")
	case v.Kind == KindArray && len(v.Items) == 1:
		filter = &v.Items[0]
	case v.Kind != KindNull:
		return nil, false
	}
	if filter == nil || filter.Kind == KindNull {
		return nil, true
	}
	return filter.Raw(), true
}

// decodeBase64 decodes the alphabet of URLs without padding, with the errors of the Rust crate base64 0.22.
func decodeBase64(text string) ([]byte, tokenFailure) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(text)%4 == 1 && text[len(text)-1] != '=' && strings.IndexByte(alphabet, text[len(text)-1]) < 0 {
		return nil, badSymbol(text, len(text)-1)
	}
	for i := range len(text) {
		if strings.IndexByte(alphabet, text[i]) >= 0 {
			continue
		}
		if i%4 >= 2 && i/4 == (len(text)-1)/4 && strings.Trim(text[i:], "=") == "" {
			return nil, "Base64 error: Invalid padding"
		}
		return nil, badSymbol(text, i)
	}
	if len(text)%4 == 1 {
		return nil, tokenFailure(fmt.Sprintf("Base64 error: Invalid input length: %d", len(text)))
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		last := len(text) - 1
		return nil, tokenFailure(fmt.Sprintf("Base64 error: Invalid last symbol %d, offset %d.", text[last], last))
	}
	return decoded, ""
}

func badSymbol(text string, i int) tokenFailure {
	return tokenFailure(fmt.Sprintf("Base64 error: Invalid symbol %d, offset %d.", text[i], i))
}

// expired is the error of a token whose time is over; there is no leeway.
func (c *tokenClaims) expired(now time.Time) *Error {
	if c.exp == nil || now.Unix() <= *c.exp {
		return nil
	}
	return Errorf(CodeInvalidAPIKey, "Tenant token expired. Was valid up to `%d` and we're now `%d`.", *c.exp, now.Unix())
}
