package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// maxPromptFacets is how many values of each facet a model is told of.
const maxPromptFacets = 10

// offerSearch describes the search to the model: the indexes that the caller may search and what they can be filtered by.
func (c *conversation) offerSearch(ctx context.Context) error {
	uids := slices.DeleteFunc(slices.Sorted(maps.Keys(c.r.View.Names)), func(uid string) bool { return !c.r.Grant.IndexAllowed(uid) })
	facets := make([]string, len(uids))
	var asked errgroup.Group
	asked.SetLimit(8)
	for i, uid := range uids {
		asked.Go(func() (err error) {
			facets[i], err = c.facetText(ctx, c.r.View.Index(uid))
			return err
		})
	}
	if err := asked.Wait(); err != nil {
		return err
	}
	prompts := c.settings.Prompts
	description, filter := prompts.SearchDescription, prompts.SearchFilterParam
	for i, uid := range uids {
		description += fmt.Sprintf("\n\n - %s: %s\n\n", uid, chatOf(c.r.View.Index(uid)).Description.Or(""))
		filter += fmt.Sprintf("\n## Facet distributions of the %s index\n%s\n", uid, facets[i])
	}
	text := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	index := text(prompts.SearchIndexUIDParam)
	index["enum"] = uids
	tool, err := marshal(map[string]any{"type": "function", "function": map[string]any{
		"name": searchFunction, "description": description, "strict": true,
		"parameters": map[string]any{
			"type": "object", "required": []string{"index_uid", "q", "filter"}, "additionalProperties": false,
			"properties": map[string]any{"index_uid": index, "q": text(prompts.SearchQParam), "filter": text(filter)},
		},
	}})
	c.tools = []json.RawMessage{tool}
	return err
}

func chatOf(ix *fsm.Index) meili.Chat {
	if settings := settingsOf(ix); settings != nil {
		return settings.Chat.Value
	}
	return meili.Chat{}
}

