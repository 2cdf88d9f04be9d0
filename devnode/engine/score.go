package engine

import (
	"encoding/json"
	"math"
	"strconv"
)

// rank is a place in an order: value equals max for the best, 1 for the last.
type rank struct{ value, max int }

func (r rank) score() float64 { return float64(r.value) / float64(r.max) }

// merge appends an inner order to an outer one. Arithmetic wraps at 32 bits as in Meilisearch.
func (r rank) merge(inner rank) rank {
	outer := uint32(max(r.value-1, 0))*uint32(inner.max) + uint32(inner.value)
	return rank{int(outer), int(uint32(r.max) * uint32(inner.max))}
}

// scoreKind tells the rule a score detail comes from.
type scoreKind uint8

const (
	scoreWords scoreKind = iota
	scoreTypo
	scoreProximity
	scoreField
	scorePosition
	scoreExactAttribute
	scoreExactWords
	scoreSort
	scoreGeo
	scoreVector
	scoreSkipped
	scorePin
)

// scoreDetail is what one rule says about a document.
type scoreDetail struct {
	kind       scoreKind
	rank       rank       // of the rules that rank
	field      string     // scoreSort
	ascending  bool       // scoreSort, scoreGeo
	redacted   bool       // scoreSort: the field is not displayed
	value      *jsonValue // scoreSort: a number, string or null
	target     geoPoint   // scoreGeo
	point      *geoPoint  // scoreGeo: nil when the document has none
	position   int        // scorePin
	similarity *float32   // scoreVector: nil when the document has no vector
}

// ranks reports whether the detail takes part in the ranking score.
func (d *scoreDetail) ranks() bool {
	return d.kind != scoreSort && d.kind != scoreGeo && d.kind != scoreVector && d.kind != scorePin
}

func (d *scoreDetail) effectiveRank() rank {
	switch d.kind {
	case scoreSkipped:
		return rank{0, 1}
	case scoreExactWords: // no exact word at all is the last rank, not none
		return rank{max(d.rank.value-1, 0) + 1, max(d.rank.max-1, 0) + 1}
	}
	return d.rank
}

// globalScore is the ranking score from 0 to 1: the similarity where a vector was compared.
func globalScore(details []scoreDetail) float64 {
	total := rank{1, 1}
	semantic := math.NaN()
	for i := range details {
		d := &details[i]
		switch {
		case d.kind == scoreVector:
			semantic = 0
			if d.similarity != nil {
				semantic = float64(*d.similarity)
			}
		case d.ranks():
			total = total.merge(d.effectiveRank())
		}
	}
	if !math.IsNaN(semantic) {
		return semantic
	}
	return total.score()
}

// scoreValue is one entry of the list that scores are compared by: a score, or a detail of sort or geo.
type scoreValue struct {
	score  float64
	vector bool
	detail *scoreDetail // scoreSort or scoreGeo, nil for a score
}

// scoreValues merges neighbouring ranks into one score and keeps every other detail apart.
func scoreValues(details []scoreDetail) []scoreValue {
	var out []scoreValue
	var open *rank
	flush := func() {
		if open != nil {
			out = append(out, scoreValue{score: open.score()})
			open = nil
		}
	}
	for i := range details {
		d := &details[i]
		switch {
		case d.ranks():
			merged := d.effectiveRank()
			if open != nil {
				merged = open.merge(merged)
			}
			open = &merged
		case d.kind == scoreVector:
			flush()
			v := scoreValue{vector: true}
			if d.similarity != nil {
				v.score = float64(*d.similarity)
			}
			out = append(out, v)
		case d.kind == scorePin: // says where a document is put, not how it ranks
		default:
			flush()
			out = append(out, scoreValue{detail: d})
		}
	}
	flush()
	return out
}

// weightedValues is scoreValues for federated merging.
func weightedValues(details []scoreDetail, weight float64) []WeightedValue {
	var out []WeightedValue
	for _, v := range scoreValues(details) {
		switch {
		case v.detail == nil && v.vector:
			out = append(out, WeightedValue{Kind: VectorValue, Score: v.score * weight})
		case v.detail == nil:
			out = append(out, WeightedValue{Kind: WeightedScore, Score: v.score * weight})
		case v.detail.kind == scoreSort:
			out = append(out, WeightedValue{Kind: SortValue, Asc: v.detail.ascending, Value: v.detail.value.bytes()})
		default:
			w := WeightedValue{Kind: GeoValue, Asc: v.detail.ascending}
			if v.detail.point != nil {
				distance := v.detail.target.distance(*v.detail.point)
				w.Distance = &distance
			}
			out = append(out, w)
		}
	}
	return out
}

// objectWriter writes the members of a JSON object in order.
type objectWriter struct{ b []byte }

