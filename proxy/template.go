package proxy

import (
	"encoding/json"
	"maps"
	"regexp"

	"miroir/meili"
)

// fieldsLoop is the head of a loop over the fields of a document, as in Meilisearch's default document template.
var fieldsLoop = regexp.MustCompile(`\{%-?\s*for\s+([\w-]+)\s+in\s+fields\b[^%]*?(-?)%\}`)

// nodeTemplate is a client's document template in the form nodes get it: loops over all fields pass over the hidden ones,
// which would otherwise be embedded with the text. It renders what one server renders, but for a template that looks at
// the loop's own counters.
func nodeTemplate(template string) string {
	return fieldsLoop.ReplaceAllStringFunc(template, func(head string) string {
		parts := fieldsLoop.FindStringSubmatch(head)
		field, trim := parts[1], parts[2]
		return head + `{% if ` + field + `.name == "` + shardField + `" or ` + field + `.name == "` + orderField + `" %}{% continue %}{% endif ` + trim + `%}`
	})
}

// embeddersForNode is a change of embedders with the templates in the form for nodes. The default template is sent in
// that form too; after are the embedders with defaults filled in.
func embeddersForNode(delta meili.Setting[map[string]meili.Setting[meili.Embedder]], after *meili.Settings) meili.Setting[map[string]meili.Setting[meili.Embedder]] {
	delta.Value = maps.Clone(delta.Value)
	for name, embedder := range delta.Value {
		whole := after.Embedder(name)
		if !embedder.Set || whole == nil {
			continue
		}
		if whole.DocumentTemplate.Set {
			embedder.Value.DocumentTemplate = meili.SetTo(nodeTemplate(whole.DocumentTemplate.Value))
			embedder.Value.DocumentTemplateMaxBytes = whole.DocumentTemplateMaxBytes
		}
		if half := whole.IndexingEmbedder.Value; embedder.Value.IndexingEmbedder.Set && half != nil && half.DocumentTemplate.Set {
			indexing := *embedder.Value.IndexingEmbedder.Value
			indexing.DocumentTemplate = meili.SetTo(nodeTemplate(half.DocumentTemplate.Value))
			indexing.DocumentTemplateMaxBytes = half.DocumentTemplateMaxBytes
			embedder.Value.IndexingEmbedder = meili.SetTo(&indexing)
		}
		delta.Value[name] = embedder
	}
	return delta
}

// clientTemplate puts the client's template back into what a node shows of an embedder or its half. A node that embeds
// hidden fields has something else than any client's setting.
func clientTemplate(shown, expected map[string]any) {
	has, ok := shown["documentTemplate"].(string)
	want, given := expected["documentTemplate"].(string)
	switch {
	case !ok:
	case given && has == nodeTemplate(want):
		shown["documentTemplate"] = want
	case nodeTemplate(has) != has:
		shown["documentTemplate"] = map[string]any{"withHiddenFields": has}
	}
}

// withClientTemplate is the answer of a node that was asked to render with the template of an embedder: it echoes that.
func withClientTemplate(answer []byte, embedder *meili.Embedder) []byte {
	if embedder == nil {
		return answer
	}
	template := embedder.DocumentTemplate.Value
	if half := embedder.IndexingEmbedder.Value; half != nil {
		template = half.DocumentTemplate.Value
	}
	var members struct {
		Template string          `json:"template"`
		Rendered json.RawMessage `json:"rendered"`
	}
	if json.Unmarshal(answer, &members) != nil || members.Template != nodeTemplate(template) {
		return answer // of a fragment
	}
	members.Template = template
	answer, _ = marshal(members) // it was JSON
	return answer
}
