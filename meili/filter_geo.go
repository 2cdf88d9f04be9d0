package meili

// geo parses _geoRadius(…), _geoBoundingBox(…) and _geoPolygon(…); neither node nor failure means that pos holds none.
func (p filterParser) geo(pos int) (*Filter, int, *filterFail) {
	start := p.space(pos)
	end := p.wordEnd(start)
	switch p.text[start:end] {
	case "_geoRadius":
		return p.geoRadius(end)
	case "_geoBoundingBox":
		return p.geoBoundingBox(end)
	case "_geoPolygon":
		return p.geoPolygon(end)
	}
	return nil, 0, nil
}

func (p filterParser) geoRadius(pos int) (*Filter, int, *filterFail) {
	if !p.at(pos, '(') {
		return nil, 0, p.fatal(faultGeoRadius, pos)
	}
	args, pos, bad := p.floats(pos + 1)
	if bad >= 0 {
		return nil, 0, p.fatal(faultGeoRadius, bad)
	}
	if !p.at(pos, ')') {
		return nil, 0, p.fatal(faultGeoRadius, pos)
	}
	pos++
	if len(args) != 3 && len(args) != 4 {
		fail := p.fatal(faultGeoRadiusArguments, pos)
		fail.count = len(args)
		return nil, 0, fail
	}
	return &Filter{Op: FilterGeoRadius, Values: args}, pos, nil
}

func (p filterParser) geoBoundingBox(pos int) (*Filter, int, *filterFail) {
	lists, pos, fail := p.geoLists(faultGeoBoundingBox, pos)
	if fail != nil {
		return nil, 0, fail
	}
	if !p.at(pos, ')') {
		return nil, 0, p.fatal(faultGeoBoundingBox, pos)
	}
	pos++
	if len(lists) != 2 {
		return nil, 0, p.fatal(faultGeoBoundingBox, pos)
	}
	if fail = oddPair(lists); fail != nil {
		return nil, 0, fail
	}
	return &Filter{Op: FilterGeoBoundingBox, Values: append(lists[0], lists[1]...)}, pos, nil
}

func (p filterParser) geoPolygon(pos int) (*Filter, int, *filterFail) {
	lists, pos, fail := p.geoLists(faultGeoPolygon, pos)
	if fail != nil {
		return nil, 0, fail
	}
	if comma := p.space(pos); p.at(comma, ',') {
		pos = p.space(comma + 1)
	}
	if !p.at(pos, ')') {
		return nil, 0, p.fatal(faultGeoPolygon, pos)
	}
	pos++
	if len(lists) < 3 {
		last := lists[len(lists)-1]
		fail = last[len(last)-1].fatal(faultGeoPolygonPoints)
		fail.count = len(lists)
		return nil, 0, fail
	}
	if fail = oddPair(lists); fail != nil {
		return nil, 0, fail
	}
	f := &Filter{Op: FilterGeoPolygon}
	for _, pair := range lists {
		f.Values = append(f.Values, pair...)
	}
	return f, pos, nil
}

func (v *FilterValue) fatal(fault filterFault) *filterFail {
	return &filterFail{fault: fault, source: v.source, start: v.start, end: v.end, fatal: true}
}

// oddPair refuses the first list that is no pair.
func oddPair(lists [][]FilterValue) *filterFail {
	for _, list := range lists {
		if len(list) != 2 {
			fail := list[0].fatal(faultGeoPair)
			fail.count = len(list)
			return fail
		}
	}
	return nil
}

// geoLists parses an opening parenthesis and lists of numbers in brackets, separated by commas.
func (p filterParser) geoLists(fault filterFault, pos int) ([][]FilterValue, int, *filterFail) {
	if !p.at(pos, '(') {
		return nil, 0, p.fatal(fault, pos)
	}
	list, pos, bad, _ := p.geoList(pos + 1)
	if bad >= 0 {
		return nil, 0, p.fatal(fault, bad)
	}
	lists := [][]FilterValue{list}
	for p.at(pos, ',') {
		list, next, bad, final := p.geoList(pos + 1)
		if bad >= 0 && final {
			return nil, 0, p.fatal(fault, bad)
		}
		if bad >= 0 {
			break
		}
		lists, pos = append(lists, list), next
	}
	return lists, pos, nil
}

// geoList parses one list in brackets with white space around; bad is where it goes wrong, -1 if it does not, final
// whether that is inside an exponent.
func (p filterParser) geoList(pos int) (list []FilterValue, next, bad int, final bool) {
	pos = p.space(pos)
	if !p.at(pos, '[') {
		return nil, 0, pos, false
	}
	list, pos, bad = p.floats(pos + 1)
	if bad >= 0 {
		return nil, 0, bad, p.insideExponent(bad)
	}
	if !p.at(pos, ']') {
		return nil, 0, pos, false
	}
	return list, p.space(pos + 1), -1, false
}

// floats parses numbers separated by commas; bad is where a number is missing, -1 if none is. A comma without a number
// behind it is left to the caller.
func (p filterParser) floats(pos int) (list []FilterValue, next, bad int) {
	for first := true; ; first = false {
		start := pos
		if !first {
			if !p.at(pos, ',') {
				return list, pos, -1
			}
			start++
		}
		start = p.space(start)
		end, wrong := p.float(start)
		if wrong >= 0 && (first || p.insideExponent(wrong)) {
			return nil, 0, wrong
		}
		if wrong >= 0 {
			return list, pos, -1
		}
		list = append(list, p.token(start, end))
		pos = p.space(end)
	}
}

// float is the offset behind a decimal number; wrong is where it goes wrong, -1 if it does not.
func (p filterParser) float(pos int) (end, wrong int) {
	if p.at(pos, '+') || p.at(pos, '-') {
		pos++
	}
	whole := p.digits(pos)
	switch {
	case whole > pos && p.at(whole, '.'):
		pos = p.digits(whole + 1)
	case whole > pos:
		pos = whole
	case !p.at(pos, '.'):
		return 0, pos
	default:
		if end = p.digits(pos + 1); end == pos+1 {
			return 0, end
		}
		pos = end
	}
	if !p.at(pos, 'e') && !p.at(pos, 'E') {
		return pos, -1
	}
	if pos++; p.at(pos, '+') || p.at(pos, '-') {
		pos++
	}
	if end = p.digits(pos); end == pos {
		return 0, pos
	}
	return end, -1
}

func (p filterParser) digits(pos int) int {
	for pos < len(p.text) && isDigit(p.text[pos]) {
		pos++
	}
	return pos
}

// insideExponent reports whether a number went wrong at pos because its exponent has no digits, which is final.
func (p filterParser) insideExponent(pos int) bool {
	if pos > 0 && (p.text[pos-1] == '+' || p.text[pos-1] == '-') {
		pos--
	}
	return pos > 0 && (p.text[pos-1] == 'e' || p.text[pos-1] == 'E')
}
