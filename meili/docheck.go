package meili

import (
	"bytes"
	"fmt"
	"math"
	"slices"
)

// CheckDocument looks for what is only noticed while a server indexes, and then fails the task of a whole payload: a bad
// shape or size in _vectors, a bad _geo when geographic filters or sorts are on, a bad _geojson when it is filterable.
// Spread over servers, such a document must fail the payload on all of them, so it is looked for first. The message has
// the prefix "Index `indexUID`: ". s may be nil. Not checked, for want of the stored version of the document: vectors that
// are missing although a userProvided embedder has none from before, see MissingVectors.
func CheckDocument(doc []byte, id, indexUID string, s *Settings) *Error {
	check := documentCheck{id: id, settings: s}
	err := check.run(doc)
	if err == nil {
		return nil
	}
	return err.WithPrefix(indexPrefix(indexUID))
}

// CheckValues looks for values that a server reads only while it indexes, and then cannot: half a surrogate pair, numbers beyond all
// bounds, nesting too deep, be they searched or not. They fail the task of a whole payload before anything that CheckDocument looks for. A
// document without such values is looked through quickly.
func CheckValues(doc []byte, indexUID string) *Error {
	for name, value := range Fields(doc) {
		if string(name) == vectorsField || !looksUnreadable(value) {
			continue
		}
		if _, err := ParseJSON(value); err != nil {
			return newError(CodeInternal, "internal: "+err.Error()+".").WithPrefix(indexPrefix(indexUID))
		}
	}
	return nil
}

// longNumber is how many digits a number has at least that may be too great.
const longNumber = 300

// looksUnreadable reports that a valid JSON value may be one that cannot be read: it has an escape beyond the first planes, an exponent,
// a very long number or deep nesting.
func looksUnreadable(value []byte) bool {
	depth, digits := 0, 0
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			end := skipString(value, i)
			if text := value[i:end]; bytes.Contains(text, []byte(`\ud`)) || bytes.Contains(text, []byte(`\uD`)) {
				return true
			}
			i, digits = end-1, 0
		case '0' <= c && c <= '9':
			digits++
		case (c == 'e' || c == 'E') && digits > 0:
			return true
		case c == '[' || c == '{':
			depth, digits = depth+1, 0
		case c == ']' || c == '}':
			depth, digits = depth-1, 0
		default:
			digits = 0
		}
		if depth >= maxDepth || digits >= longNumber {
			return true
		}
	}
	return false
}

// documentCheck checks one document; its methods give errors without prefix.
type documentCheck struct {
	id       string
	settings *Settings
}

