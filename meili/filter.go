package meili

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// FilterOp says what a node of a filter tests.
type FilterOp uint8

// Operators. NOT IN, IS NOT NULL, NOT EXISTS and their like are the positive operator inside FilterNot.
const (
	FilterAnd            FilterOp = iota // Children, at least two
	FilterOr                             // Children, at least two
	FilterNot                            // Children, one
	FilterEqual                          // Field, Values[0]
	FilterNotEqual                       // Field, Values[0]; true for documents without the field
	FilterGreater                        // Field, Values[0]
	FilterGreaterOrEqual                 // Field, Values[0]
	FilterLess                           // Field, Values[0]
	FilterLessOrEqual                    // Field, Values[0]
	FilterBetween                        // Field, Values[0] to Values[1], both included
	FilterIn                             // Field, any of Values
	FilterExists                         // Field
	FilterIsNull                         // Field
	FilterIsEmpty                        // Field
	FilterContains                       // Field, Values[0]
	FilterStartsWith                     // Field, Values[0]
	FilterGeoRadius                      // Values: latitude, longitude, metres[, resolution]
	FilterGeoBoundingBox                 // Values: top latitude, right longitude, bottom latitude, left longitude
	FilterGeoPolygon                     // Values: latitude and longitude of at least three points
	FilterVectorExists                   // Vector
	FilterForeign                        // Field, Children: one filter on the index the field refers to
)

// Filter is a node of a parsed filter expression.
type Filter struct {
	Op       FilterOp
	Children []*Filter
	Field    string
	Values   []FilterValue
	Vector   VectorFilter

	field   FilterValue // Field and where it stands
	keyword FilterValue // of FilterContains and FilterStartsWith
}

// VectorFilter is what _vectors filters ask for: documents with a vector of an embedder, of one kind.
type VectorFilter struct {
	Embedder string // "" with Any
	Any      bool   // of any embedder
	Part     string // "", fragments, documentTemplate, userProvided or regenerate
	Fragment string // with Part fragments

	embedder, fragment FilterValue
}

// FilterValue is a field name or an operand as the filter means it: without quotes and escapes.
type FilterValue struct {
	Text string

	source     *filterText
	start, end int // bytes of the source it was read from, without quotes
}

// filterText is one filter expression. Errors inside _foreign quote only the expression from there on.
type filterText struct {
	text  string
	quote string
}

// ParseFilter parses the filter parameter: a string, or an array of strings and arrays of strings, ANDed and ORed.
// It is nil when nothing is filtered: absent, null, empty, blank. Error: invalid_search_filter in Meilisearch's words;
// routes about documents answer it WithCode(CodeInvalidDocumentFilter).
func ParseFilter(raw json.RawMessage) (*Filter, *Error) {
	if len(raw) == 0 {
		return nil, nil
	}
	v, err := ParseJSON(raw)
	if err != nil {
		return nil, Errorf(CodeMalformedPayload, "The json payload provided is malformed. `%s`.", err)
	}
	switch v.Kind {
	case KindNull:
		return nil, nil
	case KindString:
		return ParseFilterExpression(v.Text)
	case KindArray:
		return parseFilterArray(v.Items)
	}
	return nil, invalidFilterKind(&v, "String, Array")
}

// ParseFilterExpression parses one filter string; nil when it is blank. Error: invalid_search_filter.
func ParseFilterExpression(text string) (*Filter, *Error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	f, fail := parseExpression(text)
	if fail != nil {
		return nil, newError(CodeInvalidSearchFilter, fail.message())
	}
	return f, nil
}

func parseFilterArray(items []Value) (*Filter, *Error) {
	if err := checkFilterKinds(items); err != nil {
		return nil, err
	}
	var ands []*Filter
	for i := range items {
		alternatives := items[i].Items
		if items[i].Kind == KindString {
			alternatives = items[i : i+1]
		}
		var ors []*Filter
		for j := range alternatives {
			f, err := ParseFilterExpression(alternatives[j].Text)
			if err != nil {
				return nil, err
			}
			if f != nil {
				ors = append(ors, f)
			}
		}
		if or := joinFilters(FilterOr, ors); or != nil {
			ands = append(ands, or)
		}
	}
	return joinFilters(FilterAnd, ands), nil
}

