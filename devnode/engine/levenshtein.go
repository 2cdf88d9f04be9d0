package engine

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// editState is one hypothesis of a levenshtein run: offset characters of the query are consumed at the cost of distance
// edits; inSwap waits for the second half of a swap of neighbours.
type editState struct {
	offset   int
	distance uint8
	inSwap   bool
}

// implies reports whether other can never do better than s.
func (s editState) implies(other editState) bool {
	delta := s.offset - other.offset
	if delta < 0 {
		delta = -delta
	}
	if s.inSwap || !other.inSwap {
		return int(other.distance) >= int(s.distance)+delta
	}
	return int(other.distance) > int(s.distance)+delta
}

// levenshtein accepts texts within max edits of a query: insertions, deletions, substitutions and swaps of neighbours cost one
// each. With prefix it accepts texts that begin so. It follows the automaton of crate levenshtein_automata 0.2, whose
// distance of a prefix is final as soon as no continuation can lower it.
type levenshtein struct {
	query  []rune
	max    uint8
	prefix bool
}

// editSet is the set of hypotheses after some characters. A final set takes any further text at the same distance.
type editSet struct {
	states []editState
	final  bool
}

func newLevenshtein(query string, distance int, prefix bool) *levenshtein {
	return &levenshtein{query: []rune(query), max: uint8(distance), prefix: prefix}
}

func (l *levenshtein) start() editSet { return l.seal(editSet{states: []editState{{}}}) }

// step is the set after one more character.
func (l *levenshtein) step(set editSet, r rune) editSet {
	if set.final {
		return set
	}
	next := editSet{states: make([]editState, 0, len(set.states)+4)}
	for _, s := range set.states {
		l.transition(s, r, &next)
	}
	return l.seal(next)
}

func (l *levenshtein) seal(set editSet) editSet {
	set.final = l.prefix && l.isSink(set)
	return set
}

func (l *levenshtein) is(offset int, r rune) bool {
	return offset < len(l.query) && l.query[offset] == r
}

func (l *levenshtein) transition(s editState, r rune, next *editSet) {
	if s.distance < l.max {
		next.add(editState{s.offset, s.distance + 1, false})
		next.add(editState{s.offset + 1, s.distance + 1, false})
		for d := uint8(1); d < l.max+1-s.distance; d++ {
			if l.is(s.offset+int(d), r) {
				next.add(editState{s.offset + 1 + int(d), s.distance + d, false})
			}
		}
		if l.is(s.offset+1, r) {
			next.add(editState{s.offset, s.distance + 1, true})
		}
	}
	if l.is(s.offset, r) {
		next.add(editState{s.offset + 1, s.distance, false})
		if s.inSwap {
			next.add(editState{s.offset + 2, s.distance, false})
		}
	}
}

// add keeps the set free of hypotheses that another one implies.
func (e *editSet) add(s editState) {
	for _, o := range e.states {
		if o.implies(s) {
			return
		}
	}
	e.states = slices.DeleteFunc(e.states, func(o editState) bool { return s.implies(o) })
	e.states = append(e.states, s)
}

// distanceTo is the cost of ending at a length of the query, max+1 when out of reach.
func (l *levenshtein) distanceTo(set editSet, length int) uint8 {
	best := l.max + 1
	for _, s := range set.states {
		gap := length - s.offset
		if gap < 0 {
			gap = -gap
		}
		if d := int(s.distance) + gap; d < int(best) {
			best = uint8(d)
		}
	}
	return best
}

// distance is the cost of the text so far, max+1 when it is not accepted.
func (l *levenshtein) distance(set editSet) uint8 { return l.distanceTo(set, len(l.query)) }

func (l *levenshtein) isSink(set editSet) bool {
	if len(set.states) == 0 {
		return true
	}
	base := set.states[0].offset
	for _, s := range set.states {
		base = min(base, s.offset)
	}
	remaining := len(l.query) - base
	if remaining >= 2*int(l.max)+1 {
		return false
	}
	own := l.distance(set)
	if own > l.max {
		return false
	}
	for length := base; length < len(l.query); length++ {
		if l.distanceTo(set, length) < own {
			return false
		}
	}
	return true
}

// wordWalk visits words in order while sharing the work of common beginnings.
type wordWalk struct {
	automata []*levenshtein
	sets     [][]editSet // sets[d][a]: automaton a after d characters of the previous word
	ends     []int       // byte offset after d characters
	previous string
}

func newWordWalk(automata ...*levenshtein) *wordWalk {
	w := &wordWalk{automata: automata}
	first := make([]editSet, len(automata))
	for i, a := range automata {
		first[i] = a.start()
	}
	w.sets, w.ends = [][]editSet{first}, []int{0}
	return w
}

// advance runs the automata over word. When every automaton is dead after some characters it stops there and returns that
// beginning, which no accepted word has; otherwise it returns the sets after the whole word.
func (w *wordWalk) advance(word string) (sets []editSet, dead string) {
	depth := 0
	for depth+1 < len(w.ends) && w.ends[depth+1] <= len(word) && w.previous[:w.ends[depth+1]] == word[:w.ends[depth+1]] {
		depth++
	}
	w.sets, w.ends = w.sets[:depth+1], w.ends[:depth+1]
	w.previous = word
	for pos := w.ends[depth]; pos < len(word); {
		r, size := utf8.DecodeRuneInString(word[pos:])
		pos += size
		next := make([]editSet, len(w.automata))
		alive := false
		for i, a := range w.automata {
			next[i] = a.step(w.sets[depth][i], r)
			alive = alive || len(next[i].states) > 0
		}
		w.sets, w.ends = append(w.sets, next), append(w.ends, pos)
		depth++
		if !alive {
			return nil, word[:pos]
		}
	}
	return w.sets[depth], ""
}

// searchWords visits the words of a sorted list from index i on that the automata do not all refuse, until visit returns
// false or keep does.
func searchWords(words []string, i int, keep func(string) bool, visit func(word string, sets []editSet) bool, automata ...*levenshtein) {
	walk := newWordWalk(automata...)
	for i < len(words) && keep(words[i]) {
		sets, dead := walk.advance(words[i])
		if sets != nil {
			if !visit(words[i], sets) {
				return
			}
			i++
			continue
		}
		i += skipPrefix(words[i:], dead)
	}
}

// skipPrefix is the number of words at the head of a sorted list that begin with prefix.
func skipPrefix(words []string, prefix string) int {
	n, _ := slices.BinarySearchFunc(words, prefix, func(w, p string) int {
		if strings.HasPrefix(w, p) || w < p {
			return -1
		}
		return 1
	})
	return n
}
