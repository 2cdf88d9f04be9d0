package devnode

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/devnode/engine"
	"miroir/meili"
)

// searchRule is a dynamic search rule. It is never changed, only replaced.
type searchRule struct {
	meili.SearchRule
	seq int // orders rules of equal precedence: the lowest that was free
}

func rulesOn(q *request, action string) *meili.Error {
	return needs(q.store.currentFeatures().DynamicSearchRules, action, "dynamicSearchRules")
}

// anyRuleRoute is what the routes that change rules call themselves.
const anyRuleRoute = "Using the `/dynamic-search-rules` routes"

// onRule serves a route of one rule. What can be no name of one is answered in plain text.
func onRule(serve func(q *request, uid string) (answer, *meili.Error)) handler {
	return func(q *request) (answer, *meili.Error) {
		uid := q.param("rule")
		refused := meili.CheckIndexUID(uid)
		if refused == nil {
			return serve(q, uid)
		}
		a := empty(http.StatusNotFound)
		a.header.Set("Content-Type", "text/plain; charset=utf-8")
		a.body = []byte(refused.Message)
		return a, nil
	}
}

func getSearchRule(q *request, uid string) (answer, *meili.Error) {
	if err := rulesOn(q, "Calling the `GET /dynamic-search-rules/{:ruleUid}` route"); err != nil {
		return answer{}, err
	}
	rule := q.store.searchRules()[uid]
	if rule == nil {
		return answer{}, meili.SearchRuleNotFound(uid)
	}
	return respond(http.StatusOK, rule.SearchRule), nil
}

// listSearchRules lists rules, those changed last first. A query is not ranked here: rules must have all of its words.
func listSearchRules(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	list, err := meili.DecodeRuleList(body)
	if err != nil {
		return answer{}, err
	}
	if err := rulesOn(q, "Calling the `POST /dynamic-search-rules` route"); err != nil {
		return answer{}, err
	}
	found := []meili.SearchRule{}
	for _, rule := range orderedRules(q.store.searchRules()) {
		if (list.Filter.Active == nil || *list.Filter.Active == rule.Active) && rule.mentions(list.Filter.Query) {
			found = append(found, rule.SearchRule)
		}
	}
	slices.SortStableFunc(found, func(a, b meili.SearchRule) int { return strings.Compare(b.LastUpdatedAt, a.LastUpdatedAt) })
	from, to := meili.Page{Offset: list.Offset, Limit: list.Limit}.Of(len(found))
	return respond(http.StatusOK, pageView(found[from:to], list.Offset, list.Limit, len(found))), nil
}

func (r *searchRule) mentions(query *string) bool {
	if query == nil {
		return true
	}
	var words []string
	if r.Description != nil {
		words = engine.Words(*r.Description)
	}
	words = append(words, r.words()...)
	return !slices.ContainsFunc(engine.Words(*query), func(word string) bool { return !slices.Contains(words, word) })
}

// words are those that must be in a query.
func (r *searchRule) words() []string {
	if r.Conditions.Query == nil || r.Conditions.Query.Words == nil {
		return nil
	}
	return engine.Words(*r.Conditions.Query.Words)
}

func patchSearchRule(q *request, uid string) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	patch, err := meili.DecodeSearchRulePatch(body)
	if err != nil {
		return answer{}, err
	}
	return q.changeRules(&task{
		kind: meili.TaskDSRUpdate, customMetadata: metadata, details: object{{"rule", patch}, {"updatedRules", 1}},
		work: func(j *job) (object, *meili.Error) {
			rules := maps.Clone(j.store.searchRules())
			rule := &searchRule{seq: freeSeq(rules)}
			var old *meili.SearchRule
			if before := rules[uid]; before != nil {
				rule.seq, old = before.seq, &before.SearchRule
			}
			rule.SearchRule = patch.Apply(uid, old, j.task.enqueuedAt)
			rules[uid] = rule
			j.store.setSearchRules(rules)
			return nil, nil
		},
	})
}

func deleteSearchRule(q *request, uid string) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	return q.changeRules(&task{
		kind: meili.TaskDSRUpdate, customMetadata: metadata, details: object{{"updatedRules", 1}},
		work: func(j *job) (object, *meili.Error) {
			rules := maps.Clone(j.store.searchRules())
			delete(rules, uid)
			j.store.setSearchRules(rules)
			return nil, nil
		},
	})
}

