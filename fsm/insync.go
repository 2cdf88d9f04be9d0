package fsm

import "slices"

// ackState is what is known of one node's share of a write.
type ackState int

const (
	notAsked ackState = iota // no target of this write, or no answer recorded
	acked
	refused // it surely does not have the write
	unknown // it may have it and cannot be asked
)

// copyState is one replica of one shard at the moment its write is decided.
type copyState struct {
	Group  GroupID
	Node   NodeID
	State  ReplicaState
	Target bool // the write was to be sent there
	Ack    ackState
	Fresh  bool // it has never been in sync
}

// shardVerdict is what a write's acknowledgements mean for one shard.
type shardVerdict struct {
	Undecided bool  // an in-sync replica may be the only one that has the write: nothing may be concluded yet
	Acks      int   // in-sync replicas that have the write
	Accepted  bool  // enough of them
	Stale     []int // positions in the copies that must become stale, rising
	Missed    []GroupID
}

// judgeShard decides the in-sync set of one shard after a write. It is the whole rule:
//
//  1. Only replicas in sync now count: one that an earlier write made stale meanwhile has this write, but not all.
//  2. If none of them has the write, it did not happen. They still agree, so none becomes stale; while one of them may
//     have it, nothing is decided. A joining copy that has it (or may) differs from them and becomes stale.
//  3. If one of them has it, it happened here, also when the write as a whole is refused for want of acknowledgements:
//     every in-sync or joining copy without it becomes stale. A joining copy that was no target joined later and gets the
//     write from its repair; an in-sync one that was no target misses it like any other.
//  4. Leaving copies are never read and never return without repair: they stay as they are.
//
// minAcks is a number or MinAcksQuorum. copies are all replicas of the shard in all groups.
func judgeShard(copies []copyState, minAcks int) shardVerdict {
	var v shardVerdict
	mayHave := false
	for _, c := range copies {
		if c.State == Active {
			v.Acks += count(c.Ack == acked)
			mayHave = mayHave || c.Ack == unknown
		}
	}
	if v.Acks == 0 && mayHave {
		return shardVerdict{Undecided: true}
	}
	for i, c := range copies {
		if c.differs(v.Acks > 0) {
			v.Stale = append(v.Stale, i)
		}
	}
	v.Accepted = v.Acks > 0 && v.Acks >= neededAcks(copies, minAcks)
	v.Missed = missedGroups(copies)
	return v
}

// differs reports whether a copy that is in sync or joining is not equal to the in-sync set after the write.
func (c copyState) differs(happened bool) bool {
	switch {
	case c.State == Active:
		return happened && c.Ack != acked
	case c.State == Joining && c.Target:
		return happened && c.Ack != acked || !happened && (c.Ack == acked || c.Ack == unknown)
	}
	return false
}

func neededAcks(copies []copyState, minAcks int) int {
	if minAcks != MinAcksQuorum {
		return max(minAcks, 1)
	}
	placed := 0
	for _, c := range copies {
		placed += count(c.placed())
	}
	return placed/2 + 1
}

// missedGroups are the groups in which fewer than a majority of the placed replicas have the write; sorted.
func missedGroups(copies []copyState) []GroupID {
	type tally struct{ placed, acks int }
	groups := map[GroupID]tally{}
	for _, c := range copies {
		if c.placed() {
			t := groups[c.Group]
			groups[c.Group] = tally{t.placed + 1, t.acks + count(c.State == Active && c.Ack == acked)}
		}
	}
	var missed []GroupID
	for g, t := range groups {
		if t.acks < t.placed/2+1 {
			missed = append(missed, g)
		}
	}
	slices.Sort(missed)
	return missed
}

// placed reports whether the copy is one of the RF that should exist: not on its way in or out.
func (c copyState) placed() bool { return c.State == Active || c.State == Stale && !c.Fresh }

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