func (c *documentCheck) run(doc []byte) *Error {
	for name, value := range Fields(doc) { // vectors come first, wherever they stand
		if string(name) == vectorsField {
			if err := c.vectors(value); err != nil {
				return err
			}
		}
	}
	rules := filterCheck{rules: c.settings.Filterable()}
	for name, value := range Fields(doc) {
		var err *Error
		switch string(name) {
		case geoField:
			if rules.hasPlain(geoField) || slices.Contains(c.settings.Sortable(), geoField) {
				err = c.geo(value)
			}
		case geoJSONField:
			if rules.hasPlain(geoJSONField) {
				err = c.geoJSON(value)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// geo checks a _geo field: null, or an object of two finite numbers, which may be texts.
func (c *documentCheck) geo(raw []byte) *Error {
	v, err := ParseJSON(raw)
	if err != nil || v.Kind == KindNull {
		return nil
	}
	id := quoteAsJSON(c.id)
	if v.Kind != KindObject {
		return Errorf(CodeInvalidDocumentGeoField, "The `_geo` field in the document with the id: `%s` is not an object. "+
			"Was expecting an object with the `_geo.lat` and `_geo.lng` fields but instead got `%s`.", id, v.JSON())
	}
	lat, lng := v.Member("lat"), v.Member("lng")
	switch {
	case lat == nil && lng == nil:
		return Errorf(CodeInvalidDocumentGeoField, "Could not find latitude nor longitude in the document with the id: `%s`. Was expecting `_geo.lat` and `_geo.lng` fields.", id)
	case lat == nil:
		return Errorf(CodeInvalidDocumentGeoField, "Could not find latitude in the document with the id: `%s`. Was expecting a `_geo.lat` field.", id)
	case lng == nil:
		return Errorf(CodeInvalidDocumentGeoField, "Could not find longitude in the document with the id: `%s`. Was expecting a `_geo.lng` field.", id)
	case len(v.Members) > 2:
		extra := Value{Kind: KindObject, Members: slices.DeleteFunc(slices.Clone(v.Members), func(m Member) bool { return m.Key == "lat" || m.Key == "lng" })}
		return Errorf(CodeInvalidDocumentGeoField, "The `_geo` field in the document with the id: `%s` contains the following unexpected fields: `%s`.", id, extra.JSON())
	}
	return checkCoordinates(id, lat, lng)
}

func checkCoordinates(id string, lat, lng *Value) *Error {
	switch latOK, lngOK := isCoordinate(lat), isCoordinate(lng); {
	case !latOK && !lngOK:
		return Errorf(CodeInvalidDocumentGeoField, "Could not parse latitude nor longitude in the document with the id: `%s`. "+
			"Was expecting finite numbers but instead got `%s` and `%s`.", id, lat.JSON(), lng.JSON())
	case !latOK:
		return Errorf(CodeInvalidDocumentGeoField, "Could not parse latitude in the document with the id: `%s`. Was expecting a finite number but instead got `%s`.", id, lat.JSON())
	case !lngOK:
		return Errorf(CodeInvalidDocumentGeoField, "Could not parse longitude in the document with the id: `%s`. Was expecting a finite number but instead got `%s`.", id, lng.JSON())
	}
	return nil
}

func isCoordinate(v *Value) bool {
	switch v.Kind {
	case KindUint, KindInt, KindFloat:
		return true
	case KindString:
		f, ok := parseRustFloat(v.Text)
		return ok && !math.IsInf(f, 0) && !math.IsNaN(f)
	}
	return false
}

var geoJSONTypes = []string{"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection", "Feature", "FeatureCollection"}

// geoJSON checks no more than that a shape is an object of a known type.
func (c *documentCheck) geoJSON(raw []byte) *Error {
	v, err := ParseJSON(raw)
	switch {
	case err != nil:
		return nil
	case v.Kind != KindObject:
		return Errorf(CodeInvalidDocumentGeoField, "Expected an owned Object, but got `%s`", v.JSON())
	}
	if kind := v.Member("type"); kind != nil && kind.Kind == KindString && !slices.Contains(geoJSONTypes, kind.Text) {
		return newError(CodeInvalidDocumentGeoField, "Expected a Feature, FeatureCollection, or Geometry, but got an empty type")
	}
	return nil
}

// vectors checks a _vectors field: the shape of every entry, then numbers and dimensions of those of known embedders.
func (c *documentCheck) vectors(raw []byte) *Error {
	if len(raw) == 0 || raw[0] != '{' {
		return newError(CodeInternal, invalidType(raw))
	}
	given := map[string][]byte{}
	for name, entry := range Fields(raw) {
		embedder := string(name)
		embeddings, regenerate, problem := vectorEntry(embedder, entry)
		if problem != "" {
			return c.badVectors(problem)
		}
		delete(given, embedder)
		if embeddings != nil {
			given[embedder] = embeddings
		} else if config := c.settings.Embedder(embedder); regenerate && config != nil && config.Source.Value == sourceUserProvided {
			return MissingVectors(embedder, []string{c.id}, nil)
		}
	}
	for name, entry := range Fields(raw) {
		if err := c.embeddings(string(name), given[string(name)], entry[0] == '{'); err != nil {
			return err
		}
	}
	return nil
}

func (c *documentCheck) badVectors(problem string) *Error {
	return newError(CodeInvalidVectorsType, "Bad embedder configuration in the document with id: `"+c.id+"`. "+problem)
}

// vectorEntry takes apart what _vectors says about one embedder. embeddings is nil when it gives none.
func vectorEntry(embedder string, entry []byte) (embeddings []byte, regenerate bool, problem string) {
	at := "`._vectors." + embedder
	switch entry[0] {
	case 'n':
		return nil, false, ""
	case '[':
		return entry, false, ""
	case '{':
		return explicitVectors(at, entry)
	}
	v, err := ParseJSON(entry)
	if err != nil {
		return nil, false, "Could not parse " + at + "`: " + err.Error()
	}
	kind, text := "string", v.Text
	switch v.Kind {
	case KindBool:
		kind, text = "boolean", v.JSON()
	case KindUint, KindInt:
		kind, text = "integer", v.JSON()
	case KindFloat:
		kind, text = "number", rustFloat(v.Float)
	}
	return nil, false, "Expected " + at + "` to be an array of floats, an array of arrays of floats, or an object with at least the field `regenerate`, but got the " + kind + " `" + text + "`"
}

// explicitVectors reads {"regenerate": …, "embeddings": …}. A member that ends the reading early also leaves the object
// unfinished, which is what the message is about unless it was the last.
func explicitVectors(at string, entry []byte) (embeddings []byte, regenerate bool, problem string) {
	found := false
	for m := range rawMembers(entry) {
		value := entry[m.value:m.valueEnd]
		switch name := string(entry[m.key+1 : m.keyEnd-1]); name {
		case "regenerate":
			v, _ := ParseJSON(value)
			if v.Kind == KindBool {
				regenerate, found = v.Bool, true
				continue
			}
			if next := skipSpace(entry, m.valueEnd); next < len(entry) && entry[next] == ',' {
				return nil, false, fmt.Sprintf("Could not parse %s`: trailing comma at line 1 column %d", at, next+1)
			}
			return nil, false, fmt.Sprintf("Could not parse %s.regenerate`: invalid type: %s, expected a boolean at line 1 column %d", at, serdeUnexpected(&v), m.valueEnd)
		case "embeddings":
			if string(value) != "null" {
				embeddings = value
			}
		default:
			return nil, false, fmt.Sprintf("Could not parse %s`: trailing characters at line 1 column %d", at, skipSpace(entry, m.keyEnd)+1)
		}
	}
	if !found {
		return nil, false, "Missing field " + at + ".regenerate`\n  - note: " + at + "` must be an array of floats, an array of arrays of floats, or an object with field `regenerate`"
	}
	return embeddings, regenerate, ""
}

// embeddings checks the vectors given for an embedder of the index.
func (c *documentCheck) embeddings(embedder string, raw []byte, explicit bool) *Error {
	config := c.settings.Embedder(embedder)
	if config == nil || raw == nil {
		return nil
	}
	v, err := ParseJSON(raw)
	if err != nil {
		return c.badVectors("Could not parse `._vectors." + embedder + "`: " + err.Error())
	}
	at := BodyRoot(CodeInvalidVectorsType).Key(vectorsField).Key(embedder)
	if explicit {
		at = at.Key("embeddings")
	}
	if v.Kind != KindArray {
		return c.badVectors(at.WrongKind(&v, KindNull, KindArray).Message)
	}
	vectors, refused := vectorsOf(&v, at)
	if refused != nil {
		return c.badVectors(refused.Message)
	}
	if !config.Dimensions.Set {
		return nil
	}
	for i, vector := range vectors {
		if want := config.Dimensions.Value; len(vector.Items) != want {
			return Errorf(CodeInvalidVectorDimensions, "Invalid vector dimensions in document with id `%s` in `._vectors.%s`.\n  - note: embedding #%d has dimensions %d\n  - note: embedder `%s` requires %d",
				c.id, embedder, i, len(vector.Items), embedder, want)
		}
	}
	return nil
}

// vectorsOf reads one vector or a list of them.
func vectorsOf(v *Value, at *Location) ([]*Value, *Error) {
	if len(v.Items) == 0 {
		return nil, nil
	}
	switch v.Items[0].Kind {
	case KindUint, KindInt, KindFloat:
		return []*Value{v}, checkNumbers(v, at)
	case KindArray:
	default:
		return nil, at.Item(0).WrongKind(&v.Items[0], KindUint, KindInt, KindFloat, KindArray)
	}
	var vectors []*Value
	for i := range v.Items {
		vector := &v.Items[i]
		if vector.Kind != KindArray {
			return nil, at.Item(i).WrongKind(vector, KindArray)
		}
		if err := checkNumbers(vector, at.Item(i)); err != nil {
			return nil, err
		}
		vectors = append(vectors, vector)
	}
	return vectors, nil
}

func checkNumbers(vector *Value, at *Location) *Error {
	for i := range vector.Items {
		if _, err := ReadFloat(&vector.Items[i], at.Item(i)); err != nil {
			return err
		}
	}
	return nil
}
