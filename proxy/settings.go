package proxy

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// Rules that nodes get beside the client's, by equality and nothing else. Each index that Miroir makes has one of them, which also
// tells it from others.
var (
	// wholeRule is that of an index which lives whole. No document has that field: the rule costs a node nothing.
	wholeRule = meili.FilterableRule{Patterns: []string{tasks.NoField}, Equality: true}
	// shardRule makes the hidden shard field filterable too: the nodes of an index that is cut up are asked for some of its shards.
	// One that lives whole has it where that was about to be needed.
	shardRule = meili.FilterableRule{Patterns: []string{shardField, tasks.NoField}, Equality: true}
)

// settingsFor is the body of PATCH /settings that makes a client's change, nil for none, on a node of an index. after are the
// settings that the change leads to.
func settingsFor(ix *fsm.Index, delta, after *meili.Settings) json.RawMessage {
	if ix.Whole() {
		return settingsForNode(delta, after)
	}
	return settingsForSpread(delta, after)
}

// nodeFacetValues is how many values the nodes of a spread index list of each facet when some facet is listed by count:
// a list cut at the client's maximum does not tell how often the rest of its values occurs on that node.
const nodeFacetValues = 10_000

// settingsForSpread is settingsFor an index that is cut up: it also says how long the nodes' lists of facet values must be.
func settingsForSpread(delta, after *meili.Settings) json.RawMessage {
	if delta == nil || !delta.Faceting.Set {
		return settingsWith(shardRule, delta, after)
	}
	maxValues := after.MaxValuesPerFacet()
	if listsByCount(after) {
		maxValues = max(maxValues, nodeFacetValues)
	}
	change := *delta
	change.Faceting.Value.MaxValuesPerFacet = meili.SetTo(maxValues)
	return settingsWith(shardRule, &change, after)
}

// listsByCount reports whether some facet lists its most frequent values first.
func listsByCount(settings *meili.Settings) bool {
	if settings == nil {
		return false
	}
	for _, order := range settings.Faceting.Value.SortFacetValuesBy.Value {
		if order == "count" {
			return true
		}
	}
	return false
}

// settingsForNode is settingsFor an index that lives whole.
func settingsForNode(delta, after *meili.Settings) json.RawMessage {
	return settingsWith(wholeRule, delta, after)
}

// settingsWith is a client's change as a node gets it: a change of filterableAttributes with Miroir's rule, a list of
// displayedAttributes with the number that hits must tell, an embedder with a template without the hidden fields; nil is the
// change that gives a new index just that rule.
func settingsWith(rule meili.FilterableRule, delta, after *meili.Settings) json.RawMessage {
	change := meili.Settings{}
	if delta != nil {
		change = *delta
	}
	if delta == nil || !change.FilterableAttributes.IsZero() {
		change.FilterableAttributes = meili.SetTo(append(slices.Clone(change.FilterableAttributes.Value), rule))
	}
	if shown := change.DisplayedAttributes; shown.Set && !slices.Contains(shown.Value, "*") {
		change.DisplayedAttributes = meili.SetTo(append(slices.Clone(shown.Value), orderField))
	}
	change.ForeignKeys = meili.Setting[[]meili.ForeignKey]{} // see foreign.go
	change.Embedders = embeddersForNode(change.Embedders, after)
	text, _ := marshal(&change) // settings always marshal
	return text
}

