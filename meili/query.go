package meili

import (
	"net/url"
	"strconv"
	"strings"
)

// parseQuery turns a query string into an object of strings; of two parameters of one name the last counts.
// Broken percent escapes stay as they are and bytes that are not UTF-8 become U+FFFD, so it never fails.
func parseQuery(rawQuery string) Value {
	v := Value{Kind: KindObject}
	var places map[string]int
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		member := Member{Key: unescapeQuery(name), Value: Value{Kind: KindString, Text: unescapeQuery(text)}}
		v.Members, places = putMember(v.Members, places, member)
	}
	return v
}

func unescapeQuery(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return strings.ToValidUTF8(plain, "\uFFFD")
	}
	return strings.ToValidUTF8(unescapePercent(strings.ReplaceAll(s, "+", " ")), "\uFFFD")
}

// DecodeParams decodes a query string as a table of fields says. Unknown parameters and required ones that are missing
// are bad_request unless their field names another code.
func DecodeParams(rawQuery string, fields []Field) *Error {
	v := parseQuery(rawQuery)
	return DecodeObject(&v, QueryRoot(CodeBadRequest), fields)
}

// ReadParamInt reads a whole number from 0 on from the text of a query parameter.
func ReadParamInt(v *Value, at *Location) (int, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return 0, err
	}
	n, parseErr := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 64)
	if parseErr != nil {
		return 0, at.Invalid("could not parse `" + text + "` as a positive integer")
	}
	return saturate(n), nil
}

// ReadParamBool reads true or false from the text of a query parameter.
func ReadParamBool(v *Value, at *Location) (bool, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return false, err
	}
	if text != "true" && text != "false" {
		return false, at.Invalid("could not parse `" + text + "` as a boolean, expected either `true` or `false`")
	}
	return text == "true", nil
}

// ReadParamList reads a comma-separated list; empty elements are dropped.
func ReadParamList(v *Value, at *Location) ([]string, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return nil, err
	}
	return splitList(text), nil
}

func splitList(text string) []string {
	list := []string{}
	for element := range strings.SplitSeq(text, ",") {
		if element != "" {
			list = append(list, element)
		}
	}
	return list
}

// ReadParamListOrStar is ReadParamList, nil (no restriction) when an element is a star.
func ReadParamListOrStar(v *Value, at *Location) ([]string, *Error) {
	list, err := ReadParamList(v, at)
	if err != nil {
		return nil, err
	}
	for _, element := range list {
		if element == "*" {
			return nil, nil
		}
	}
	return list, nil
}
