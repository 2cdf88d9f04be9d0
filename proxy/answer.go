package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"miroir/meili"
)

// nodeAnswer is one node's answer to a search, taken apart. Its bytes are slices of the answer.
type nodeAnswer struct {
	body        []byte
	hits        []hit // ranked ones, best first
	pins        []hit
	total       int
	tookMillis  int
	facets      *facets
	queryVector []byte
	semantic    bool // semanticHitCount is present
	performance []byte
}

// readAnswer takes the answer of a plain search or of a federated search of one query apart. nodeUID is the index's name
// on the node, key the name of its primary key. Hits are not scored yet.
func readAnswer(body []byte, nodeUID, key string) *nodeAnswer {
	a := &nodeAnswer{body: body}
	var distribution, stats []byte
	hits, behind := firstHits(body, key)
	a.hits = hits
	eachMemberFrom(body, behind, func(m member) bool {
		value := body[m.value:m.end]
		switch string(m.key) {
		case "hits":
			a.hits, _ = readHits(value, 0, key)
		case "estimatedTotalHits", "totalHits":
			a.total = int(number(value))
		case "processingTimeMs":
			a.tookMillis = int(number(value))
		case "facetDistribution":
			distribution = value
		case "facetStats":
			stats = value
		case "facetsByIndex":
			mine := memberOf(value, nodeUID)
			distribution, stats = memberOf(mine, "distribution"), memberOf(mine, "stats")
		case "queryVector":
			a.queryVector = value
		case "queryVectors":
			a.queryVector = memberOf(value, "0")
		case "semanticHitCount":
			a.semantic = true
		case "performanceDetails":
			a.performance = value
		}
		return true
	})
	a.facets = readFacets(distribution, stats)
	return a
}

// firstHits reads the hits where an answer begins with them, as servers' answers do, so that they are gone through once: they
// are nearly all of it. behind is where other members follow.
func firstHits(body []byte, key string) (hits []hit, behind int) {
	at := skipSpace(body, 0)
	if at == len(body) || body[at] != '{' {
		return nil, len(body)
	}
	if first := []byte(`"hits":`); bytes.HasPrefix(body[at+1:], first) {
		return readHits(body, at+1+len(first), key)
	}
	return nil, at + 1
}

// readHits reads the list at text[at], and returns the position behind it.
func readHits(text []byte, at int, key string) (hits []hit, end int) {
	if at == len(text) || text[at] != '[' {
		return nil, skipValue(text, at)
	}
	hits = make([]hit, 0, meili.DefaultSearchLimit)
	at = skipSpace(text, at+1)
	for at < len(text) && text[at] != ']' {
		h := readHit(text, at, key)
		if len(h.raw) == 0 {
			break
		}
		hits = append(hits, h)
		at = skipComma(text, at+len(h.raw))
	}
	return hits, min(at+1, len(text))
}

// readHit reads the hit at text[at] and finds in it what it is merged by.
func readHit(text []byte, at int, key string) (h hit) {
	end := eachMember(text, at, func(m member) bool {
		value := text[m.value:m.end]
		switch string(m.key) {
		case orderField:
			h.order = value
		case "_rankingScoreDetails":
			h.ranking = value
		case "_federation":
			h.federation = value
		case key: // no field has an empty name where there is none
			h.key = value
		}
		return true
	})
	h.raw = text[at:end]
	return h
}

// searchAnswer is the answer of one search, ready to be printed.
type searchAnswer struct {
	raw []byte // of one node, printed as it is; everything else is unset then

	hits        []hit
	cutter      hitCutter
	query       *meili.SearchQuery
	queryVector []byte
	started     time.Time
	tookMillis  int // of the slowest node
	total       int
	facets      *facets
	metadata    *searchMetadata
	performance []byte
	semantic    *int
}

// searchMetadata is what Meili-Include-Metadata adds.
type searchMetadata struct{ query, indexUID, primaryKey, remote string }