// checkReserved refuses settings that would show the hidden fields or make their characters searchable.
func checkReserved(delta *meili.Settings) *meili.Error {
	lists := []struct {
		name   string
		values []string
	}{
		{"displayedAttributes", delta.DisplayedAttributes.Value}, {"searchableAttributes", delta.SearchableAttributes.Value},
		{"sortableAttributes", delta.SortableAttributes.Value}, {"distinctAttribute", []string{delta.DistinctAttribute.Value}},
		{"rankingRules", delta.RankingRules.Value},
	}
	for _, rule := range delta.FilterableAttributes.Value {
		lists = append(lists, struct {
			name   string
			values []string
		}{"filterableAttributes", rule.Patterns})
	}
	for _, rule := range delta.LocalizedAttributes.Value {
		lists = append(lists, struct {
			name   string
			values []string
		}{"localizedAttributes", rule.AttributePatterns})
	}
	for _, list := range lists {
		for _, value := range list.values {
			field, _, _ := strings.Cut(value, ":")
			if root, _, _ := strings.Cut(field, "."); isHidden(root) {
				return miroirError(codeReservedField, "`%s` must not name `%s`: Miroir keeps that field for itself.", list.name, root)
			}
		}
	}
	return checkReservedTokens(delta)
}

func checkReservedTokens(delta *meili.Settings) *meili.Error {
	for name, tokens := range map[string][]string{"nonSeparatorTokens": delta.NonSeparatorTokens.Value, "dictionary": delta.Dictionary.Value} {
		for _, token := range tokens {
			if strings.ContainsFunc(token, isDigit) {
				return miroirError(codeReservedField, "`%s` must not hold `%s`: Miroir keeps the characters %c to %c for itself.",
					name, token, firstOrderDigit, lastOrderDigit)
			}
		}
	}
	return nil
}

func (s *Server) handleGetSettings(w http.ResponseWriter, r *request) error {
	settings, err := s.settingsOf(r)
	if err != nil {
		return err
	}
	features, err := featuresOf(r.View)
	if err != nil {
		return err
	}
	writeRawJSON(w, http.StatusOK, settings.View(features))
	return nil
}

// settingsOf are those that finished tasks gave the index of the path. Error: index_not_found.
func (s *Server) settingsOf(r *request) (*meili.Settings, error) {
	if _, err := s.pinSession(r, r.uid()); err != nil {
		return nil, err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return nil, meili.IndexNotFound(r.uid())
	}
	return meili.LoadSettings(ix.Settings)
}

func (s *Server) handleGetSetting(name string) handler {
	return func(w http.ResponseWriter, r *request) error {
		settings, err := s.settingsOf(r)
		if err != nil {
			return err
		}
		view, problem := settings.ViewOf(name)
		if problem != nil {
			return problem
		}
		writeRawJSON(w, http.StatusOK, view)
		return nil
	}
}

func (s *Server) handlePatchSettings(w http.ResponseWriter, r *request) error {
	return s.decodeSettings(w, r, meili.DecodeSettings)
}

func (s *Server) handlePutSetting(name string) handler {
	return func(w http.ResponseWriter, r *request) error {
		return s.decodeSettings(w, r, func(body []byte, f meili.Features) (*meili.Settings, *meili.Error) {
			return meili.DecodeSetting(name, body, f)
		})
	}
}

func (s *Server) decodeSettings(w http.ResponseWriter, r *request, decode settingsDecoder) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	delta, err := r.settingsIn(body, decode)
	if err != nil {
		return err
	}
	return s.changeSettings(w, r, delta, r.Grant.CanCreateIndex(r.uid()))
}

type settingsDecoder func(body []byte, f meili.Features) (*meili.Settings, *meili.Error)

// settingsIn is the change of settings in a request's body, checked.
func (r *request) settingsIn(body []byte, decode settingsDecoder) (*meili.Settings, error) {
	features, err := featuresOf(r.View)
	if err != nil {
		return nil, err
	}
	delta, problem := decode(body, features)
	if problem != nil && delta != nil { // it is of a check that comes after the name's
		if err := r.checkUID(); err != nil {
			return nil, err
		}
	}
	if problem == nil {
		problem = checkReserved(delta)
	}
	if problem != nil {
		return nil, problem
	}
	return delta, nil
}

func (s *Server) handleResetSettings(w http.ResponseWriter, r *request) error {
	return s.changeSettings(w, r, meili.ResetSettings(), false)
}

func (s *Server) handleResetSetting(name string) handler {
	return func(w http.ResponseWriter, r *request) error {
		delta, err := meili.ResetSetting(name)
		if err != nil {
			return err
		}
		return s.changeSettings(w, r, delta, false)
	}
}

