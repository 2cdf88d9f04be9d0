package meili

// Features are the experimental features of /experimental-features, in Meilisearch's order.
type Features struct {
	Metrics                    bool `json:"metrics"`
	LogsRoute                  bool `json:"logsRoute"`
	EditDocumentsByFunction    bool `json:"editDocumentsByFunction"`
	ContainsFilter             bool `json:"containsFilter"`
	DynamicSearchRules         bool `json:"dynamicSearchRules"`
	Network                    bool `json:"network"`
	GetTaskDocumentsRoute      bool `json:"getTaskDocumentsRoute"`
	TaskQueueCompactionRoute   bool `json:"taskQueueCompactionRoute"`
	CompositeEmbedders         bool `json:"compositeEmbedders"`
	ChatCompletions            bool `json:"chatCompletions"`
	Multimodal                 bool `json:"multimodal"`
	ForeignKeys                bool `json:"foreignKeys"`
	DisableDocumentsFetchQueue bool `json:"disableDocumentsFetchQueue"`
	LegacySearch               bool `json:"legacySearch"`
	RenderRoute                bool `json:"renderRoute"`
}

// FeaturesPatch is the body of PATCH /experimental-features; nil members leave a feature as it is.
type FeaturesPatch struct {
	Metrics                    *bool `json:"metrics,omitempty"`
	LogsRoute                  *bool `json:"logsRoute,omitempty"`
	EditDocumentsByFunction    *bool `json:"editDocumentsByFunction,omitempty"`
	ContainsFilter             *bool `json:"containsFilter,omitempty"`
	DynamicSearchRules         *bool `json:"dynamicSearchRules,omitempty"`
	Network                    *bool `json:"network,omitempty"`
	GetTaskDocumentsRoute      *bool `json:"getTaskDocumentsRoute,omitempty"`
	TaskQueueCompactionRoute   *bool `json:"taskQueueCompactionRoute,omitempty"`
	CompositeEmbedders         *bool `json:"compositeEmbedders,omitempty"`
	ChatCompletions            *bool `json:"chatCompletions,omitempty"`
	Multimodal                 *bool `json:"multimodal,omitempty"`
	ForeignKeys                *bool `json:"foreignKeys,omitempty"`
	DisableDocumentsFetchQueue *bool `json:"disableDocumentsFetchQueue,omitempty"`
	LegacySearch               *bool `json:"legacySearch,omitempty"`
	RenderRoute                *bool `json:"renderRoute,omitempty"`
}

// DecodeFeaturesPatch decodes the body of PATCH /experimental-features. Error: bad_request.
func DecodeFeaturesPatch(body []byte) (*FeaturesPatch, *Error) {
	p := &FeaturesPatch{}
	flag := func(name string, dst **bool) Field { return Field{Name: name, Decode: IntoOptional(dst, ReadBool)} }
	err := DecodeBody(body, []Field{
		flag("metrics", &p.Metrics),
		flag("logsRoute", &p.LogsRoute),
		flag("editDocumentsByFunction", &p.EditDocumentsByFunction),
		flag("containsFilter", &p.ContainsFilter),
		flag("dynamicSearchRules", &p.DynamicSearchRules),
		flag("network", &p.Network),
		flag("getTaskDocumentsRoute", &p.GetTaskDocumentsRoute),
		flag("taskQueueCompactionRoute", &p.TaskQueueCompactionRoute),
		flag("compositeEmbedders", &p.CompositeEmbedders),
		flag("chatCompletions", &p.ChatCompletions),
		flag("multimodal", &p.Multimodal),
		flag("foreignKeys", &p.ForeignKeys),
		flag("disableDocumentsFetchQueue", &p.DisableDocumentsFetchQueue),
		flag("legacySearch", &p.LegacySearch),
		flag("renderRoute", &p.RenderRoute),
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// With is f after the patch.
func (f Features) With(p *FeaturesPatch) Features {
	set := func(dst *bool, value *bool) {
		if value != nil {
			*dst = *value
		}
	}
	set(&f.Metrics, p.Metrics)
	set(&f.LogsRoute, p.LogsRoute)
	set(&f.EditDocumentsByFunction, p.EditDocumentsByFunction)
	set(&f.ContainsFilter, p.ContainsFilter)
	set(&f.DynamicSearchRules, p.DynamicSearchRules)
	set(&f.Network, p.Network)
	set(&f.GetTaskDocumentsRoute, p.GetTaskDocumentsRoute)
	set(&f.TaskQueueCompactionRoute, p.TaskQueueCompactionRoute)
	set(&f.CompositeEmbedders, p.CompositeEmbedders)
	set(&f.ChatCompletions, p.ChatCompletions)
	set(&f.Multimodal, p.Multimodal)
	set(&f.ForeignKeys, p.ForeignKeys)
	set(&f.DisableDocumentsFetchQueue, p.DisableDocumentsFetchQueue)
	set(&f.LegacySearch, p.LegacySearch)
	set(&f.RenderRoute, p.RenderRoute)
	return f
}

// AllFeatures has every feature enabled: for decoding what was accepted before.
func AllFeatures() Features {
	return Features{true, true, true, true, true, true, true, true, true, true, true, true, true, true, true}
}

// FeatureNotEnabled is the error of an action that needs an experimental feature. The action starts the sentence
// ("Using the /network route"); feature is the JSON name, as in "editDocumentsByFunction".
func FeatureNotEnabled(action, feature string) *Error {
	gate := featureGates[feature]
	return newError(CodeFeatureNotEnabled, action+" requires enabling the `"+gate.name+"` experimental feature. See "+gate.link)
}

type featureGate struct{ name, link string }

const discussions = "https://github.com/orgs/meilisearch/discussions/"

// featureGates are the names and addresses feature_not_enabled messages use.
var featureGates = map[string]featureGate{
	"metrics":                  {"metrics", "https://github.com/meilisearch/product/discussions/625"},
	"logsRoute":                {"logs route", discussions + "721"},
	"editDocumentsByFunction":  {"edit documents by function", discussions + "762"},
	"containsFilter":           {"contains filter", discussions + "763"},
	"dynamicSearchRules":       {"dynamic search rules", discussions + "884"},
	"network":                  {"network", discussions + "805"},
	"getTaskDocumentsRoute":    {"get task documents route", discussions + "808"},
	"taskQueueCompactionRoute": {"task queue compaction route", discussions + "883"},
	"compositeEmbedders":       {"composite embedders", discussions + "816"},
	"chatCompletions":          {"chat completions", discussions + "835"},
	"multimodal":               {"multimodal", discussions + "846"},
	"foreignKeys":              {"foreign_keys", discussions + "873"},
	"renderRoute":              {"render_route", discussions + "888"},
	"personalization":          {"personalization", discussions + "866"},
}
