package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parseCopies reads replicas as "group:state/ack", where state is a(ctive) s(tale) j(oining) l(eaving) and ack is + - ? or
// . for one that was no target.
func parseCopies(t *testing.T, text string) []copyState {
	states := map[byte]ReplicaState{'a': Active, 's': Stale, 'j': Joining, 'l': Leaving}
	acks := map[byte]ackState{'+': acked, '-': refused, '?': unknown, '.': notAsked}
	var copies []copyState
	for i, word := range strings.Fields(text) {
		if len(word) != 4 || word[1] != ':' {
			t.Fatalf("bad copy %q", word)
		}
		copies = append(copies, copyState{
			Group: GroupID(word[0] - '0'), Node: NodeID(fmt.Sprint(i)), State: states[word[2]], Target: word[3] != '.', Ack: acks[word[3]],
		})
	}
	return copies
}

func TestJudgeShard(t *testing.T) {
	tests := []struct {
		name, copies string
		minAcks      int
		want         shardVerdict
	}{
		{"one copy, acknowledged", "0:a+", 1, shardVerdict{Acks: 1, Accepted: true}},
		{"one copy, refused: nobody becomes stale", "0:a-", 1, shardVerdict{Missed: []GroupID{0}}},
		{"one copy, cannot be asked", "0:a?", 1, shardVerdict{Undecided: true}},
		{"all have it", "0:a+ 0:a+ 1:a+ 1:a+", 1, shardVerdict{Acks: 4, Accepted: true}},
		{"one missed it", "0:a+ 0:a-", 1, shardVerdict{Acks: 1, Accepted: true, Stale: []int{1}, Missed: []GroupID{0}}},
		{"one cannot be asked while another has it", "0:a+ 0:a?", 1, shardVerdict{Acks: 1, Accepted: true, Stale: []int{1}, Missed: []GroupID{0}}},
		{"two refuse, nobody is stale", "0:a- 0:a-", 1, shardVerdict{Missed: []GroupID{0}}},
		{"one refuses, one cannot be asked", "0:a- 0:a?", 1, shardVerdict{Undecided: true}},
		{"a target without an answer refused", "0:a+ 0:a.", 1, shardVerdict{Acks: 1, Accepted: true, Stale: []int{1}, Missed: []GroupID{0}}},
		{"a stale copy's acknowledgement does not count", "0:a- 0:s+", 1, shardVerdict{Missed: []GroupID{0}}},
		{"a stale copy stays stale", "0:a+ 0:s+", 1, shardVerdict{Acks: 1, Accepted: true, Missed: []GroupID{0}}},
		{"no copy in sync", "0:s. 0:j+", 1, shardVerdict{Stale: []int{1}, Missed: []GroupID{0}}},
		{"a joining copy missed it", "0:a+ 0:j-", 1, shardVerdict{Acks: 1, Accepted: true, Stale: []int{1}}},
		{"a joining copy has what did not happen", "0:a- 0:j+", 1, shardVerdict{Stale: []int{1}, Missed: []GroupID{0}}},
		{"a joining copy may have what did not happen", "0:a- 0:j?", 1, shardVerdict{Stale: []int{1}, Missed: []GroupID{0}}},
		{"a joining copy agrees on what did not happen", "0:a- 0:j-", 1, shardVerdict{Missed: []GroupID{0}}},
		{"a joining copy that came later is left to its repair", "0:a+ 0:j.", 1, shardVerdict{Acks: 1, Accepted: true}},
		{"a joining copy's acknowledgement does not count", "0:a- 0:j+", 1, shardVerdict{Stale: []int{1}, Missed: []GroupID{0}}},
		{"leaving copies change nothing", "0:a+ 0:l-", 1, shardVerdict{Acks: 1, Accepted: true}},
		{"a leaving copy's acknowledgement does not count", "0:a- 0:l+", 1, shardVerdict{Missed: []GroupID{0}}},
		{"fewer than min_acks: refused, but it happened", "0:a+ 0:a-", 2, shardVerdict{Acks: 1, Stale: []int{1}, Missed: []GroupID{0}}},
		{"min_acks reached", "0:a+ 0:a+ 1:a-", 2, shardVerdict{Acks: 2, Accepted: true, Stale: []int{2}, Missed: []GroupID{1}}},
		{"quorum over all groups", "0:a+ 0:a+ 1:a- 1:a-", MinAcksQuorum, shardVerdict{Acks: 2, Stale: []int{2, 3}, Missed: []GroupID{1}}},
		{"quorum reached", "0:a+ 0:a+ 1:a+ 1:a-", MinAcksQuorum, shardVerdict{Acks: 3, Accepted: true, Stale: []int{3}, Missed: []GroupID{1}}},
		{"quorum counts stale copies", "0:a+ 0:s.", MinAcksQuorum, shardVerdict{Acks: 1, Missed: []GroupID{0}}},
		{"quorum does not count joining and leaving ones", "0:a+ 0:j. 0:l+", MinAcksQuorum, shardVerdict{Acks: 1, Accepted: true}},
		{"two of three are a group's quorum", "0:a+ 0:a+ 0:a-", 1, shardVerdict{Acks: 2, Accepted: true, Stale: []int{2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judgeShard(parseCopies(t, test.copies), test.minAcks)
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// After any verdict the copies in sync agree about the write, and some are left if there were any.
func TestJudgeShardKeepsTheInSyncSetEqual(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	states := []ReplicaState{Active, Active, Active, Stale, Joining, Leaving}
	for range 100_000 {
		var copies []copyState
		var has []bool
		for i := range 1 + rng.IntN(6) {
			c := copyState{Group: GroupID(i % 2), Node: nodeID(0, i), State: states[rng.IntN(len(states))], Target: rng.IntN(8) > 0}
			if c.Target {
				c.Ack = ackState(rng.IntN(4))
			}
			copies = append(copies, c)
			has = append(has, c.Ack == acked || c.Ack == unknown && rng.IntN(2) == 0)
		}
		v := judgeShard(copies, 1+rng.IntN(2))
		if v.Undecided {
			continue
		}
		checkAgreement(t, copies, has, v)
	}
}

func checkAgreement(t *testing.T, copies []copyState, has []bool, v shardVerdict) {
	t.Helper()
	before, with, without := 0, 0, 0
	for i, c := range copies {
		before += count(c.State == Active)
		inSync := c.State == Active && !slices.Contains(v.Stale, i)
		filled := c.State == Joining && c.Target && !slices.Contains(v.Stale, i)
		if inSync || filled {
			with += count(has[i])
			without += count(!has[i])
		}
		if filled && has[i] != (v.Acks > 0) {
			t.Fatalf("joining copy %d differs: %+v, %+v", i, copies, v)
		}
		if inSync && has[i] != (v.Acks > 0) {
			t.Fatalf("copy %d in sync differs: %+v, %+v", i, copies, v)
		}
	}
	if with > 0 && without > 0 || before > 0 && with+without == 0 {
		t.Fatalf("in-sync copies: %d with the write, %d without: %+v, %+v", with, without, copies, v)
	}
	if v.Accepted && v.Acks == 0 {
		t.Fatalf("accepted by nobody: %+v", copies)
	}
}
