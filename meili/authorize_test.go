package meili

import (
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"testing"
)

const testMaster = "masterKeymasterKey"

var testKeys = []Key{
	{UID: "00000000-0000-4000-8000-000000000001", Actions: []Action{ActionAll}, Indexes: []string{"*"}},
	{UID: "00000000-0000-4000-8000-000000000002", Actions: []Action{ActionSearch, ActionDocumentsAll, ActionIndexesCreate}, Indexes: []string{"movies", "pub*"}},
	{UID: "00000000-0000-4000-8000-000000000003", Actions: []Action{ActionAllGet}, Indexes: []string{"*"}},
	{UID: "00000000-0000-4000-8000-000000000004", Actions: []Action{ActionAll}, Indexes: []string{"*"}, ExpiresAt: &keyNow},
	{UID: "00000000-0000-4000-8000-000000000005", Actions: []Action{ActionAll}, Indexes: []string{}},
}

func bearer(i int) string { return "Bearer " + DeriveKey(testMaster, testKeys[i].UID) }

// signToken makes a tenant token of JSON texts, signed by the value of a key.
func signToken(header, claims, keyValue string) string {
	message := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	newHash := tokenHashes["HS256"]
	for name, h := range tokenHashes {
		if strings.Contains(header, name) {
			newHash = h
		}
	}
	mac := hmac.New(newHash, []byte(keyValue))
	mac.Write([]byte(message))
	return message + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func tenantToken(i int, members string) string {
	claims := `{"apiKeyUid":"` + testKeys[i].UID + `",` + members + `}`
	return "Bearer " + signToken(`{"alg":"HS256","typ":"JWT"}`, claims, DeriveKey(testMaster, testKeys[i].UID))
}

func TestAuthorizeKeys(t *testing.T) {
	const invalid = "The provided API key is invalid."
	f := func(header string, action Action, index, message string) {
		t.Helper()
		grant, err := Authorize(testMaster, testKeys, header, header != "", action, index, keyNow)
		if (grant == nil) == (err == nil) || errorMessage(err) != message {
			t.Errorf("%s on %q: %v, %q", action, index, grant, errorMessage(err))
		}
	}
	missing := missingAuthorization().Message
	f("Bearer "+testMaster, ActionKeysDelete, "", "")
	f("", ActionSearch, "movies", missing)
	f("Basic x", ActionVersion, "", missing)
	f("bearer "+testMaster, ActionVersion, "", missing)
	f("Bearer", ActionVersion, "", invalid)
	f("Bearer  "+testMaster, ActionVersion, "", invalid)
	f("Bearer nope", ActionVersion, "", invalid)
	f(bearer(0), ActionKeysGet, "", "")
	f("Bearer "+strings.ToUpper(DeriveKey(testMaster, testKeys[0].UID)), ActionDocumentsAll, "x", "")
	f(bearer(1), ActionSearch, "public", "")
	f(bearer(1), ActionSearch, "", "") // multi-search looks itself
	f(bearer(1), ActionDocumentsAdd, "movies", "")
	f(bearer(1), ActionDocumentsAdd, "", invalid)
	f(bearer(1), ActionDocumentsAll, "movies", invalid) // a family covers its members only
	f(bearer(1), ActionIndexesGet, "movies", invalid)
	f(bearer(1), ActionSearch, "secret", "The API key cannot acces the index `secret`, authorized indexes are [\"movies\", \"pub*\"].")
	f(bearer(2), ActionSearch, "x", "")
	f(bearer(2), ActionExport, "", "")
	f(bearer(2), ActionKeysGet, "", invalid)
	f(bearer(2), ActionChatCompletions, "", invalid)
	f(bearer(3), ActionSearch, "x", invalid) // expired
	f(bearer(4), ActionSearch, "x", "The API key cannot acces the index `x`, authorized indexes are [].")
	f(bearer(4), ActionTasksGet, "", invalid)
}

func TestAuthorizeWithoutMasterKey(t *testing.T) {
	f := func(header string, action Action, code Code) {
		t.Helper()
		grant, err := Authorize("", testKeys, header, header != "", action, "x", keyNow)
		if code == "" && (err != nil || !grant.AllIndexes()) || code != "" && (err == nil || err.Code != code) {
			t.Errorf("%q %s: %v, %v", header, action, grant, err)
		}
	}
	f("", ActionSearch, "")
	f("Bearer whatever", ActionDocumentsDelete, "")
	f("", ActionKeysGet, CodeMissingMasterKey)
	f("Bearer whatever", ActionKeysCreate, CodeMissingMasterKey)
	f("Basic x", ActionSearch, CodeMissingAuthorizationHeader)
	f("Bearer", ActionSearch, CodeInvalidAPIKey)
}

func TestAuthorizeTenantTokens(t *testing.T) {
	const undecoded = "Could not decode tenant token, "
	f := func(header string, index, message string) {
		t.Helper()
		grant, err := Authorize(testMaster, testKeys, header, true, ActionSearch, index, keyNow)
		if errorMessage(err) != message || err == nil && !grant.IsTenant() {
			t.Errorf("%v, %q, want %q", grant, errorMessage(err), message)
		}
	}
	f(tenantToken(1, `"searchRules":["*"]`), "movies", "")
	f(tenantToken(1, `"searchRules":{"pub*":null},"exp":1767225600,"nbf":9999999999,"iss":1`), "public", "")
	f(tenantToken(1, `"searchRules":["*"],"exp":1767225599`), "movies", "Tenant token expired. Was valid up to `1767225599` and we're now `1767225600`.")
	f(tenantToken(1, `"searchRules":["pub*","a","a"]`), "movies", "The provided tenant token cannot acces the index `movies`, allowed indexes are [\"a\", \"pub*\"].")
	f(tenantToken(1, `"searchRules":["*"]`), "secret", "The API key used to generate this tenant token cannot acces the index `secret`.")
	f(tenantToken(3, `"searchRules":["*"]`), "movies", "The provided API key is invalid.")
	f(tenantToken(1, `"searchRules":["*"],"aud":"x"`), "movies", undecoded+"InvalidAudience.")
	f(tenantToken(1, `"searchRules":1`), "movies", undecoded+"JSON error: data did not match any variant of untagged enum SearchRules at line 1 column 68.")
	f(tenantToken(1, `"x":1`), "movies", undecoded+"JSON error: missing field `searchRules` at line 1 column 58.")
	f(tenantToken(1, `"searchRules":[],"exp":"1"`), "movies", undecoded+"JSON error: invalid type: string \"1\", expected i64 at line 1 column 78.")
	f(tenantToken(1, `"searchRules":[],"searchRules":[]`), "movies", undecoded+"JSON error: duplicate field `searchRules` at line 1 column 82.")
	f(tenantToken(1, `"searchRules":["*"]`)+"A", "movies", undecoded+"InvalidSignature.")
	f("Bearer a.b.c", "movies", undecoded+"Base64 error: Invalid input length: 1.")
	f("Bearer a!b.cc.dd", "movies", undecoded+"Base64 error: Invalid symbol 33, offset 1..")
	f("Bearer a.b", "movies", "The provided API key is invalid.")
	claims := `{"apiKeyUid":"` + testKeys[1].UID + `","searchRules":["*"]}`
	value := DeriveKey(testMaster, testKeys[1].UID)
	f("Bearer "+signToken(`{"alg":"HS512"}`, claims, value), "movies", "")
	f("Bearer "+signToken(`{"alg":"HS384"}`, claims, value), "movies", "")
	f("Bearer "+signToken(`{"alg":"RS256"}`, claims, value), "movies", undecoded+"InvalidAlgorithm.")
	f("Bearer "+signToken(`{"alg":"none"}`, claims, value), "movies", undecoded+"JSON error: unknown variant `none`, expected one of `HS256`, `HS384`, `HS512`, "+
		"`ES256`, `ES384`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA` at line 1 column 13.")
	f("Bearer "+signToken(`{"alg":"HS256"}`, claims, testMaster), "movies", undecoded+"InvalidSignature.")
	if _, err := Authorize(testMaster, testKeys, tenantToken(0, `"searchRules":["*"]`), true, ActionDocumentsGet, "movies", keyNow); err == nil {
		t.Error("tenant tokens are for searches only")
	}
}

func TestGrantRules(t *testing.T) {
	header := tenantToken(1, `"searchRules":{"*":{"filter":"all = 1"},"mov*":{"filter":["m = 1"]},"movies":null,"pub*":["p = 1"],"public1":{"filter":null,"x":2}}`)
	grant, err := Authorize(testMaster, testKeys, header, true, ActionSearch, "", keyNow)
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[string]string{"movies": "", "mov": `["m = 1"]`, "public": `"p = 1"`, "public1": "", "other": `"all = 1"`} {
		if got := string(grant.Rule(uid)); got != want {
			t.Errorf("%s: %s, want %s", uid, got, want)
		}
	}
	if grant.IndexAllowed("other") || !grant.IndexAllowed("public") || grant.AllIndexes() || !grant.CanCreateIndex("movies") || grant.CanCreateIndex("x") {
		t.Error("the key behind the token limits it")
	}
	full := FullGrant()
	if !full.AllIndexes() || !full.IndexAllowed("x") || !full.CanCreateIndex("x") || !full.Allows(ActionKeysGet) || full.Rule("x") != nil || full.IsTenant() {
		t.Error("the master key may do everything")
	}
	if (&Grant{}).IndexAllowed("x") || (&Grant{}).Allows(ActionSearch) {
		t.Error("the zero grant may do nothing")
	}
}

// TestActionMatrix pins which actions *.get and * cover.
func TestActionMatrix(t *testing.T) {
	var read []string
	for _, f := range actionTable {
		if ActionAllGet.covers(f.action) {
			read = append(read, string(f.action))
		}
		if ActionAll.covers(f.action) == (f.action == ActionAllGet) {
			t.Error(f.action)
		}
	}
	const want = "search documents.get indexes.get tasks.get settings.get stats.get metrics.get version experimental.get export network.get chats.get chatsSettings.get " +
		"webhooks.get fields.post dynamicSearchRules.get"
	if got := strings.Join(read, " "); got != want {
		t.Error(got)
	}
	if !ActionTasksAll.covers(ActionTasksCompact) || ActionChatsAll.covers(ActionChatsSettingsGet) || ActionIndexesAll.covers(ActionIndexesAll) || ActionSearch.covers(ActionVersion) {
		t.Error("families cover their members")
	}
}

// FuzzAuthorize: no header but one derived from the master key opens anything, and what is granted fits the key.
func FuzzAuthorize(f *testing.F) {
	f.Add("Bearer "+testMaster, `{"alg":"HS256"}`, `{"apiKeyUid":"x"}`, uint8(0), uint8(1), "movies")
	f.Add(bearer(1), `{"alg":"none"}`, `{"apiKeyUid":"`+testKeys[1].UID+`","searchRules":{"movies":{"filter":"a = 1"}}}`, uint8(1), uint8(1), "movies")
	f.Add(tenantToken(1, `"searchRules":["*"]`), `{"alg":"HS256","typ":null}`, `{"apiKeyUid":"`+testKeys[0].UID+`","searchRules":[],"exp":1}`, uint8(4), uint8(2), "")
	f.Fuzz(func(t *testing.T, header, tokenHeader, claims string, which, actionByte uint8, index string) {
		action := actionTable[int(actionByte)%len(actionTable)].action
		key := testKeys[int(which)%len(testKeys)]
		value := DeriveKey(testMaster, key.UID)
		honest := "Bearer " + signToken(tokenHeader, claims, value)
		forged := "Bearer " + signToken(tokenHeader, claims, "not the key")
		for _, h := range []string{header, honest, forged, "Bearer " + value} {
			grant, err := Authorize(testMaster, testKeys, h, true, action, index, keyNow)
			if (grant == nil) == (err == nil) {
				t.Fatalf("%q: %v, %v", h, grant, err)
			}
			if grant == nil {
				continue
			}
			if h == forged && forged != honest {
				t.Fatalf("forged token %q opens %s", h, action)
			}
			checkGrant(t, grant, action, index)
		}
		if !knownBearer(header) && !strings.Contains(header, ".") {
			if grant, err := Authorize(testMaster, testKeys, header, true, action, index, keyNow); err == nil {
				t.Fatalf("%q opens %s: %v", header, action, grant)
			}
		}
	})
}

func knownBearer(header string) bool {
	token := strings.TrimPrefix(header, "Bearer ")
	for _, k := range testKeys {
		if strings.EqualFold(token, DeriveKey(testMaster, k.UID)) {
			return true
		}
	}
	return token == testMaster
}

// checkGrant holds a grant against the key it came from.
func checkGrant(t *testing.T, g *Grant, action Action, index string) {
	if g.full {
		return
	}
	if index != "" && !g.IndexAllowed(index) {
		t.Fatalf("granted %s on %q, which is not allowed", action, index)
	}
	if g.key.ExpiresAt != nil && !g.key.ExpiresAt.After(keyNow) {
		t.Fatal("the key is expired")
	}
	if action.facts().scope == scopeGlobal && !g.AllIndexes() && index == "" {
		t.Fatalf("%s with a key of some indexes", action)
	}
	if g.IsTenant() && action != ActionSearch && action != ActionChatCompletions {
		t.Fatalf("a tenant token opens %s", action)
	}
}
