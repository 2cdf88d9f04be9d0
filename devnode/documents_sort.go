package devnode

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"miroir/devnode/engine"
	"miroir/meili"
)

// sortValues are the values a document is sorted by, one for each sort expression, as a coordinator that merges pages of
// several nodes needs them. Numbers keep their spelling and strings are normalized; of several values the one that comes
// first in the order counts.
func sortValues(document json.RawMessage, sort []string) []engine.WeightedValue {
	values := []engine.WeightedValue{}
	for _, expression := range sort {
		colon := strings.LastIndexByte(expression, ':')
		field, asc := expression[:colon], expression[colon+1:] == "asc"
		if point, ok := strings.CutPrefix(field, "_geoPoint("); ok {
			values = append(values, engine.WeightedValue{Kind: engine.GeoValue, Asc: asc, Distance: geoDistance(document, point)})
			continue
		}
		value := engine.WeightedValue{Kind: engine.SortValue, Asc: asc, Value: json.RawMessage("null")}
		if best := bestValue(facetScalars(document, field), asc); best != nil {
			value.Value = best.json()
		}
		values = append(values, value)
	}
	return values
}

// scalar is a facet value of a document.
type scalar struct {
	text   string
	number float64
	isText bool
}

func (s *scalar) json() json.RawMessage {
	if s.isText {
		return encode(s.text)
	}
	return json.RawMessage(s.text)
}

// bestValue returns the value that comes first, nil when there is none: numbers before strings, in both directions.
func bestValue(values []scalar, asc bool) *scalar {
	var best *scalar
	for i := range values {
		v := &values[i]
		if best == nil || precedesScalar(v, best, asc) {
			best = v
		}
	}
	return best
}

func precedesScalar(a, b *scalar, asc bool) bool {
	if a.isText != b.isText {
		return b.isText
	}
	order := cmp.Compare(a.number, b.number)
	if a.isText {
		order = strings.Compare(a.text, b.text)
	}
	return order < 0 && asc || order > 0 && !asc
}

// geoDistance returns how far the document's _geo is from a point written as "lat, lng)", in metres; nil without _geo.
func geoDistance(document json.RawMessage, point string) *float64 {
	latitude, longitude, _ := strings.Cut(strings.TrimSuffix(point, ")"), ",")
	lat, errLat := strconv.ParseFloat(strings.TrimSpace(latitude), 64)
	lng, errLng := strconv.ParseFloat(strings.TrimSpace(longitude), 64)
	ownLat, okLat := coordinate(document, "_geo.lat")
	ownLng, okLng := coordinate(document, "_geo.lng")
	if errLat != nil || errLng != nil || !okLat || !okLng {
		return nil
	}
	d := haversine(lat, lng, ownLat, ownLng)
	return &d
}

func coordinate(document json.RawMessage, field string) (float64, bool) {
	values := facetScalars(document, field)
	if len(values) == 0 {
		return 0, false
	}
	last := values[len(values)-1]
	return last.number, !last.isText
}

// haversine is the distance of two points on a sphere of the Earth's mean radius, in metres.
func haversine(lat1, lng1, lat2, lng2 float64) float64 {
	const earthRadius, degree = 6371000, math.Pi / 180
	sinLat := math.Sin((lat2 - lat1) * degree / 2)
	sinLng := math.Sin((lng2 - lng1) * degree / 2)
	a := sinLat*sinLat + math.Cos(lat1*degree)*math.Cos(lat2*degree)*sinLng*sinLng
	return 2 * earthRadius * math.Atan2(math.Sqrt(a), math.Sqrt(1-a))
}

// facetScalars returns the facet values of a field of a document, which may be nil.
func facetScalars(document json.RawMessage, field string) []scalar {
	parsed, failed := meili.ParseJSON(orEmpty(document))
	if failed != nil {
		return nil
	}
	return leafScalars(&parsed, field)
}

// leafScalars follows a dotted path through objects and arrays of objects.
func leafScalars(v *meili.Value, path string) []scalar {
	var values []scalar
	switch v.Kind {
	case meili.KindArray:
		for i := range v.Items {
			values = append(values, leafScalars(&v.Items[i], path)...)
		}
	case meili.KindObject:
		for i := range v.Members {
			m := &v.Members[i]
			switch rest, below := strings.CutPrefix(path, m.Key+"."); {
			case m.Key == path:
				values = append(values, scalars(&m.Value)...)
			case below:
				values = append(values, leafScalars(&m.Value, rest)...)
			}
		}
	}
	return values
}

// scalars returns a value, or each value of an array.
func scalars(v *meili.Value) []scalar {
	switch v.Kind {
	case meili.KindString:
		return []scalar{{text: normalizeFacet(v.Text), isText: true}}
	case meili.KindBool:
		return []scalar{{text: strconv.FormatBool(v.Bool), isText: true}}
	case meili.KindUint:
		return []scalar{{text: v.JSON(), number: float64(v.Uint)}}
	case meili.KindInt:
		return []scalar{{text: v.JSON(), number: float64(v.Int)}}
	case meili.KindFloat:
		return []scalar{{text: v.JSON(), number: v.Float}}
	case meili.KindArray:
		var values []scalar
		for i := range v.Items {
			if v.Items[i].Kind != meili.KindArray {
				values = append(values, scalars(&v.Items[i])...)
			}
		}
		return values
	}
	return nil
}
