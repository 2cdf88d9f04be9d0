package fsm

import (
	"encoding/json"
	"time"
)

// Key is an API key as clients manage it. The secret is derived from the master key and UID elsewhere.
type Key struct {
	Name        *string    `json:"name"`
	Description *string    `json:"description"`
	UID         string     `json:"uid"`
	Actions     []string   `json:"actions"`
	Indexes     []string   `json:"indexes"`
	ExpiresAt   *time.Time `json:"expiresAt"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
}

// PutKey creates or replaces a key. With Create a key of that uid must not exist, else it must.
type PutKey struct {
	Key    Key  `json:"key"`
	Create bool `json:"create,omitempty"`
}

// DeleteKey deletes a key.
type DeleteKey struct {
	UID string `json:"uid"`
}

// SetFeatures replaces the experimental features.
type SetFeatures struct {
	Features json.RawMessage `json:"features"`
}

func (PutKey) Result() (r None)      { return }
func (DeleteKey) Result() (r None)   { return }
func (SetFeatures) Result() (r None) { return }
