package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// encode gives a body its content coding, "" for none.
func encode(body io.Reader, coding string) (io.Reader, error) {
	if body == nil || coding == "" {
		return body, nil
	}
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	default:
		return nil, fmt.Errorf("no content coding %q", coding)
	}
	if _, err := io.Copy(w, body); err != nil {
		return nil, err
	}
	return &out, w.Close()
}

// decode undoes the content coding of an answer.
func decode(body []byte, coding string) ([]byte, error) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(body))
	case "br":
		r = brotli.NewReader(bytes.NewReader(body))
	default:
		return body, nil
	}
	if err != nil || len(body) == 0 {
		return body, err
	}
	return io.ReadAll(r)
}

// newWebhook is the uuid of a webhook that was refused.
var newWebhook = regexp.MustCompile("webhook `[0-9a-f-]{36}`")

// nameWebhooks replaces the uuids of webhooks, which the server chooses, by a name, and remembers the last.
func (s *server) nameWebhooks(answer []byte) []byte {
	answer = newWebhook.ReplaceAll(answer, []byte("webhook `{webhook}`"))
	var told struct {
		UUID    string
		Results []struct{ UUID string }
	}
	if !bytes.Contains(answer, []byte(`"uuid"`)) || json.Unmarshal(answer, &told) != nil {
		return bytes.ReplaceAll(answer, []byte(s.webhook), []byte("{webhook}"))
	}
	if told.UUID != "" {
		s.webhook = told.UUID
	}
	for _, hook := range told.Results {
		answer = bytes.ReplaceAll(answer, []byte(hook.UUID), []byte("{webhook}"))
		s.webhook = hook.UUID
	}
	return bytes.ReplaceAll(answer, []byte(s.webhook), []byte("{webhook}"))
}
