package proxy

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"miroir/fsm"
	"miroir/meili"
)

// Pins of dynamic search rules over several nodes. Each node pins what it has and says so of the hits; one server would
// have put the pins of all of them into one ranked list. Meilisearch does that twice (milli search/new/bucket_sort.rs,
// then search/federated/perform.rs): first in the order of rules, where a pin waits for all before it to have their
// places, so that one far down keeps later ones off the page, and then what is on the page in the order of positions.

// maxPins is how many documents one search pins.
const maxPins = 100

// bookPin is one action of a rule.
type bookPin struct {
	index    *string // nil: of any index
	id       string
	position int
}

// ruleBook is what merging needs to know of the rules of a view.
type ruleBook struct {
	at   uint64    // View.RulesAt
	pins []bookPin // of active rules, most important first

	indexes sync.Map // index uid → *indexPins
}

// indexPins are the pins that searches of one index may meet. The nil one has none.
type indexPins struct {
	ranks      map[pinnedDocument]int // how important a pin is, 0 for the most
	byPosition map[int]int            // how important the first pin at a position is
	num        int                    // of pins at most in one answer
	last       int                    // the highest position, 0 where pins stand in the order of their positions
}

type pinnedDocument struct {
	id       string
	position int
}

// ruleBooks keeps the book of the latest view.
type ruleBooks struct{ latest atomic.Pointer[ruleBook] }

// of returns the pins of an index, nil for none.
func (b *ruleBooks) of(v *fsm.View, uid string) *indexPins {
	if len(v.SearchRules) == 0 {
		return nil
	}
	if features, err := featuresOf(v); err != nil || !features.DynamicSearchRules {
		return nil
	}
	book := b.latest.Load()
	if book == nil || book.at != v.RulesAt {
		book = newRuleBook(v)
		b.latest.Store(book)
	}
	known, ok := book.indexes.Load(uid)
	if !ok {
		known, _ = book.indexes.LoadOrStore(uid, book.index(uid))
	}
	return known.(*indexPins)
}

func newRuleBook(v *fsm.View) *ruleBook {
	type entry struct {
		rule       meili.SearchRule
		precedence uint64
	}
	var rules []entry
	for _, stored := range v.SearchRules {
		rule, err := decodeRule(stored) // one that cannot be read was never sent to a node
		if err == nil && rule.Active {
			rules = append(rules, entry{rule, nodePrecedence(rule.Precedence, stored.Seq)})
		}
	}
	slices.SortFunc(rules, func(a, b entry) int { return cmp.Compare(a.precedence, b.precedence) })
	book := &ruleBook{at: v.RulesAt}
	for _, entry := range rules {
		for _, action := range entry.rule.Actions {
			book.pins = append(book.pins, bookPin{action.Selector.IndexUID, action.Selector.ID, action.Action.Position})
		}
	}
	return book
}

func (b *ruleBook) index(uid string) *indexPins {
	p := &indexPins{ranks: map[pinnedDocument]int{}, byPosition: map[int]int{}}
	highest, ordered := 0, true
	for rank, pin := range b.pins {
		if pin.index != nil && *pin.index != uid {
			continue
		}
		p.num++
		ordered = ordered && pin.position >= highest
		highest = max(highest, pin.position)
		document := pinnedDocument{pin.id, pin.position}
		if _, earlier := p.ranks[document]; !earlier {
			p.ranks[document] = rank
		}
		if _, earlier := p.byPosition[pin.position]; !earlier {
			p.byPosition[pin.position] = rank
		}
	}
	if p.num == 0 {
		return nil
	}
	p.num = min(p.num, maxPins)
	if !ordered {
		p.last = highest
	}
	return p
}

// maxPinReach bounds how far behind the end of a page a pin is looked for that keeps others off the page.
const maxPinReach = 200

// more is how many hits beyond reach a node is asked for: as many as pins can take the places of, and where pins can wait
// for one behind the page, up to that one.
func (p *indexPins) more(reach int) int {
	if p == nil || reach == 0 {
		return 0
	}
	return p.num + min(max(p.last+1-reach, 0), maxPinReach)
}

// splitPins takes the pins out of a node's hits.
func splitPins(hits []hit) (pins, ranked []hit) {
	if !slices.ContainsFunc(hits, func(h hit) bool { return h.pin > 0 }) {
		return nil, hits
	}
	for _, h := range hits {
		if h.pin > 0 {
			pins = append(pins, h)
		} else {
			ranked = append(ranked, h)
		}
	}
	return pins, ranked
}

// pinsOf are the pins of all nodes.
func pinsOf(answers []answered[*nodeAnswer]) (pins []hit) {
	for _, a := range answers {
		pins = append(pins, a.Value.pins...)
	}
	return pins
}

// place returns the first to hits of a search: pins of all nodes, and ranked hits that no rule pins.
func (p *indexPins) place(pins, ranked []hit, to int) []hit {
	if len(pins) == 0 {
		return ranked
	}
	slices.SortStableFunc(pins, func(a, b hit) int { return cmp.Compare(p.rank(&a), p.rank(&b)) })
	pins = pins[:min(len(pins), maxPins)]
	return settlePins(insertPins(pins, ranked, to), to)
}

