package proxy

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// handleFacetSearch answers POST /indexes/{uid}/facet-search.
func (s *Server) handleFacetSearch(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	query, refused := meili.DecodeFacetSearch(body)
	if refused != nil {
		return refused
	}
	pin, err := s.pinSession(r, r.uid())
	if err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	if refused := checkGates(query.UseNetwork, query.Filter, r.View); refused != nil {
		return refused
	}
	query.Filter = meili.AndFilter(query.Filter, r.Grant.Rule(ix.UID))
	if err := s.nodeFilterInWords(r.Context(), r.View, ix, &query.Filter, meili.CodeInvalidSearchFilter); err != nil {
		return err
	}
	plan := s.planRequest(r.View, ix, s.narrow(query.Filter, ix, r.View), seedOf(ix.UID, query.FacetName, deref(query.Q)))
	plan.pinTo(pin)
	for {
		q := s.newSearch(r.View, ix, query.Search())
		q.lost = &losses{}
		answer, missing, err := q.searchFacet(r.Context(), plan, query)
		if err != nil {
			return shownError(err, ix)
		}
		if others, ok := plan.withoutLost(q.lost, len(missing)); ok && r.Context().Err() == nil { // done again, like runWhole
			s.meter.retries.Inc()
			plan = others
			continue
		}
		if len(q.lost.calls) > 0 {
			missing = q.lost.shards(missing)
			if err := s.judgeMissing(r.View, missing, 1, nil); err != nil {
				return err
			}
		}
		markMissing(w.Header(), "", missing)
		writeRawJSON(w, http.StatusOK, answer)
		return nil
	}
}

// searchFacet answers a facet search; what nodes did not answer in its further rounds is in q.lost.
func (q *search) searchFacet(ctx context.Context, plan planRequest, query *meili.FacetSearch) ([]byte, []fsm.ShardID, error) {
	got, err := scatter(ctx, q.s, plan, func(ctx context.Context, c *node.Client, call Call) ([]byte, error) {
		part := *query
		part.Filter = withShards(query.Filter, call.filterShards())
		body, err := marshal(part)
		if err != nil {
			return nil, err
		}
		return q.s.forward(node.Request{
			Method: "POST", Path: "/indexes/" + q.ix.NodeUID + "/facet-search", Body: body, ContentType: "application/json",
		})(ctx, c, call)
	})
	if err != nil {
		return nil, nil, err
	}
	if len(got.Answers) == 1 && (q.ix.Whole() || !listsByCount(q.settings)) {
		return got.Answers[0].Value, got.Missing, nil
	}
	parts := readFacetHits(got.Answers, query.FacetName)
	maxValues := q.settings.MaxValuesPerFacet()
	if q.settings.FacetSort(query.FacetName) == "count" {
		q.recount(ctx, callsOf(got.Answers), parts, query.FacetName, maxValues, false)
	}
	sum := sumFacets(parts)
	q.respellAll(ctx, callsOf(got.Answers), parts, sum)
	values := q.withoutDuplicates(ctx, plan, query, sum.values[query.FacetName])
	sortFacetHits(values, query, q.settings.FacetSort(query.FacetName))
	return facetSearchAnswer(values[:min(len(values), maxValues)], query, got.Answers), got.Missing, nil
}

