package engine

import (
	"encoding/json"
	"math"
)

// WeightedValue is one entry of the list that federated hits are compared by (Meilisearch's weightedScoreValues).
type WeightedValue struct {
	Kind     ValueKind
	Score    float64         // WeightedScore and VectorSort: already multiplied by the weight
	Asc      bool            // Sort and GeoSort
	Value    json.RawMessage // Sort: number, string or null
	Distance *float64        // GeoSort: metres, nil when the document has no point
}

// ValueKind tells which rule a WeightedValue comes from.
type ValueKind uint8

// The kinds of weighted values.
const (
	WeightedScore ValueKind = iota
	SortValue
	GeoValue
	VectorValue
)

// MarshalJSON prints the value as Meilisearch's proxy mode does.
func (v WeightedValue) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case SortValue:
		type sort struct {
			Asc   bool            `json:"asc"`
			Value json.RawMessage `json:"value"`
		}
		return json.Marshal(map[string]sort{"sort": {v.Asc, v.Value}})
	case GeoValue:
		type geo struct {
			Asc      bool     `json:"asc"`
			Distance *float64 `json:"distance"`
		}
		return json.Marshal(map[string]geo{"geoSort": {v.Asc, v.Distance}})
	case VectorValue:
		return json.Marshal(map[string]float64{"vectorSort": v.Score})
	default:
		return json.Marshal(map[string]float64{"weightedScore": v.Score})
	}
}

// CompareWeighted orders two hits as a federated search does: positive when a (of global score aScore times its weight) comes
// first, zero when they tie. The global scores decide only between hits that some rule cannot compare. As in Meilisearch a
// geo distance compares without regard to its direction.
func CompareWeighted(a []WeightedValue, aScore float64, b []WeightedValue, bScore float64) int {
	for i := range min(len(a), len(b)) {
		c, comparable := compareValue(a[i], b[i])
		if !comparable && len(a) == len(b) {
			return compareFloat(aScore, bScore)
		}
		if c != 0 {
			return c
		}
		if !comparable {
			break
		}
	}
	return len(a) - len(b)
}

// compareFloat compares with the tolerance of one machine epsilon, as the merge of federated results does.
func compareFloat(a, b float64) int {
	const epsilon = 2.220446049250313e-16
	switch {
	case math.Abs(a-b) <= epsilon:
		return 0
	case a > b:
		return 1
	}
	return -1
}
