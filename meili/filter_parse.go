package meili

import "strings"

// maxFilterDepth is the nesting of the grammar's rules at which an expression is refused: one parenthesis costs four.
const maxFilterDepth = 150

// filterParser is a recursive descent over one expression. It follows the grammar and, for the sake of equal messages, the
// order of alternatives of Meilisearch v1.50 (crates/filter-parser). Every rule takes the offset to start at and gives
// the node and the offset behind it, or a failure.
type filterParser struct {
	*filterText
}

// parseExpression parses a whole filter string that is not blank.
func parseExpression(text string) (*Filter, *filterFail) {
	p := filterParser{&filterText{text: text, quote: text}}
	f, pos, fail := p.or(0, 0)
	if fail != nil {
		return nil, fail
	}
	if pos < len(text) {
		return nil, p.rest(faultTrailing, pos)
	}
	return f, nil
}

// rest is a failure about everything from pos on.
func (p filterParser) rest(fault filterFault, pos int) *filterFail {
	return &filterFail{fault: fault, source: p.filterText, start: pos, end: len(p.text)}
}

// fatal is rest for a failure that ends the parsing.
func (p filterParser) fatal(fault filterFault, pos int) *filterFail {
	fail := p.rest(fault, pos)
	fail.fatal = true
	return fail
}

// cut makes a failure fatal.
func cut(fail *filterFail) *filterFail {
	if fail != nil {
		fail.fatal = true
	}
	return fail
}

// or = and ("OR" and)*
func (p filterParser) or(pos, depth int) (*Filter, int, *filterFail) {
	return p.chain("OR", FilterOr, pos, depth, p.and)
}

// and = not ("AND" not)*
func (p filterParser) and(pos, depth int) (*Filter, int, *filterFail) {
	return p.chain("AND", FilterAnd, pos, depth, p.not)
}

func (p filterParser) chain(word string, op FilterOp, pos, depth int, operand func(pos, depth int) (*Filter, int, *filterFail)) (*Filter, int, *filterFail) {
	if depth > maxFilterDepth {
		return nil, 0, p.rest(faultDepth, pos)
	}
	f, pos, fail := operand(pos, depth+1)
	if fail != nil {
		return nil, 0, fail
	}
	list := []*Filter{f}
	for {
		next, ok := p.word(p.space(pos), word)
		if !ok {
			return joinFilters(op, list), pos, nil
		}
		if f, pos, fail = operand(p.space(next), depth+1); fail != nil {
			return nil, 0, cut(fail)
		}
		list = append(list, f)
	}
}

// not = "NOT" not | primary
func (p filterParser) not(pos, depth int) (*Filter, int, *filterFail) {
	if depth > maxFilterDepth {
		return nil, 0, p.rest(faultDepth, pos)
	}
	next, ok := p.word(p.space(pos), "NOT")
	if !ok {
		return p.primary(pos, depth+1)
	}
	f, next, fail := p.not(p.space(next), depth+1)
	if fail != nil {
		return nil, 0, cut(fail)
	}
	return negate(f), next, nil
}

func negate(f *Filter) *Filter {
	if f.Op == FilterNot {
		return f.Children[0]
	}
	return &Filter{Op: FilterNot, Children: []*Filter{f}}
}

// primary = "(" or ")" | geographic test | test of a value | _vectors test | _foreign
func (p filterParser) primary(pos, depth int) (*Filter, int, *filterFail) {
	if depth > maxFilterDepth {
		return nil, 0, p.rest(faultDepth, pos)
	}
	f, next, fail := p.alternatives(pos, depth)
	if fail != nil && !fail.fatal {
		return nil, 0, p.rest(faultNoOperation, pos)
	}
	return f, next, fail
}

func (p filterParser) alternatives(pos, depth int) (*Filter, int, *filterFail) {
	if open := p.space(pos); p.at(open, '(') {
		return p.group(pos, p.space(open+1), depth)
	}
	if f, next, fail := p.geo(pos); f != nil || fail != nil {
		return f, next, fail
	}
	field, tail, failed := p.value(pos)
	if failed != nil && failed.fatal {
		return nil, 0, failed
	}
	if failed == nil {
		if f, next, fail := p.test(field, tail); f != nil || fail != nil {
			return f, next, fail
		}
	}
	if f, next, fail := p.vectors(pos); f != nil || fail != nil {
		return f, next, fail
	}
	if failed == nil {
		if f, next, fail := p.lateTest(field, tail); f != nil || fail != nil {
			return f, next, fail
		}
	}
	if f, next, fail := p.foreign(pos, depth); f != nil || fail != nil {
		return f, next, fail
	}
	if failed != nil && failed.fault == faultKeywordValue {
		return nil, 0, cut(failed)
	}
	return nil, 0, p.rest(faultOther, pos)
}

// group parses what is behind an opening parenthesis up to the closing one.
func (p filterParser) group(start, pos, depth int) (*Filter, int, *filterFail) {
	f, pos, fail := p.or(pos, depth+1)
	if fail != nil {
		return nil, 0, cut(fail)
	}
	if pos = p.space(pos); !p.at(pos, ')') {
		fail = p.fatal(faultUnclosed, start)
		fail.delimiter = ')'
		return nil, 0, fail
	}
	return f, p.space(pos + 1), nil
}

// comparisons are tried in this order, so that the longer ones win.
var comparisons = []struct {
	text string
	op   FilterOp
}{
	{"<=", FilterLessOrEqual}, {">=", FilterGreaterOrEqual}, {"!=", FilterNotEqual},
	{"<", FilterLess}, {">", FilterGreater}, {"=", FilterEqual},
}