func (s *Server) changeSettings(w http.ResponseWriter, r *request, delta *meili.Settings, mayCreate bool) error {
	c := &settingsChange{uid: r.uid(), delta: delta, mayCreate: mayCreate}
	done, err := s.writer.submit(r.Context(), c.propose, c.uid)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

// settingsChange is one change of an index's settings, to all nodes that hold it or none.
type settingsChange struct {
	uid       string
	delta     *meili.Settings
	mayCreate bool
}

func (c *settingsChange) propose(view *fsm.View, ix *fsm.Index) (*proposal, error) {
	begin := fsm.BeginWrite{Kind: string(meili.TaskSettingsUpdate), IndexUID: &c.uid, Details: c.delta.Details()}
	var before json.RawMessage
	if ix != nil {
		before = ix.NextSettings
	} else if !c.mayCreate {
		return failed(begin, meili.IndexNotFound(c.uid), nil), nil
	}
	settings, err := meili.LoadSettings(before)
	if err != nil {
		return nil, err
	}
	after, problem := settings.Apply(c.delta)
	if problem != nil {
		return failed(begin, problem.WithPrefix("Index `"+c.uid+"`: "), nil), nil
	}
	if begin.Effect.Settings, err = marshal(after); err != nil {
		return nil, err
	}
	begin.Effect.CreateIndex = ix == nil || !ix.Visible && c.mayCreate // also when the task fails that is to create it
	request := tasks.Request{Create: createIndex("", cutsUp(view))}
	switch {
	case ix != nil:
		request.Settings = settingsFor(ix, c.delta, after)
		if !ix.Whole() && ix.Visible && ix.Divided() && forgetsWords(settings, after) {
			request.Before, request.Settings = rebuildingPrefixes(c.delta, after)
		}
	case cutsUp(view):
		request.Settings = settingsForSpread(c.delta, after)
	default:
		request.Settings = settingsForNode(c.delta, after)
	}
	return indexProposal(begin, request), nil
}

// forgetsWords reports that a change can leave prefixes of a node with fewer words. Meilisearch 1.50 keeps what it knows of a prefix
// that was the beginning of 100 words and is of fewer after a change of settings, and then loses documents that it finds by it
// (library o: 94 of 354). The small part of an index that a node has gets there sooner than the whole; a node that has all of it does
// what one server does.
func forgetsWords(before, after *meili.Settings) bool {
	if before == nil {
		before = &meili.Settings{}
	}
	if before.PrefixSearch.Value == "disabled" || after.PrefixSearch.Value == "disabled" {
		return false // there are none
	}
	return !slices.Equal(before.Searchable(), after.Searchable()) ||
		!slices.Equal(before.StopWords.Value, after.StopWords.Value) ||
		!slices.Equal(before.Dictionary.Value, after.Dictionary.Value) ||
		!slices.Equal(before.SeparatorTokens.Value, after.SeparatorTokens.Value) ||
		!slices.Equal(before.NonSeparatorTokens.Value, after.NonSeparatorTokens.Value) ||
		!reflect.DeepEqual(before.LocalizedAttributes.Value, after.LocalizedAttributes.Value) ||
		!slices.Equal(before.Typo().DisableOnAttributes.Value, after.Typo().DisableOnAttributes.Value) ||
		before.Typo().DisableOnNumbers.Value != after.Typo().DisableOnNumbers.Value
}

// rebuildingPrefixes are two bodies that make a client's change on a node one after the other, the second of which has it learn
// its prefixes anew: that costs a tenth of the first. Both name all of the change, so that the second fails if the first does.
func rebuildingPrefixes(delta, after *meili.Settings) (without, with json.RawMessage) {
	change := *delta
	change.PrefixSearch = meili.SetTo("disabled")
	without = settingsForSpread(&change, after)
	change.PrefixSearch = meili.SetTo("indexingTime")
	return without, settingsForSpread(&change, after)
}
