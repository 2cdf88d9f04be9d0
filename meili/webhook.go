package meili

import (
	"fmt"
	"strings"
)

// Limits of webhooks.
const (
	MaxWebhooks       = 20
	maxWebhookHeaders = 200
	nilUUID           = "00000000-0000-0000-0000-000000000000"
)

// Webhook is called with the tasks of every finished batch. UUID is nil for the one given on the command line.
type Webhook struct {
	UUID    string            `json:"uuid"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// WebhookView is a webhook as answers show it.
type WebhookView struct {
	UUID       string            `json:"uuid"`
	IsEditable bool              `json:"isEditable"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers"`
}

// View hides the value of an Authorization header.
func (w *Webhook) View() WebhookView {
	headers := make(map[string]string, len(w.Headers))
	for name, value := range w.Headers {
		if strings.EqualFold(name, "authorization") {
			scheme, secret := "", value
			if rest, bearer := strings.CutPrefix(value, "Bearer "); bearer {
				scheme, secret = "Bearer ", rest
			}
			value = scheme + HideSecret(secret)
		}
		headers[name] = value
	}
	return WebhookView{UUID: w.UUID, IsEditable: w.UUID != nilUUID, URL: w.URL, Headers: headers}
}

// WebhookPatch is the body of POST and PATCH of webhooks. A header reset by null is removed.
type WebhookPatch struct {
	URL     Setting[string]                     `json:"url,omitzero"`
	Headers Setting[map[string]Setting[string]] `json:"headers,omitzero"`
}

// DecodeWebhook decodes the body of POST /webhooks and PATCH /webhooks/{uuid}. Errors: invalid_webhook_url,
// invalid_webhook_headers, immutable_webhook_uuid, immutable_webhook_is_editable, bad_request.
func DecodeWebhook(body []byte) (*WebhookPatch, *Error) {
	p := &WebhookPatch{}
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	fields := []Field{
		{Name: "url", Code: CodeInvalidWebhookURL, Decode: intoResettable(&p.URL, ReadString)},
		{Name: "headers", Code: CodeInvalidWebhookHeaders, Decode: intoResettable(&p.Headers, ReadMap(readHeader))},
	}
	immutable := map[string]Code{"uuid": CodeImmutableWebhookUUID, "isEditable": CodeImmutableWebhookIsEditable}
	if err := DecodeObjectWith(&v, BodyRoot(CodeBadRequest), fields, immutableOr(immutable, fields)); err != nil {
		return nil, err
	}
	return p, nil
}

func readHeader(v *Value, at *Location) (s Setting[string], err *Error) {
	err = intoResettable(&s, ReadString)(v, at)
	return s, err
}

// Create makes the webhook of POST /webhooks beside numExisting others. Errors: invalid_webhooks, invalid_webhook_url,
// invalid_webhook_headers.
func (p *WebhookPatch) Create(uuid string, numExisting int) (*Webhook, *Error) {
	if len(p.Headers.Value) > maxWebhookHeaders {
		return nil, tooManyHeaders(uuid)
	}
	if numExisting >= MaxWebhooks {
		return nil, newError(CodeInvalidWebhooks, "Defining too many webhooks would crush the server. Please limit the number of webhooks to 20. You may use a third-party proxy server to dispatch events to more than 20 endpoints.")
	}
	if !p.URL.Set {
		return nil, missingURL(uuid)
	}
	w := &Webhook{UUID: uuid, URL: p.URL.Value, Headers: map[string]string{}}
	for name, value := range p.Headers.Value {
		w.Headers[name] = value.Value
	}
	return w, w.check()
}

// Apply is the webhook after PATCH /webhooks/{uuid}. Errors: immutable_webhook, invalid_webhook_url, invalid_webhook_headers.
func (p *WebhookPatch) Apply(old *Webhook) (*Webhook, *Error) {
	if old.UUID == nilUUID {
		return nil, ImmutableWebhook(old.UUID)
	}
	if p.URL.Reset {
		return nil, missingURL(old.UUID)
	}
	w := &Webhook{UUID: old.UUID, URL: p.URL.Or(old.URL), Headers: map[string]string{}}
	if !p.Headers.Reset {
		for name, value := range old.Headers {
			w.Headers[name] = value
		}
	}
	for name, value := range p.Headers.Value {
		if value.Set {
			w.Headers[name] = value.Value
		} else {
			delete(w.Headers, name)
		}
	}
	return w, w.check()
}

func (w *Webhook) check() *Error {
	if w.URL == "" {
		return missingURL(w.UUID)
	}
	if len(w.Headers) > maxWebhookHeaders {
		return tooManyHeaders(w.UUID)
	}
	for _, name := range sortedKeys(w.Headers) {
		if !isHeaderName(name) {
			return newError(CodeInvalidWebhookHeaders, "Invalid header name `"+name+"`: invalid HTTP header name")
		}
		if !isHeaderValue(w.Headers[name]) {
			return newError(CodeInvalidWebhookHeaders, "Invalid header value `"+name+"`: failed to parse header value")
		}
	}
	if reason := urlProblem(w.URL); reason != "" {
		return newError(CodeInvalidWebhookURL, "Invalid URL `"+w.URL+"`: "+reason)
	}
	return nil
}

// isHeaderName reports whether name is a token of RFC 9110.
func isHeaderName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}

func isHeaderValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c != '\t' && (c < ' ' || c == 0x7f) {
			return false
		}
	}
	return true
}

func missingURL(uuid string) *Error {
	return newError(CodeInvalidWebhookURL, "The URL for the webhook `"+uuid+"` is missing.")
}

func tooManyHeaders(uuid string) *Error {
	return newError(CodeInvalidWebhookHeaders, fmt.Sprintf("Too many headers for the webhook `%s`. Please limit the number of headers to %d. Hint: To remove an already defined header set its value to `null`", uuid, maxWebhookHeaders))
}

// ImmutableWebhook is the error of a change of the webhook given on the command line.
func ImmutableWebhook(uuid string) *Error {
	return newError(CodeImmutableWebhook, "Webhook `"+uuid+"` is immutable. The webhook defined from the command line cannot be modified using the API.")
}

// WebhookNotFound is the error of a webhook that does not exist.
func WebhookNotFound(uuid string) *Error {
	return newError(CodeWebhookNotFound, "Webhook `"+uuid+"` not found.")
}