// test parses what may follow a field: IN, NOT IN, comparisons, IS [NOT] NULL, IS [NOT] EMPTY.
// Neither a node nor a failure means that something else must follow.
func (p filterParser) test(field FilterValue, tail int) (*Filter, int, *filterFail) {
	if next, ok := p.word(p.space(tail), "IN"); ok {
		return p.in(field, next)
	}
	if next, ok := p.word(tail, "NOT"); ok {
		if next, ok = p.word(p.space(next), "IN"); ok {
			f, next, fail := p.in(field, next)
			if fail != nil {
				return nil, 0, fail
			}
			return negate(f), next, nil
		}
	}
	for _, c := range comparisons {
		if strings.HasPrefix(p.text[tail:], c.text) {
			value, next, fail := p.value(tail + len(c.text))
			return newTest(c.op, field, value), next, cut(fail)
		}
	}
	for _, is := range []struct {
		what string
		op   FilterOp
	}{{"NULL", FilterIsNull}, {"EMPTY", FilterIsEmpty}} {
		if next, ok := p.tags(tail, "IS", is.what); ok {
			return newTest(is.op, field), next, nil
		}
		if next, ok := p.tags(tail, "IS", "NOT", is.what); ok {
			return negate(newTest(is.op, field)), next, nil
		}
	}
	return nil, 0, nil
}

// lateTest parses what may follow a field but is tried after _vectors: [NOT] EXISTS, TO, [NOT] CONTAINS, [NOT] STARTS WITH.
func (p filterParser) lateTest(field FilterValue, tail int) (*Filter, int, *filterFail) {
	if next, ok := p.tags(tail, "EXISTS"); ok {
		return newTest(FilterExists, field), next, nil
	}
	if next, ok := p.tags(tail, "NOT", "EXISTS"); ok {
		return negate(newTest(FilterExists, field)), next, nil
	}
	from, next, fail := p.value(tail)
	if fail != nil && fail.fatal {
		return nil, 0, fail
	}
	if to, ok := p.tags(next, "TO"); fail == nil && ok && p.space(to) > to {
		value, next, fail := p.value(to)
		return newTest(FilterBetween, field, from, value), next, cut(fail)
	}
	for _, c := range []struct {
		word string
		op   FilterOp
	}{{"CONTAINS", FilterContains}, {"STARTS WITH", FilterStartsWith}} {
		if next, ok := p.tags(tail, c.word); ok {
			return p.match(c.op, field, c.word, next)
		}
		if next, ok := p.tags(tail, "NOT", c.word); ok {
			f, next, fail := p.match(c.op, field, c.word, next)
			if fail != nil {
				return nil, 0, fail
			}
			return negate(f), next, nil
		}
	}
	return nil, 0, nil
}

func (p filterParser) match(op FilterOp, field FilterValue, word string, pos int) (*Filter, int, *filterFail) {
	value, next, fail := p.value(pos)
	f := newTest(op, field, value)
	f.keyword = p.token(pos-len(word), pos)
	return f, next, cut(fail)
}

func newTest(op FilterOp, field FilterValue, values ...FilterValue) *Filter {
	return &Filter{Op: op, Field: field.Text, field: field, Values: values}
}

// in parses the list behind IN; everything from here on is fatal.
func (p filterParser) in(field FilterValue, pos int) (*Filter, int, *filterFail) {
	pos = p.space(pos)
	if !p.at(pos, '[') {
		return nil, 0, p.fatal(faultInOpening, pos)
	}
	f := newTest(FilterIn, field)
	pos++
	for first := true; ; first = false {
		start := pos
		if !first {
			if start = p.space(pos); !p.at(start, ',') {
				break
			}
			start = p.space(start + 1)
		}
		value, next, fail := p.value(start)
		if fail != nil && fail.fatal {
			return nil, 0, fail
		}
		if fail != nil {
			if !first {
				pos = start // a comma may follow the last value
			}
			break
		}
		f.Values = append(f.Values, value)
		pos = next
	}
	if end := p.space(pos); p.at(end, ']') {
		return f, p.space(end + 1), nil
	}
	if pos == len(p.text) {
		return nil, 0, p.fatal(faultInClosing, pos)
	}
	return nil, 0, p.fatal(faultInValue, pos)
}

// foreign parses _foreign(field, filter).
func (p filterParser) foreign(pos, depth int) (*Filter, int, *filterFail) {
	next, ok := p.word(p.space(pos), "_foreign")
	if !ok {
		return nil, 0, nil
	}
	inner := filterParser{&filterText{text: p.text, quote: p.text[pos:]}}
	f, next, fail := inner.foreignBody(next, depth)
	if fail != nil && fail.fault != faultIncomplete {
		fail.fault, fail.fatal = faultForeign, true
	}
	return f, next, fail
}

func (p filterParser) foreignBody(pos, depth int) (*Filter, int, *filterFail) {
	if !p.at(pos, '(') {
		return nil, 0, p.fatal(faultForeign, pos)
	}
	field, pos, fail := p.value(p.space(pos + 1))
	if fail != nil {
		return nil, 0, fail
	}
	if pos = p.space(pos); !p.at(pos, ',') {
		return nil, 0, p.fatal(faultForeign, pos)
	}
	f, pos, fail := p.or(p.space(pos+1), depth)
	if fail != nil {
		return nil, 0, fail
	}
	if pos = p.space(pos); !p.at(pos, ')') {
		return nil, 0, p.fatal(faultForeign, pos)
	}
	return &Filter{Op: FilterForeign, Field: field.Text, field: field, Children: []*Filter{f}}, pos + 1, nil
}
