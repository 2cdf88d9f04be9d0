package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// masked names the members whose values no two servers share. Presence and null-ness are still compared.
var masked = []string{
	"processingTimeMs", "requestUid", "enqueuedAt", "startedAt", "finishedAt", "createdAt", "updatedAt", "duration",
	"batchUid", "databaseSize", "usedDatabaseSize", "rawDocumentDbSize", "avgDocumentSize", "commitSha", "commitDate",
	"lastUpdate", "performanceDetails", "progressTrace", "writeChannelCongestion", "internalDatabaseSizes", "batchStrategy",
}

// tolerance is how far two numbers may be apart, relative to the larger one (absolute below 1).
const tolerance = 1e-6

// comparison collects the differences of one step.
type comparison struct {
	masked    map[string]bool
	unordered []string
	found     []string
}

// newComparison returns a comparison with the masks of a step added to the general ones.
func newComparison(s *Step) *comparison {
	c := &comparison{masked: map[string]bool{}, unordered: s.Unordered}
	for _, name := range append(slices.Clone(masked), s.Mask...) {
		c.masked[name] = true
	}
	return c
}

func (c *comparison) addf(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// values records every place where got departs from want; both are what encoding/json decodes into an any.
func (c *comparison) values(want, got any, path string) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			c.objects(w, g, path)
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			c.arrays(w, g, path)
			return
		}
	}
	if !sameScalar(want, got) {
		c.addf("%s: expected %s, got %s", path, short(want), short(got))
	}
}

func (c *comparison) objects(want, got map[string]any, path string) {
	keys := slices.Collect(maps.Keys(want))
	for key := range got {
		if _, ok := want[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		where := path + "." + key
		w, wanted := want[key]
		g, given := got[key]
		switch {
		case !given:
			c.addf("%s: missing (expected %s)", where, short(w))
		case !wanted:
			c.addf("%s: unexpected %s", where, short(g))
		case !c.masked[key]:
			c.values(w, g, where)
		case (w == nil) != (g == nil):
			c.addf("%s: expected %s, got %s", where, nullness(w), short(g))
		}
	}
}

func (c *comparison) arrays(want, got []any, path string) {
	if slices.Contains(c.unordered, path[strings.LastIndexByte(path, '.')+1:]) {
		want, got = sorted(want), sorted(got)
	}
	if len(want) != len(got) {
		c.addf("%s: expected %d items, got %d", path, len(want), len(got))
	}
	for i := range min(len(want), len(got)) {
		c.values(want[i], got[i], fmt.Sprintf("%s.%d", path, i))
	}
}

// sameScalar compares two JSON scalars; values of different kinds differ.
func sameScalar(a, b any) bool {
	x, isNumber := a.(float64)
	y, alsoNumber := b.(float64)
	if isNumber && alsoNumber {
		return x == y || math.Abs(x-y) <= tolerance*max(1, math.Abs(x), math.Abs(y))
	}
	switch a.(type) {
	case map[string]any, []any:
		return false
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// sorted returns the values ordered by their JSON text.
func sorted(values []any) []any {
	out := slices.Clone(values)
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	return out
}

func nullness(v any) string {
	if v == nil {
		return "null"
	}
	return "a value"
}

// text returns the JSON text of a decoded value, members sorted by name.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// short is text cut to a length fit for a report.
func short(v any) string {
	s := text(v)
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
