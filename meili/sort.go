package meili

import "strings"

// SortCriterion is one entry of a sort parameter.
type SortCriterion struct {
	Field     string  // "" for the distance from a point
	Lat, Lng  float64 // of the point, in degrees
	Ascending bool
}

// ParseSort reads the entries of a sort parameter. Whether an index can sort by them is not looked at. Error: code.
func ParseSort(texts []string, code Code) ([]SortCriterion, *Error) {
	list := make([]SortCriterion, 0, len(texts))
	for _, text := range texts {
		c, problem := parseSortCriterion(text)
		if problem != "" {
			return nil, newError(code, problem)
		}
		list = append(list, c)
	}
	return list, nil
}

// parseSortCriterion returns what is wrong with it, if anything.
func parseSortCriterion(text string) (c SortCriterion, problem string) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || text[i+1:] != "asc" && text[i+1:] != "desc" {
		return c, "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `" + text + "`."
	}
	c.Field, c.Ascending = text[:i], text[i+1:] == "asc"
	if inner, ok := strings.CutPrefix(c.Field, "_geoPoint("); ok && strings.HasSuffix(inner, ")") {
		return parsePointCriterion(c, strings.TrimSuffix(inner, ")"))
	}
	reserved := func(name string) string {
		return "`" + name + "` is a reserved keyword and thus can't be used as a sort expression."
	}
	const hint = " Use the _geoPoint(latitude, longitude) built-in rule to sort on _geo field coordinates."
	name, _, _ := strings.Cut(c.Field, "(")
	switch {
	case strings.HasPrefix(c.Field, "_geoPoint"):
		return c, badPoint(c.Field)
	case c.Field == "_geo":
		return c, reserved(c.Field) + hint
	case strings.HasPrefix(c.Field, "_geoRadius("), strings.HasPrefix(c.Field, "_geoBoundingBox("):
		return c, reserved(name) + hint
	case strings.HasPrefix(c.Field, "_geo("), strings.HasPrefix(c.Field, "_geoDistance"):
		return c, reserved(c.Field)
	}
	return c, ""
}

func parsePointCriterion(c SortCriterion, inner string) (SortCriterion, string) {
	lat, lng, _ := strings.Cut(inner, ",")
	var isLat, isLng bool
	c.Lat, isLat = parseRustFloat(strings.TrimSpace(lat))
	c.Lng, isLng = parseRustFloat(strings.TrimSpace(lng))
	switch {
	case !isLat || !isLng:
		return c, badPoint(c.Field)
	case !(c.Lat >= -90 && c.Lat <= 90):
		return c, "Bad latitude `" + rustFloat(c.Lat) + "`. Latitude must be contained between -90 and 90 degrees."
	case !(c.Lng >= -180 && c.Lng <= 180):
		return c, badLongitude(c.Lng)
	}
	c.Field = ""
	return c, ""
}

func badPoint(text string) string {
	return "Invalid syntax for the geo parameter: expected expression formated like `_geoPoint(latitude, longitude)` and ending by `:asc` or `:desc`, found `" + text + "`."
}