// appendJSON prints the answer in Meilisearch's order of members.
func (a *searchAnswer) appendJSON(out []byte, requestUID string) []byte {
	switch {
	case a.raw != nil && out == nil:
		return a.raw
	case a.raw != nil:
		return append(out, a.raw...)
	}
	room := 1 << 10 // for what is not hits, mostly
	for i := range a.hits {
		room += len(a.hits[i].raw) + len(",")
	}
	out = append(slices.Grow(out, room), `{"hits":`...)
	out = appendHits(out, a.hits, a.cutter)
	out = append(out, `,"query":`...)
	out = meili.AppendString(out, deref(a.query.Q))
	out = appendMember(out, "queryVector", a.queryVector)
	out = append(out, `,"processingTimeMs":`...)
	out = strconv.AppendInt(out, int64(max(a.tookMillis, int(time.Since(a.started).Milliseconds()))), 10)
	out = appendPaging(out, paging{a.query.Paged(), a.query.EffectiveOffset(), a.query.EffectiveLimit(), a.query.EffectivePage(), a.query.EffectiveHitsPerPage()}, a.total)
	if a.facets != nil {
		out = append(out, `,"facetDistribution":`...)
		out = a.facets.appendDistribution(out)
		out = append(out, `,"facetStats":`...)
		out = a.facets.appendStats(out)
	}
	out = append(out, `,"requestUid":"`...)
	out = append(out, requestUID...)
	out = append(out, '"')
	if a.metadata != nil {
		out = append(out, `,"metadata":`...)
		out = a.metadata.appendJSON(out)
	}
	out = appendMember(out, "performanceDetails", a.performance)
	if a.semantic != nil {
		out = append(out, `,"semanticHitCount":`...)
		out = strconv.AppendInt(out, int64(*a.semantic), 10)
	}
	return append(out, '}')
}

func appendHits(out []byte, hits []hit, cutter hitCutter) []byte {
	out = append(out, '[')
	for i := range hits {
		if i > 0 {
			out = append(out, ',')
		}
		out = cutter.appendHit(out, &hits[i])
	}
	return append(out, ']')
}

// appendMember appends a member unless its value is nil.
func appendMember(out []byte, name string, value []byte) []byte {
	if value == nil {
		return out
	}
	out = append(append(append(out, ',', '"'), name...), '"', ':')
	return append(out, value...)
}

// paging is how the client asked for hits: by page when paged, else by offset and limit.
type paging struct {
	paged             bool
	offset, limit     int
	page, hitsPerPage int
}

func appendPaging(out []byte, p paging, total int) []byte {
	field := func(name string, value int) {
		out = append(append(append(out, `,"`...), name...), `":`...)
		out = strconv.AppendInt(out, int64(value), 10)
	}
	if p.paged {
		pages := 0
		if p.hitsPerPage > 0 {
			pages = (total + p.hitsPerPage - 1) / p.hitsPerPage
		}
		field("hitsPerPage", p.hitsPerPage)
		field("page", p.page)
		field("totalPages", pages)
		field("totalHits", total)
		return out
	}
	field("limit", p.limit)
	field("offset", p.offset)
	field("estimatedTotalHits", total)
	return out
}

func (m *searchMetadata) appendJSON(out []byte) []byte {
	out = append(out, '{')
	if m.query != "" {
		out = append(meili.AppendString(append(out, `"query":`...), m.query), ',')
	}
	out = append(out, `"queryUid":"`...)
	out = append(out, newRequestUID()...)
	out = append(out, `","indexUid":`...)
	out = meili.AppendString(out, m.indexUID)
	if m.primaryKey != "" {
		out = meili.AppendString(append(out, `,"primaryKey":`...), m.primaryKey)
	}
	if m.remote != "" {
		out = meili.AppendString(append(out, `,"remote":`...), m.remote)
	}
	return append(out, '}')
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func isTrue(p *bool) bool { return p != nil && *p }
