package meili

import (
	"fmt"
	"slices"
	"strings"
)

// DecodeSettings decodes the body of PATCH /settings and checks what can be checked without the index.
// Errors: invalid_settings_*, feature_not_enabled, bad_request; those of checks across members beside the settings.
func DecodeSettings(body []byte, f Features) (*Settings, *Error) {
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	s := &Settings{}
	var fields []Field
	for _, entry := range s.entries() {
		fields = append(fields, Field{Name: entry.name, Code: entry.code, Decode: entry.decode})
	}
	if err := DecodeObject(&v, BodyRoot(CodeBadRequest), fields); err != nil {
		return nil, err
	}
	return s.checked(f)
}

// DecodeSetting decodes the body of a sub-route, whose path ends in name ("ranking-rules"); null resets the setting.
func DecodeSetting(name string, body []byte, f Features) (*Settings, *Error) {
	route, unknown := settingRoute(name)
	if unknown != nil {
		return nil, newError(CodeBadRequest, unknown.Error())
	}
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	s := &Settings{}
	for _, entry := range s.entries() {
		if entry.name != route.Field {
			continue
		}
		if err := entry.decode(&v, BodyRoot(entry.code)); err != nil {
			return nil, err
		}
	}
	return s.checked(f)
}

// checked runs the checks across members: experimental features, ranking rules, embedders. One server makes them after it has
// looked at the index's name, so the settings are returned beside the error.
func (s *Settings) checked(f Features) (*Settings, *Error) {
	if err := s.checkFeatures(f); err != nil {
		return s, err
	}
	if err := checkRankingRules(s.RankingRules.Value); err != nil {
		return s, err
	}
	return s, s.checkEmbedders()
}

func (s *Settings) checkFeatures(f Features) *Error {
	if err := checkEmbedderFeatures(s.Embedders.Value, f); err != nil {
		return err
	}
	if s.Chat.Set && !f.ChatCompletions {
		return FeatureNotEnabled("setting `chat` in the index settings", "chatCompletions")
	}
	if s.ForeignKeys.Set && !f.ForeignKeys {
		return FeatureNotEnabled("setting `foreignKeys` in the index settings", "foreignKeys")
	}
	return nil
}

// checkRankingRules refuses the old attribute rule beside the two that replaced it.
func checkRankingRules(rules []string) *Error {
	if slices.Contains(rules, "attribute") && (slices.Contains(rules, "attributeRank") || slices.Contains(rules, "wordPosition")) {
		return newError(CodeInvalidSettingsRankingRules, "Mixed usage of the attribute, attributeRank, and wordPosition ranking rules. You must either use the attribute ranking rule alone or the attributeRank and wordPosition ranking rules.")
	}
	return nil
}

// readSet accepts an array of strings and sorts it without duplicates.
func readSet(v *Value, at *Location) ([]string, *Error) {
	list, err := ReadStrings(v, at)
	slices.Sort(list)
	return slices.Compact(list), err
}

func readUint(v *Value, at *Location) (uint64, *Error) {
	if v.Kind != KindUint {
		return 0, at.WrongKind(v, KindUint)
	}
	return v.Uint, nil
}

func readForeignKey(v *Value, at *Location) (k ForeignKey, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "foreignIndexUid", Required: true, Decode: Into(&k.ForeignIndexUID, ReadString)},
		{Name: "fieldName", Required: true, Decode: Into(&k.FieldName, ReadString)},
	})
	return k, err
}

var builtinRules = []string{"words", "typo", "proximity", "attribute", "attributeRank", "wordPosition", "sort", "exactness"}

func readRankingRule(v *Value, at *Location) (string, *Error) {
	rule, err := ReadString(v, at)
	if err != nil || slices.Contains(builtinRules, rule) {
		return rule, err
	}
	if reason := refusedRule(rule); reason != "" {
		return "", at.Invalid(reason)
	}
	return rule, nil
}

// refusedRule says why a custom ranking rule is not field:asc or field:desc, "" when it is.
func refusedRule(rule string) string {
	field, ok := strings.CutSuffix(rule, ":asc")
	if !ok {
		field, ok = strings.CutSuffix(rule, ":desc")
	}
	if !ok {
		return "`" + rule + "` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules."
	}
	reserved := func(name, use string) string {
		return "`" + name + "` is a reserved keyword and thus can't be used as a ranking rule" + use
	}
	switch {
	case strings.HasPrefix(field, "_geoPoint(") && strings.HasSuffix(field, ")"):
		return reserved("_geoPoint", ". `_geoPoint` can only be used for sorting at search time")
	case strings.HasPrefix(field, "_geoRadius("):
		return reserved("_geoRadius", ". `_geoRadius` can only be used for filtering at search time")
	case strings.HasPrefix(field, "_geoBoundingBox("):
		return reserved("_geoBoundingBox", ". `_geoBoundingBox` can only be used for filtering at search time")
	case slices.Contains(reservedFields, field), strings.HasPrefix(field, "_geo("), strings.HasPrefix(field, "_geoDistance("):
		return reserved(field, "")
	}
	return ""
}

// reservedFields are the names that cannot be sorted by.
var reservedFields = []string{"_geo", "_geojson", "_geoDistance"}

func readTypoTolerance(v *Value, at *Location) (t TypoTolerance, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "enabled", Decode: intoResettable(&t.Enabled, ReadBool)},
		{Name: "minWordSizeForTypos", Decode: intoResettable(&t.MinWordSizeForTypos, readMinWordSize)},
		{Name: "disableOnWords", Decode: intoResettable(&t.DisableOnWords, readSet)},
		{Name: "disableOnAttributes", Decode: intoResettable(&t.DisableOnAttributes, readSet)},
		{Name: "disableOnNumbers", Decode: intoResettable(&t.DisableOnNumbers, ReadBool)},
	})
	return t, err
}

func readMinWordSize(v *Value, at *Location) (m MinWordSizeForTypos, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "oneTypo", Decode: intoResettable(&m.OneTypo, readUpTo(255))},
		{Name: "twoTypos", Decode: intoResettable(&m.TwoTypos, readUpTo(255))},
	})
	if err == nil && m.OneTypo.Set && m.TwoTypos.Set && m.OneTypo.Value > m.TwoTypos.Value {
		err = at.Invalid(minWordSizeMessage(m.OneTypo.Value, m.TwoTypos.Value))
	}
	return m, err
}

func minWordSizeMessage(one, two int) string {
	return fmt.Sprintf("`minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: %d` and twoTypos: %d`.", one, two)
}

func readFaceting(v *Value, at *Location) (f Faceting, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "maxValuesPerFacet", Decode: intoResettable(&f.MaxValuesPerFacet, ReadInt)},
		{Name: "sortFacetValuesBy", Decode: intoResettable(&f.SortFacetValuesBy, ReadMap(ReadEnum("alpha", "count")))},
	})
	return f, err
}

func readPagination(v *Value, at *Location) (p Pagination, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "maxTotalHits", Decode: intoResettable(&p.MaxTotalHits, ReadPositiveInt)},
	})
	return p, err
}

func readLocalizedRule(v *Value, at *Location) (r LocalizedRule, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "attributePatterns", Required: true, Decode: Into(&r.AttributePatterns, ReadStrings)},
		{Name: "locales", Required: true, Decode: Into(&r.Locales, readLocales)},
	})
	return r, err
}
