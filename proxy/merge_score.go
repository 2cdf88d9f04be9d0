package proxy

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// score is what one hit is ranked by, rule by rule, best rule first. Two ways lead to it: the ranking score details of a
// plain search, and the weighted values of a federated one.
type score []scoreEntry

// scoreEntry is the verdict of one ranking rule (or of several in a row) about a hit.
type scoreEntry struct {
	kind scoreKind
	// value is the score of a rank (higher is better), the similarity of a vector, the metres of a geo sort, or the number
	// a sort goes by.
	value float64
	class valueClass // of sorts: what the sorted value is; of geo sorts: valueNull when the hit has no point
	text  string     // of sorts by a string
	asc   bool       // of sorts and geo sorts
}

type scoreKind uint8

const (
	rankEntry scoreKind = iota
	sortEntry
	geoEntry
	vectorEntry
)

// valueClass orders what a sort finds: numbers come before strings and strings before nothing, in both directions.
type valueClass uint8

const (
	valueNull valueClass = iota
	valueString
	valueNumber
)

// scoreEpsilon is the difference below which Meilisearch takes two scores for equal.
const scoreEpsilon = 2.220446049250313e-16

// compareScores is positive when a ranks before b, negative when after, 0 when they tie. It compares entry by entry as
// Meilisearch v1.50 does (milli score_details.rs, search/hybrid.rs); unlike its federation it minds the direction of a geo
// sort. Entries of different kinds meet in hybrid searches only: the score wins unless it is zero.
func compareScores(a, b score) int {
	for i := range min(len(a), len(b)) {
		if c := compareEntries(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareEntries(a, b scoreEntry) int {
	switch {
	case a.isScore() && b.isScore():
		return compareNear(a.value, b.value)
	case a.isScore():
		return signOf(a.value != 0)
	case b.isScore():
		return -signOf(b.value != 0)
	case a.kind != b.kind:
		return 0
	case a.class != b.class || a.class == valueNull:
		return cmp.Compare(a.class, b.class)
	}
	c := cmp.Compare(a.text, b.text)
	if a.class == valueNumber {
		c = cmp.Compare(a.value, b.value)
	}
	if a.asc {
		return -c
	}
	return c
}

func (e scoreEntry) isScore() bool { return e.kind == rankEntry || e.kind == vectorEntry }

func compareNear(a, b float64) int {
	if math.Abs(a-b) <= scoreEpsilon {
		return 0
	}
	return cmp.Compare(a, b)
}

func signOf(positive bool) int {
	if positive {
		return 1
	}
	return -1
}

// isSemantic reports that the hit was found by its vector.
func (s score) isSemantic() bool {
	for _, entry := range s {
		if entry.kind == vectorEntry {
			return true
		}
	}
	return false
}

// wordsShare is what a hybrid search multiplies scores by words with, computed in single precision as Meilisearch does.
func wordsShare(semanticRatio float64) float64 { return float64(1 - float32(semanticRatio)) }

// weighted is s as a hybrid search compares it: scores times the semantic ratio for hits found by vector, times the rest
// for hits found by words.
func (s score) weighted(semanticRatio float64) score {
	factor := wordsShare(semanticRatio)
	if s.isSemantic() {
		factor = float64(float32(semanticRatio))
	}
	for i := range s {
		if s[i].isScore() {
			s[i].value *= factor
		}
	}
	return s
}

// detailsScore reads _rankingScoreDetails: its members stand in rule order. Typos are compared by count, because the
// maximum the score is computed with can differ between nodes.
func detailsScore(details []byte) score {
	s := make(score, 0, 8)
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		s = appendRule(s, string(m.key), details[m.value:m.end])
		return true
	})
	return s
}

func appendRule(s score, name string, rule []byte) score {
	rank := func(member string) scoreEntry { return scoreEntry{value: number(memberOf(rule, member))} }
	switch name {
	case "words", "proximity", "attributeRank", "wordPosition", "exactness":
		return append(s, rank("score"))
	case "typo":
		return append(s, scoreEntry{value: 1 / (1 + number(memberOf(rule, "typoCount")))})
	case "attribute":
		return append(s, rank("attributeRankingOrderScore"), rank("queryWordDistanceScore"))
	case "skipped":
		return append(s, scoreEntry{})
	case "vectorSort":
		return append(s, scoreEntry{kind: vectorEntry, value: number(memberOf(rule, "similarity"))})
	}
	asc := strings.HasSuffix(name, ":asc")
	if distance := memberOf(rule, "distance"); distance != nil && strings.HasPrefix(name, "_geoPoint(") {
		return append(s, geoScore(distance, asc))
	}
	return append(s, sortScore(memberOf(rule, "value"), asc))
}

// weightedScore reads _federation.weightedScoreValues.
func weightedScore(values []byte) score {
	s := make(score, 0, 4)
	eachItem(values, skipSpace(values, 0), func(start, end int) bool {
		eachMember(values, start, func(m member) bool {
			value := values[m.value:m.end]
			asc := string(memberOf(value, "asc")) == "true"
			switch string(m.key) {
			case "weightedScore":
				s = append(s, scoreEntry{value: number(value)})
			case "vectorSort":
				s = append(s, scoreEntry{kind: vectorEntry, value: number(value)})
			case "geoSort":
				s = append(s, geoScore(memberOf(value, "distance"), asc))
			case "sort":
				s = append(s, sortScore(memberOf(value, "value"), asc))
			}
			return true
		})
		return true
	})
	return s
}

func geoScore(distance []byte, asc bool) scoreEntry {
	if len(distance) == 0 || distance[0] == 'n' {
		return scoreEntry{kind: geoEntry, asc: asc}
	}
	return scoreEntry{kind: geoEntry, class: valueNumber, value: number(distance), asc: asc}
}

func sortScore(value []byte, asc bool) scoreEntry {
	e := scoreEntry{kind: sortEntry, asc: asc}
	switch {
	case len(value) == 0 || value[0] == 'n':
	case value[0] == '"':
		e.class, e.text = valueString, text(value)
	default:
		e.class, e.value = valueNumber, number(value)
	}
	return e
}

// number reads a JSON number, 0 for anything else.
func number(raw []byte) float64 {
	value, _ := strconv.ParseFloat(string(raw), 64)
	return value
}

// text reads a JSON string, "" for anything else.
func text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if !strings.ContainsRune(string(raw), '\\') {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}
