package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// KeyCommands manage API keys.
type KeyCommands struct {
	Flags
	List        keyList     `cmd:"" help:"List API keys."`
	Show        keyShow     `cmd:"" help:"Show one key."`
	Create      keyCreate   `cmd:"" help:"Create a key."`
	Update      keyUpdate   `cmd:"" help:"Change a key's name or description."`
	Delete      keyDelete   `cmd:"" help:"Delete a key."`
	TenantToken tenantToken `cmd:"" help:"Sign a tenant token."`
}

const keysPath = "/api/keys"

type keyList struct{}

func (c *keyList) Run(ctx context.Context, a *API) error {
	return a.list(ctx, keysPath+"?limit=1000", "uid", "name", "actions", "indexes", "expiresAt")
}

type keyUID struct {
	UID string `arg:"" name:"uid" help:"The key's uid, or the key."`
}

func (k keyUID) path() string { return keysPath + "/" + url.PathEscape(k.UID) }

type keyShow struct{ keyUID }

func (c *keyShow) Run(ctx context.Context, a *API) error { return a.show(ctx, c.path()) }

type keyCreate struct {
	Name        string   `help:"What it is called."`
	Description string   `help:"What it is for."`
	Actions     []string `required:"" help:"As in search,documents.add."`
	Indexes     []string `help:"Indexes it may use." default:"*"`
	ExpiresAt   string   `help:"RFC 3339; empty: never."`
	UID         string   `name:"uid" help:"A UUID of your own."`
}

func (c *keyCreate) Run(ctx context.Context, a *API) error {
	body := map[string]any{"actions": c.Actions, "indexes": c.Indexes, "expiresAt": nil}
	for name, text := range map[string]string{"name": c.Name, "description": c.Description, "expiresAt": c.ExpiresAt, "uid": c.UID} {
		if text != "" {
			body[name] = text
		}
	}
	return a.post(ctx, keysPath, body)
}

type keyUpdate struct {
	keyUID
	Name        *string `help:"What it is called."`
	Description *string `help:"What it is for."`
}

func (c *keyUpdate) Run(ctx context.Context, a *API) error {
	body := map[string]string{}
	if c.Name != nil {
		body["name"] = *c.Name
	}
	if c.Description != nil {
		body["description"] = *c.Description
	}
	return a.send(ctx, http.MethodPatch, c.path(), body)
}

type keyDelete struct{ keyUID }

func (c *keyDelete) Run(ctx context.Context, a *API) error {
	if err := a.confirm("delete key", c.UID); err != nil {
		return err
	}
	return a.send(ctx, http.MethodDelete, c.path(), nil)
}

type tenantToken struct {
	KeyUID    string `required:"" name:"key-uid" help:"The key that signs."`
	Rules     string `required:"" help:"Search rules as JSON: [\"*\"] or {\"index\":{\"filter\":\"a = 1\"}}."`
	ExpiresAt string `help:"RFC 3339; empty: never."`
}

// Run prints the token alone, for use in scripts.
func (c *tenantToken) Run(ctx context.Context, a *API) error {
	if !json.Valid([]byte(c.Rules)) {
		return fmt.Errorf("%w: --rules is not JSON", ErrUsage)
	}
	claims := jwt.MapClaims{"apiKeyUid": c.KeyUID, "searchRules": json.RawMessage(c.Rules)}
	if c.ExpiresAt != "" {
		at, err := time.Parse(time.RFC3339, c.ExpiresAt)
		if err != nil {
			return fmt.Errorf("%w: --expires-at: %w", ErrUsage, err)
		}
		claims["exp"] = at.Unix()
	}
	var key struct {
		Key string `json:"key"`
	}
	if _, err := a.get(ctx, keyUID{c.KeyUID}.path(), &key); err != nil {
		return err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(key.Key))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, token)
	return err
}
