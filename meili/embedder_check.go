package meili

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// embedderMembers are the members of an embedder in the order messages list them.
var embedderMembers = []string{
	"source", "model", "revision", "pooling", "apiKey", "dimensions", "documentTemplate", "documentTemplateMaxBytes", "url",
	"indexingFragments", "searchFragments", "request", "response", "headers", "searchEmbedder", "indexingEmbedder",
	"distribution", "binaryQuantized",
}

// nesting is where an embedder stands: by itself or as one half of a composite one.
type nesting uint8

const (
	notNested nesting = iota
	nestedSearch
	nestedIndexing
)

func (n nesting) nameOf(embedder string) string {
	return embedder + [...]string{"", ".searchEmbedder", ".indexingEmbedder"}[n]
}

func (n nesting) inContext() string {
	return [...]string{"", " for the search embedder", " for the indexing embedder"}[n]
}

func (n nesting) nestingNote() string {
	return [...]string{"", "\n  - note: nesting embedders in `searchEmbedder` is not allowed", "\n  - note: nesting embedders in `indexingEmbedder` is not allowed"}[n]
}

// memberStatus says whether a source wants a member.
type memberStatus uint8

const (
	disallowed memberStatus = iota
	allowed
	mandatory
)

// sourceMembers are the members a source takes beside source, distribution and binaryQuantized; those with ! are mandatory.
var sourceMembers = map[string]string{
	sourceOpenAI:       "model apiKey documentTemplate documentTemplateMaxBytes dimensions url",
	sourceHuggingFace:  "model revision pooling documentTemplate documentTemplateMaxBytes",
	sourceOllama:       "model! documentTemplate documentTemplateMaxBytes url apiKey dimensions",
	sourceUserProvided: "dimensions!",
	sourceRest:         "url! request! response! apiKey dimensions documentTemplate documentTemplateMaxBytes headers indexingFragments searchFragments",
	sourceComposite:    "searchEmbedder! indexingEmbedder!",
}

func statusOf(source, member string, n nesting) memberStatus {
	switch {
	case member == "distribution" || member == "binaryQuantized":
		if n == notNested {
			return allowed
		}
		return disallowed
	case n == nestedSearch && (strings.HasPrefix(member, "documentTemplate") || member == "indexingFragments"),
		n == nestedIndexing && member == "searchFragments":
		return disallowed
	case member == "source":
		return allowed
	}
	members := strings.Fields(sourceMembers[source])
	switch {
	case slices.Contains(members, member):
		return allowed
	case slices.Contains(members, member+"!"):
		return mandatory
	}
	return disallowed
}

