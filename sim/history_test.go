package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"miroir/fsm"
)

// history is what a seed stands for: a cluster, what clients do and what goes wrong.
type history struct {
	seed             uint64
	pods             int
	groups, perGroup int
	rf               int
	shards           uint32
	spread           int
	indexes          []string
	writers, writes  int
	readers          int
	length           time.Duration // faults begin within it
	faults           []fault
	busy             bool          // many writes and reads of few documents while a node that lost its disk is repaired
	lag              time.Duration // the longest that a node takes for an answer when nothing is wrong
	changes          []change      // of the topology
}

// fault is one thing that goes wrong for a while.
type fault struct {
	kind     string
	node     int // its number
	at, last time.Duration
	chance   float64 // of a request to be hit
	after    int     // pod faults: how many steps from at on
}

// kinds of faults
const (
	faultStop      = "stop"      // the process is down
	faultFreeze    = "freeze"    // the process hangs
	faultSlow      = "slow"      // answers take long
	faultLost      = "lost"      // requests do not arrive
	faultUnheard   = "unheard"   // requests arrive, answers do not
	faultHalf      = "half"      // answers break off
	faultRefuse    = "refuse"    // status 500
	faultIdle      = "idle"      // tasks wait
	faultWipe      = "wipe"      // the disk is lost
	faultRollback  = "rollback"  // the disk is replaced by an older copy
	faultCrash     = "crash"     // a pod dies at a commit or at a request to a node
	faultPartition = "partition" // a pod does not reach the others
	faultUnlink    = "unlink"    // a pod does not reach a node
)

var nodeFaults = []string{faultStop, faultStop, faultFreeze, faultSlow, faultLost, faultUnheard, faultHalf, faultRefuse, faultIdle}

func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &history{seed: seed, groups: 1 + r.IntN(2), perGroup: 1 + r.IntN(3), shards: []uint32{1, 2, 3, 5, 8}[r.IntN(5)]}
	if h.groups == 1 && h.perGroup == 1 && r.IntN(4) > 0 {
		h.perGroup = 3
	}
	h.rf = 1 + r.IntN(h.perGroup)
	h.spread = []int{fsm.SpreadAuto, fsm.SpreadAll, fsm.SpreadAll, min(2, h.perGroup)}[r.IntN(4)]
	h.indexes = []string{"a", "b", "c"}[:1+r.IntN(3)]
	h.writers, h.writes, h.readers = 1+r.IntN(3), 6+r.IntN(12), 1+r.IntN(2)
	h.length = time.Duration(2+r.IntN(15)) * time.Second
	h.pods = cmp.Or(*numPods, 1)
	if *numPods == 0 && seed%3 == 0 {
		h.pods = 3
	}
	switch r.IntN(8) {
	case 0:
		h.planBusyRepair(r)
	case 1, 2:
		h.planChanges(r)
		if r.IntN(2) == 0 {
			h.planFaults(r)
			h.faults = slices.DeleteFunc(h.faults, func(f fault) bool { return f.kind == faultWipe || f.kind == faultRollback })
		}
	default:
		h.planFaults(r)
	}
	return h
}

// planBusyRepair is a copy of an index under load: answers take their time, so that writes and reads come between the steps
// of the repair.
func (h *history) planBusyRepair(r *rand.Rand) {
	h.busy, h.lag = true, time.Duration(30+r.IntN(150))*time.Millisecond
	h.groups, h.perGroup, h.rf, h.indexes = 1, 2+r.IntN(2), 2, h.indexes[:1]
	h.writers, h.writes, h.readers, h.length = 3, 40, 2, 12*time.Second
	kind := []string{faultWipe, faultRollback}[r.IntN(2)]
	h.faults = []fault{{kind: kind, node: r.IntN(h.perGroup), at: time.Second + time.Duration(r.Int64N(int64(2*time.Second))), last: minAbsence + time.Duration(r.Int64N(int64(time.Second)))}}
}