// withoutDuplicates counts values that a facet search found as one server does when the index has a distinct attribute: it
// leaves out the documents that a search for the same words would leave out of its hits. A node may have left out others, and with
// them values. Values that cannot be counted keep the sum of what the nodes count.
func (q *search) withoutDuplicates(ctx context.Context, plan planRequest, query *meili.FacetSearch, values []facetValue) []facetValue {
	if q.distinct() == "" || q.kind != meili.KeywordSearch || !isFilterable(q.settings, query.FacetName) {
		return values
	}
	hits := *q.query
	hits.Facets = &[]string{query.FacetName}
	if isTrue(query.ExhaustiveFacetCount) {
		hits.Page = new(0)
	}
	q.query = &hits
	f := q.form()
	got, err := q.scatter(ctx, plan, f)
	if err != nil || len(got.Missing) > 0 {
		q.lost.note(Call{Shards: got.Missing}, nil)
	}
	if err != nil || len(got.Answers) < 2 {
		return values
	}
	_, c, _ := q.count(ctx, got.Answers, f, mergeHits(hitLists(got.Answers), 0, f.reach, f.distinct, false, compareHits))
	told := q.toldBy(slices.Concat(c.parts, c.addedFacets), query.FacetName)
	sum := sumFacets(c.allParts(map[string]bool{query.FacetName: true}))
	sum.withoutHits(c.rejected)
	if sum == nil {
		sum = &facets{}
	}
	_, hasNumbers := sum.stats[query.FacetName]
	_, counted := splitNumbers(sum.values[query.FacetName], hasNumbers)
	known := map[string]uint64{}
	for _, value := range counted {
		known[normalizeFacet(value.text)] = value.count
	}
	for i := range values {
		key := normalizeFacet(values[i].text)
		if told(key) {
			values[i].count = known[key]
		}
		delete(known, key)
	}
	for _, value := range counted { // of those that only begin nearly so nodes alone know
		if key := normalizeFacet(value.text); known[key] > 0 && told(key) && strings.HasPrefix(searchedFacet(value.text), searchedFacet(deref(query.FacetQuery))) {
			values = append(values, value)
		}
	}
	return slices.DeleteFunc(values, func(v facetValue) bool { return v.count == 0 })
}

// toldBy says of which values of a field lists tell all documents: of those that all lists go on behind, and where they go by count,
// which is listed in full up to a great number, of those that any list has.
func (q *search) toldBy(lists []*facets, field string) func(value string) bool {
	cut, last, listed := false, "", map[string]bool{}
	for _, part := range lists {
		if part == nil {
			continue
		}
		_, hasNumbers := part.stats[field]
		_, texts := splitNumbers(part.values[field], hasNumbers)
		for _, value := range texts {
			listed[normalizeFacet(value.text)] = true
		}
		if !isCut(len(part.values[field]), q.settings.MaxValuesPerFacet()) {
			continue
		}
		end := ""
		if len(texts) > 0 {
			end = normalizeFacet(texts[len(texts)-1].text)
		}
		if !cut || end < last {
			cut, last = true, end
		}
	}
	byCount := q.settings.FacetSort(field) == "count"
	return func(value string) bool { return !cut || byCount && listed[value] || !byCount && value <= last }
}

// readFacetHits reads the values that each node found, as facets of one field.
func readFacetHits(answers []answered[[]byte], field string) []*facets {
	parts := make([]*facets, len(answers))
	for i, a := range answers {
		values := []facetValue{}
		for _, hit := range itemsOf(memberOf(a.Value, "facetHits")) {
			values = append(values, facetValue{text(memberOf(hit, "value")), uint64(number(memberOf(hit, "count")))})
		}
		parts[i] = &facets{values: map[string][]facetValue{field: values}}
	}
	return parts
}

// sortFacetHits sorts as one server lists the values it finds: by count and then backwards, or by what they are compared by.
func sortFacetHits(values []facetValue, query *meili.FacetSearch, order string) {
	slices.SortFunc(values, func(a, b facetValue) int {
		if order == "count" {
			return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(b.text, a.text))
		}
		if query.FacetQuery != nil {
			if c := strings.Compare(searchedFacet(a.text), searchedFacet(b.text)); c != 0 {
				return c
			}
		}
		return strings.Compare(normalizeFacet(a.text), normalizeFacet(b.text))
	})
}

// searchedFacet is the form in which a facet query is compared: normalized and without accents.
func searchedFacet(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, normalizeFacet(s))
}

func facetSearchAnswer(values []facetValue, query *meili.FacetSearch, answers []answered[[]byte]) []byte {
	out := []byte(`{"facetHits":[`)
	for i, value := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = meili.AppendString(append(out, `{"value":`...), value.text)
		out = strconv.AppendUint(append(out, `,"count":`...), value.count, 10)
		out = append(out, '}')
	}
	out = append(out, `],"facetQuery":`...)
	if query.FacetQuery == nil {
		out = append(out, "null"...)
	} else {
		out = meili.AppendString(out, *query.FacetQuery)
	}
	tookMillis := 0
	for _, a := range answers {
		tookMillis = max(tookMillis, int(number(memberOf(a.Value, "processingTimeMs"))))
	}
	out = strconv.AppendInt(append(out, `,"processingTimeMs":`...), int64(tookMillis), 10)
	return append(out, '}')
}