// checkEmbedderFeatures refuses what needs an experimental feature.
func checkEmbedderFeatures(embedders map[string]Setting[Embedder], f Features) *Error {
	for _, name := range sortedKeys(embedders) {
		e := embedders[name].Value
		switch {
		case e.Source.Value == sourceComposite && !f.CompositeEmbedders:
			return FeatureNotEnabled("using `\"composite\"` as source", "compositeEmbedders")
		case e.SearchEmbedder.Set && !f.CompositeEmbedders:
			return FeatureNotEnabled("setting `searchEmbedder`", "compositeEmbedders")
		case e.IndexingEmbedder.Set && !f.CompositeEmbedders:
			return FeatureNotEnabled("setting `indexingEmbedder`", "compositeEmbedders")
		case e.IndexingFragments.Set && !f.Multimodal:
			return FeatureNotEnabled("setting `indexingFragments`", "multimodal")
		case e.SearchFragments.Set && !f.Multimodal:
			return FeatureNotEnabled("setting `searchFragments`", "multimodal")
		}
	}
	return nil
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// checkEmbedders checks each embedder of a change by itself.
func (s *Settings) checkEmbedders() *Error {
	for _, name := range sortedKeys(s.Embedders.Value) {
		setting := s.Embedders.Value[name]
		if !setting.Set {
			continue
		}
		if err := setting.Value.check(name, false); err != nil {
			return err
		}
	}
	return nil
}

// check refuses an embedder that cannot work, whole when nothing will be merged into it any more.
func (e *Embedder) check(name string, whole bool) *Error {
	if err := checkTemplate(name, e.DocumentTemplate, e.DocumentTemplateMaxBytes); err != nil {
		return err
	}
	if e.Dimensions.Set && e.Dimensions.Value == 0 {
		return embedderError("`.embedders." + name + ".dimensions`: `dimensions` cannot be zero")
	}
	if e.URL.Set {
		if reason := urlProblem(e.URL.Value); reason != "" {
			return embedderError("`.embedders." + name + ".url`: could not parse `" + e.URL.Value + "`: " + reason)
		}
	}
	if err := e.checkRest(whole); err != nil {
		return err
	}
	if !e.Source.Set {
		return nil
	}
	if err := checkMembers(name, e.Source.Value, notNested, e.statuses()); err != nil {
		return err
	}
	switch e.Source.Value {
	case sourceOpenAI:
		return e.checkOpenAI(name)
	case sourceComposite:
		return e.checkHalves(name)
	}
	return nil
}

func embedderError(message string) *Error { return newError(CodeInvalidSettingsEmbedders, message) }

func checkTemplate(name string, template Setting[string], maxBytes Setting[int]) *Error {
	if !template.Set {
		return nil
	}
	if maxBytes.Set && maxBytes.Value == 0 {
		return embedderError("`.embedders." + name + ".documentTemplateMaxBytes`: `documentTemplateMaxBytes` cannot be zero")
	}
	return nil
}

// memberSetting is what a check needs of one member: whether it was given and whether it has a value.
type memberSetting struct {
	name       string
	given, set bool
}

func statusOfSetting[T any](name string, s Setting[T]) memberSetting {
	return memberSetting{name, !s.IsZero(), s.Set}
}

func (e *Embedder) statuses() []memberSetting {
	return append(e.half().shared(),
		statusOfSetting("searchEmbedder", e.SearchEmbedder), statusOfSetting("indexingEmbedder", e.IndexingEmbedder),
		statusOfSetting("binaryQuantized", e.BinaryQuantized), statusOfSetting("distribution", e.Distribution))
}

func (e *SubEmbedder) statuses() []memberSetting {
	return append(e.shared(),
		statusOfSetting("searchEmbedder", e.SearchEmbedder), statusOfSetting("indexingEmbedder", e.IndexingEmbedder),
		statusOfSetting("binaryQuantized", e.BinaryQuantized), statusOfSetting("distribution", e.Distribution))
}

func (e *SubEmbedder) shared() []memberSetting {
	return []memberSetting{
		statusOfSetting("model", e.Model), statusOfSetting("revision", e.Revision), statusOfSetting("pooling", e.Pooling),
		statusOfSetting("dimensions", e.Dimensions), statusOfSetting("apiKey", e.APIKey), statusOfSetting("url", e.URL),
		statusOfSetting("indexingFragments", e.IndexingFragments), statusOfSetting("searchFragments", e.SearchFragments),
		statusOfSetting("request", e.Request), statusOfSetting("response", e.Response),
		statusOfSetting("documentTemplate", e.DocumentTemplate), statusOfSetting("documentTemplateMaxBytes", e.DocumentTemplateMaxBytes),
		statusOfSetting("headers", e.Headers),
	}
}

// checkMembers refuses members the source does not take and misses those it must have.
func checkMembers(name, source string, n nesting, members []memberSetting) *Error {
	for _, m := range members {
		switch status := statusOf(source, m.name, n); {
		case status == disallowed && m.given:
			return unavailableMember(name, source, m.name, n)
		case status == mandatory && !m.set:
			return embedderError("`.embedders." + name + "`: Missing field `" + m.name + "` (note: this field is mandatory for source `" + source + "`)")
		}
	}
	return nil
}

func unavailableMember(name, source, member string, n nesting) *Error {
	message := "`.embedders." + n.nameOf(name) + "`: Field `" + member + "` unavailable for source `" + source + "`" + n.inContext() + "."
	var sources, members []string
	for _, s := range embedderSources {
		if statusOf(s, member, n) != disallowed {
			sources = append(sources, s)
		}
	}
	for _, m := range embedderMembers {
		if statusOf(source, m, n) != disallowed {
			members = append(members, m)
		}
	}
	if len(sources) > 0 {
		message += "\n  - note: `" + member + "` is available for sources: `" + strings.Join(sources, "`, `") + "`"
	}
	message += "\n  - note: available fields for source `" + source + "`" + n.inContext() + ": `" + strings.Join(members, "`, `") + "`"
	if statusOf(source, member, notNested) != disallowed {
		message += "\n  - note: `" + member + "` is available when source `" + source + "` is not" + n.inContext()
	}
	return embedderError(message)
}

// openAIModels maps a model to its dimensions.
var openAIModels = map[string]int{"text-embedding-ada-002": 1536, "text-embedding-3-small": 1536, "text-embedding-3-large": 3072}

func (e *Embedder) checkOpenAI(name string) *Error {
	if !e.Model.Set {
		return nil
	}
	model := e.Model.Value
	native, known := openAIModels[model]
	if !known {
		return embedderError("`.embedders." + name + ".model`: Invalid model `" + model + "` for OpenAI. Supported models: [\"text-embedding-ada-002\", \"text-embedding-3-small\", \"text-embedding-3-large\"]")
	}
	if !e.Dimensions.Set {
		return nil
	}
	at := "`.embedders." + name + ".dimensions`: Model `" + model + "` does not support overriding its "
	found := ". Found " + strconv.Itoa(e.Dimensions.Value)
	switch {
	case model == "text-embedding-ada-002" && e.Dimensions.Value != native:
		return embedderError(at + "native dimensions of " + strconv.Itoa(native) + found)
	case e.Dimensions.Value > native:
		return embedderError(at + "dimensions to a value higher than " + strconv.Itoa(native) + found)
	}
	return nil
}

func (e *Embedder) checkHalves(name string) *Error {
	if e.SearchEmbedder.Set {
		if err := e.SearchEmbedder.Value.check(name, nestedSearch); err != nil {
			return err
		}
	}
	if !e.IndexingEmbedder.Set {
		return nil
	}
	half := e.IndexingEmbedder.Value
	if err := checkTemplate(name, half.DocumentTemplate, half.DocumentTemplateMaxBytes); err != nil {
		return err
	}
	return half.check(name, nestedIndexing)
}

func (e *SubEmbedder) check(name string, n nesting) *Error {
	inner := n.nameOf(name)
	if !e.Source.Set {
		return embedderError("`.embedders." + inner + "`: Missing field `source`.\n  - note: this field is mandatory for nested embedders")
	}
	for _, half := range []Setting[json.RawMessage]{e.SearchEmbedder, e.IndexingEmbedder} {
		v, err := ParseJSON(half.Value)
		if !half.Set || err != nil {
			continue
		}
		if _, refused := readSubEmbedder(&v, BodyRoot("")); refused != nil {
			return embedderError("`.embedders." + inner + "`: " + refused.Message + n.nestingNote())
		}
	}
	if e.Source.Value == sourceComposite || e.Source.Value == sourceUserProvided {
		return embedderError("`.embedders." + inner + ".source`: Source `" + e.Source.Value + "` is not available in a nested embedder")
	}
	return checkMembers(name, e.Source.Value, n, e.statuses())
}
