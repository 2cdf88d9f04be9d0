package proxy

import (
	"math"
	"strconv"
	"strings"
)

// rankChain is the verdicts of the rules that rank, in their order, as Meilisearch makes one score of them: each rule divides
// the places that those before it leave equal (milli score_details.rs, Rank::merge and global_score).
type rankChain struct {
	ranks []chainRank
	terms int // words of the query that the document matches
}

// chainRank is the verdict of one rule: the best value is most, the last is 1. Details do not always tell most.
type chainRank struct {
	rule        string  // its name in the details
	value, most int     // most is 0 where it is not known
	share       float64 // value / most
}

// exactnessTypes are the verdicts of the first half of exactness, the last first.
var exactnessTypes = []string{"noExactMatch", "matchesStart", "exactMatch"}

// The two halves of a rule are ranks of their own.
const (
	exactWordsRank   = "exactness words"
	wordDistanceRank = "attribute words"
)

// readChain reads ranking score details of a search of some words. Those that must match all words have no words rule.
func readChain(details []byte, words int) rankChain {
	c := rankChain{terms: words}
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		rule, detail := string(m.key), details[m.value:m.end]
		tell := func(name string) int { return int(number(memberOf(detail, name))) }
		add := func(r chainRank) {
			if r.most > 0 {
				r.share = float64(r.value) / float64(r.most)
			}
			c.ranks = append(c.ranks, r)
		}
		switch rule {
		case "words":
			c.terms = tell("matchingWords")
			add(chainRank{rule: rule, value: c.terms, most: tell("maxMatchingWords")})
		case "typo":
			most := tell("maxTypoCount") + 1
			add(chainRank{rule: rule, value: most - tell("typoCount"), most: most})
		case "proximity", "attributeRank", "wordPosition":
			add(chainRank{rule: rule, share: number(memberOf(detail, "score"))})
		case "attribute":
			add(chainRank{rule: rule, share: number(memberOf(detail, "attributeRankingOrderScore"))})
			add(chainRank{rule: wordDistanceRank, share: number(memberOf(detail, "queryWordDistanceScore"))})
		case "exactness":
			for i, name := range exactnessTypes {
				if text(memberOf(detail, "matchType")) == name {
					add(chainRank{rule: rule, value: i + 1, most: len(exactnessTypes)})
				}
			}
			words := chainRank{rule: exactWordsRank}
			if most := memberOf(detail, "maxMatchingWords"); most != nil {
				words.value, words.most = tell("matchingWords")+1, tell("maxMatchingWords")+1
			}
			add(words)
		}
		return true
	})
	return c
}

// maxFieldWeight bounds what is tried for what details do not tell.
const maxFieldWeight = 64

// solve finds what details do not tell such that the score comes out; false when nothing does. Rules of paths through the query
// have fixed greatest costs (milli ranking_rule_graph): ten for each word that is out of place, the weight of the last field for each
// word, three between two words. Words written as one make less of the latter.
func (c *rankChain) solve(score float64) bool {
	scratch := make([]chainRank, len(c.ranks))
	for _, distance := range c.distances() {
		for matched := c.terms; matched > 0; matched-- { // all, if that may be: then nothing is to be put right
			for weight := range maxFieldWeight {
				if tried, ok := c.with(scratch, distance, weight, matched); ok && math.Abs(tried.score()-score) < 1e-13 {
					*c = tried
					return true
				}
			}
		}
	}
	return false
}

// distances are what words can be apart at most, the likely one first.
func (c *rankChain) distances() []int {
	list := []int{costFarApart * (c.terms - 1)}
	for d := (costFarApart + 1) * c.terms; d >= 0; d-- {
		if d != list[0] {
			list = append(list, d)
		}
	}
	return list
}

// with is the chain, made in scratch, with a guess at what details do not tell; false when it contradicts them.
func (c *rankChain) with(scratch []chainRank, distance, weight, matched int) (rankChain, bool) {
	out := rankChain{scratch, c.terms}
	for i, r := range c.ranks {
		if r.most == 0 {
			switch r.rule {
			case "proximity":
				r.most = 1 + distance
			case "attributeRank", "attribute":
				r.most = 1 + weight*c.terms
			case "wordPosition", wordDistanceRank:
				r.most = 1 + 10*c.terms
			case exactWordsRank:
				r.most, r.share = 1+c.terms, float64(1+matched)/float64(1+c.terms)
			}
			value := math.Round(r.share * float64(r.most))
			if r.value = int(value); math.Abs(value-r.share*float64(r.most)) > 1e-9 {
				return out, false
			}
		}
		out.ranks[i] = r
	}
	return out, true
}

// score is the ranking score.
func (c *rankChain) score() float64 {
	value, most := 1, 1
	for _, r := range c.ranks {
		value, most = (value-1)*r.most+r.value, most*r.most
	}
	return float64(value) / float64(most)
}

// at is the place of a rule's rank, -1 for none.
func (c *rankChain) at(rule string) int {
	for i := range c.ranks {
		if c.ranks[i].rule == rule {
			return i
		}
	}
	return -1
}

// set gives a rule another verdict.
func (c *rankChain) set(rule string, value, most int) {
	r := &c.ranks[c.at(rule)]
	r.value, r.most, r.share = value, most, float64(value)/float64(most)
}

// segments are the scores that federated searches compare hits by: one for the rules between two that sort.
func (c *rankChain) segments(details []byte) []float64 {
	var scores []float64
	part, next := rankChain{}, 0
	end := func() {
		if len(part.ranks) > 0 {
			scores = append(scores, part.score())
		}
		part.ranks = nil
	}
	eachMember(details, skipSpace(details, 0), func(m member) bool {
		switch rule := string(m.key); {
		case next < len(c.ranks) && c.ranks[next].rule == rule:
			part.ranks = append(part.ranks, c.ranks[next])
			if next++; next < len(c.ranks) && (rule == "exactness" || rule == "attribute") {
				part.ranks = append(part.ranks, c.ranks[next])
				next++
			}
		default:
			end()
		}
		return true
	})
	end()
	return scores
}

// inDetails changes what details say of typos, proximity and exactness to what the chain does.
func (c *rankChain) inDetails(details []byte) []byte {
	if at := c.at("typo"); at >= 0 {
		typo, r := memberOf(details, "typo"), c.ranks[at]
		typo = replaceRaw(typo, "maxTypoCount", strconv.AppendInt(nil, int64(r.most-1), 10))
		details = replaceRaw(details, "typo", replaceRaw(typo, "score", appendFloat(nil, r.share)))
	}
	if at := c.at("proximity"); at >= 0 {
		details = replaceRaw(details, "proximity", replaceRaw(memberOf(details, "proximity"), "score", appendFloat(nil, c.ranks[at].share)))
	}
	at := c.at("exactness")
	if at < 0 || c.ranks[at].value > 1 {
		return details
	}
	words, rule := c.ranks[at+1], rankChain{ranks: c.ranks[at : at+2]}
	var out strings.Builder
	out.WriteString(`{"order":`)
	out.Write(memberOf(memberOf(details, "exactness"), "order"))
	out.WriteString(`,"matchType":"noExactMatch","matchingWords":` + strconv.Itoa(words.value-1) + `,"maxMatchingWords":` + strconv.Itoa(words.most-1) + `,"score":`)
	out.Write(append(appendFloat(nil, rule.score()), '}'))
	return replaceRaw(details, "exactness", []byte(out.String()))
}
