package edit

import "fmt"

// parser reads tokens into statements and expressions.
type parser struct {
	tokens []token
	pos    int
	depth  int // of expressions and conditions inside each other
}

// maxDepth is how deep expressions and conditions may nest.
const maxDepth = 64

// descend counts a level down; the function it returns goes back up.
func (p *parser) descend() (ascend func(), err error) {
	p.depth++
	if p.depth > maxDepth {
		err = fmt.Errorf("Expression exceeds maximum complexity %s", p.peek().at())
	}
	return func() { p.depth-- }, err
}

func (p *parser) peek() token { return p.tokens[p.pos] }

// take returns the next token and moves on; the end stays.
func (p *parser) take() token {
	t := p.tokens[p.pos]
	if t.kind != endToken {
		p.pos++
	}
	return t
}

// accept moves over a symbol or word if it is next.
func (p *parser) accept(text string) bool {
	t := p.peek()
	if (t.kind == symbolToken || t.kind == wordToken) && t.text == text {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if p.accept(text) {
		return nil
	}
	return p.unexpected()
}

// unexpected is the error of the next token.
func (p *parser) unexpected() error {
	t := p.peek()
	if t.kind == endToken {
		return fmt.Errorf("Script is incomplete %s", t.at())
	}
	return fmt.Errorf("The embedded node does not support `%s` in functions %s", p.spelling(t), t.at())
}

func (p *parser) spelling(t token) string {
	if t.text != "" {
		return t.text
	}
	return fmt.Sprint(t.value)
}

// block reads statements up to a closing symbol, "" for the end of the function.
func (p *parser) block(closing string) (block, error) {
	var body block
	for {
		for p.accept(";") {
		}
		if closing == "" && p.peek().kind == endToken || closing != "" && p.accept(closing) {
			return body, nil
		}
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		body = append(body, s)
		t := p.peek()
		ended := t.kind == endToken || t.kind == symbolToken && (t.text == ";" || t.text == "}")
		if _, isCondition := s.(*condition); !ended && !isCondition {
			return nil, p.unexpected()
		}
	}
}

func (p *parser) statement() (node, error) {
	switch {
	case p.accept("if"):
		return p.condition()
	case p.accept("let"):
		name := p.take()
		if name.kind != wordToken {
			return nil, p.unexpected()
		}
		if err := p.expect("="); err != nil {
			return nil, err
		}
		value, err := p.expression(0)
		return &assignment{target: &variable{name.text}, value: value, declares: true}, err
	case p.accept("throw"):
		value, err := p.expression(0)
		return &thrown{value}, err
	}
	target, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	t := p.peek()
	for _, operator := range []string{"=", "+=", "-=", "*=", "/=", "%="} {
		if t.kind != symbolToken || t.text != operator {
			continue
		}
		p.pos++
		value, err := p.expression(0)
		place, ok := target.(place)
		if err == nil && !ok {
			return nil, fmt.Errorf("Expression cannot be assigned to %s", t.at())
		}
		return &assignment{target: place, operator: operator[:len(operator)-1], value: value}, err
	}
	return target, nil
}

func (p *parser) condition() (node, error) {
	ascend, err := p.descend()
	defer ascend()
	if err != nil {
		return nil, err
	}
	test, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	c := &condition{test: test}
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	if c.then, err = p.block("}"); err != nil || !p.accept("else") {
		return c, err
	}
	if p.accept("if") {
		nested, err := p.condition()
		c.otherwise = block{nested}
		return c, err
	}
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	c.otherwise, err = p.block("}")
	return c, err
}

// precedence of the binary operators; higher binds tighter.
var precedence = map[string]int{
	"||": 1, "&&": 2, "==": 3, "!=": 3, "in": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7,
}

// expression reads an expression whose operators bind tighter than a level.
func (p *parser) expression(level int) (node, error) {
	left, err := p.unary()
	for err == nil {
		t := p.peek()
		binds := precedence[t.text]
		if t.kind != symbolToken && t.kind != wordToken || binds <= level {
			return left, nil
		}
		p.pos++
		var right node
		right, err = p.expression(binds)
		left = &operation{t.text, left, right}
	}
	return nil, err
}

func (p *parser) unary() (node, error) {
	ascend, err := p.descend()
	defer ascend()
	if err != nil {
		return nil, err
	}
	for _, operator := range []string{"-", "!"} {
		if p.accept(operator) {
			value, err := p.unary()
			return &negation{operator, value}, err
		}
	}
	value, err := p.primary()
	for err == nil {
		switch {
		case p.accept("."):
			value, err = p.member(value)
		case p.accept("["):
			var index node
			if index, err = p.expression(0); err == nil {
				err = p.expect("]")
			}
			value = &element{value, index}
		default:
			return value, nil
		}
	}
	return nil, err
}

// member reads what follows a dot: a field or a method call.
func (p *parser) member(of node) (node, error) {
	name := p.peek()
	if name.kind != wordToken {
		return nil, p.unexpected()
	}
	p.pos++
	if !p.accept("(") {
		return &element{of, &literal{name.text}}, nil
	}
	if methods[name.text] == nil {
		p.pos -= 2
		return nil, p.unexpected()
	}
	arguments, err := p.list(")")
	return &call{name.text, of, arguments}, err
}

// list reads expressions with commas between them up to a closing symbol.
func (p *parser) list(closing string) ([]node, error) {
	var items []node
	for !p.accept(closing) {
		item, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if !p.accept(",") && p.peek().text != closing {
			return nil, p.unexpected()
		}
	}
	return items, nil
}

func (p *parser) primary() (node, error) {
	t := p.peek()
	switch {
	case t.kind == numberToken || t.kind == textToken:
		p.pos++
		return &literal{t.value}, nil
	case p.accept("("):
		if p.accept(")") {
			return &literal{nil}, nil
		}
		value, err := p.expression(0)
		if err == nil {
			err = p.expect(")")
		}
		return value, err
	case p.accept("["):
		items, err := p.list("]")
		return &array{items}, err
	case p.accept("#{"):
		return p.object()
	case p.accept("true"):
		return &literal{true}, nil
	case p.accept("false"):
		return &literal{false}, nil
	case t.kind == wordToken && functions[t.text] != nil && p.tokens[p.pos+1].text == "(":
		p.pos += 2
		arguments, err := p.list(")")
		return &application{t.text, arguments}, err
	case t.kind == wordToken && !reserved[t.text]:
		p.pos++
		return &variable{t.text}, nil
	}
	return nil, p.unexpected()
}

// reserved are the words of Rhai that this package does not know.
var reserved = map[string]bool{
	"fn": true, "for": true, "while": true, "loop": true, "do": true, "switch": true, "return": true, "throw": true, "try": true,
	"const": true, "import": true, "export": true, "this": true, "break": true, "continue": true, "in": true, "else": true,
}

func (p *parser) object() (node, error) {
	o := &object{}
	for !p.accept("}") {
		name := p.take()
		if name.kind != wordToken && name.kind != textToken {
			p.pos--
			return nil, p.unexpected()
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		value, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		o.names, o.values = append(o.names, p.spelling(name)), append(o.values, value)
		if !p.accept(",") && p.peek().text != "}" {
			return nil, p.unexpected()
		}
	}
	return o, nil
}
