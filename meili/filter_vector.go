package meili

import "strings"

// vectors parses a test of _vectors: [.embedder[.fragments.name | .userProvided | .documentTemplate | .regenerate]] and
// [NOT] EXISTS. Neither node nor failure means that pos holds none.
func (p filterParser) vectors(pos int) (*Filter, int, *filterFail) {
	start := p.space(pos)
	next, ok := p.tags(start, "_vectors")
	if !ok {
		return nil, 0, nil
	}
	f := &Filter{Op: FilterVectorExists, Field: "_vectors", field: p.token(start, next)}
	if operation := p.space(next); operation > next {
		f.Vector.Any = true
		return p.vectorOperation(f, operation)
	}
	if !p.at(next, '.') {
		return nil, 0, nil
	}
	next++
	if p.at(next, ' ') {
		space := p.token(next, next+1)
		return nil, 0, space.fatal(faultVectorNoEmbedder)
	}
	embedder, next, fail := p.vectorName(next, faultVectorEmbedder)
	if fail != nil {
		return nil, 0, fail
	}
	f.Vector.Embedder, f.Vector.embedder = embedder.Text, embedder
	if next, fail = p.vectorPart(&f.Vector, next); fail != nil {
		return nil, 0, fail
	}
	if p.at(next, '.') {
		return nil, 0, p.secondVectorPart(f.Vector.Part, next)
	}
	operation := p.space(next)
	if operation == next {
		return nil, 0, p.fatal(faultVectorLeftover, next)
	}
	return p.vectorOperation(f, operation)
}

func (p filterParser) vectorPart(v *VectorFilter, pos int) (int, *filterFail) {
	if next, ok := p.tags(pos, ".fragments"); ok {
		if !p.at(next, '.') {
			return 0, p.fatal(faultVectorNoFragment, next)
		}
		fragment, next, fail := p.vectorName(next+1, faultVectorFragment)
		v.Part, v.Fragment, v.fragment = "fragments", fragment.Text, fragment
		return next, fail
	}
	for _, part := range []string{"userProvided", "documentTemplate", "regenerate"} {
		if next, ok := p.tags(pos, "."+part); ok {
			v.Part = part
			return next, nil
		}
	}
	return pos, nil
}

// secondVectorPart is the failure of a point behind everything a _vectors test can have.
func (p filterParser) secondVectorPart(part string, point int) *filterFail {
	v, _, fail := p.vectorValue(point + 1)
	if fail != nil {
		v = p.token(point, point+1)
	}
	second := v.fatal(faultVectorSuffix)
	second.word, second.after = v.Text, part
	return second
}

// vectorName parses the name of an embedder or a fragment; every failure is fatal.
func (p filterParser) vectorName(pos int, fault filterFault) (FilterValue, int, *filterFail) {
	v, next, fail := p.vectorValue(pos)
	if fail == nil {
		return v, next, nil
	}
	if fail.fault == faultUnclosed {
		fault = faultVectorQuotes
	}
	return v, 0, p.fatal(fault, pos)
}

// vectorValue is a quoted text or a word without points.
func (p filterParser) vectorValue(pos int) (FilterValue, int, *filterFail) {
	var v FilterValue
	var fail *filterFail
	next := pos
	if p.at(pos, '\'') || p.at(pos, '"') {
		v, next, fail = p.quoted(pos)
	} else {
		next += prefixLen(p.text[pos:], func(r rune) bool { return r != '.' && isWordRune(r) })
		v = p.token(pos, next)
		if next == pos {
			fail = p.rest(faultOther, pos)
		}
	}
	if fail != nil {
		return v, 0, fail
	}
	v, fail = p.unescaped(v)
	return v, next, fail
}

func (p filterParser) vectorOperation(f *Filter, pos int) (*Filter, int, *filterFail) {
	if strings.HasPrefix(p.text[pos:], "EXISTS") {
		return f, pos + len("EXISTS"), nil
	}
	if next, ok := p.tags(pos, "NOT", "EXISTS"); ok {
		return negate(f), next, nil
	}
	return nil, 0, p.fatal(faultVectorOperation, pos)
}
