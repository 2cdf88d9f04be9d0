package engine

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// fullDocument is a stored document with all its vectors.
func (st *state) fullDocument(doc uint32) *jsonValue {
	d := st.docs[doc]
	parsed := parseJSON(d.json)
	if len(d.vectors) > 0 {
		st.showVectors(parsed, d)
	}
	return parsed
}

// showDocument is a document with the given fields, nil for all.
func (st *state) showDocument(doc uint32, fields *[]string, vectors bool) json.RawMessage {
	d := st.docs[doc]
	parsed := parseJSON(d.json)
	if fields != nil {
		known := slices.DeleteFunc(slices.Clone(*fields), func(f string) bool {
			_, ok := st.fields.ids[f]
			return !ok
		})
		parsed = selectFields(parsed, known)
	}
	if vectors {
		st.showVectors(parsed, d)
	} else {
		parsed.remove(vectorsField)
	}
	return parsed.bytes()
}

func (st *state) document(id string, query *meili.DocumentQuery) (json.RawMessage, bool) {
	doc, ok := st.ids[id]
	if !ok {
		return nil, false
	}
	var fields *[]string
	vectors := false
	if query != nil {
		fields, vectors = query.Fields, query.RetrieveVectors
	}
	return st.showDocument(doc, fields, vectors), true
}

func (st *state) documentPage(ctx SearchContext, query *meili.DocumentsQuery) (*DocumentPage, *meili.Error) {
	docs, err := st.filterDocs(ctx, query.Filter)
	if err != nil {
		return nil, documentError(err)
	}
	if query.IDs != nil {
		wanted := roaring.New()
		for _, id := range *query.IDs {
			if doc, ok := st.ids[id]; ok {
				wanted.Add(doc)
			}
		}
		docs.And(wanted)
	}
	page := &DocumentPage{Total: int(docs.GetCardinality()), Documents: []json.RawMessage{}}
	order := docs.ToArray()
	if query.Sort != nil && len(*query.Sort) > 0 {
		if order, err = st.sortDocuments(ctx, docs, *query.Sort); err != nil {
			return nil, err
		}
	}
	from := min(query.Offset, len(order))
	for _, doc := range order[from:min(from+query.Limit, len(order))] {
		page.Documents = append(page.Documents, st.showDocument(doc, query.Fields, query.RetrieveVectors))
	}
	return page, nil
}

// documentError gives errors about filters the code of the documents routes.
func documentError(err *meili.Error) *meili.Error {
	if err.Code == meili.CodeInvalidSearchFilter {
		return err.WithCode(meili.CodeInvalidDocumentFilter)
	}
	return err
}

func (st *state) sortDocuments(ctx SearchContext, docs *roaring.Bitmap, texts []string) ([]uint32, *meili.Error) {
	sorts, err := parseSorts(texts, meili.CodeInvalidDocumentSort)
	if err == nil {
		err = st.checkSorts(ctx, sorts, meili.CodeInvalidDocumentSort)
	}
	if err != nil {
		return nil, err
	}
	b := ruleBuilder{st: st, seen: map[string]bool{}}
	b.sort(sorts)
	n := int(docs.GetCardinality())
	return st.newQueryContext().rank(rankRequest{rules: b.rules, universe: docs, distinct: -1, length: n}).docs, nil
}

// parseSorts reads the sort parameter. Error: refused, the code for the route.
func parseSorts(texts []string, refused meili.Code) ([]sortCriterion, *meili.Error) {
	parsed, err := meili.ParseSort(texts, refused)
	if err != nil {
		return nil, err
	}
	out := make([]sortCriterion, len(parsed))
	for i, c := range parsed {
		out[i] = sortCriterion{field: c.Field, point: geoPoint{c.Lat, c.Lng}, ascending: c.Ascending}
	}
	return out, nil
}