func clearSearchRules(q *request) (answer, *meili.Error) {
	metadata, err := meili.DecodeCustomMetadata(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	return q.changeRules(&task{
		kind: meili.TaskDSRClear, customMetadata: metadata, details: object{{"deletedDocuments", nil}},
		work: func(j *job) (object, *meili.Error) {
			n := len(j.store.searchRules())
			j.store.setSearchRules(nil)
			return object{{"deletedDocuments", n}}, nil
		},
	})
}

func (q *request) changeRules(t *task) (answer, *meili.Error) {
	if err := rulesOn(q, anyRuleRoute); err != nil {
		return answer{}, err
	}
	t.indexUID = t.kind.ShownIndex(nil)
	return q.enqueue(http.StatusAccepted, t)
}

func (s *store) searchRules() map[string]*searchRule {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rules
}

// setSearchRules replaces the rules. Worker only.
func (s *store) setSearchRules(rules map[string]*searchRule) {
	if rules == nil {
		rules = map[string]*searchRule{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = rules
}

func freeSeq(rules map[string]*searchRule) int {
	used := map[int]bool{}
	for _, rule := range rules {
		used[rule.seq] = true
	}
	seq := 0
	for used[seq] {
		seq++
	}
	return seq
}

// orderedRules lists rules by precedence, those without last.
func orderedRules(rules map[string]*searchRule) []*searchRule {
	return slices.SortedFunc(maps.Values(rules), func(a, b *searchRule) int {
		return cmp.Or(comparePrecedence(a.Precedence, b.Precedence), cmp.Compare(a.seq, b.seq))
	})
}

// comparePrecedence compares as floating-point numbers, which is how Meilisearch keeps them.
func comparePrecedence(a, b *uint64) int {
	switch {
	case a == nil || b == nil:
		return cmp.Compare(present(b), present(a))
	}
	return cmp.Compare(float64(*a), float64(*b))
}

func present(p *uint64) int {
	if p == nil {
		return 0
	}
	return 1
}

// pinsOf returns what the rules pin in searches of an index with a filter, nil when there are none.
func (q *request) pinsOf(uid string, filter json.RawMessage, features meili.Features) (func(words []string) []engine.Pin, *meili.Error) {
	rules := q.store.searchRules()
	if !features.DynamicSearchRules || len(rules) == 0 {
		return nil, nil
	}
	parsed, err := meili.ParseFilter(filter)
	if err != nil {
		return nil, err
	}
	alternatives := constraintsOf(parsed, true)
	fields := ruleFields(rules)
	now := meili.FormatTime(q.node.now())
	return func(words []string) []engine.Pin {
		var pins []engine.Pin
		for _, rule := range orderedRules(rules) {
			if !rule.Active || !rule.holdsAt(now) || !rule.holdsFor(words) || !rule.holdsUnder(alternatives, fields) {
				continue
			}
			for _, action := range rule.Actions {
				if action.Selector.IndexUID == nil || *action.Selector.IndexUID == uid {
					pins = append(pins, engine.Pin{Position: action.Action.Position, ID: action.Selector.ID})
				}
			}
		}
		return pins
	}, nil
}

// holdsAt compares times as texts, as Meilisearch does.
func (r *searchRule) holdsAt(now string) bool {
	t := r.Conditions.Time
	text := func(d *meili.RuleDate) string { return strings.ToLower(strings.Trim(string(encode(d)), `"`)) }
	return t == nil || (t.Start == nil || text(t.Start) <= strings.ToLower(now)) && (t.End == nil || text(t.End) >= strings.ToLower(now))
}

func (r *searchRule) holdsFor(words []string) bool {
	q := r.Conditions.Query
	if q == nil {
		return true
	}
	if q.IsEmpty != nil && *q.IsEmpty != (len(words) == 0) {
		return false
	}
	has := map[string]bool{}
	for _, word := range r.words() {
		if slices.Contains(words, word) {
			has[word] = true
		}
	}
	return len(has) == len(r.words()) // a word that is asked for twice is never there twice
}
