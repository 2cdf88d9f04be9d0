package devnode

import (
	"maps"
	"net/http"

	"github.com/google/uuid"

	"miroir/meili"
)

// The embedded node keeps webhooks and calls none: it has no sockets.

func listWebhooks(q *request) (answer, *meili.Error) {
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	results := []meili.WebhookView{}
	for _, id := range sortedNames(q.store.webhooks) {
		results = append(results, q.store.webhooks[id].View())
	}
	return respond(http.StatusOK, object{{"results", results}}), nil
}

// webhookID returns the webhook the path names. Error: invalid_webhook_uuid.
func (q *request) webhookID() (string, *meili.Error) {
	id, failed := uuid.Parse(q.param("uuid"))
	if failed != nil {
		return "", meili.Errorf(meili.CodeInvalidWebhookUUID, "Invalid UUID: %s", failed)
	}
	return id.String(), nil
}

func getWebhook(q *request) (answer, *meili.Error) {
	id, err := q.webhookID()
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	hook := q.store.webhooks[id]
	if hook == nil {
		return answer{}, meili.WebhookNotFound(id)
	}
	return respond(http.StatusOK, hook.View()), nil
}

// webhookPatch reads the body of a request that writes a webhook.
func (q *request) webhookPatch() (*meili.WebhookPatch, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return nil, err
	}
	return meili.DecodeWebhook(body)
}

func createWebhook(q *request) (answer, *meili.Error) {
	patch, err := q.webhookPatch()
	if err != nil {
		return answer{}, err
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	hook, err := patch.Create(q.node.options.NewUID(), len(q.store.webhooks))
	if err != nil {
		return answer{}, err
	}
	q.store.setWebhook(hook.UUID, hook)
	return respond(http.StatusCreated, hook.View()), nil
}

// setWebhook replaces a webhook, nil removes it. Call with mu held.
func (s *store) setWebhook(id string, hook *meili.Webhook) {
	hooks := maps.Clone(s.webhooks)
	delete(hooks, id)
	if hook != nil {
		hooks[id] = hook
	}
	s.webhooks = hooks
}

func patchWebhook(q *request) (answer, *meili.Error) {
	id, err := q.webhookID()
	if err != nil {
		return answer{}, err
	}
	patch, err := q.webhookPatch()
	if err != nil {
		return answer{}, err
	}
	return q.changeWebhook(id, patch.Apply)
}

func deleteWebhook(q *request) (answer, *meili.Error) {
	id, err := q.webhookID()
	if err != nil {
		return answer{}, err
	}
	return q.changeWebhook(id, func(*meili.Webhook) (*meili.Webhook, *meili.Error) { return nil, nil })
}

// changeWebhook replaces a webhook by what change makes of it, nil removes it, and answers with the result.
func (q *request) changeWebhook(id string, change func(*meili.Webhook) (*meili.Webhook, *meili.Error)) (answer, *meili.Error) {
	if id == uuid.Nil.String() {
		return answer{}, meili.ImmutableWebhook(id)
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	old := q.store.webhooks[id]
	if old == nil {
		return answer{}, meili.WebhookNotFound(id)
	}
	hook, err := change(old)
	if err != nil {
		return answer{}, err
	}
	q.store.setWebhook(id, hook)
	if hook == nil {
		return empty(http.StatusNoContent), nil
	}
	return respond(http.StatusOK, hook.View()), nil
}
