package meili

import (
	"crypto/subtle"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Grant is what an authorized request may touch. The zero value may touch nothing.
type Grant struct {
	full    bool        // the master key, or no master key at all
	key     Key         // unless full
	tenant  bool        // through a tenant token
	rules   []tokenRule // of the tenant token
	expired bool
}

// FullGrant is the grant of the master key.
func FullGrant() *Grant { return &Grant{full: true} }

// IsTenant reports whether the request carries a tenant token.
func (g *Grant) IsTenant() bool { return g.tenant }

// KeyUID is the uid of the key behind the request, "" for the master key.
func (g *Grant) KeyUID() string { return g.key.UID }

// IndexAllowed reports whether key and tenant token, if any, cover the index.
func (g *Grant) IndexAllowed(uid string) bool {
	return g.keyCovers(uid) && g.tokenCovers(uid)
}

// AllIndexes reports whether every index is covered, so that lists need no filtering.
func (g *Grant) AllIndexes() bool {
	if g.full {
		return true
	}
	return slices.Contains(g.key.Indexes, "*") &&
		(!g.tenant || slices.ContainsFunc(g.rules, func(r tokenRule) bool { return r.pattern == "*" }))
}

// CanCreateIndex reports whether the request may create the index uid by writing to it.
func (g *Grant) CanCreateIndex(uid string) bool {
	return g.full || g.Allows(ActionIndexesCreate) && g.IndexAllowed(uid)
}

// Rule is the filter the tenant token demands for searches of an index, nil for none: that of the most specific pattern,
// an exact one before a prefix, a longer one before a shorter. Put it onto a request with AndFilter.
func (g *Grant) Rule(uid string) json.RawMessage {
	var best *tokenRule
	for i := range g.rules {
		r := &g.rules[i]
		if IndexPatternMatches(r.pattern, uid) && (best == nil || r.moreSpecific(best)) {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	return best.filter
}

func (r *tokenRule) moreSpecific(other *tokenRule) bool {
	exact, otherExact := !strings.HasSuffix(r.pattern, "*"), !strings.HasSuffix(other.pattern, "*")
	if exact != otherExact {
		return exact
	}
	return len(r.pattern) > len(other.pattern)
}

// Allows reports whether the key holds an action for some index at least.
func (g *Grant) Allows(action Action) bool { return g.full || g.allows(action, "") }

// allows follows the order of Meilisearch: every index, the index of the route, or any index if the route looks itself.
func (g *Grant) allows(action Action, indexUID string) bool {
	if g.expired || !slices.ContainsFunc(g.key.Actions, func(a Action) bool { return a.covers(action) }) {
		return false
	}
	switch {
	case slices.Contains(g.key.Indexes, "*"):
		return true
	case indexUID != "":
		return g.keyCovers(indexUID)
	}
	return action.facts().scope == scopeRoute && len(g.key.Indexes) > 0
}

func (g *Grant) keyCovers(uid string) bool {
	return g.full || slices.ContainsFunc(g.key.Indexes, func(p string) bool { return IndexPatternMatches(p, uid) })
}

func (g *Grant) tokenCovers(uid string) bool {
	return !g.tenant || slices.ContainsFunc(g.rules, func(r tokenRule) bool { return IndexPatternMatches(r.pattern, uid) })
}

func (g *Grant) tokenPatterns() []string {
	patterns := make([]string, len(g.rules))
	for i, r := range g.rules {
		patterns[i] = r.pattern
	}
	slices.Sort(patterns)
	return slices.Compact(patterns)
}

func invalidAPIKey() *Error {
	return newError(CodeInvalidAPIKey, "The provided API key is invalid.")
}

// Authorize decides whether a request with this Authorization header (present tells an empty one from none) may do action
// on indexUID, "" for routes without an index in their path. Without a master key everything but the keys is open.
// Errors: missing_authorization_header, invalid_api_key, missing_master_key.
func Authorize(masterKey string, keys []Key, header string, present bool, action Action, indexUID string, now time.Time) (*Grant, *Error) {
	token, err := bearerToken(header, present)
	if err != nil {
		return nil, err
	}
	if !present {
		indexUID = ""
	}
	grant, err := authorizeToken(masterKey, keys, token, action, indexUID, now)
	switch {
	case err == nil:
		return grant, nil
	case masterKey == "":
		return nil, newError(CodeMissingMasterKey, "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at launch.")
	case !present:
		return nil, missingAuthorization()
	}
	return nil, err
}

func missingAuthorization() *Error {
	return newError(CodeMissingAuthorizationHeader, "The Authorization header is missing. It must use the bearer authorization method.")
}

func bearerToken(header string, present bool) (string, *Error) {
	if !present {
		return "", nil
	}
	scheme, token, spaced := strings.Cut(header, " ")
	switch {
	case scheme != "Bearer" || !isVisibleASCII(header):
		return "", missingAuthorization()
	case !spaced:
		return "", invalidAPIKey()
	}
	return token, nil
}

// isVisibleASCII reports whether actix can read a header value as text.
func isVisibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] != '\t' && (s[i] < ' ' || s[i] > '~') {
			return false
		}
	}
	return true
}

