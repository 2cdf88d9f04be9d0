package engine

import "strings"

// fieldID numbers the fields of an index in the order in which they were first met.
type fieldID uint16

// fieldMap gives fields their ids. Nested fields have dotted names and ids of their own. Ids are never taken back.
type fieldMap struct {
	names []string
	ids   map[string]fieldID
}

func newFieldMap() *fieldMap { return &fieldMap{ids: map[string]fieldID{}} }

// add is the id of a name, given now if need be.
func (m *fieldMap) add(name string) fieldID {
	if id, ok := m.ids[name]; ok {
		return id
	}
	id := fieldID(len(m.names))
	m.ids[name] = id
	m.names = append(m.names, name)
	return id
}

// addAll gives ids to every field of a document, nested ones included.
func (m *fieldMap) addAll(document *jsonValue) {
	for i, key := range document.keys {
		m.add(key)
		if key != vectorsField {
			m.addNested(key, document.items[i])
		}
	}
}

func (m *fieldMap) addNested(base string, v *jsonValue) {
	switch v.kind {
	case jsonObject:
		for i, key := range v.keys {
			name := base + "." + key
			m.add(name)
			m.addNested(name, v.items[i])
		}
	case jsonArray:
		for _, item := range v.items {
			m.addNested(base, item)
		}
	}
}

// Reserved fields.
const (
	vectorsField = "_vectors"
	geoField     = "_geo"
	geoLatField  = "_geo.lat"
	geoLngField  = "_geo.lng"
	geoJSONField = "_geojson"
)

// containedIn reports whether field is parent or lies inside it: "a.b" is contained in "a".
func containedIn(field, parent string) bool {
	return strings.HasPrefix(field, parent) && (len(field) == len(parent) || field[len(parent)] == '.')
}

// patternMatch is how a field relates to a pattern.
type patternMatch uint8

const (
	noMatch     patternMatch = iota
	parentMatch              // the pattern may match fields inside the field
	fullMatch                // the field itself matches
)

// matchPattern matches a name against a pattern with a star at its start, its end, or both.
func matchPattern(pattern, name string) patternMatch {
	switch {
	case pattern == "*":
		return fullMatch
	case len(pattern) > 1 && strings.HasPrefix(pattern, "*") && strings.HasSuffix(pattern, "*"):
		if strings.Contains(name, pattern[1:len(pattern)-1]) {
			return fullMatch
		}
	case strings.HasPrefix(pattern, "*"):
		if strings.HasSuffix(name, pattern[1:]) {
			return fullMatch
		}
	case strings.HasSuffix(pattern, "*"):
		if strings.HasPrefix(name, pattern[:len(pattern)-1]) {
			return fullMatch
		}
	case pattern == name:
		return fullMatch
	}
	if containedIn(pattern, name) {
		return parentMatch
	}
	return noMatch
}

// matchLegacy matches a field against a plain name: the field of that name and all inside it.
func matchLegacy(name, field string) patternMatch {
	if containedIn(field, name) {
		return fullMatch
	}
	if containedIn(name, field) {
		return parentMatch
	}
	return noMatch
}

// selectFields keeps the parts of an object that selectors name, with dots reaching into objects and arrays.
func selectFields(object *jsonValue, selectors []string) *jsonValue {
	set := make(map[string]bool, len(selectors))
	for _, s := range selectors {
		set[s] = true
	}
	return selectObject(object, set)
}

func selectObject(object *jsonValue, selectors map[string]bool) *jsonValue {
	out := &jsonValue{kind: jsonObject}
	for i, key := range object.keys {
		value := object.items[i]
		if selectors[key] && !strings.Contains(key, ".") {
			out.set(key, value)
			continue
		}
		inner := innerSelectors(selectors, key)
		switch {
		case len(inner) == 0:
			if selectors[key] {
				out.set(key, value)
			}
		case value.kind == jsonArray:
			out.set(key, selectArray(value, inner))
		case value.kind == jsonObject:
			out.set(key, selectObject(value, inner))
		}
	}
	return out
}

func innerSelectors(selectors map[string]bool, key string) map[string]bool {
	var inner map[string]bool
	for s := range selectors {
		if len(s) > len(key) && containedIn(s, key) {
			if inner == nil {
				inner = map[string]bool{}
			}
			inner[s[len(key)+1:]] = true
		}
	}
	return inner
}

func selectArray(array *jsonValue, selectors map[string]bool) *jsonValue {
	out := &jsonValue{kind: jsonArray}
	for _, item := range array.items {
		switch item.kind {
		case jsonArray:
			out.items = append(out.items, selectArray(item, selectors))
		case jsonObject:
			if o := selectObject(item, selectors); len(o.keys) > 0 {
				out.items = append(out.items, o)
			}
		}
	}
	return out
}