// rank is how important the rule is that pins a hit. Where several rules pin a document at one place it is the first of
// them, whether it holds for this search or not.
func (p *indexPins) rank(h *hit) int {
	if p == nil {
		return 0
	}
	if rank, known := p.ranks[pinnedDocument{idText(h.key), h.pin - 1}]; known {
		return rank
	}
	if rank, known := p.byPosition[h.pin-1]; known { // of a document that hides its key
		return rank
	}
	return math.MaxInt
}

// idText is the document id that the raw value of a primary key stands for.
func idText(key []byte) string {
	if len(key) > 0 && key[0] == '"' {
		return text(key)
	}
	return string(key)
}

// settlePins brings the pins of a list into the order of their positions.
func settlePins(hits []hit, to int) []hit {
	pins, ranked := splitPins(hits)
	slices.SortStableFunc(pins, func(a, b hit) int { return cmp.Compare(a.pin, b.pin) })
	return insertPins(pins, ranked, to)
}

// insertPins merges pins into a ranked list, up to its first to hits. A pin comes when its position is reached and all before
// it have come, or when the ranked hits run out.
func insertPins(pins, ranked []hit, to int) (all []hit) {
	for len(all) < to && len(pins)+len(ranked) > 0 {
		next := &ranked
		if len(pins) > 0 && (pins[0].pin <= len(all)+1 || len(ranked) == 0) {
			next = &pins
		}
		all = append(all, (*next)[0])
		*next = (*next)[1:]
	}
	return all
}

// pinOf reads where a node's hit is pinned: 1 + its position, 0 for nowhere. details are _rankingScoreDetails, federation is
// _federation; either may be nil.
func pinOf(details, federation []byte) int {
	position := memberOf(federation, "pinnedPosition")
	if position == nil && strings.HasPrefix(string(details), `{"pin":`) {
		position = memberOf(memberOf(details, "pin"), "position")
	}
	if position == nil {
		return 0
	}
	return 1 + int(number(position))
}

// morePins is more for a federated search of some indexes.
func (f *federated) morePins(part federatedPart, reach int) (more int) {
	for i := range f.multi.Queries {
		if uid := f.multi.Queries[i].IndexUID; part.calls[uid].Node != "" {
			more += f.s.ruleBooks.of(f.view, uid).more(reach)
		}
	}
	return more
}

// pinsOnPage are the pins that get a place on the page, in the order of their positions, and notes how many ranked hits each
// query has there besides.
func (f *federated) pinsOnPage(answers []*federatedAnswer) (all []hit) {
	_, to := f.multi.Federation.Window()
	f.rooms = map[int]int{}
	for _, i := range f.byIndex() {
		var pins []hit
		numRanked := 0
		for _, a := range answers {
			pins = append(pins, a.pins[i]...)
			numRanked += len(a.hits[i])
		}
		if len(pins) == 0 {
			continue
		}
		book := f.s.ruleBooks.of(f.view, f.multi.Queries[i].IndexUID)
		pins, ranked := splitPins(book.place(pins, make([]hit, min(numRanked, to)), to))
		all, f.rooms[i] = append(all, pins...), len(ranked)
	}
	slices.SortStableFunc(all, func(a, b hit) int { return cmp.Compare(a.pin, b.pin) })
	return all
}

// byIndex are the positions of the queries in the order of Meilisearch's merge: indexes by name, then queries.
func (f *federated) byIndex() []int {
	order := make([]int, len(f.multi.Queries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(f.multi.Queries[a].IndexUID, f.multi.Queries[b].IndexUID)
	})
	return order
}

// room is how many of a query's ranked hits are on the page.
func (f *federated) room(query, numRanked int) int {
	if room, pinned := f.rooms[query]; pinned {
		return min(room, numRanked)
	}
	return numRanked
}

// keyOf is the primary key that hits of a query are made to tell for the sake of pins, "" when they do or need not.
func (f *federated) keyOf(query int) string {
	uid := f.multi.Queries[query].IndexUID
	if f.s.ruleBooks.of(f.view, uid) == nil {
		return ""
	}
	return addedKey(f.indexes[uid], f.multi.Queries[query].AttributesToRetrieve)
}

// retrieveOf are the attributes to retrieve for a query, nil for all.
func (f *federated) retrieveOf(query int) *[]string {
	asked := f.multi.Queries[query].AttributesToRetrieve
	key := f.keyOf(query)
	if key == "" {
		return asked
	}
	return new(append(slices.Clone(*asked), key))
}

// cutKey takes the key out of a hit again.
func (f *federated) cutKey(h *hit, shown []byte) []byte {
	key := f.keyOf(h.query)
	if key == "" {
		return shown
	}
	cut := &shape{drop: []string{key}}
	if !formats(&f.multi.Queries[h.query].SearchQuery, key) {
		cut.members = []namedShape{{"_formatted", &shape{drop: []string{key}}}}
	}
	return strip(shown, cut)
}