// facetText lists the most frequent values of an index's facets, a line for each, among those that a search lists.
func (c *conversation) facetText(ctx context.Context, ix *fsm.Index) (string, error) {
	if !slices.ContainsFunc(settingsOf(ix).Filterable(), func(rule meili.FilterableRule) bool { return rule.IsFilterable() }) {
		return "", nil // a search for facets would be refused
	}
	query := &meili.SearchQuery{Limit: new(0), Facets: &[]string{"*"}, Filter: c.r.Grant.Rule(ix.UID)}
	body, err := c.runSearch(ctx, ix, query)
	if err != nil {
		return "", err
	}
	var answer struct {
		FacetDistribution map[string]map[string]int `json:"facetDistribution"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("facets of %s: %w", ix.UID, err)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(answer.FacetDistribution)) {
		counts := answer.FacetDistribution[name]
		values := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
			return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
		})
		fmt.Fprintf(&text, "%s: ", name)
		if len(values) > 0 {
			fmt.Fprintf(&text, "%s.", strings.Join(values[:min(len(values), maxPromptFacets)], ", "))
		}
		text.WriteByte('\n')
	}
	return text.String(), nil
}

func (c *conversation) runSearch(ctx context.Context, ix *fsm.Index, query *meili.SearchQuery) ([]byte, error) {
	if err := c.s.nodeFilter(ctx, c.r.View, ix, &query.Filter); err != nil {
		return nil, err
	}
	search := c.s.newSearch(c.r.View, ix, query)
	text, err := marshal(query)
	if err != nil {
		return nil, err
	}
	search.seed = seedOf(ix.UID, string(text))
	answer, missing, err := search.run(ctx)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 { // a model would take a part for the whole
		return nil, unavailable(c.r.View, missing, nil)
	}
	return answer.appendJSON(nil, newRequestUID()), nil
}

// findings are the documents of one search and what the model is told of them.
type findings struct {
	documents []json.RawMessage // nil when nothing was searched
	text      string
}

// searchFor runs a search with a model's arguments, under the key of the caller and the search parameters of the index.
func (c *conversation) searchFor(ctx context.Context, arguments string) (*findings, error) {
	var asked struct {
		IndexUID string  `json:"index_uid"`
		Q        *string `json:"q"`
		Filter   *string `json:"filter"`
	}
	if err := json.Unmarshal([]byte(arguments), &asked); err != nil {
		return &findings{text: err.Error()}, nil // the model may mend them
	}
	header, present := authorizationHeader(c.r.Request)
	grant, refused := meili.Authorize(c.s.opts.MasterKey, c.s.keysOf(c.r.View), header, present, meili.ActionSearch, asked.IndexUID, c.s.opts.Now())
	if refused != nil {
		return nil, refused
	}
	ix := c.r.View.Index(asked.IndexUID)
	if ix == nil {
		return nil, meili.IndexNotFound(asked.IndexUID)
	}
	query := chatQuery(chatOf(ix).SearchParameters.Value)
	query.Q = asked.Q
	if asked.Filter != nil {
		query.Filter, _ = marshal(*asked.Filter) // strings always marshal
	}
	query.Filter = meili.AndFilter(query.Filter, grant.Rule(asked.IndexUID))
	body, err := c.runSearch(ctx, ix, query)
	if known, is := err.(*meili.Error); is && known.Code == meili.CodeInvalidSearchFilter {
		return nil, known.WithPrefix("Index `" + ix.UID + "`: ")
	}
	if err != nil {
		return nil, err
	}
	found := &findings{documents: []json.RawMessage{}}
	for _, hit := range itemsOf(memberOf(body, "hits")) {
		found.documents = append(found.documents, hit)
	}
	found.text, err = c.render(ctx, ix, found.documents)
	return found, err
}

// chatQuery is a search with the parameters of an index's chat setting.
func chatQuery(p meili.ChatSearchParams) *meili.SearchQuery {
	return &meili.SearchQuery{
		Hybrid: setOrNil(p.Hybrid), Limit: setOrNil(p.Limit), Sort: setOrNil(p.Sort), Distinct: setOrNil(p.Distinct),
		MatchingStrategy: setOrNil(p.MatchingStrategy), AttributesToSearchOn: setOrNil(p.AttributesToSearchOn),
		RankingScoreThreshold: setOrNil(p.RankingScoreThreshold),
	}
}

func setOrNil[T any](s meili.Setting[T]) *T {
	if !s.Set {
		return nil
	}
	return &s.Value
}

// render has nodes make texts of documents by the index's template for chats, and joins them by lines.
func (c *conversation) render(ctx context.Context, ix *fsm.Index, documents []json.RawMessage) (string, error) {
	texts := make([]string, len(documents))
	rendering, ctx := errgroup.WithContext(ctx)
	rendering.SetLimit(4)
	for i, document := range documents {
		rendering.Go(func() error {
			body, err := marshal(map[string]any{
				"template": map[string]string{"kind": "chatDocumentTemplate", "indexUid": ix.NodeUID},
				"input":    map[string]any{"kind": "inlineDocument", "inline": document},
			})
			if err != nil {
				return err
			}
			answer, err := c.s.askAnyNode(&request{Request: c.r.WithContext(ctx), View: c.r.View}, ix,
				node.Request{Method: "POST", Path: "/render-template", Body: body, ContentType: "application/json"})
			if err != nil {
				return shownError(err, ix)
			}
			var rendered struct {
				Rendered string `json:"rendered"`
			}
			if err := json.Unmarshal(answer.Body, &rendered); err != nil {
				return fmt.Errorf("render a document of %s: %w", ix.UID, err)
			}
			texts[i] = rendered.Rendered
			return nil
		})
	}
	if err := rendering.Wait(); err != nil {
		return "", err
	}
	return strings.Join(texts, "\n"), nil
}
