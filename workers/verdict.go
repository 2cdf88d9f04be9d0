package workers

import (
	"time"

	"github.com/zeebo/xxh3"
)

// vote is one copy's say in which content is right.
type vote struct {
	foreign bool      // somebody wrote to its node directly
	since   time.Time // it has been in sync since then
}

// contents is one document as each copy has it: contents[i] belongs to votes[i], nil where it is missing.
type contents []*xxh3.Uint128

func (c contents) same(i, j int) bool {
	return c[i] == nil && c[j] == nil || c[i] != nil && c[j] != nil && *c[i] == *c[j]
}

// losers decides which copies are wrong about documents that differ. Copies on nodes that somebody wrote to directly have
// no say, unless all are such. Of the others the content that most agree on is right; among equally many, that of the
// copy that has been in sync longest. At least one copy is never a loser: when each is wrong about something, the one that
// is wrong least often stays, with those that equal it.
func losers(votes []vote, documents []contents) []bool {
	lost := make([]int, len(votes))
	for _, c := range documents {
		right := winner(votes, c)
		for i := range votes {
			if !c.same(i, right) {
				lost[i]++
			}
		}
	}
	best := 0
	for i := range votes {
		if betterThan(votes, lost, i, best) {
			best = i
		}
	}
	wrong := make([]bool, len(votes))
	for _, c := range documents {
		for i := range votes {
			wrong[i] = wrong[i] || !c.same(i, best)
		}
	}
	return wrong
}

func betterThan(votes []vote, lost []int, i, j int) bool {
	if lost[i] != lost[j] {
		return lost[i] < lost[j]
	}
	if votes[i].foreign != votes[j].foreign {
		return !votes[i].foreign
	}
	return votes[i].since.Before(votes[j].since)
}

// winner is a copy with the right content of a document.
func winner(votes []vote, c contents) int {
	all := true
	for _, v := range votes {
		all = all && v.foreign
	}
	best, most := -1, 0
	for i, v := range votes {
		if v.foreign && !all {
			continue
		}
		agree := 0
		for j, other := range votes {
			if (all || !other.foreign) && c.same(i, j) {
				agree++
			}
		}
		if agree > most || agree == most && v.since.Before(votes[best].since) {
			best, most = i, agree
		}
	}
	return best
}
