package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"miroir/fsm"
	"miroir/meili"
)

// A search-page token lets one browser search one index: no key of the API ever reaches it. It is a JWT signed
// with a secret of the replicated state, told from a tenant token by its issuer and its kid header.

const (
	pageIssuer   = "miroir"
	pageTokenTTL = 15 * time.Minute
)

type pageClaims struct {
	jwt.RegisteredClaims
	Index string   `json:"idx"`
	Scope []string `json:"scope"`
}

// isPageToken tells by shape alone; the signature is checked by authorizePage.
func isPageToken(token string) bool {
	if strings.Count(token, ".") != 2 {
		return false
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &pageClaims{})
	if err != nil {
		return false
	}
	_, hasKid := parsed.Header["kid"]
	issuer, err := parsed.Claims.GetIssuer()
	return err == nil && hasKid && issuer == pageIssuer
}

// pageKeyID names the secret without telling it.
func pageKeyID(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:4])
}

// pageSecret is the same on every pod: made of the master key and the cluster's random id.
func (s *Server) pageSecret(v *fsm.View) []byte {
	mac := hmac.New(sha256.New, []byte(s.opts.MasterKey))
	mac.Write([]byte("search page of " + v.ClusterID))
	return mac.Sum(nil)
}

// handlePageSession gives a browser a token for one index.
func (s *Server) handlePageSession(w http.ResponseWriter, r *request) error {
	uid := r.Params.ByName("index")
	if err := meili.CheckIndexUID(uid); err != nil {
		return err
	}
	if r.View.Index(uid) == nil {
		return meili.Errorf("index_not_found", "Index `%s` not found.", uid)
	}
	now := s.opts.Now()
	expires := now.Add(pageTokenTTL)
	secret := s.pageSecret(r.View)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, pageClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: pageIssuer, Subject: "search-ui-session",
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Index: uid, Scope: []string{"search", "multi_search", "beacon"},
	})
	token.Header["kid"] = pageKeyID(secret)
	signed, err := token.SignedString(secret)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
		Index     string    `json:"index"`
		RateLimit string    `json:"rate_limit"`
	}{signed, expires.UTC().Truncate(time.Second), uid, "60/minute"})
	return nil
}

// authorizePage verifies a page token and allows exactly its own routes: a search of its index, and a
// multi-search of nothing else. It never falls through to other kinds of authorization.
func (s *Server) authorizePage(r *request, token string, action meili.Action) (*meili.Grant, error) {
	secret := s.pageSecret(r.View)
	var claims pageClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if t.Header["kid"] != pageKeyID(secret) {
			return nil, jwt.ErrTokenUnverifiable
		}
		return secret, nil
	}, jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(pageIssuer), jwt.WithExpirationRequired(), jwt.WithTimeFunc(s.opts.Now))
	if err != nil {
		return nil, miroirError(codeJWTInvalid, "The search page's token is not valid: %v. Load the page again.", err)
	}
	denied := miroirError(codeJWTScopeDenied, "The search page's token allows searching the index `%s` only.", claims.Index)
	if action != meili.ActionSearch || r.Method != http.MethodPost {
		return nil, denied
	}
	switch r.Template {
	case "/indexes/:uid/search":
		if r.uid() != claims.Index || !slices.Contains(claims.Scope, "search") {
			return nil, denied
		}
	case "/multi-search":
		if !slices.Contains(claims.Scope, "multi_search") || !onlyIndex(r, claims.Index) {
			return nil, denied
		}
	default:
		return nil, denied
	}
	return meili.IndexGrant(claims.Index), nil
}

// onlyIndex reports whether every query of a multi-search body names index. The body can be read again after.
func onlyIndex(r *request, index string) bool {
	body, err := r.readBody()
	r.Request.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return false
	}
	var search struct {
		Queries []struct {
			IndexUID string `json:"indexUid"`
		} `json:"queries"`
	}
	if json.Unmarshal(body, &search) != nil {
		return true // the route itself reports what is wrong with the body
	}
	for _, query := range search.Queries {
		if query.IndexUID != index {
			return false
		}
	}
	return true
}
