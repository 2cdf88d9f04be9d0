package proxy

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"miroir/meili"
	"miroir/tasks"
)

// A search with matchingStrategy frequency drops the words that most documents have first. Each node would go by its own
// documents and drop others. Here the nodes count the documents of each word, and where their orders are not the one of the
// whole index they are asked one search for each step of that order, which must match all words left. A word that was
// dropped leaves a gap behind (see filler), so that the words left keep their positions and join no others.
//
// What is left to the nodes: searches that are not plain words and phrases, or have a score threshold; and the documents
// that have two words written as one, which one server counts for both words. They are counted only to see whether the
// order could depend on them.

// Bounds of one search: words, and steps that each node is asked for.
const (
	maxFrequencyWords = 10 // milli's words_limit: what follows is not searched for
	maxRemovalSteps   = 16
)

// filler is a word that no index has, because it is longer than Meilisearch indexes. Negated it selects all documents and
// takes the place of one word.
var filler = "-" + strings.Repeat("q", 251)

// removal is the order in which a search drops words, as searches to ask the nodes for.
type removal struct {
	steps    []removalStep // nothing dropped first, most last
	maxWords int           // maxMatchingWords of the words rule
	before   int           // sort criteria that rank before the words rule
}

type removalStep struct {
	text     string // of the search that must match all its words
	dropped  int
	maxTypos int  // of the words left
	words    int  // left
	gap      bool // a word left stands behind a dropped one
}

// queryPiece is a part of a search text between spaces.
type queryPiece struct {
	text      string
	removable bool // a word that may be dropped
	phrase    int  // words of a phrase that must match
}

var (
	piecePattern = regexp.MustCompile(`^(?:(-?)"([A-Za-z0-9]+(?: [A-Za-z0-9]+)*)"|(-?)([A-Za-z0-9]+))(?: +|$)`)
	wordPattern  = regexp.MustCompile(`^[A-Z]?[a-z0-9]+$|^[A-Z0-9]+$`) // letters of mixed case might be split
)

// queryPieces takes a search text apart as Meilisearch does. It reports false for texts that it cannot be sure about.
func queryPieces(text string, stopWords []string) ([]queryPiece, bool) {
	var pieces []queryPiece
	isStopWord := func(word string) bool { return slices.Contains(stopWords, strings.ToLower(word)) }
	for rest := text; rest != ""; {
		parts := piecePattern.FindStringSubmatch(rest)
		if parts == nil {
			return nil, false
		}
		piece := queryPiece{text: strings.TrimRight(parts[0], " ")}
		words := strings.Fields(parts[2] + parts[4])
		if slices.ContainsFunc(words, func(w string) bool { return !wordPattern.MatchString(w) }) {
			return nil, false
		}
		rest = rest[len(parts[0]):]
		switch {
		case parts[1] != "" || parts[3] != "": // negated
		case parts[2] != "":
			for _, word := range words {
				if !isStopWord(word) {
					piece.phrase++
				}
			}
		default:
			piece.removable = !isStopWord(piece.text) || rest == "" && !strings.HasSuffix(text, " ")
		}
		pieces = append(pieces, piece)
	}
	return pieces, true
}

// dropsByFrequency finds the order in which the search drops words; nil when the nodes' own orders are right, or when it
// cannot tell.
func (q *search) dropsByFrequency(ctx context.Context, plan Plan) *removal {
	if deref(q.query.MatchingStrategy) != "frequency" || q.kind != meili.KeywordSearch || q.query.RankingScoreThreshold != nil ||
		len(plan.Calls) < 2 || len(plan.Missing) > 0 || q.splitsWordsItsOwnWay() {
		return nil
	}
	text := strings.TrimLeftFunc(deref(q.query.Q), unicode.IsSpace)
	pieces, ok := queryPieces(text, q.stopWords())
	if !ok || len(pieces) > maxFrequencyWords {
		return nil
	}
	removable, mandatory := 0, 0
	for _, piece := range pieces {
		if piece.removable {
			removable++
		}
		mandatory += piece.phrase
	}
	if removable == 0 || removable == 1 && mandatory == 0 {
		return nil
	}
	groups := q.wordsByFrequency(ctx, plan.Calls, pieces, strings.HasSuffix(text, " "))
	if groups == nil {
		return nil
	}
	if mandatory == 0 {
		groups = groups[:len(groups)-1]
	}
	r := &removal{maxWords: 1 + max(0, mandatory-1), before: q.sortsBeforeWords()}
	for _, group := range groups {
		r.maxWords += len(group)
	}
	return r.withSteps(pieces, groups, strings.HasSuffix(text, " "), q.typosOf)
}

// splitsWordsItsOwnWay reports settings that change what a word is.
func (q *search) splitsWordsItsOwnWay() bool {
	s := q.settings
	return s != nil && len(s.Dictionary.Value)+len(s.SeparatorTokens.Value)+len(s.NonSeparatorTokens.Value)+len(s.LocalizedAttributes.Value) > 0
}

func (q *search) stopWords() []string {
	if q.settings == nil {
		return nil
	}
	return q.settings.StopWords.Value
}

// sortsBeforeWords counts the sort criteria in front of the words rule, which stands before the first rule about words if
// it is not listed.
func (q *search) sortsBeforeWords() int {
	n := 0
	for _, rule := range q.settings.Ranking() {
		switch {
		case rule == "sort":
			n += len(deref(q.query.Sort))
		case strings.Contains(rule, ":"):
			n++
		default:
			return n
		}
	}
	return n
}

