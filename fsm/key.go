package fsm

import (
	"encoding/json"
	"slices"
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

func (c PutKey) apply(t *txn) (any, error) {
	if c.Key.UID == "" {
		return nil, refuse(CodeInvalid, "a key needs a uid")
	}
	exists := t.view.Key(c.Key.UID) != nil
	switch {
	case c.Create && exists:
		return nil, refuse(CodeExists, "key %s exists already", c.Key.UID)
	case !c.Create && !exists:
		return nil, refuse(CodeNotFound, "key %s does not exist", c.Key.UID)
	}
	t.putKey(c.Key)
	return None{}, nil
}

func (c DeleteKey) apply(t *txn) (any, error) {
	i := slices.IndexFunc(t.view.Keys, func(k Key) bool { return k.UID == c.UID })
	if i < 0 {
		return nil, refuse(CodeNotFound, "key %s does not exist", c.UID)
	}
	row := t.keyRow(c.UID)
	t.delete(bucketKeys, row)
	t.view.Keys = slices.Delete(slices.Clone(t.view.Keys), i, i+1)
	return None{}, nil
}

// putKey adds a key at the end or replaces it where it is.
func (t *txn) putKey(k Key) {
	i := slices.IndexFunc(t.view.Keys, func(o Key) bool { return o.UID == k.UID })
	if i >= 0 {
		t.put(bucketKeys, t.keyRow(k.UID), k)
		t.view.Keys = slices.Clone(t.view.Keys)
		t.view.Keys[i] = k
		return
	}
	t.put(bucketKeys, be64(t.view.counters.NextKey), k)
	t.view.counters.NextKey++
	t.view.Keys = append(slices.Clip(t.view.Keys), k)
}

// keyRow finds the row of a key that exists.
func (t *txn) keyRow(uid string) (row []byte) {
	must(eachRow(t.tx, bucketKeys, func(at []byte, k *Key) {
		if k.UID == uid {
			row = slices.Clone(at)
		}
	}))
	return row
}

func (c SetFeatures) apply(t *txn) (any, error) {
	t.view.Features = c.Features
	t.put(bucketMeta, rowFeatures, c.Features)
	return None{}, nil
}