func authorizeToken(masterKey string, keys []Key, token string, action Action, indexUID string, now time.Time) (*Grant, *Error) {
	if masterKey == "" && !strings.HasPrefix(string(action), "keys.") ||
		masterKey != "" && subtle.ConstantTimeCompare([]byte(masterKey), []byte(token)) == 1 {
		return FullGrant(), nil
	}
	grant, err := identify(masterKey, keys, token, action, now)
	if err != nil {
		return nil, err
	}
	if err := grant.checkIndex(indexUID); err != nil {
		return nil, err
	}
	if !grant.allows(action, indexUID) {
		return nil, invalidAPIKey()
	}
	return grant, nil
}

// identify finds the key behind a bearer, which is the key itself or, for searches, a tenant token.
func identify(masterKey string, keys []Key, token string, action Action, now time.Time) (*Grant, *Error) {
	claims, err := tenantClaims(masterKey, token, action, now)
	if err != nil {
		return nil, err
	}
	grant := &Grant{}
	if claims == nil {
		key := keyOfValue(keys, token, masterKey)
		if key == nil {
			return nil, invalidAPIKey()
		}
		grant.key = *key
	} else {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.UID == claims.keyUID })
		if i < 0 {
			return nil, invalidAPIKey()
		}
		grant.key, grant.tenant, grant.rules = keys[i], true, claims.rules
	}
	grant.expired = grant.key.ExpiresAt != nil && !now.Before(*grant.key.ExpiresAt)
	return grant, nil
}

// tenantClaims are those of a tenant token, nil when the bearer is none or the action does not take any.
func tenantClaims(masterKey, token string, action Action, now time.Time) (*tokenClaims, *Error) {
	if action != ActionSearch && action != ActionChatCompletions || masterKey == "" {
		return nil, nil
	}
	claims, fail := parseToken(token, func(uid string) string { return DeriveKey(masterKey, uid) })
	switch {
	case fail == errNoToken:
		return nil, nil
	case fail != "":
		return nil, newError(CodeInvalidAPIKey, "Could not decode tenant token, "+string(fail)+".")
	}
	return claims, claims.expired(now)
}

// checkIndex refuses the index of a route that token or key does not cover. What a tenant token covers is no secret, what
// the key behind it covers is.
func (g *Grant) checkIndex(uid string) *Error {
	switch {
	case uid == "":
		return nil
	case !g.tokenCovers(uid):
		return newError(CodeInvalidAPIKey, "The provided tenant token cannot acces the index `"+uid+"`, allowed indexes are "+rustList(g.tokenPatterns())+".")
	case g.keyCovers(uid):
		return nil
	case g.tenant:
		return newError(CodeInvalidAPIKey, "The API key used to generate this tenant token cannot acces the index `"+uid+"`.")
	}
	indexes := slices.Clone(g.key.Indexes)
	slices.Sort(indexes)
	return newError(CodeInvalidAPIKey, "The API key cannot acces the index `"+uid+"`, authorized indexes are "+rustList(slices.Compact(indexes))+".")
}
