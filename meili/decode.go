package meili

import (
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Location says where a value stands in a body or query string and which code the errors found there carry.
// Its methods make those errors in Meilisearch's words (deserr 0.6, errors/json.rs and errors/query_params.rs).
type Location struct {
	parent *Location
	key    string // of a member; "" for an item
	index  int    // of an item, -1 for a member
	code   Code
	params bool // in a query string, not a body
}

// BodyRoot is the location of a whole JSON body.
func BodyRoot(code Code) *Location { return &Location{code: code} }

// QueryRoot is the location of a whole query string.
func QueryRoot(code Code) *Location { return &Location{code: code, params: true} }

// Key is the location of the member called key.
func (l *Location) Key(key string) *Location {
	return &Location{parent: l, key: key, index: -1, code: l.code, params: l.params}
}

// Item is the location of the i-th item, from 0.
func (l *Location) Item(i int) *Location {
	return &Location{parent: l, index: i, code: l.code, params: l.params}
}

// WithCode is the same place with another code for the errors from here on; an empty code changes nothing.
func (l *Location) WithCode(code Code) *Location {
	clone := *l
	if code != "" {
		clone.code = code
	}
	return &clone
}

func (l *Location) path() string {
	switch {
	case l.parent == nil:
		return ""
	case l.index >= 0:
		return l.parent.path() + "[" + strconv.Itoa(l.index) + "]"
	case l.params && l.parent.parent == nil:
		return l.key
	}
	return l.parent.path() + "." + l.key
}

// describe is " at `.a[0]`": an article for bodies, one for query strings, and the path. It is empty at the root.
func (l *Location) describe(inBody, inQuery string) string {
	if l.parent == nil {
		return ""
	}
	if l.params {
		return inQuery + " `" + l.path() + "`"
	}
	return inBody + " `" + l.path() + "`"
}

func (l *Location) fieldWord() string {
	if l.params {
		return "parameter"
	}
	return "field"
}

// WrongKind is the error of a value of a kind that is not accepted.
func (l *Location) WrongKind(v *Value, accepted ...Kind) *Error {
	if l.params {
		return newError(l.code, "Invalid value type"+l.describe("", " for parameter")+": expected a string, but found "+describeParam(v))
	}
	return newError(l.code, "Invalid value type"+l.describe(" at", "")+": expected "+describeKinds(accepted)+", but found "+describeValue(v))
}

// MissingField is the error of an object without a member it must have.
func (l *Location) MissingField(field string) *Error {
	return newError(l.code, "Missing "+l.fieldWord()+" `"+field+"`"+l.describe(" inside", " inside"))
}

// UnknownField is the error of a member or parameter that does not exist.
func (l *Location) UnknownField(field string, accepted []string) *Error {
	return newError(l.code, "Unknown "+l.fieldWord()+" `"+field+"`"+l.describe(" inside", " inside")+": "+didYouMean(field, accepted)+expectedOneOf(accepted))
}

// UnknownValue is the error of a text outside a closed set.
func (l *Location) UnknownValue(value string, accepted []string) *Error {
	return newError(l.code, "Unknown value `"+value+"`"+l.describe(" at", " for parameter")+": "+didYouMean(value, accepted)+expectedOneOf(accepted))
}

// Invalid is the error of a value of the right kind that is refused, with the reason.
func (l *Location) Invalid(reason string) *Error {
	return newError(l.code, "Invalid value"+l.describe(" at", " in parameter")+": "+reason)
}

func expectedOneOf(accepted []string) string {
	return "expected one of `" + strings.Join(accepted, "`, `") + "`"
}

var kindNames = [...]string{"null", "a boolean", "a positive integer", "a negative integer", "a number", "a string", "an array", "an object"}

// describeKinds lists kinds in a fixed order; those of numbers melt into one where they cover it.
func describeKinds(kinds []Kind) string {
	kinds = slices.Compact(slices.Sorted(slices.Values(kinds)))
	var names []string
	for len(kinds) > 0 {
		name, used := kindNames[kinds[0]], 1
		switch {
		case len(kinds) >= 2 && (kinds[0] == KindUint || kinds[0] == KindInt) && kinds[1] == KindFloat:
			name, used = "a number", 2
		case len(kinds) >= 3 && kinds[0] == KindUint && kinds[1] == KindInt && kinds[2] == KindFloat:
			name, used = "a number", 3
		case len(kinds) >= 2 && kinds[0] == KindUint && kinds[1] == KindInt:
			name, used = "an integer", 2
		}
		names, kinds = append(names, name), kinds[used:]
	}
	switch len(names) {
	case 0:
		return "a different value"
	case 1:
		return names[0]
	case 2:
		return names[0] + " or " + names[1]
	}
	return strings.Join(names[:len(names)-1], ", ") + ", or " + names[len(names)-1]
}

func describeValue(v *Value) string {
	if v.Kind == KindNull {
		return "null"
	}
	return kindNames[v.Kind] + ": `" + v.JSON() + "`"
}

func describeParam(v *Value) string {
	switch v.Kind {
	case KindArray:
		return "multiple values"
	case KindObject:
		return "multiple parameters"
	case KindUint, KindInt:
		return "an integer: `" + v.JSON() + "`"
	case KindString:
		return "a string: `" + v.Text + "`"
	}
	return describeValue(v)
}

// Decode decodes one value into a place it knows.
type Decode func(v *Value, at *Location) *Error

// Read decodes one value.
type Read[T any] func(v *Value, at *Location) (T, *Error)

// Field is one member an object may have.
type Field struct {
	Name     string
	Code     Code // of errors inside the member; empty: that of the object
	Required bool
	Missing  Code // of the error when a required member is missing; empty: that of the object
	Decode   Decode
}

// DecodeObject decodes the members of v in the order of the text, then checks that the required ones were there.
// The first error ends it. Members outside fields are errors.
func DecodeObject(v *Value, at *Location, fields []Field) *Error {
	return decodeObject(v, at, fields, func(key string) *Error { return at.UnknownField(key, FieldNames(fields)) })
}

// DecodeOpenObject is DecodeObject for objects whose other members are ignored.
func DecodeOpenObject(v *Value, at *Location, fields []Field) *Error {
	return decodeObject(v, at, fields, func(string) *Error { return nil })
}

// DecodeObjectWith is DecodeObject with a say about members outside fields, nil accepts and ignores them.
func DecodeObjectWith(v *Value, at *Location, fields []Field, unknown func(key string) *Error) *Error {
	return decodeObject(v, at, fields, unknown)
}

func decodeObject(v *Value, at *Location, fields []Field, unknown func(key string) *Error) *Error {
	if v.Kind != KindObject {
		return at.WrongKind(v, KindObject)
	}
	seen := make([]bool, len(fields))
	for i := range v.Members {
		m := &v.Members[i]
		f := slices.IndexFunc(fields, func(f Field) bool { return f.Name == m.Key })
		if f < 0 {
			if err := unknown(m.Key); err != nil {
				return err
			}
			continue
		}
		seen[f] = true
		if err := fields[f].Decode(&m.Value, at.Key(m.Key).WithCode(fields[f].Code)); err != nil {
			return err
		}
	}
	for i, f := range fields {
		if f.Required && !seen[i] {
			return at.WithCode(f.Missing).MissingField(f.Name)
		}
	}
	return nil
}

// FieldNames are the names of fields in their order.
func FieldNames(fields []Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// Into stores what read decodes.
func Into[T any](dst *T, read Read[T]) Decode {
	return func(v *Value, at *Location) (err *Error) {
		*dst, err = read(v, at)
		return err
	}
}

// IntoOptional stores a pointer to what read decodes, nil for null.
func IntoOptional[T any](dst **T, read Read[T]) Decode {
	return func(v *Value, at *Location) *Error {
		if v.Kind == KindNull {
			*dst = nil
			return nil
		}
		got, err := read(v, at)
		*dst = &got
		return err
	}
}

// IntoPresent stores a pointer to what read decodes; null is not accepted.
func IntoPresent[T any](dst **T, read Read[T]) Decode {
	return func(v *Value, at *Location) *Error {
		got, err := read(v, at)
		*dst = &got
		return err
	}
}

// IntoRaw keeps the JSON text of any value, nil for null.
func IntoRaw(dst *json.RawMessage) Decode {
	return func(v *Value, _ *Location) *Error {
		*dst = nil
		if v.Kind != KindNull {
			*dst = v.Raw()
		}
		return nil
	}
}

// intoPrinted keeps any value as serde_json prints it, nil for null: what tasks tell of a filter.
func intoPrinted(dst *json.RawMessage) Decode {
	return func(v *Value, _ *Location) *Error {
		*dst = nil
		if v.Kind != KindNull {
			*dst = v.AppendJSON(nil)
		}
		return nil
	}
}

// ReadString accepts a string.
func ReadString(v *Value, at *Location) (string, *Error) {
	if v.Kind != KindString {
		return "", at.WrongKind(v, KindString)
	}
	return v.Text, nil
}

// ReadBool accepts true and false.
func ReadBool(v *Value, at *Location) (bool, *Error) {
	if v.Kind != KindBool {
		return false, at.WrongKind(v, KindBool)
	}
	return v.Bool, nil
}

// ReadInt accepts a whole number from 0 on; what an int cannot hold becomes the largest int.
func ReadInt(v *Value, at *Location) (int, *Error) {
	if v.Kind != KindUint {
		return 0, at.WrongKind(v, KindUint)
	}
	return saturate(v.Uint), nil
}

// ReadPositiveInt is ReadInt without 0.
func ReadPositiveInt(v *Value, at *Location) (int, *Error) {
	n, err := ReadInt(v, at)
	if err == nil && n == 0 {
		return 0, at.Invalid("a non-zero integer value lower than `18446744073709551615` was expected, but found a zero")
	}
	return n, err
}

func saturate(n uint64) int { return int(min(n, math.MaxInt)) }

// readUpTo accepts a whole number from 0 to limit.
func readUpTo(limit uint64) Read[int] {
	return func(v *Value, at *Location) (int, *Error) {
		if v.Kind == KindUint && v.Uint > limit {
			return 0, at.Invalid("value: `" + strconv.FormatUint(v.Uint, 10) + "` is too large to be deserialized, maximum value authorized is `" + strconv.FormatUint(limit, 10) + "`")
		}
		return ReadInt(v, at)
	}
}

// ReadFloat accepts any number.
func ReadFloat(v *Value, at *Location) (float64, *Error) {
	switch v.Kind {
	case KindUint:
		return float64(v.Uint), nil
	case KindInt:
		return float64(v.Int), nil
	case KindFloat:
		return v.Float, nil
	}
	return 0, at.WrongKind(v, KindUint, KindInt, KindFloat)
}

// ReadRaw accepts anything and keeps its JSON text.
func ReadRaw(v *Value, _ *Location) (json.RawMessage, *Error) { return v.Raw(), nil }

// ReadList accepts an array whose items read accepts. The list is never nil.
func ReadList[T any](read Read[T]) Read[[]T] {
	return func(v *Value, at *Location) ([]T, *Error) {
		if v.Kind != KindArray {
			return nil, at.WrongKind(v, KindArray)
		}
		list := make([]T, 0, len(v.Items))
		for i := range v.Items {
			item, err := read(&v.Items[i], at.Item(i))
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	}
}

// ReadStrings accepts an array of strings.
func ReadStrings(v *Value, at *Location) ([]string, *Error) { return ReadList(ReadString)(v, at) }

// ReadMap accepts an object whose members read accepts.
func ReadMap[T any](read Read[T]) Read[map[string]T] {
	return func(v *Value, at *Location) (map[string]T, *Error) {
		if v.Kind != KindObject {
			return nil, at.WrongKind(v, KindObject)
		}
		members := make(map[string]T, len(v.Members))
		for i := range v.Members {
			key := v.Members[i].Key
			value, err := read(&v.Members[i].Value, at.Key(key))
			if err != nil {
				return nil, err
			}
			members[key] = value
		}
		return members, nil
	}
}

// ReadEnum accepts one of a few strings.
func ReadEnum(accepted ...string) Read[string] {
	return func(v *Value, at *Location) (string, *Error) {
		text, err := ReadString(v, at)
		if err == nil && !slices.Contains(accepted, text) {
			return "", at.UnknownValue(text, accepted)
		}
		return text, err
	}
}

// DecodeBody parses a JSON body and decodes it as a table of fields says; errors without a code of their own are bad_request.
func DecodeBody(body []byte, fields []Field) *Error {
	v, err := ParseBody(body)
	if err != nil {
		return err
	}
	return DecodeObject(&v, BodyRoot(CodeBadRequest), fields)
}

// CheckJSONContentType checks the Content-Type header of a route that takes a JSON body: subtype json or suffix +json,
// whatever the parameters. A header that is there and empty is invalid. Errors: missing_content_type, invalid_content_type.
func CheckJSONContentType(header http.Header) *Error {
	const accepted = "Accepted values for the Content-Type header are: `application/json`"
	if len(header["Content-Type"]) == 0 {
		return newError(CodeMissingContentType, "A Content-Type header is missing. "+accepted)
	}
	contentType := header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	_, subtype, _ := strings.Cut(media, "/")
	if err != nil && media == "" || subtype != "json" && !strings.HasSuffix(subtype, "+json") {
		return newError(CodeInvalidContentType, "The Content-Type `"+contentType+"` is invalid. "+accepted)
	}
	return nil
}
