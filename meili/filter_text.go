package meili

import "strings"

// String is f as one expression, every name and text operand in double quotes. Meilisearch's search routes rewrite filters
// so before they evaluate them, and their errors point into this text. A quoted text is escaped as JSON is.
// _foreign filters keep their inner filter, which Meilisearch would have replaced by ids by then.
func (f *Filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

// Canonical is f as parsed from f.String(): what the errors of search routes are about. Error: invalid_search_filter, when
// the parentheses added make it too deep.
func (f *Filter) Canonical() (*Filter, *Error) { return ParseFilterExpression(f.String()) }

var filterOperators = [...]string{
	FilterEqual: "=", FilterNotEqual: "!=", FilterGreater: ">", FilterGreaterOrEqual: ">=", FilterLess: "<", FilterLessOrEqual: "<=",
	FilterBetween: "TO", FilterIn: "=", FilterExists: "EXISTS", FilterIsNull: "IS NULL", FilterIsEmpty: "IS EMPTY",
	FilterContains: "CONTAINS", FilterStartsWith: "STARTS WITH",
}

func (f *Filter) write(b *strings.Builder) {
	switch f.Op {
	case FilterAnd, FilterOr:
		f.writeChildren(b)
	case FilterNot:
		b.WriteString("NOT (")
		f.Children[0].write(b)
		b.WriteByte(')')
	case FilterGeoRadius:
		writeNumbers(b, "_geoRadius(", f.Values, ")")
	case FilterGeoBoundingBox, FilterGeoPolygon:
		f.writeGeoPairs(b)
	case FilterVectorExists:
		f.Vector.write(b)
	case FilterForeign:
		b.WriteString("_foreign(" + quoteAsJSON(f.Field) + ", ")
		f.Children[0].write(b)
		b.WriteByte(')')
	default:
		f.writeTest(b)
	}
}

func quoteAsJSON(text string) string { return string(AppendString(nil, text)) }

func (f *Filter) writeChildren(b *strings.Builder) {
	word := " AND "
	if f.Op == FilterOr {
		word = " OR "
	}
	for i, child := range f.Children {
		if i > 0 {
			b.WriteString(word)
		}
		b.WriteByte('(')
		child.write(b)
		b.WriteByte(')')
	}
}

func (f *Filter) writeTest(b *strings.Builder) {
	b.WriteString(quoteAsJSON(f.Field) + " ")
	switch f.Op {
	case FilterIn:
		b.WriteString("IN [")
		for i, v := range f.Values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoteAsJSON(v.Text))
		}
		b.WriteByte(']')
	case FilterBetween:
		b.WriteString(quoteAsJSON(f.Values[0].Text) + " TO " + quoteAsJSON(f.Values[1].Text))
	default:
		b.WriteString(filterOperators[f.Op])
		for _, v := range f.Values {
			b.WriteString(" " + quoteAsJSON(v.Text))
		}
	}
}

func (f *Filter) writeGeoPairs(b *strings.Builder) {
	name := "_geoBoundingBox("
	if f.Op == FilterGeoPolygon {
		name = "_geoPolygon("
	}
	b.WriteString(name)
	for i := 0; i+1 < len(f.Values); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		writeNumbers(b, "[", f.Values[i:i+2], "]")
	}
	b.WriteByte(')')
}

func writeNumbers(b *strings.Builder, open string, values []FilterValue, end string) {
	b.WriteString(open)
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v.Text)
	}
	b.WriteString(end)
}

func (v *VectorFilter) write(b *strings.Builder) {
	b.WriteString("_vectors")
	if !v.Any {
		b.WriteString("." + quoteAsJSON(v.Embedder))
	}
	if v.Part != "" {
		b.WriteString("." + v.Part)
	}
	if v.Part == "fragments" {
		b.WriteString("." + quoteAsJSON(v.Fragment))
	}
	b.WriteString(" EXISTS")
}
