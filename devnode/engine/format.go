package engine

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"miroir/meili"
)

// formatOption says how to show a field. crop is a number of words, -1 for none.
type formatOption struct {
	highlight bool
	crop      int
}

func (o formatOption) formats() bool { return o.highlight || o.crop >= 0 }

// hitFormat makes the parts of a hit.
type hitFormat struct {
	st        *state
	words     *matchingWords
	tokenizer *tokenizer

	retrieve  []string // fields to return, parents and children alike
	displayed []string
	options   map[string]formatOption // of the fields in _formatted
	marker    string
	pre, post string
	positions bool
	score     bool
	details   bool
	vectors   bool
	geoSort   *geoPoint
	extra     []string
	weight    float64
}

func (st *state) newHitFormat(ctx SearchContext, q *meili.SearchQuery, words *matchingWords) *hitFormat {
	f := &hitFormat{st: st, words: words, marker: q.EffectiveCropMarker(), extra: ctx.Extra, weight: 1}
	plain := *st.cfg.tokenizer // texts to show know no stop words
	plain.stopWords = nil
	f.tokenizer = &plain
	f.pre, f.post = q.EffectiveHighlightTags()
	f.positions, f.score, f.details = isTrue(q.ShowMatchesPosition), isTrue(q.ShowRankingScore), isTrue(q.ShowRankingScoreDetails)
	f.vectors = isTrue(q.RetrieveVectors) && st.showsVectors()
	if ctx.Weight != nil {
		f.weight = *ctx.Weight
	}
	f.setFields(q.AttributesToRetrieve)
	f.setOptions(q)
	if q.Sort != nil {
		f.setGeoSort(*q.Sort)
	}
	return f
}

func isTrue(b *bool) bool { return b != nil && *b }

// showsVectors reports whether retrieveVectors has an effect. With a list of displayed attributes that of a known field
// _vectors is inverted, as in Meilisearch.
func (st *state) showsVectors() bool {
	if st.cfg.displayed == nil {
		return true
	}
	_, known := st.fields.ids[vectorsField]
	return slices.Contains(st.cfg.displayed, vectorsField) != known
}

// setFields works out displayed and retrieved fields, both in the order of field ids.
func (f *hitFormat) setFields(retrieve *[]string) {
	cfg := f.st.cfg
	for _, name := range f.st.fields.names {
		if cfg.displayed == nil || slices.Contains(cfg.displayed, name) {
			f.displayed = append(f.displayed, name)
		}
	}
	for _, name := range f.displayed {
		if retrieve == nil || slices.Contains(*retrieve, "*") || slices.Contains(*retrieve, name) {
			f.retrieve = append(f.retrieve, name)
		}
	}
}

// setOptions works out which fields are formatted how. Nothing is when no field to highlight or crop is displayed.
func (f *hitFormat) setOptions(q *meili.SearchQuery) {
	f.options = map[string]formatOption{}
	each := func(name string, set func(*formatOption)) {
		for _, field := range f.displayed {
			if name == "*" || name == field {
				o, ok := f.options[field]
				if !ok {
					o.crop = -1
				}
				set(&o)
				f.options[field] = o
			}
		}
	}
	if q.AttributesToHighlight != nil {
		for _, name := range *q.AttributesToHighlight {
			each(name, func(o *formatOption) { o.highlight = true })
		}
	}
	if q.AttributesToCrop != nil {
		for _, text := range *q.AttributesToCrop {
			name, size := cropSize(text, q.EffectiveCropLength())
			each(name, func(o *formatOption) { o.crop = size })
		}
	}
	if len(f.options) > 0 {
		for _, name := range f.retrieve {
			if _, ok := f.options[name]; !ok {
				f.options[name] = formatOption{crop: -1}
			}
		}
	}
}

// cropSize splits "name:length".
func cropSize(text string, size int) (string, int) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, size
	}
	if n, err := strconv.ParseUint(text[i+1:], 10, 31); err == nil {
		size = int(n)
	}
	return text[:i], size
}

func (f *hitFormat) setGeoSort(sorts []string) {
	for _, text := range sorts {
		_, inner, ok := strings.Cut(text, "_geoPoint(")
		inner, _, closed := strings.Cut(inner, ")")
		lat, lng, pair := strings.Cut(inner, ",")
		if !ok || !closed || !pair {
			continue
		}
		a, ok1 := parseFinite(strings.TrimSpace(lat))
		b, ok2 := parseFinite(strings.TrimSpace(lng))
		if ok1 && ok2 {
			f.geoSort = &geoPoint{a, b}
			return
		}
	}
}

// hit makes one hit.
func (f *hitFormat) hit(doc uint32, details []scoreDetail) Hit {
	d := f.st.docs[doc]
	parsed := parseJSON(d.json)
	shown := selectFields(parsed, f.retrieve)
	vectors := parsed.get(vectorsField)
	shown.remove(vectorsField)
	if f.vectors {
		if vectors != nil {
			shown.set(vectorsField, vectors.clone())
		}
		f.st.showVectors(shown, d)
	}
	hit := Hit{DocID: doc, ID: d.id, Score: globalScore(details), ShowScore: f.score}
	if f.geoSort != nil {
		if geo := shown.get(geoField); geo != nil {
			if p, ok := parseGeo(geo); ok {
				shown.set("_geoDistance", &jsonValue{kind: jsonNumber, text: strconv.FormatFloat(float64(int64(f.geoSort.distance(p)+0.5)), 'f', 0, 64)})
			}
		}
	}
	hit.Document = shown.bytes()
	f.format(&hit, parsed)
	if f.details {
		hit.Details = detailsJSON(details, f.st.cfg.unified())
	}
	if len(details) > 0 && details[0].kind == scorePin {
		hit.Pin = &details[0].position
	}
	hit.WeightedValues = weightedValues(details, f.weight)
	if len(f.extra) > 0 {
		missing := slices.DeleteFunc(slices.Clone(f.extra), func(name string) bool { return slices.Contains(f.retrieve, name) })
		hit.Extra = selectFields(parsed, missing).bytes()
	}
	return hit
}

