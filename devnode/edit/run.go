package edit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// node is a part of a function that can be run for its value.
type node interface {
	run(s scope) (any, error)
}

// place is a node that can be assigned to.
type place interface {
	node
	assign(s scope, value any) error
}

type block []node

func (b block) run(s scope) (any, error) {
	var last any
	for _, n := range b {
		value, err := n.run(s)
		if err != nil {
			return nil, err
		}
		last = value
	}
	return last, nil
}

type literal struct{ value any }

func (l *literal) run(scope) (any, error) { return l.value, nil }

type variable struct{ name string }

func (v *variable) run(s scope) (any, error) {
	value, ok := s[v.name]
	if !ok {
		return nil, fmt.Errorf("Variable not found: %s", v.name)
	}
	return value, nil
}

func (v *variable) assign(s scope, value any) error {
	switch _, known := s[v.name]; {
	case v.name == "context":
		return fmt.Errorf("Cannot modify constant: %s", v.name)
	case !known:
		return fmt.Errorf("Variable not found: %s", v.name)
	}
	s[v.name] = value
	return nil
}

// element is a member of an object or an item of an array.
type element struct{ of, index node }

func (e *element) run(s scope) (any, error) {
	container, index, err := e.parts(s)
	if err != nil {
		return nil, err
	}
	switch c := container.(type) {
	case map[string]any:
		if name, ok := index.(string); ok {
			return c[name], nil
		}
	case []any:
		if i, ok := position(c, index); ok {
			return c[i], nil
		}
	}
	return nil, fmt.Errorf("Indexer not found: %s [%s]", kind(container), kind(index))
}

func (e *element) parts(s scope) (container, index any, err error) {
	if container, err = e.of.run(s); err == nil {
		index, err = e.index.run(s)
	}
	return container, index, err
}

// position returns where in an array an index points; negative ones count from the end.
func position(list []any, index any) (int, bool) {
	i, ok := index.(int64)
	if i < 0 {
		i += int64(len(list))
	}
	return int(i), ok && i >= 0 && i < int64(len(list))
}

func (e *element) assign(s scope, value any) error {
	container, index, err := e.parts(s)
	if err != nil {
		return err
	}
	switch c := container.(type) {
	case map[string]any:
		if name, ok := index.(string); ok {
			c[name] = value
			return nil
		}
	case []any:
		if i, ok := position(c, index); ok {
			c[i] = value
			return nil
		}
	}
	return fmt.Errorf("Indexer not found: %s [%s]", kind(container), kind(index))
}

type assignment struct {
	target   place
	operator string // "" for plain assignment
	value    node
	declares bool
}

func (a *assignment) run(s scope) (any, error) {
	value, err := a.value.run(s)
	if err != nil {
		return nil, err
	}
	if a.declares {
		s[a.target.(*variable).name] = clone(value)
		return nil, nil
	}
	if a.operator != "" {
		old, err := a.target.run(s)
		if err != nil {
			return nil, err
		}
		if value, err = operate(a.operator, old, value); err != nil {
			return nil, err
		}
	}
	return nil, a.target.assign(s, clone(value))
}

type condition struct {
	test            node
	then, otherwise block
}

func (c *condition) run(s scope) (any, error) {
	value, err := c.test.run(s)
	if err != nil {
		return nil, err
	}
	holds, ok := value.(bool)
	switch {
	case !ok:
		return nil, fmt.Errorf("Data type incorrect: %s (expecting bool)", kind(value))
	case holds:
		return c.then.run(s)
	}
	return c.otherwise.run(s)
}

type operation struct {
	operator    string
	left, right node
}

func (o *operation) run(s scope) (any, error) {
	a, err := o.left.run(s)
	if err != nil {
		return nil, err
	}
	if decided, ok := a.(bool); ok && (o.operator == "&&" && !decided || o.operator == "||" && decided) {
		return decided, nil
	}
	b, err := o.right.run(s)
	if err != nil {
		return nil, err
	}
	switch o.operator {
	case "&&", "||":
		if _, ok := a.(bool); ok {
			if rest, ok := b.(bool); ok {
				return rest, nil
			}
		}
	case "in":
		return contains(b, a), nil
	}
	return operate(o.operator, a, b)
}

type negation struct {
	operator string
	value    node
}

func (n *negation) run(s scope) (any, error) {
	value, err := n.value.run(s)
	if err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case bool:
		if n.operator == "!" {
			return !v, nil
		}
	case int64:
		if n.operator == "-" {
			return -v, nil
		}
	case float64:
		if n.operator == "-" {
			return -v, nil
		}
	}
	return nil, fmt.Errorf("Function not found: %s (%s)", n.operator, kind(value))
}

type array struct{ items []node }

func (a *array) run(s scope) (any, error) { return values(s, a.items) }

func values(s scope, nodes []node) ([]any, error) {
	out := make([]any, len(nodes))
	for i, n := range nodes {
		value, err := n.run(s)
		if err != nil {
			return nil, err
		}
		out[i] = clone(value)
	}
	return out, nil
}

