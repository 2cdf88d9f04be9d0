package proxy

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"miroir/fsm"
	"miroir/meili"
)

func hookFromState(h *fsm.Webhook) *meili.Webhook {
	return &meili.Webhook{UUID: h.UUID, URL: h.URL, Headers: h.Headers}
}

func (s *Server) handleListWebhooks(w http.ResponseWriter, r *request) error {
	results := []meili.WebhookView{}
	for i := range r.View.Webhooks {
		results = append(results, hookFromState(&r.View.Webhooks[i]).View())
	}
	writeJSON(w, http.StatusOK, struct {
		Results []meili.WebhookView `json:"results"`
	}{results})
	return nil
}

// webhookID returns the uuid that the path names. Error: invalid_webhook_uuid.
func (r *request) webhookID() (string, error) {
	id, problem := meili.ParseUUID(r.Params.ByName("uuid"))
	if problem != "" {
		return "", meili.Errorf(meili.CodeInvalidWebhookUUID, "Invalid UUID: %s", problem)
	}
	return id, nil
}

func (s *Server) handleGetWebhook(w http.ResponseWriter, r *request) error {
	id, err := r.webhookID()
	if err != nil {
		return err
	}
	hook := r.View.Webhook(id)
	if hook == nil {
		return meili.WebhookNotFound(id)
	}
	writeJSON(w, http.StatusOK, hookFromState(hook).View())
	return nil
}

// readWebhook reads the body of a request that writes a webhook.
func (r *request) readWebhook() (*meili.WebhookPatch, error) {
	body, err := r.readJSON()
	if err != nil {
		return nil, err
	}
	patch, refused := meili.DecodeWebhook(body)
	if refused != nil {
		return nil, refused
	}
	return patch, nil
}

func (s *Server) handleCreateWebhook(w http.ResponseWriter, r *request) error {
	patch, err := r.readWebhook()
	if err != nil {
		return err
	}
	hook, refused := patch.Create(uuid.NewString(), len(r.View.Webhooks))
	if refused != nil {
		return refused
	}
	return s.putWebhook(w, r, http.StatusCreated, hook, true)
}

func (s *Server) handlePatchWebhook(w http.ResponseWriter, r *request) error {
	patch, err := r.readWebhook()
	if err != nil {
		return err
	}
	id, err := r.webhookID()
	if err != nil {
		return err
	}
	if id == uuid.Nil.String() {
		return meili.ImmutableWebhook(id)
	}
	old := r.View.Webhook(id)
	if old == nil {
		return meili.WebhookNotFound(id)
	}
	hook, refused := patch.Apply(hookFromState(old))
	if refused != nil {
		return refused
	}
	return s.putWebhook(w, r, http.StatusOK, hook, false)
}

// putWebhook commits a webhook and answers with it.
func (s *Server) putWebhook(w http.ResponseWriter, r *request, status int, hook *meili.Webhook, create bool) error {
	command := fsm.PutWebhook{Webhook: fsm.Webhook{UUID: hook.UUID, URL: hook.URL, Headers: hook.Headers}, Create: create}
	if _, err := fsm.Do(r.Context(), s.cluster, command); err != nil {
		return webhookGone(hook.UUID, err)
	}
	writeJSON(w, status, hook.View())
	return nil
}

func (s *Server) handleDeleteWebhook(w http.ResponseWriter, r *request) error {
	id, err := r.webhookID()
	if err != nil {
		return err
	}
	if id == uuid.Nil.String() {
		return meili.ImmutableWebhook(id)
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.DeleteWebhook{UUID: id}); err != nil {
		return webhookGone(id, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// webhookGone answers a change of a webhook that does not exist, or not any more.
func webhookGone(id string, err error) error {
	if errors.Is(err, fsm.ErrNotFound) {
		return meili.WebhookNotFound(id)
	}
	return err
}
