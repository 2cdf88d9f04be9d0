// Package edit runs the functions of Meilisearch's route that edits documents, as far as they are simple: assignments to
// fields of doc, arithmetic, comparisons, conditions, local variables and a few methods of strings, arrays and objects. A real
// server runs the whole Rhai language; what this package lacks is an error when a function is compiled.
package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Function is a compiled function. It is safe for concurrent use.
type Function struct{ body block }

// Compile parses a function. The error says what is wrong and where, or what the embedded node does not support.
func Compile(source string) (*Function, error) {
	tokens, err := scan(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	body, err := p.block("")
	if err != nil {
		return nil, err
	}
	return &Function{body}, nil
}

// ErrNotObject tells that a function left something else than an object, or nothing, in doc.
var ErrNotObject = errors.New("Document editions must keep documents as objects")

// Run runs the function with doc and context (nil for none), both JSON objects. It returns the edited document, nil when the
// function removed it by assigning () to doc.
func (f *Function) Run(doc, context json.RawMessage) (json.RawMessage, error) {
	s := scope{}
	for name, text := range map[string]json.RawMessage{"doc": doc, "context": context} {
		if text == nil {
			continue
		}
		value, err := decode(text)
		if err != nil {
			return nil, err
		}
		s[name] = value
	}
	if _, err := f.body.run(s); err != nil {
		return nil, err
	}
	switch edited := s["doc"].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return encode(edited)
	}
	return nil, ErrNotObject
}

// scope holds the variables of a run. Values are nil, bool, int64, float64, string, []any and map[string]any.
type scope map[string]any

// decode reads JSON with whole numbers as int64.
func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return numbers(value), nil
}

func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	}
	return value
}

func encode(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSpace(out.Bytes()), err
}

// clone copies a value: assignment never shares.
func clone(value any) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = clone(v[name])
		}
		return out
	}
	return value
}

// operate applies a binary operator other than the logical ones.
func operate(operator string, a, b any) (any, error) {
	x, xInt := a.(int64)
	y, yInt := b.(int64)
	if xInt && yInt {
		if result, ok := integers(operator, x, y); ok {
			return result, nil
		}
	}
	f, fOK := number(a)
	g, gOK := number(b)
	if fOK && gOK {
		if result, ok := floats(operator, f, g); ok {
			return result, nil
		}
	}
	if result, ok := others(operator, a, b); ok {
		return result, nil
	}
	return nil, fmt.Errorf("Function not found: %s (%s, %s)", operator, kind(a), kind(b))
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func integers(operator string, x, y int64) (any, bool) {
	switch operator {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	case "/":
		if y != 0 {
			return x / y, true
		}
	case "%":
		if y != 0 {
			return x % y, true
		}
	}
	return nil, false
}

func floats(operator string, x, y float64) (any, bool) {
	switch operator {
	case "+":
		return x + y, true
	case "-":
		return x - y, true
	case "*":
		return x * y, true
	case "/":
		return x / y, y != 0
	case "%":
		return math.Mod(x, y), y != 0
	case "<":
		return x < y, true
	case "<=":
		return x <= y, true
	case ">":
		return x > y, true
	case ">=":
		return x >= y, true
	case "==":
		return x == y, true
	case "!=":
		return x != y, true
	}
	return nil, false
}

// others are the operators on strings and arrays, and equality of everything.
func others(operator string, a, b any) (any, bool) {
	same := func() bool {
		x, errX := encode(a)
		y, errY := encode(b)
		return errX == nil && errY == nil && bytes.Equal(x, y)
	}
	switch operator {
	case "==":
		return same(), true
	case "!=":
		return !same(), true
	}
	if x, ok := a.([]any); ok && operator == "+" {
		if y, ok := b.([]any); ok {
			return append(clone(x).([]any), y...), true
		}
	}
	x, isText := a.(string)
	y, alsoText := b.(string)
	switch {
	case operator == "+" && (isText || alsoText):
		return display(a) + display(b), true
	case isText && alsoText:
		switch operator {
		case "<":
			return x < y, true
		case "<=":
			return x <= y, true
		case ">":
			return x > y, true
		case ">=":
			return x >= y, true
		}
	}
	return nil, false
}

// display is the text of a value in a concatenation.
func display(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	text, err := encode(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// kind names a value's type the way Rhai does.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "()"
	case bool:
		return "bool"
	case int64:
		return "i64"
	case float64:
		return "f64"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "map"
}
