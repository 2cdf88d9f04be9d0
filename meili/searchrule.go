package meili

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// SearchRule is a dynamic search rule: while its conditions hold for a search, its actions change the answer.
type SearchRule struct {
	UID           string         `json:"uid"`
	Description   *string        `json:"description,omitempty"`
	LastUpdatedAt string         `json:"lastUpdatedAt"`
	Precedence    *uint64        `json:"precedence,omitempty"` // lower comes first, none last
	Active        bool           `json:"active"`
	Conditions    RuleConditions `json:"conditions"`
	Actions       []RuleAction   `json:"actions"`
}

// RuleConditions must all hold; nil ones do.
type RuleConditions struct {
	Time   *RuleTime   `json:"time,omitempty"`
	Query  *RuleQuery  `json:"query,omitempty"`
	Filter *RuleFilter `json:"filter,omitempty"`
}

// RuleTime is the time during which a rule applies.
type RuleTime struct {
	Start *RuleDate `json:"start,omitempty"`
	End   *RuleDate `json:"end,omitempty"`
}

// RuleDate is a time that is printed with the offset it was given in.
type RuleDate struct{ time.Time }

// MarshalJSON prints as many digits of a second as it takes.
func (d RuleDate) MarshalJSON() ([]byte, error) { return marshal(d.Format(time.RFC3339Nano)) }

// RuleQuery is about the words of a search.
type RuleQuery struct {
	IsEmpty *bool   `json:"isEmpty,omitempty"`
	Words   *string `json:"words,omitempty"` // all must be in the query
}

// RuleFilter is about the filter of a search, which must select these values.
type RuleFilter struct {
	Values map[string]json.RawMessage `json:"values"`
}

// RuleAction says what happens to a document.
type RuleAction struct {
	Selector RuleSelector `json:"selector"`
	Action   RulePin      `json:"action"`
}

// RuleSelector names a document, of one index or of all.
type RuleSelector struct {
	IndexUID *string `json:"indexUid,omitempty"`
	ID       string  `json:"id"`
}

// RulePin puts a document at a place of the answer.
type RulePin struct {
	Type     string `json:"type"`
	Position int    `json:"position"`
}

// RulesIndex is the name that tasks about dynamic search rules show as their index.
const RulesIndex = ".meili_dsr"

// SearchRulePatch is the body of PATCH /dynamic-search-rules/{uid}.
type SearchRulePatch struct {
	Description Setting[string]         `json:"description,omitzero"`
	Precedence  Setting[uint64]         `json:"precedence,omitzero"`
	Active      Setting[bool]           `json:"active,omitzero"`
	Conditions  Setting[RuleConditions] `json:"conditions,omitzero"`
	Actions     Setting[[]RuleAction]   `json:"actions,omitzero"`
}

// DecodeSearchRulePatch decodes the body of PATCH /dynamic-search-rules/{uid}. Errors: the invalid_dynamic_search_rule_*
// codes, bad_request.
func DecodeSearchRulePatch(body []byte) (*SearchRulePatch, *Error) {
	p := &SearchRulePatch{}
	err := DecodeBody(body, []Field{
		{Name: "description", Code: CodeInvalidDynamicSearchRuleDescription, Decode: intoResettable(&p.Description, ReadString)},
		{Name: "precedence", Code: CodeInvalidDynamicSearchRulePriority, Decode: intoResettable(&p.Precedence, readUint64)},
		{Name: "active", Code: CodeInvalidDynamicSearchRuleActive, Decode: intoResettable(&p.Active, ReadBool)},
		{Name: "conditions", Code: CodeInvalidDynamicSearchRuleConditions, Decode: intoResettable(&p.Conditions, readRuleConditions)},
		{Name: "actions", Code: CodeInvalidDynamicSearchRuleActions, Decode: intoResettable(&p.Actions, ReadList(readRuleAction))},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func readUint64(v *Value, at *Location) (uint64, *Error) {
	if v.Kind != KindUint {
		return 0, at.WrongKind(v, KindUint)
	}
	return v.Uint, nil
}

func readRuleConditions(v *Value, at *Location) (c RuleConditions, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "time", Decode: IntoOptional(&c.Time, readRuleTime)},
		{Name: "query", Decode: IntoOptional(&c.Query, readRuleQuery)},
		{Name: "filter", Decode: IntoOptional(&c.Filter, readRuleFilter)},
	})
	if err != nil {
		return c, err
	}
	return c, c.check(at.WithCode(CodeBadRequest))
}

func (c *RuleConditions) check(at *Location) *Error {
	if q := c.Query; q != nil && q.IsEmpty != nil && *q.IsEmpty && q.Words != nil {
		return at.Key("query").Invalid("either `isEmpty` or `words` can be used, not both at once")
	}
	if t := c.Time; t != nil && t.Start != nil && t.End != nil && t.Start.After(t.End.Time) {
		return at.Key("time").Invalid(fmt.Sprintf("`end` (`%s`) should be later than `start` (`%s`)", rustTime(t.End.Time), rustTime(t.Start.Time)))
	}
	return nil
}

// rustTime is a time as Rust's crate time displays it.
func rustTime(t time.Time) string {
	seconds := t.Format("05.999999999")
	if len(seconds) == 2 {
		seconds += ".0"
	}
	return t.Format("2006-01-02 ") + fmt.Sprint(t.Hour()) + t.Format(":04:") + seconds + t.Format(" -07:00:00")
}