// format fills in _formatted and _matchesPosition.
func (f *hitFormat) format(hit *Hit, parsed *jsonValue) {
	if !f.positions && len(f.options) == 0 {
		return
	}
	var selectors []string
	if f.positions {
		selectors = f.displayed
	} else {
		for _, name := range f.displayed {
			if _, ok := f.options[name]; ok {
				selectors = append(selectors, name)
			}
		}
	}
	work := selectFields(parsed, selectors).clone()
	w := formatWalk{f: f, matches: map[string]json.RawMessage{}}
	w.object(work, "", nil)
	if f.positions {
		hit.Matches = sortedObject(w.matches)
	}
	var formatted []string
	for _, name := range f.displayed {
		if _, ok := f.options[name]; ok {
			formatted = append(formatted, name)
		}
	}
	if out := selectFields(work, formatted); len(out.keys) > 0 {
		hit.Formatted = out.bytes()
	}
}

func sortedObject(members map[string]json.RawMessage) json.RawMessage {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	var out objectWriter
	for _, name := range names {
		out.raw(name, members[name])
	}
	return out.close()
}

// formatWalk replaces the leaves of a document by their formatted texts.
type formatWalk struct {
	f       *hitFormat
	matches map[string]json.RawMessage // of the last value of a field that has any
}

func (w *formatWalk) object(object *jsonValue, base string, indices []int) {
	for i, key := range object.keys {
		name := key
		if base != "" {
			name = base + "." + key
		}
		if !w.f.isSelected(name) {
			continue
		}
		object.items[i] = w.value(object.items[i], name, indices)
	}
}

// isSelected reports whether a field, a parent or a child of it is displayed.
func (f *hitFormat) isSelected(name string) bool {
	return slices.ContainsFunc(f.displayed, func(d string) bool { return containedIn(d, name) || containedIn(name, d) })
}

func (w *formatWalk) value(v *jsonValue, name string, indices []int) *jsonValue {
	switch v.kind {
	case jsonObject:
		w.object(v, name, indices)
	case jsonArray:
		for i, item := range v.items {
			v.items[i] = w.value(item, name, append(slices.Clone(indices), i))
		}
	case jsonString, jsonNumber:
		return w.text(v.text, name, indices)
	}
	return v
}

// text formats one text and notes its matches. Numbers become texts.
func (w *formatWalk) text(text, name string, indices []int) *jsonValue {
	option := w.f.optionOf(name)
	if !option.formats() && !w.f.positions {
		return stringValue(text)
	}
	tokens := w.f.tokenizer.tokenize(text, true)
	matches := w.f.words.find(tokens)
	if w.f.positions && len(matches) > 0 {
		w.matches[name] = matchesJSON(text, tokens, matches, indices)
	}
	if !option.formats() {
		return stringValue(text)
	}
	return stringValue(w.f.formatText(text, tokens, matches, option))
}

// optionOf merges the options of a field with those of its parents and children, in the order of field ids.
func (f *hitFormat) optionOf(name string) formatOption {
	merged := formatOption{crop: -1}
	for _, field := range f.displayed {
		o, ok := f.options[field]
		if !ok || !o.formats() || !containedIn(field, name) && !containedIn(name, field) {
			continue
		}
		merged.highlight = merged.highlight || o.highlight
		if merged.crop < 0 {
			merged.crop = o.crop
		}
	}
	return merged
}

func matchesJSON(text string, tokens []token, matches []textMatch, indices []int) json.RawMessage {
	out := []byte{'['}
	for i := range matches {
		if i > 0 {
			out = append(out, ',')
		}
		start := tokens[matches[i].firstToken].byteStart
		var w objectWriter
		w.int("start", start)
		w.int("length", headBytes(text[start:tokens[matches[i].lastToken].byteEnd], matches[i].numChars))
		if len(indices) > 0 {
			list, _ := json.Marshal(indices)
			w.raw("indices", list)
		}
		out = append(out, w.close()...)
	}
	return append(out, ']')
}

// formatText crops a text and puts tags around its matches.
func (f *hitFormat) formatText(text string, tokens []token, matches []textMatch, option formatOption) string {
	start, end := 0, len(text)
	if option.crop > 0 {
		c := cropper{tokens, matches, option.crop}
		start, end = c.bounds(len(text))
	}
	var b strings.Builder
	if start > 0 {
		b.WriteString(f.marker)
	}
	at := start
	if option.highlight {
		for i := range matches {
			m := &matches[i]
			from, to := tokens[m.firstToken].byteStart, tokens[m.lastToken].byteEnd
			if to < start || from > end {
				continue
			}
			from, to = max(from, start), min(to, end)
			if at < from {
				b.WriteString(text[at:from])
			}
			stop := min(from+headBytes(text[from:], m.numChars), to)
			b.WriteString(f.pre)
			b.WriteString(text[from:stop])
			b.WriteString(f.post)
			b.WriteString(text[stop:to])
			at = to
		}
	}
	if at < end {
		b.WriteString(text[at:end])
	}
	if end < len(text) {
		b.WriteString(f.marker)
	}
	return b.String()
}