// newBusyOperation is a write to one of a few documents.
func newBusyOperation(r *rand.Rand, h *history, marker string) *operation {
	op := &operation{marker: marker, index: h.indexes[0]}
	switch n := r.IntN(100); {
	case n < 50:
		op.kind, op.documents = opUpdate, []document{{ID: 1 + r.IntN(12), U: marker, N: 1 + r.IntN(9)}}
	case n < 80:
		op.kind, op.documents = opAdd, []document{{ID: 1 + r.IntN(12), V: marker, N: 1 + r.IntN(9)}}
	case n < 92:
		op.kind, op.ids = opDelete, []int{1 + r.IntN(12)}
	default:
		op.kind, op.below = opDeleteFilter, 1+r.IntN(4)
	}
	return op
}

// planFaults puts faults on a time line. Those of one node follow one another; what destroys data stands alone, since the
// loss of two copies at once is nobody's fault.
func (h *history) planFaults(r *rand.Rand) {
	span := func(limit time.Duration) time.Duration { return time.Duration(r.Int64N(int64(limit))) }
	switch r.IntN(10) {
	case 0: // nothing goes wrong
	case 1, 2:
		kind := faultWipe
		if r.IntN(2) == 0 {
			kind = faultRollback
		}
		h.faults = append(h.faults, fault{kind: kind, node: r.IntN(h.groups * h.perGroup), at: span(h.length), last: minAbsence + span(12*time.Second)})
	default:
		for node := range h.groups * h.perGroup {
			for at := span(h.length); at < h.length && r.IntN(3) > 0; {
				f := fault{kind: nodeFaults[r.IntN(len(nodeFaults))], node: node, at: at, chance: []float64{0.2, 0.6, 1}[r.IntN(3)]}
				f.last = 10*time.Millisecond + span([]time.Duration{200 * time.Millisecond, 3 * time.Second, 25 * time.Second}[r.IntN(3)])
				h.faults = append(h.faults, f)
				at += f.last + span(h.length)
			}
		}
		for range r.IntN(3) {
			h.faults = append(h.faults, fault{kind: faultCrash, at: span(h.length), last: span(3 * time.Second), after: r.IntN(25), chance: r.Float64(), node: r.IntN(9)})
		}
		if h.pods > 1 {
			for range r.IntN(3) {
				kind := []string{faultPartition, faultUnlink}[r.IntN(2)]
				h.faults = append(h.faults, fault{kind: kind, at: span(h.length), last: span(12 * time.Second), after: r.IntN(9), node: r.IntN(9)})
			}
		}
	}
}

// newOperation makes up a write.
func newOperation(r *rand.Rand, h *history, marker string) *operation {
	if h.busy {
		return newBusyOperation(r, h, marker)
	}
	op := &operation{marker: marker, index: h.indexes[r.IntN(len(h.indexes))]}
	switch n := r.IntN(100); {
	case n < 40:
		op.kind = opAdd
		for range 1 + r.IntN(4) {
			op.documents = append(op.documents, document{ID: 1 + r.IntN(12), N: 1 + r.IntN(9), G: []string{"red", "tan", "sky"}[r.IntN(3)], V: marker})
		}
	case n < 60:
		op.kind = opUpdate
		for range 1 + r.IntN(3) {
			d := document{ID: 1 + r.IntN(12), U: marker}
			if r.IntN(2) == 0 {
				d.N = 1 + r.IntN(9)
			}
			op.documents = append(op.documents, d)
		}
	case n < 72:
		op.kind = opDelete
		for range 1 + r.IntN(3) {
			op.ids = append(op.ids, 1+r.IntN(12))
		}
	case n < 81:
		op.kind, op.below = opDeleteFilter, 1+r.IntN(6)
	case n < 84:
		op.kind = opClear
	case n < 92:
		op.kind, op.stopWord = opSettings, "x"+fmt.Sprint(r.IntN(1000))
	case n < 94:
		op.kind = opCreate
	case n < 96:
		op.kind = opDrop
	default:
		op.kind = opSwap
		op.other = h.indexes[r.IntN(len(h.indexes))]
		if op.other == op.index {
			op.kind = opClear
		}
	}
	return op
}

// minAbsence is how long a node is away at least when its disk is exchanged: one health check misses it. A faster exchange
// shows to whoever writes to the node next, and to readers only then.
const minAbsence = 1600 * time.Millisecond
