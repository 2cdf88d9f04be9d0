package meili

import "encoding/json"

// Embedder is one member of the embedders setting: where embeddings come from. Which members it may have depends on the
// source. The API key is in clear.
type Embedder struct {
	Source                   Setting[string]               `json:"source,omitzero"`
	Model                    Setting[string]               `json:"model,omitzero"`
	Revision                 Setting[string]               `json:"revision,omitzero"`
	Pooling                  Setting[string]               `json:"pooling,omitzero"`
	APIKey                   Setting[string]               `json:"apiKey,omitzero"`
	Dimensions               Setting[int]                  `json:"dimensions,omitzero"`
	BinaryQuantized          Setting[bool]                 `json:"binaryQuantized,omitzero"`
	DocumentTemplate         Setting[string]               `json:"documentTemplate,omitzero"`
	DocumentTemplateMaxBytes Setting[int]                  `json:"documentTemplateMaxBytes,omitzero"`
	URL                      Setting[string]               `json:"url,omitzero"`
	IndexingFragments        Setting[map[string]*Fragment] `json:"indexingFragments,omitzero"` // nil removes a fragment
	SearchFragments          Setting[map[string]*Fragment] `json:"searchFragments,omitzero"`   // nil removes a fragment
	Request                  Setting[json.RawMessage]      `json:"request,omitzero"`
	Response                 Setting[json.RawMessage]      `json:"response,omitzero"`
	Headers                  Setting[map[string]string]    `json:"headers,omitzero"`
	SearchEmbedder           Setting[*SubEmbedder]         `json:"searchEmbedder,omitzero"`
	IndexingEmbedder         Setting[*SubEmbedder]         `json:"indexingEmbedder,omitzero"`
	Distribution             Setting[Distribution]         `json:"distribution,omitzero"`
}

// SubEmbedder is a half of a composite embedder. It is read with all members of an embedder so that those it must not
// have are refused by name; its own halves stay JSON text.
type SubEmbedder struct {
	Source                   Setting[string]               `json:"source,omitzero"`
	Model                    Setting[string]               `json:"model,omitzero"`
	Revision                 Setting[string]               `json:"revision,omitzero"`
	Pooling                  Setting[string]               `json:"pooling,omitzero"`
	APIKey                   Setting[string]               `json:"apiKey,omitzero"`
	Dimensions               Setting[int]                  `json:"dimensions,omitzero"`
	DocumentTemplate         Setting[string]               `json:"documentTemplate,omitzero"`
	DocumentTemplateMaxBytes Setting[int]                  `json:"documentTemplateMaxBytes,omitzero"`
	URL                      Setting[string]               `json:"url,omitzero"`
	IndexingFragments        Setting[map[string]*Fragment] `json:"indexingFragments,omitzero"`
	SearchFragments          Setting[map[string]*Fragment] `json:"searchFragments,omitzero"`
	Request                  Setting[json.RawMessage]      `json:"request,omitzero"`
	Response                 Setting[json.RawMessage]      `json:"response,omitzero"`
	Headers                  Setting[map[string]string]    `json:"headers,omitzero"`
	Distribution             Setting[Distribution]         `json:"-"`
	BinaryQuantized          Setting[bool]                 `json:"-"`
	SearchEmbedder           Setting[json.RawMessage]      `json:"-"`
	IndexingEmbedder         Setting[json.RawMessage]      `json:"-"`
}

// Fragment is a template of what is sent to a multimodal embedder.
type Fragment struct {
	Value json.RawMessage `json:"value"`
}

// Distribution describes the similarities an embedder gives, to make them comparable with ranking scores.
type Distribution struct {
	Mean  float32 `json:"mean"`  // 0 to 1
	Sigma float32 `json:"sigma"` // above 0, up to 1
}

// Sources of embeddings, in the order messages list them.
const (
	sourceOpenAI       = "openAi"
	sourceHuggingFace  = "huggingFace"
	sourceOllama       = "ollama"
	sourceUserProvided = "userProvided"
	sourceRest         = "rest"
	sourceComposite    = "composite"
)

var embedderSources = []string{sourceOpenAI, sourceHuggingFace, sourceOllama, sourceUserProvided, sourceRest, sourceComposite}

const (
	defaultTemplate         = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}"
	defaultTemplateMaxBytes = 400 // bytes of a rendered document template
	maxEmbedders            = 256
	defaultOpenAIModel      = "text-embedding-3-small"
	defaultHFModel          = "BAAI/bge-base-en-v1.5"
	defaultHFRevision       = "617ca489d9e86b49b8167676d8220688b99db36e"
)

// whole is a sub-embedder as an embedder.
func (e SubEmbedder) whole() *Embedder {
	return &Embedder{
		Source: e.Source, Model: e.Model, Revision: e.Revision, Pooling: e.Pooling, APIKey: e.APIKey,
		Dimensions: e.Dimensions, DocumentTemplate: e.DocumentTemplate, DocumentTemplateMaxBytes: e.DocumentTemplateMaxBytes,
		URL: e.URL, IndexingFragments: e.IndexingFragments, SearchFragments: e.SearchFragments,
		Request: e.Request, Response: e.Response, Headers: e.Headers,
	}
}

// half is an embedder as half of a composite one.
func (e Embedder) half() *SubEmbedder {
	return &SubEmbedder{
		Source: e.Source, Model: e.Model, Revision: e.Revision, Pooling: e.Pooling, APIKey: e.APIKey,
		Dimensions: e.Dimensions, DocumentTemplate: e.DocumentTemplate, DocumentTemplateMaxBytes: e.DocumentTemplateMaxBytes,
		URL: e.URL, IndexingFragments: e.IndexingFragments, SearchFragments: e.SearchFragments,
		Request: e.Request, Response: e.Response, Headers: e.Headers,
	}
}