// withSteps adds the searches, one for each set of words that may be dropped together, few words first. Meilisearch drops
// a word only together with more frequent ones, but looks for these behind it only: one in front may stay (milli
// ranking_rule_graph/cheapest_paths.rs). nil when there are too many.
func (r *removal) withSteps(pieces []queryPiece, groups [][]int, trailing bool, typos func(word string) int) *removal {
	level := map[int]int{}
	var words []int
	for i, group := range groups {
		for _, at := range group {
			level[at] = i
			words = append(words, at)
		}
	}
	slices.Sort(words)
	if 1<<len(words) > maxRemovalSteps {
		return nil
	}
	for set := range 1 << len(words) {
		dropped := map[int]bool{}
		for i, at := range words {
			if set&(1<<i) != 0 {
				dropped[at] = true
			}
		}
		allowed := true
		for at := range dropped {
			for _, other := range words {
				allowed = allowed && (dropped[other] || other < at || level[other] >= level[at])
			}
		}
		if allowed {
			r.steps = append(r.steps, stepWithout(pieces, dropped, trailing, typos))
		}
	}
	slices.SortStableFunc(r.steps, func(a, b removalStep) int { return a.dropped - b.dropped })
	return r
}

func stepWithout(pieces []queryPiece, dropped map[int]bool, trailing bool, typos func(word string) int) removalStep {
	step := removalStep{dropped: len(dropped)}
	texts := make([]string, len(pieces))
	for i, piece := range pieces {
		texts[i] = piece.text
		switch {
		case dropped[i]:
			texts[i] = filler
			continue
		case piece.removable:
			step.maxTypos += typos(piece.text)
			step.words++
		}
		step.words += piece.phrase
		step.gap = step.gap || (piece.removable || piece.phrase > 0) && anyBefore(dropped, i)
	}
	step.text = strings.Join(texts, " ")
	if trailing {
		step.text += " "
	}
	return step
}

func anyBefore(dropped map[int]bool, i int) bool {
	for at := range dropped {
		if at < i {
			return true
		}
	}
	return false
}

// typosOf is the number of typos that a word may have. One that may have none can still be taken for two words, which counts
// as one.
func (q *search) typosOf(word string) int {
	t := q.settings.Typo()
	length := len(word) // of ASCII letters and digits
	switch sizes := t.MinWordSizeForTypos.Value; {
	case !t.Enabled.Value || length < sizes.TwoTypos.Value || slices.Contains(t.DisableOnWords.Value, strings.ToLower(word)):
		return 1
	default:
		return 2
	}
}

// wordsByFrequency groups the removable pieces, by their positions, the most frequent first. nil when the nodes would all
// choose the same order, or do not answer.
func (q *search) wordsByFrequency(ctx context.Context, calls []Call, pieces []queryPiece, trailing bool) [][]int {
	var positions []int
	var texts []string
	for i, piece := range pieces {
		if piece.removable {
			text := piece.text
			if i < len(pieces)-1 || trailing {
				text += " "
			}
			positions, texts = append(positions, i), append(texts, text)
		}
	}
	counts := make([][]uint64, len(calls))
	eachAtOnce(len(calls), func(i int) { counts[i] = q.countTexts(ctx, calls[i], texts) })
	sums, agree := make([]uint64, len(texts)), true
	for _, own := range counts {
		if own == nil {
			return nil
		}
		for i, n := range own {
			sums[i] += n
		}
	}
	groups := groupByFrequency(sums)
	for i, own := range counts {
		agree = agree && calls[i].filterShards() == nil && slices.EqualFunc(groups, groupByFrequency(own), slices.Equal)
	}
	if agree {
		return nil
	}
	for _, group := range groups {
		for i, word := range group {
			group[i] = positions[word]
		}
	}
	return groups
}

// groupByFrequency orders words by how many documents have them, most first; words that none has come before all others
// (milli query_graph.rs, removal_order_for_terms_matching_strategy_frequency).
func groupByFrequency(counts []uint64) [][]int {
	frequency := func(i int) uint64 {
		if counts[i] == 0 {
			return math.MaxUint64
		}
		return counts[i]
	}
	order := make([]int, len(counts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch fa, fb := frequency(a), frequency(b); {
		case fa > fb:
			return -1
		case fa < fb:
			return 1
		}
		return 0
	})
	var groups [][]int
	for _, i := range order {
		last := len(groups) - 1
		if last >= 0 && frequency(groups[last][0]) == frequency(i) {
			groups[last] = append(groups[last], i)
			continue
		}
		groups = append(groups, []int{i})
	}
	return groups
}

// countTexts counts the documents of a call's shards that match each text, whatever the client's filter; nil when the node
// does not answer.
func (q *search) countTexts(ctx context.Context, call Call, texts []string) []uint64 {
	counting := *q
	counting.within = nil
	counts := make([]uint64, len(texts))
	failed := make([]bool, len(texts))
	eachAtOnce(len(texts), func(i int) {
		one := counting
		one.query = &meili.SearchQuery{
			Q: &texts[i], MatchingStrategy: new("all"), AttributesToSearchOn: q.query.AttributesToSearchOn, Locales: q.query.Locales,
			Page: new(1), Distinct: new(tasks.NoField),
		}
		answers, err := one.askCounts(ctx, call, []countQuery{{}})
		if failed[i] = err != nil; err == nil {
			counts[i] = uint64(answers[0].total)
		}
	})
	if slices.Contains(failed, true) {
		return nil
	}
	return counts
}
