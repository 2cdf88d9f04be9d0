package meili

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Key is an API key without its value, which follows from the master key and UID. It marshals to and from JSON for storage.
type Key struct {
	Name        *string    `json:"name"`
	Description *string    `json:"description"`
	UID         string     `json:"uid"` // a UUID in lower case with hyphens
	Actions     []Action   `json:"actions"`
	Indexes     []string   `json:"indexes"` // uids, prefixes with a star, or *
	ExpiresAt   *time.Time `json:"expiresAt"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
}

// DeriveKey is the value of the key uid: the HMAC-SHA256 of the uid under the master key in hexadecimal, "" without a
// master key. Meilisearch servers with the same master key and uid derive the same.
func DeriveKey(masterKey, uid string) string {
	if masterKey == "" {
		return ""
	}
	return hex.EncodeToString(keyMAC(masterKey, uid))
}

func keyMAC(masterKey, uid string) []byte {
	mac := hmac.New(sha256.New, []byte(masterKey))
	mac.Write([]byte(uid))
	return mac.Sum(nil)
}

// View is the key as the keys routes show it.
func (k *Key) View(masterKey string) json.RawMessage {
	view, err := marshal(struct {
		Name        *string  `json:"name"`
		Description *string  `json:"description"`
		Key         string   `json:"key"`
		UID         string   `json:"uid"`
		Actions     []Action `json:"actions"`
		Indexes     []string `json:"indexes"`
		ExpiresAt   *string  `json:"expiresAt"`
		CreatedAt   string   `json:"createdAt"`
		UpdatedAt   string   `json:"updatedAt"`
	}{k.Name, k.Description, DeriveKey(masterKey, k.UID), k.UID, orEmpty(k.Actions), orEmpty(k.Indexes), k.expiryText(), FormatTime(k.CreatedAt), FormatTime(k.UpdatedAt)})
	if err != nil {
		return json.RawMessage("{}") // every member marshals
	}
	return view
}

// expiryText keeps the offset the expiry was given in.
func (k *Key) expiryText() *string {
	if k.ExpiresAt == nil {
		return nil
	}
	text := k.ExpiresAt.Format(time.RFC3339Nano)
	return &text
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// DefaultKeys are the keys of a server that starts for the first time, oldest first. newUID makes random UUIDs.
func DefaultKeys(now time.Time, newUID func() string) []Key {
	keys := []Key{
		defaultKey("Default Chat API Key", "Use it to chat and search from the frontend", ActionChatCompletions, ActionSearch),
		defaultKey("Default Read-Only Admin API Key", "Use it to read information across the whole database. Caution! Do not expose this key on a public frontend", ActionAllGet, ActionKeysGet),
		defaultKey("Default Admin API Key", "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend", ActionAll),
		defaultKey("Default Search API Key", "Use it to search from the frontend", ActionSearch),
	}
	for i := range keys {
		keys[i].UID = newUID()
		keys[i].CreatedAt = now.UTC().Add(time.Duration(i) * time.Microsecond) // lists show the newest first
		keys[i].UpdatedAt = keys[i].CreatedAt
	}
	return keys
}

func defaultKey(name, description string, actions ...Action) Key {
	return Key{Name: &name, Description: &description, Actions: actions, Indexes: []string{"*"}}
}

// SortKeys puts keys in the order GET /keys lists them: newest first.
func SortKeys(keys []Key) {
	slices.SortStableFunc(keys, func(a, b Key) int { return b.CreatedAt.Compare(a.CreatedAt) })
}

// DecodeKeyCreate decodes the body of POST /keys. A missing uid becomes a random one. now is when the key is created and
// what expiresAt must be later than. Errors: missing_api_key_*, invalid_api_key_*, bad_request,
// index_scoped_api_key_with_global_action.
func DecodeKeyCreate(body []byte, now time.Time) (*Key, *Error) {
	k := &Key{CreatedAt: now.UTC(), UpdatedAt: now.UTC()}
	err := DecodeBody(body, []Field{
		{Name: "description", Code: CodeInvalidAPIKeyDescription, Decode: IntoOptional(&k.Description, ReadString)},
		{Name: "name", Code: CodeInvalidAPIKeyName, Decode: IntoOptional(&k.Name, ReadString)},
		{Name: "uid", Code: CodeInvalidAPIKeyUID, Decode: Into(&k.UID, readUUID)},
		{Name: "actions", Code: CodeInvalidAPIKeyActions, Required: true, Missing: CodeMissingAPIKeyActions, Decode: Into(&k.Actions, ReadList(readAction))},
		{Name: "indexes", Code: CodeInvalidAPIKeyIndexes, Required: true, Missing: CodeMissingAPIKeyIndexes, Decode: Into(&k.Indexes, ReadList(readIndexUIDPattern))},
		{Name: "expiresAt", Code: CodeInvalidAPIKeyExpiresAt, Required: true, Missing: CodeMissingAPIKeyExpiresAt, Decode: IntoOptional(&k.ExpiresAt, expiryReader(now))},
	})
	if err != nil {
		return nil, err
	}
	if k.UID == "" {
		k.UID = uuid.NewString()
	}
	return k, k.checkScope()
}

// checkScope refuses global actions for a key of some indexes only.
func (k *Key) checkScope() *Error {
	if len(k.Indexes) == 0 || slices.Contains(k.Indexes, "*") {
		return nil
	}
	for _, a := range k.Actions {
		if a.facts().scope == scopeGlobal {
			action := "`\"" + string(a) + "\"`"
			return newError(CodeIndexScopedAPIKeyWithGlobalAction, "cannot create index-scoped API key with global action "+action+
				"\n  - Hint: remove action "+action+" from the action list, or remove `indexes` to make the key global")
		}
	}
	return nil
}

