package devnode

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"miroir/devnode/engine"
	"miroir/meili"
)

// A rule with filter conditions holds when one way to satisfy the search's filter constrains as many different fields as
// the rule has values, and the values of the rule satisfy these constraints (milli dynamic_search_rules.rs, filter-parser
// constraint.rs). The bounds of a real server on how much is tried are not kept here.

// constraint is a condition on one field, or its opposite.
type constraint struct {
	condition *meili.Filter
	wanted    bool
}

// constraintsOf lists the ways to satisfy a filter: for each the constraints by field.
func constraintsOf(f *meili.Filter, wanted bool) []map[string][]constraint {
	if f == nil {
		return nil
	}
	switch f.Op {
	case meili.FilterNot:
		return constraintsOf(f.Children[0], !wanted)
	case meili.FilterIn:
		either := &meili.Filter{Op: meili.FilterOr}
		for _, value := range f.Values {
			either.Children = append(either.Children, &meili.Filter{Op: meili.FilterEqual, Field: f.Field, Values: []meili.FilterValue{value}})
		}
		return constraintsOf(either, wanted)
	case meili.FilterAnd, meili.FilterOr:
		return joinConstraints(f, wanted)
	}
	return []map[string][]constraint{{f.Field: {{f, wanted}}}}
}

func joinConstraints(f *meili.Filter, wanted bool) (ways []map[string][]constraint) {
	for _, child := range f.Children {
		more := constraintsOf(child, wanted)
		if (f.Op == meili.FilterOr) == wanted || len(ways) == 0 {
			ways = append(ways, more...)
			continue
		}
		var both []map[string][]constraint
		for _, left := range ways {
			for _, right := range more {
				joined := map[string][]constraint{}
				for _, side := range []map[string][]constraint{left, right} {
					for field, list := range side {
						joined[field] = append(joined[field], list...)
					}
				}
				both = append(both, joined)
			}
		}
		ways = both
	}
	return ways
}

// ruleFields are the fields that some rule has values of.
func ruleFields(rules map[string]*searchRule) map[string]bool {
	fields := map[string]bool{}
	for _, rule := range rules {
		values, _ := rule.filterValues()
		for field := range values {
			fields[field] = true
		}
	}
	return fields
}

// filterValues are the values of a rule's filter conditions by dotted field, and how many there are.
func (r *searchRule) filterValues() (values map[string][]meili.Value, count int) {
	values = map[string][]meili.Value{}
	if r.Conditions.Filter == nil {
		return values, 0
	}
	var visit func(field string, v *meili.Value)
	visit = func(field string, v *meili.Value) {
		switch v.Kind {
		case meili.KindObject:
			for i := range v.Members {
				visit(field+"."+v.Members[i].Key, &v.Members[i].Value)
			}
		case meili.KindArray:
			for i := range v.Items {
				visit(field, &v.Items[i])
			}
		case meili.KindNull:
		default:
			values[field] = append(values[field], *v)
			count++
		}
	}
	for field, raw := range r.Conditions.Filter.Values {
		if v, err := meili.ParseJSON(json.RawMessage(raw)); err == nil {
			visit(field, &v)
		}
	}
	return values, count
}

// holdsUnder reports whether a filter that can be satisfied in these ways fulfils the conditions of the rule.
func (r *searchRule) holdsUnder(ways []map[string][]constraint, fields map[string]bool) bool {
	values, count := r.filterValues()
	if count == 0 {
		return true
	}
	return slices.ContainsFunc(ways, func(way map[string][]constraint) bool {
		met := 0
		for field, list := range way {
			if fields[field] && !slices.ContainsFunc(list, func(c constraint) bool { return !c.holds(values[field]) }) {
				met++
			}
		}
		return met >= count
	})
}

func (c constraint) holds(values []meili.Value) bool {
	f := c.condition
	switch f.Op {
	case meili.FilterExists:
		return c.wanted
	case meili.FilterIsNull, meili.FilterIsEmpty:
		return !c.wanted
	case meili.FilterEqual:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, 0) }) == c.wanted
	case meili.FilterNotEqual:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, 0) }) != c.wanted
	case meili.FilterGreater:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, 1) }) == c.wanted
	case meili.FilterGreaterOrEqual:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, 0, 1) }) == c.wanted
	case meili.FilterLess:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, -1) }) == c.wanted
	case meili.FilterLessOrEqual:
		return slices.ContainsFunc(values, func(v meili.Value) bool { return compareTo(&v, f.Values[0].Text, 0, -1) }) == c.wanted
	case meili.FilterBetween:
		return slices.ContainsFunc(values, func(v meili.Value) bool {
			return compareTo(&v, f.Values[0].Text, 0, 1) && compareTo(&v, f.Values[1].Text, 0, -1)
		}) == c.wanted
	}
	return false // geo, vectors, CONTAINS, STARTS WITH: never, nor their opposites
}

// compareTo reports whether a value compares to an operand with one of the outcomes: numbers by size, texts as facets.
func compareTo(v *meili.Value, operand string, outcomes ...int) bool {
	switch v.Kind {
	case meili.KindString, meili.KindBool:
		text := v.Text
		if v.Kind == meili.KindBool {
			text = strconv.FormatBool(v.Bool)
		}
		return slices.Contains(outcomes, strings.Compare(engine.NormalizeFacet(text), engine.NormalizeFacet(operand)))
	}
	number, failed := strconv.ParseFloat(operand, 64)
	value, err := meili.ReadFloat(v, meili.BodyRoot(meili.CodeBadRequest))
	return failed == nil && err == nil && slices.Contains(outcomes, cmp.Compare(value, number))
}