func (w *objectWriter) key(name string) {
	if len(w.b) == 0 {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, ',')
	}
	w.b = append(appendJSONString(w.b, name), ':')
}

func (w *objectWriter) int(name string, n int) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
}

func (w *objectWriter) float(name string, f float64) {
	w.key(name)
	w.b = append(w.b, formatFloat(f)...)
}

func (w *objectWriter) text(name, s string) {
	w.key(name)
	w.b = appendJSONString(w.b, s)
}

func (w *objectWriter) raw(name string, raw []byte) {
	w.key(name)
	w.b = append(w.b, raw...)
}

func (w *objectWriter) close() json.RawMessage {
	if len(w.b) == 0 {
		return json.RawMessage("{}")
	}
	return append(w.b, '}')
}

// detailsJSON is the _rankingScoreDetails object. With unified the attribute rule shows both its halves as one.
func detailsJSON(details []scoreDetail, unified bool) json.RawMessage {
	var out objectWriter
	order := 0
	for i := 0; i < len(details); i++ {
		d := &details[i]
		var w objectWriter
		w.int("order", order)
		order++
		name := ""
		switch d.kind {
		case scoreWords:
			name = "words"
			w.int("matchingWords", d.rank.value)
			w.int("maxMatchingWords", d.rank.max)
			w.float("score", d.rank.score())
		case scoreTypo:
			name = "typo"
			w.int("typoCount", max(d.rank.max-d.rank.value, 0))
			w.int("maxTypoCount", max(d.rank.max-1, 0))
			w.float("score", d.rank.score())
		case scoreProximity:
			name = "proximity"
			w.float("score", d.rank.score())
		case scoreField:
			if !unified {
				name = "attributeRank"
				w.float("score", d.rank.score())
				break
			}
			name = "attribute"
			w.float("attributeRankingOrderScore", d.rank.score())
			if i+1 < len(details) && details[i+1].kind == scorePosition {
				i++
				w.float("queryWordDistanceScore", details[i].rank.score())
				w.float("score", rank{1, 1}.merge(d.rank).merge(details[i].rank).score())
			}
		case scorePosition:
			name = "wordPosition"
			w.float("score", d.rank.score())
		case scoreExactAttribute:
			name = "exactness"
			i += exactnessDetail(&w, details[i:])
		case scoreSort:
			name = sortDetail(&w, d, order-1)
		case scoreGeo:
			name = geoDetail(&w, d)
		case scoreVector:
			name = "vectorSort"
			w.key("similarity")
			if d.similarity == nil {
				w.b = append(w.b, "null"...)
			} else {
				w.b = append(w.b, formatFloat32(*d.similarity)...)
			}
		case scoreSkipped:
			name = "skipped"
		case scorePin:
			name = "pin"
			w.int("position", d.position)
		}
		out.raw(name, w.close())
	}
	return out.close()
}

// exactnessDetail writes the two halves of exactness and returns how many details follow the first.
func exactnessDetail(w *objectWriter, details []scoreDetail) int {
	own := details[0].rank
	types := []string{"noExactMatch", "matchesStart", "exactMatch"}
	w.text("matchType", types[own.value-1])
	if len(details) < 2 || details[1].kind != scoreExactWords {
		w.float("score", own.score())
		return 0
	}
	if own.value > 1 {
		w.float("score", own.score())
		return 1
	}
	words := &details[1]
	w.int("matchingWords", max(words.rank.value-1, 0))
	w.int("maxMatchingWords", max(words.rank.max-1, 0))
	w.float("score", rank{1, 1}.merge(own).merge(words.effectiveRank()).score())
	return 1
}

func direction(ascending bool) string {
	if ascending {
		return "asc"
	}
	return "desc"
}

func sortDetail(w *objectWriter, d *scoreDetail, order int) string {
	if d.redacted {
		w.text("value", "<hidden>")
		return "<hidden-rule-" + strconv.Itoa(order) + ">"
	}
	w.raw("value", d.value.bytes())
	return d.field + ":" + direction(d.ascending)
}

func geoDetail(w *objectWriter, d *scoreDetail) string {
	if d.point == nil {
		w.raw("value", []byte("null"))
		w.raw("distance", []byte("null"))
	} else {
		var p objectWriter
		p.float("lat", d.point.lat)
		p.float("lng", d.point.lng)
		w.raw("value", p.close())
		w.float("distance", d.target.distance(*d.point))
	}
	return "_geoPoint(" + displayFloat(d.target.lat) + ", " + displayFloat(d.target.lng) + "):" + direction(d.ascending)
}

// displayFloat prints an f64 as Rust's Display does: no exponent and no needless fraction.
func displayFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// formatFloat32 prints an f32 as serde_json does inside a JSON value, that is widened to f64.
func formatFloat32(f float32) string { return formatFloat(float64(f)) }
