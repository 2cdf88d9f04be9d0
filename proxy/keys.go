package proxy

import (
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"miroir/fsm"
	"miroir/meili"
)

// viewKeys are the API keys of one view in the form that authorization reads.
type viewKeys struct {
	view *fsm.View
	keys []meili.Key
}

// keysOf converts the view's keys once per view.
func (s *Server) keysOf(v *fsm.View) []meili.Key {
	if cached := s.keys.Load(); cached != nil && cached.view == v {
		return cached.keys
	}
	converted := &viewKeys{view: v, keys: make([]meili.Key, len(v.Keys))}
	for i := range v.Keys {
		converted.keys[i] = keyFromState(&v.Keys[i])
	}
	s.keys.Store(converted)
	return converted.keys
}

func keyFromState(k *fsm.Key) meili.Key {
	actions := make([]meili.Action, len(k.Actions))
	for i, action := range k.Actions {
		actions[i] = meili.Action(action)
	}
	return meili.Key{
		Name: k.Name, Description: k.Description, UID: k.UID, Actions: actions, Indexes: k.Indexes,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
}

// KeyToState is a key as the replicated state keeps it.
func KeyToState(k *meili.Key) fsm.Key {
	actions := make([]string, len(k.Actions))
	for i, action := range k.Actions {
		actions[i] = string(action)
	}
	return fsm.Key{
		Name: k.Name, Description: k.Description, UID: k.UID, Actions: actions, Indexes: k.Indexes,
		ExpiresAt: k.ExpiresAt, CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt,
	}
}

func (s *Server) handleListKeys(w http.ResponseWriter, r *request) error {
	page, problem := meili.DecodePage(r.URL.RawQuery, meili.CodeInvalidAPIKeyOffset, meili.CodeInvalidAPIKeyLimit)
	if problem != nil {
		return problem
	}
	keys := slices.Clone(s.keysOf(r.View))
	meili.SortKeys(keys)
	views := []any{}
	for i := page.Offset; i < len(keys) && i-page.Offset < page.Limit; i++ {
		views = append(views, keys[i].View(s.opts.MasterKey))
	}
	writeJSON(w, http.StatusOK, struct {
		Results []any `json:"results"`
		Offset  int   `json:"offset"`
		Limit   int   `json:"limit"`
		Total   int   `json:"total"`
	}{views, page.Offset, page.Limit, len(keys)})
	return nil
}

// findKey finds the key that the path names by uid or value.
func (s *Server) findKey(r *request) (*meili.Key, error) {
	key, problem := meili.FindKey(s.keysOf(r.View), r.Params.ByName("key"), s.opts.MasterKey)
	if problem != nil {
		return nil, problem
	}
	return key, nil
}

func (s *Server) handleGetKey(w http.ResponseWriter, r *request) error {
	key, err := s.findKey(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, key.View(s.opts.MasterKey))
	return nil
}

func (s *Server) handleCreateKey(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	key, problem := meili.DecodeKeyCreate(body, s.opts.Now())
	if problem != nil {
		return problem
	}
	if key.UID == "" {
		key.UID = uuid.NewString()
	}
	_, err = fsm.Do(r.Context(), s.cluster, fsm.PutKey{Key: KeyToState(key), Create: true})
	if errors.Is(err, fsm.ErrExists) {
		return meili.KeyAlreadyExists(key.UID)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, key.View(s.opts.MasterKey))
	return nil
}

func (s *Server) handlePatchKey(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	patch, problem := meili.DecodeKeyPatch(body)
	if problem != nil {
		return problem
	}
	key, err := s.findKey(r)
	if err != nil {
		return err
	}
	patched := patch.Apply(*key, s.opts.Now())
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.PutKey{Key: KeyToState(&patched)}); err != nil {
		return s.keyGone(r, err)
	}
	writeJSON(w, http.StatusOK, patched.View(s.opts.MasterKey))
	return nil
}

func (s *Server) handleDeleteKey(w http.ResponseWriter, r *request) error {
	key, err := s.findKey(r)
	if err != nil {
		return err
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.DeleteKey{UID: key.UID}); err != nil {
		return s.keyGone(r, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// keyGone answers a change of a key that somebody else deleted meanwhile.
func (s *Server) keyGone(r *request, err error) error {
	if errors.Is(err, fsm.ErrNotFound) {
		return meili.Errorf(meili.CodeAPIKeyNotFound, "API key `%s` not found.", r.Params.ByName("key"))
	}
	return err
}