func readRuleTime(v *Value, at *Location) (t RuleTime, err *Error) {
	err = DecodeOpenObject(v, at, []Field{
		{Name: "start", Decode: IntoOptional(&t.Start, readRuleDate)},
		{Name: "end", Decode: IntoOptional(&t.End, readRuleDate)},
	})
	return t, err
}

func readRuleDate(v *Value, at *Location) (RuleDate, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return RuleDate{}, err
	}
	t, ok := parseRFC3339(text)
	if !ok {
		return RuleDate{}, notADate(text, at)
	}
	return RuleDate{t}, nil
}

func readRuleQuery(v *Value, at *Location) (q RuleQuery, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "isEmpty", Decode: IntoOptional(&q.IsEmpty, ReadBool)},
		{Name: "words", Decode: IntoOptional(&q.Words, ReadString)},
	})
	return q, err
}

func readRuleFilter(v *Value, at *Location) (f RuleFilter, err *Error) {
	f.Values = map[string]json.RawMessage{}
	err = DecodeObject(v, at, []Field{{Name: "values", Decode: Into(&f.Values, ReadMap(readPlain))}})
	return f, err
}

// readPlain accepts anything and keeps it as Meilisearch prints it again.
func readPlain(v *Value, _ *Location) (json.RawMessage, *Error) { return v.AppendJSON(nil), nil }

func readRuleAction(v *Value, at *Location) (a RuleAction, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "selector", Required: true, Decode: Into(&a.Selector, readRuleSelector)},
		{Name: "action", Required: true, Decode: Into(&a.Action, readRulePin)},
	})
	return a, err
}

func readRuleSelector(v *Value, at *Location) (s RuleSelector, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "indexUid", Decode: IntoOptional(&s.IndexUID, readIndexUID)},
		{Name: "id", Required: true, Decode: Into(&s.ID, ReadString)},
	})
	return s, err
}

// readRulePin looks at the type first, wherever it stands.
func readRulePin(v *Value, at *Location) (p RulePin, err *Error) {
	if v.Kind != KindObject {
		return p, at.WrongKind(v, KindObject)
	}
	kind := v.Member("type")
	if kind == nil {
		return p, at.MissingField("type")
	}
	if p.Type, err = ReadString(kind, at.Key("type")); err != nil {
		return p, err
	}
	if p.Type != "pin" {
		return p, at.Invalid("Incorrect tag value")
	}
	rest := Value{Kind: KindObject, Members: slices.DeleteFunc(slices.Clone(v.Members), func(m Member) bool { return m.Key == "type" })}
	err = DecodeObject(&rest, at, []Field{{Name: "position", Required: true, Decode: Into(&p.Position, readUpTo(1<<32-1))}})
	return p, err
}

// Apply is the rule after the patch; old is nil for a new one.
func (p *SearchRulePatch) Apply(uid string, old *SearchRule, at time.Time) SearchRule {
	rule := SearchRule{UID: uid, Active: true, Actions: []RuleAction{}}
	if old != nil {
		rule = *old
	}
	rule.LastUpdatedAt = FormatTime(at)
	rule.Description = patchedValue(p.Description, rule.Description)
	rule.Precedence = patchedValue(p.Precedence, rule.Precedence)
	rule.Active = patched(p.Active, rule.Active, true)
	rule.Conditions = patched(p.Conditions, rule.Conditions, RuleConditions{})
	rule.Actions = patched(p.Actions, rule.Actions, []RuleAction{})
	return rule
}

// RuleList is the body of POST /dynamic-search-rules.
type RuleList struct {
	Offset int            `json:"offset"`
	Limit  int            `json:"limit"`
	Filter RuleListFilter `json:"filter"`
}

// RuleListFilter restricts a list of rules; nil does not.
type RuleListFilter struct {
	Query  *string `json:"query"` // searched in descriptions and words
	Active *bool   `json:"active"`
}

// DecodeRuleList decodes the body of POST /dynamic-search-rules. Errors: invalid_dynamic_search_rule_offset, _limit and
// _filter*, bad_request.
func DecodeRuleList(body []byte) (*RuleList, *Error) {
	l := &RuleList{Limit: defaultPageLimit}
	var filter *RuleListFilter
	err := DecodeBody(body, []Field{
		{Name: "offset", Code: CodeInvalidDynamicSearchRuleOffset, Decode: Into(&l.Offset, ReadInt)},
		{Name: "limit", Code: CodeInvalidDynamicSearchRuleLimit, Decode: Into(&l.Limit, ReadInt)},
		{Name: "filter", Code: CodeInvalidDynamicSearchRuleFilter, Decode: IntoOptional(&filter, readRuleListFilter)},
	})
	if err != nil {
		return nil, err
	}
	if filter != nil {
		l.Filter = *filter
	}
	return l, nil
}

func readRuleListFilter(v *Value, at *Location) (f RuleListFilter, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "query", Code: CodeInvalidDynamicSearchRuleFilterQuery, Decode: IntoOptional(&f.Query, ReadString)},
		{Name: "active", Code: CodeInvalidDynamicSearchRuleFilterActive, Decode: IntoOptional(&f.Active, ReadBool)},
	})
	return f, err
}

// SearchRuleNotFound is the error of a rule that does not exist.
func SearchRuleNotFound(uid string) *Error {
	return newError(CodeDynamicSearchRuleNotFound, "Dynamic search rule `"+uid+"` not found.")
}
