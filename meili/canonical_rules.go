package meili

import (
	"fmt"
	"strings"
)

const (
	ruleWords = "words"
	ruleSort  = "sort"
)

// canonicalRules are the ranking rules that have a say in one query, in order.
type canonicalRules struct {
	rules   []string
	sort    []string // criteria of the query's sort
	changes []canonicalChange
}

// canonicalChange says how the rules differ from those of the index.
type canonicalChange struct {
	text     string
	unsorted bool // it is that of a query without sort
}

// rulePlace is where a rule was met: a position in the rules of the index and, for a criterion of the sort, one in that.
type rulePlace struct{ rule, sort int }

// noSort is the position in the sort of what is no criterion of it.
const noSort = -1

func (p rulePlace) String() string {
	if p.sort == noSort {
		return fmt.Sprintf("#%d in ranking rules", p.rule)
	}
	return fmt.Sprintf("#%d in `query.sort` (as `sort` is #%d in ranking rules)", p.sort, p.rule)
}

// canonicalizing is one reading of an index's rules.
type canonicalizing struct {
	canonicalRules
	query  *SearchQuery
	source []string
	met    map[string]rulePlace // by name, fields by isField and name
	fields int                  // how many of met are fields
	vector int                  // where the rule stands that vectors replace, -1 before
	words  wordsRule
}

// wordsRule is what became of the rule words so far.
type wordsRule uint8

const (
	wordsUnmet wordsRule = iota
	wordsPrepended
	wordsMet
)

// canonicalize leaves rules out that a query does not use or that were met before, and puts words before the first rule
// of relevancy.
func canonicalize(rules []string, query *SearchQuery) *canonicalRules {
	c := &canonicalizing{query: query, source: rules, met: map[string]rulePlace{}, vector: -1}
	kind, _ := kindOf(query.Q, query.Vector, query.Media, query.Hybrid) // what is wrong with it was told before
	for i, rule := range rules {
		switch {
		case rule == ruleSort:
			c.takeSort(i)
		case isCustomRule(rule):
			c.takeField(rule, rulePlace{i, noSort}, &c.rules)
		case kind == SemanticSearch:
			if !c.takeVector(i) {
				return &c.canonicalRules
			}
		case query.IsPlaceholder():
			c.note("Removed relevancy rule `%s` at position %s because the query is a placeholder search (`q`: \"\")", rule, rulePlace{i, noSort})
		case rule == ruleWords:
			c.takeWords(i)
		default:
			c.takeRelevancy(i)
		}
	}
	return &c.canonicalRules
}

func isCustomRule(rule string) bool {
	return strings.HasSuffix(rule, ":asc") || strings.HasSuffix(rule, ":desc")
}

// sortField is the field of a custom rule or of a criterion of a sort; points are none.
func sortField(criterion string) (field, direction string, isField bool) {
	at := strings.LastIndexByte(criterion, ':')
	if at < 0 {
		return criterion, "", true
	}
	return criterion[:at], criterion[at+1:], !strings.HasPrefix(criterion, "_geoPoint(")
}

func (c *canonicalizing) note(format string, a ...any) {
	c.changes = append(c.changes, canonicalChange{text: fmt.Sprintf(format, a...)})
}

// nameOf is the rule at a place, as notes name it.
func (c *canonicalizing) nameOf(p rulePlace) string {
	if p.sort == noSort {
		return c.source[p.rule]
	}
	criterion := (*c.query.Sort)[p.sort]
	if _, direction, isField := sortField(criterion); !isField {
		return "_geo(..):" + direction
	}
	return criterion
}

// repeated notes a rule that was met under this name before.
func (c *canonicalizing) repeated(name string, at rulePlace) bool {
	earlier, met := c.met[name]
	if met {
		c.note("Removed duplicate rule `%s` at position %s as it already appears at position %s", c.nameOf(earlier), at, earlier)
	}
	return met
}

func (c *canonicalizing) takeSort(i int) {
	switch at := (rulePlace{i, noSort}); {
	case c.repeated(ruleSort, at):
	case c.query.Sort == nil:
		c.changes = append(c.changes, canonicalChange{fmt.Sprintf("Removed rule `sort` at position %s because `query.sort` is empty", at), true})
	default:
		c.met[ruleSort] = at
		c.rules = append(c.rules, ruleSort)
		for j, criterion := range *c.query.Sort {
			c.takeField(criterion, rulePlace{i, j}, &c.sort)
		}
	}
}

// takeField takes a custom rule or a criterion of the sort, into the list it belongs to.
func (c *canonicalizing) takeField(criterion string, at rulePlace, list *[]string) {
	field, _, isField := sortField(criterion)
	name := "a point"
	if isField {
		name = "field " + field
	}
	if c.repeated(name, at) {
		return
	}
	c.met[name] = at
	if isField {
		c.fields++
	}
	*list = append(*list, criterion)
}

// takeVector takes a rule of relevancy of a search by vector, which has one. It reports whether later rules have a say.
func (c *canonicalizing) takeVector(i int) bool {
	at, vector := rulePlace{i, noSort}, rulePlace{c.vector, noSort}
	switch {
	case c.vector < 0:
		c.vector, c.rules = i, append(c.rules, c.source[i])
	case c.fields > 0:
		c.note("Truncated relevancy rule `%s` at position %s and later rules because the query is a vector search and `vector` was inserted at position %s", c.source[i], at, vector)
		return false
	default:
		c.note("Removed relevancy rule `%s` at position %s because the query is a vector search and `vector` was already inserted at position %s", c.source[i], at, vector)
	}
	return true
}

func (c *canonicalizing) takeWords(i int) {
	at := rulePlace{i, noSort}
	switch {
	case c.query.EffectiveMatchingStrategy() == MatchAll:
		c.note("Removed rule `words` at position %s because `query.matchingWords` is set to `all`", at)
		return
	case c.words == wordsMet && c.repeated(ruleWords, at):
		return
	case c.words == wordsPrepended: // it is noted as removed, and stays
		c.note("Removed rule `words` at position %s because it was previously prepended", at)
	}
	c.words, c.met[ruleWords] = wordsMet, at
	c.rules = append(c.rules, ruleWords)
}

func (c *canonicalizing) takeRelevancy(i int) {
	at, rule := rulePlace{i, noSort}, c.source[i]
	if c.words == wordsUnmet && c.query.EffectiveMatchingStrategy() != MatchAll {
		c.words, c.rules = wordsPrepended, append(c.rules, ruleWords)
		c.note("Prepended rule `words` before first relevancy rule `%s` at position %s", rule, at)
	}
	if c.repeated(rule, at) {
		return
	}
	c.met[rule] = at
	c.rules = append(c.rules, rule)
}
