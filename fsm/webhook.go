package fsm

import (
	"cmp"
	"slices"
)

// Webhook is an address that is told of finished tasks.
type Webhook struct {
	UUID    string            `json:"uuid"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"` // sent with each call, secrets among them
}

// PutWebhook creates or replaces a webhook. With Create one of that uuid must not exist, else it must.
type PutWebhook struct {
	Webhook Webhook `json:"webhook"`
	Create  bool    `json:"create,omitempty"`
}

// DeleteWebhook deletes a webhook.
type DeleteWebhook struct {
	UUID string `json:"uuid"`
}

func (PutWebhook) Result() (r None)    { return }
func (DeleteWebhook) Result() (r None) { return }

// Webhook returns the webhook with a uuid, nil if there is none.
func (v *View) Webhook(uuid string) *Webhook {
	if i, found := v.webhookAt(uuid); found {
		return &v.Webhooks[i]
	}
	return nil
}

func (v *View) webhookAt(uuid string) (int, bool) {
	return slices.BinarySearchFunc(v.Webhooks, uuid, func(h Webhook, uuid string) int { return cmp.Compare(h.UUID, uuid) })
}

func (c PutWebhook) apply(t *txn) (any, error) {
	i, exists := t.view.webhookAt(c.Webhook.UUID)
	switch {
	case c.Webhook.UUID == "" || c.Webhook.URL == "":
		return nil, refuse(CodeInvalid, "a webhook needs a uuid and a url")
	case c.Create && exists:
		return nil, refuse(CodeExists, "webhook %s exists already", c.Webhook.UUID)
	case !c.Create && !exists:
		return nil, refuse(CodeNotFound, "webhook %s does not exist", c.Webhook.UUID)
	}
	hooks := slices.Clone(t.view.Webhooks)
	if exists {
		hooks[i] = c.Webhook
	} else {
		hooks = slices.Insert(hooks, i, c.Webhook)
	}
	t.setWebhooks(hooks)
	return None{}, nil
}

func (c DeleteWebhook) apply(t *txn) (any, error) {
	i, exists := t.view.webhookAt(c.UUID)
	if !exists {
		return nil, refuse(CodeNotFound, "webhook %s does not exist", c.UUID)
	}
	t.setWebhooks(slices.Delete(slices.Clone(t.view.Webhooks), i, i+1))
	return None{}, nil
}

func (t *txn) setWebhooks(hooks []Webhook) {
	t.view.Webhooks = hooks
	t.put(bucketMeta, rowWebhooks, hooks)
}