type object struct {
	names  []string
	values []node
}

func (o *object) run(s scope) (any, error) {
	items, err := values(s, o.values)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for i, name := range o.names {
		out[name] = items[i]
	}
	return out, nil
}

type call struct {
	method    string
	of        node
	arguments []node
}

func (c *call) run(s scope) (any, error) {
	of, err := c.of.run(s)
	if err != nil {
		return nil, err
	}
	arguments, err := values(s, c.arguments)
	if err != nil {
		return nil, err
	}
	result, changed, ok := methods[c.method](of, arguments)
	if !ok {
		return nil, fmt.Errorf("Function not found: %s (%s)", c.method, kind(of))
	}
	if target, isPlace := c.of.(place); isPlace && changed != nil {
		return result, target.assign(s, changed)
	}
	return result, nil
}

// thrown ends the function with an error.
type thrown struct{ value node }

func (t *thrown) run(s scope) (any, error) {
	value, err := t.value.run(s)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("Runtime error: %s", display(value))
}

// application is a call of a function that belongs to no value.
type application struct {
	name      string
	arguments []node
}

func (a *application) run(s scope) (any, error) {
	arguments, err := values(s, a.arguments)
	if err != nil {
		return nil, err
	}
	if len(arguments) == 1 {
		if result, ok := functions[a.name](arguments[0]); ok {
			return result, nil
		}
	}
	return nil, fmt.Errorf("Function not found: %s", a.name)
}

var functions = map[string]func(any) (any, bool){
	"type_of": func(value any) (any, bool) { return kind(value), true },
	"parse_float": func(value any) (any, bool) {
		text, ok := value.(string)
		number, err := strconv.ParseFloat(text, 64)
		return number, ok && err == nil
	},
}

// method returns the result of a call and what became of the receiver, nil when it did not change. ok is false for receivers
// and arguments that do not fit.
type method func(of any, arguments []any) (result, changed any, ok bool)

var methods = map[string]method{
	"to_upper":    textMethod(strings.ToUpper),
	"to_lower":    textMethod(strings.ToLower),
	"make_upper":  inPlace(strings.ToUpper),
	"make_lower":  inPlace(strings.ToLower),
	"trim":        inPlace(strings.TrimSpace),
	"to_string":   func(of any, _ []any) (any, any, bool) { return display(of), nil, true },
	"len":         length,
	"contains":    func(of any, a []any) (any, any, bool) { return len(a) == 1 && contains(of, a[0]), nil, len(a) == 1 },
	"push":        push,
	"remove":      remove,
	"starts_with": textTest(strings.HasPrefix),
	"ends_with":   textTest(strings.HasSuffix),
	"replace":     replace,
}

func textMethod(f func(string) string) method {
	return func(of any, _ []any) (any, any, bool) {
		text, ok := of.(string)
		return f(text), nil, ok
	}
}

func inPlace(f func(string) string) method {
	return func(of any, _ []any) (any, any, bool) {
		text, ok := of.(string)
		return nil, f(text), ok
	}
}

func textTest(f func(text, part string) bool) method {
	return func(of any, a []any) (any, any, bool) {
		text, ok := of.(string)
		if !ok || len(a) != 1 {
			return nil, nil, false
		}
		part, ok := a[0].(string)
		return f(text, part), nil, ok
	}
}

func length(of any, _ []any) (any, any, bool) {
	switch v := of.(type) {
	case string:
		return int64(len([]rune(v))), nil, true
	case []any:
		return int64(len(v)), nil, true
	case map[string]any:
		return int64(len(v)), nil, true
	}
	return nil, nil, false
}

func contains(of, what any) bool {
	switch v := of.(type) {
	case string:
		part, ok := what.(string)
		return ok && strings.Contains(v, part)
	case []any:
		return slices.ContainsFunc(v, func(item any) bool {
			same, ok := operate("==", item, what)
			return ok == nil && same == true
		})
	case map[string]any:
		name, ok := what.(string)
		_, has := v[name]
		return ok && has
	}
	return false
}

func push(of any, a []any) (any, any, bool) {
	list, ok := of.([]any)
	return nil, append(list, a...), ok && len(a) == 1
}

// remove takes a member out of an object or an item out of an array and returns it.
func remove(of any, a []any) (any, any, bool) {
	if len(a) != 1 {
		return nil, nil, false
	}
	switch v := of.(type) {
	case map[string]any:
		name, ok := a[0].(string)
		old := v[name]
		delete(v, name)
		return old, v, ok
	case []any:
		if i, ok := position(v, a[0]); ok {
			old := v[i]
			return old, slices.Delete(v, i, i+1), true
		}
		return nil, v, true
	}
	return nil, nil, false
}

func replace(of any, a []any) (any, any, bool) {
	text, ok := of.(string)
	if !ok || len(a) != 2 {
		return nil, nil, false
	}
	old, isText := a[0].(string)
	by, alsoText := a[1].(string)
	return nil, strings.ReplaceAll(text, old, by), isText && alsoText
}
