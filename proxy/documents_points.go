package proxy

import (
	"math"
	"slices"
	"strconv"

	"miroir/meili"
)

// A node sorts documents by distance that write their coordinates as texts, but tells no distance of them (Meilisearch's
// routes/indexes/documents.rs reads numbers only). To merge such lists it is worked out here.

const geoField = "_geo"

// sortsByDistance reports whether the list is sorted by distance from a point.
func (l *documentList) sortsByDistance() bool {
	return slices.ContainsFunc(l.criteria(), func(c meili.SortCriterion) bool { return c.Field == "" })
}

// withPoints is the list with the points of its documents, which are to be taken out again if cut is true.
func (l *documentList) withPoints() (list *documentList, cut bool) {
	if !l.sortsByDistance() || l.query.Fields == nil || retrievesBelow(*l.query.Fields, geoField) {
		return l, false
	}
	query, with := *l.query, *l
	fields := append(slices.Clone(*l.query.Fields), geoField)
	query.Fields, with.query = &fields, &query
	return &with, true
}

// measured is a document's score with the distances that its node did not tell.
func (l *documentList) measured(s score, document []byte) score {
	for i, criterion := range l.criteria() {
		if criterion.Field != "" || i >= len(s) || s[i].kind != geoEntry || s[i].class == valueNumber {
			continue
		}
		geo := memberOf(document, geoField)
		lat, hasLat := coordinate(memberOf(geo, "lat"))
		lng, hasLng := coordinate(memberOf(geo, "lng"))
		if hasLat && hasLng {
			s[i].class, s[i].value = valueNumber, haversine(criterion.Lat, criterion.Lng, lat, lng)
		}
	}
	return s
}

// coordinate reads a number, which may be written as a text.
func coordinate(raw []byte) (float64, bool) {
	written := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		written = text(raw)
	}
	value, err := strconv.ParseFloat(written, 64)
	return value, err == nil
}

// haversine is the distance of two points in metres to the millimetre, as Meilisearch computes it (geoutils 0.5).
func haversine(lat1, lng1, lat2, lng2 float64) float64 {
	const earthRadius, degree = 6371e3, math.Pi / 180
	hav := func(angle float64) float64 { return (1 - math.Cos(angle)) / 2 }
	total := hav((lat2-lat1)*degree) + math.Cos(lat1*degree)*math.Cos(lat2*degree)*hav((lng2-lng1)*degree)
	return math.Round(2*earthRadius*math.Asin(math.Sqrt(total))*1000) / 1000
}