// checkFilterKinds refuses items that are neither strings nor arrays of strings before any string is parsed.
func checkFilterKinds(items []Value) *Error {
	for i := range items {
		switch items[i].Kind {
		case KindString:
		case KindArray:
			for j := range items[i].Items {
				if inner := &items[i].Items[j]; inner.Kind != KindString {
					return invalidFilterKind(inner, "String")
				}
			}
		default:
			return invalidFilterKind(&items[i], "String, [String]")
		}
	}
	return nil
}

func invalidFilterKind(found *Value, expected string) *Error {
	return newError(CodeInvalidSearchFilter, "Invalid syntax for the filter parameter: `expected "+expected+", found: "+found.JSON()+"`.")
}

func joinFilters(op FilterOp, list []*Filter) *Filter {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return &Filter{Op: op, Children: list}
}

// AndFilter is the filter parameter that is true where both a and b are; nil and null stand for no filter.
// Both become arrays that are concatenated, as Meilisearch does with tenant tokens: each string in them is parsed on its
// own, so that no text in one can reach into the other.
func AndFilter(a, b json.RawMessage) json.RawMessage {
	switch {
	case isNoFilter(a):
		if isNoFilter(b) {
			return nil
		}
		return b
	case isNoFilter(b):
		return a
	}
	out := appendFilterItems([]byte{'['}, a)
	out = appendFilterItems(out, b)
	return append(out, ']')
}

func isNoFilter(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// appendFilterItems appends the items of an array or another value as the only item. A text that is no JSON is appended
// as a string, which no parser of filters mistakes for more than one.
func appendFilterItems(out []byte, raw json.RawMessage) []byte {
	if !json.Valid(raw) {
		raw = AppendString(nil, string(raw))
	}
	items := [][]byte{raw}
	if i := skipSpace(raw, 0); raw[i] == '[' {
		items = items[:0]
		for item := range rawItems(raw) {
			items = append(items, item)
		}
	}
	for _, item := range items {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	return out
}

// QuoteFilterValue is text as a filter expression writes it: in double quotes, with the escapes ParseFilter undoes.
func QuoteFilterValue(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

// Fields are the fields f tests, each once per test, in the order of the text. Geographic tests have none.
func (f *Filter) Fields() []string {
	var fields []string
	f.walk(func(g *Filter) {
		if g.Field != "" || g.field.source != nil {
			fields = append(fields, g.Field)
		}
	})
	return fields
}

// WithoutNotEqual is f with NOT and = in place of != on fields of which known is true; f itself where there are none. Filters inside
// _foreign stay as they are.
func (f *Filter) WithoutNotEqual(known func(field string) bool) *Filter {
	if f.Op == FilterNotEqual && known(f.Field) {
		equal := *f
		equal.Op = FilterEqual
		return negate(&equal)
	}
	if f.Op == FilterForeign {
		return f
	}
	out := f
	for i, child := range f.Children {
		changed := child.WithoutNotEqual(known)
		if changed == child {
			continue
		}
		if out == f {
			copied := *f
			copied.Children = slices.Clone(f.Children)
			out = &copied
		}
		out.Children[i] = changed
	}
	return out
}

// walk visits f and what is below it in the order of the text, _foreign filters without their inside.
func (f *Filter) walk(visit func(*Filter)) {
	visit(f)
	if f.Op == FilterForeign {
		return
	}
	for _, child := range f.Children {
		child.walk(visit)
	}
}

// errorText is the two lines of an error at v: what is wrong, and where it is in the expression.
func (v *FilterValue) errorText(what string) string {
	if v.source == nil {
		return what
	}
	return what + "\n" + v.source.position(v.start, v.end)
}

// position is "first:last expression", counted in characters of a line from 1, last exclusive.
func (t *filterText) position(start, end int) string {
	line := strings.LastIndexByte(t.text[:start], '\n') + 1
	column := utf8.RuneCountInString(t.text[line:start]) + 1
	return itoa(column) + ":" + itoa(column+utf8.RuneCountInString(t.text[start:end])) + " " + t.quote
}