// checkSorts refuses criteria the settings do not allow. Error: refused, the code for the route.
func (st *state) checkSorts(ctx SearchContext, sorts []sortCriterion, refused meili.Code) *meili.Error {
	if len(sorts) == 0 {
		return nil
	}
	if refused == meili.CodeInvalidSearchSort && !slices.Contains(st.cfg.ranking, "sort") {
		return meili.Errorf(refused, "%sYou must specify where `sort` is listed in the rankingRules setting to use the sort parameter at search time.", ctx.prefix())
	}
	for _, s := range sorts {
		name := s.field
		allowed := slices.ContainsFunc(st.cfg.sortable, func(f string) bool { return containedIn(name, f) })
		if name == "" {
			name = geoField
			allowed = slices.Contains(st.cfg.sortable, geoField)
			if refused == meili.CodeInvalidDocumentSort && allowed { // as Meilisearch has it while no document had a point
				_, allowed = st.fields.ids[geoLatField]
			}
		}
		if !allowed {
			return meili.Errorf(refused, "%sAttribute `%s` is not sortable. %s", ctx.prefix(), name, st.available("sortable attributes", st.cfg.sortable))
		}
	}
	return nil
}

// available lists the fields a message offers; names that are not displayed are hidden.
func (st *state) available(what string, names []string) string {
	if len(names) == 0 {
		return "This index does not have configured " + what + "."
	}
	shown := slices.DeleteFunc(slices.Sorted(slices.Values(names)), func(n string) bool { return !st.cfg.isDisplayed(n) })
	shown = slices.Compact(shown)
	if hidden := len(shown) < len(names); hidden {
		shown = append(shown, "<..hidden-attributes>")
	}
	return "Available " + what + " are: `" + strings.Join(shown, ", ") + "`."
}

// prefix starts the messages of errors met inside an index.
func (ctx SearchContext) prefix() string {
	if ctx.IndexUID == "" {
		return ""
	}
	return "Index `" + ctx.IndexUID + "`: "
}

// checkGeo refuses a _geo field that is no pair of coordinates. Error: invalid_document_geo_field.
func (st *state) checkGeo(p *pending) *meili.Error {
	geo := p.parsed.get(geoField)
	if geo == nil || geo.kind == jsonNull || !st.cfg.geoEnabled {
		return nil
	}
	refuse := func(format string, args ...any) *meili.Error {
		return meili.Errorf(meili.CodeInvalidDocumentGeoField, format, args...)
	}
	id := string(appendJSONString(nil, p.id))
	if geo.kind != jsonObject {
		return refuse("The `_geo` field in the document with the id: `%s` is not an object. Was expecting an object with the `_geo.lat` and `_geo.lng` fields but instead got `%s`.", id, geo.bytes())
	}
	lat, lng := geo.get("lat"), geo.get("lng")
	switch {
	case lat == nil && lng == nil:
		return refuse("Could not find latitude nor longitude in the document with the id: `%s`. Was expecting `_geo.lat` and `_geo.lng` fields.", id)
	case lat == nil:
		return refuse("Could not find latitude in the document with the id: `%s`. Was expecting a `_geo.lat` field.", id)
	case lng == nil:
		return refuse("Could not find longitude in the document with the id: `%s`. Was expecting a `_geo.lng` field.", id)
	case len(geo.keys) > 2:
		return refuse("The `_geo` field in the document with the id: `%s` contains the following unexpected fields: `%s`.", id, selectOther(geo).bytes())
	}
	_, ok1 := geoNumber(lat)
	_, ok2 := geoNumber(lng)
	switch {
	case !ok1 && !ok2:
		return refuse("Could not parse latitude nor longitude in the document with the id: `%s`. Was expecting finite numbers but instead got `%s` and `%s`.", id, lat.bytes(), lng.bytes())
	case !ok1:
		return refuse("Could not parse latitude in the document with the id: `%s`. Was expecting a finite number but instead got `%s`.", id, lat.bytes())
	case !ok2:
		return refuse("Could not parse longitude in the document with the id: `%s`. Was expecting a finite number but instead got `%s`.", id, lng.bytes())
	}
	return nil
}

func selectOther(geo *jsonValue) *jsonValue {
	other := geo.clone()
	other.remove("lat")
	other.remove("lng")
	return other
}