func readUUID(v *Value, at *Location) (string, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return "", err
	}
	uid, problem := ParseUUID(text)
	if problem != "" {
		return "", at.Invalid(problem)
	}
	return uid, nil
}

func readAction(v *Value, at *Location) (Action, *Error) {
	text, err := ReadEnum(actionNames()...)(v, at)
	return Action(text), err
}

func readIndexUIDPattern(v *Value, at *Location) (string, *Error) {
	pattern, err := ReadString(v, at)
	if err == nil && !isIndexUIDPattern(pattern) {
		return "", at.Invalid("`" + strings.TrimSuffix(pattern, "*") + "` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, " +
			"hyphens (-), underscores (_), and optionally end with a star (*).")
	}
	return pattern, err
}

// expiryReader reads a date or date-time later than now.
func expiryReader(now time.Time) Read[time.Time] {
	return func(v *Value, at *Location) (time.Time, *Error) {
		text, err := ReadString(v, at)
		if err != nil {
			return time.Time{}, err
		}
		t, ok := parseExpiry(text)
		if !ok || !t.After(now) {
			return time.Time{}, notADate(text, at)
		}
		return t, nil
	}
}

func notADate(text string, at *Location) *Error {
	return at.Invalid("`" + text + "` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or " +
		"specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n")
}

func parseExpiry(text string) (time.Time, bool) {
	if t, ok := parseRFC3339(text); ok {
		return t, true
	}
	if t, ok := parseDate(text); ok {
		return t, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil && len(text) == len(layout) {
			return t, true
		}
	}
	return time.Time{}, false
}

// KeyPatch is the body of PATCH /keys/{key}.
type KeyPatch struct {
	Description, Name Setting[string]
}

// DecodeKeyPatch decodes the body of PATCH /keys/{key}. Errors: immutable_api_key_*, invalid_api_key_*, bad_request.
func DecodeKeyPatch(body []byte) (*KeyPatch, *Error) {
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	p := &KeyPatch{}
	fields := []Field{
		{Name: "description", Code: CodeInvalidAPIKeyDescription, Decode: intoResettable(&p.Description, ReadString)},
		{Name: "name", Code: CodeInvalidAPIKeyName, Decode: intoResettable(&p.Name, ReadString)},
	}
	at := BodyRoot(CodeBadRequest)
	immutable := map[string]Code{
		"uid": CodeImmutableAPIKeyUID, "actions": CodeImmutableAPIKeyActions, "indexes": CodeImmutableAPIKeyIndexes,
		"expiresAt": CodeImmutableAPIKeyExpiresAt, "createdAt": CodeImmutableAPIKeyCreatedAt, "updatedAt": CodeImmutableAPIKeyUpdatedAt,
	}
	err = DecodeObjectWith(&v, at, fields, func(key string) *Error {
		if code, ok := immutable[key]; ok {
			return newError(code, "Immutable field `"+key+"`: "+expectedOneOf(FieldNames(fields)))
		}
		return at.UnknownField(key, FieldNames(fields))
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Apply is a copy of k after the patch.
func (p *KeyPatch) Apply(k Key, now time.Time) Key {
	for _, member := range []struct {
		patch Setting[string]
		dst   **string
	}{{p.Description, &k.Description}, {p.Name, &k.Name}} {
		switch value := member.patch.Value; {
		case member.patch.Set:
			*member.dst = &value
		case member.patch.Reset:
			*member.dst = nil
		}
	}
	k.UpdatedAt = now.UTC()
	return k
}

// FindKey finds the key a path names by its uid or its value. Error: api_key_not_found.
func FindKey(keys []Key, ref, masterKey string) (*Key, *Error) {
	if uid, problem := ParseUUID(ref); problem == "" {
		if i := slices.IndexFunc(keys, func(k Key) bool { return k.UID == uid }); i >= 0 {
			return &keys[i], nil
		}
		ref = uid
	} else if k := keyOfValue(keys, ref, masterKey); k != nil {
		return k, nil
	}
	return nil, newError(CodeAPIKeyNotFound, "API key `"+ref+"` not found.")
}

// KeyAlreadyExists is the error of creating a key whose uid is taken.
func KeyAlreadyExists(uid string) *Error {
	return newError(CodeAPIKeyAlreadyExists, "`uid` field value `"+uid+"` is already an existing API key.")
}

// keyOfValue finds the key a bearer presents, comparing in constant time; nil if there is none.
func keyOfValue(keys []Key, value, masterKey string) *Key {
	presented, err := hex.DecodeString(value)
	if err != nil || masterKey == "" {
		return nil
	}
	for i := range keys {
		if hmac.Equal(presented, keyMAC(masterKey, keys[i].UID)) {
			return &keys[i]
		}
	}
	return nil
}
