package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"time"

	"miroir/fsm"
)

// history is what a seed stands for: a cluster, what clients do and what goes wrong.
type history struct {
	seed             uint64
	plan             string
	pods             int
	groups, perGroup int
	rf               int
	shards           uint32
	spread           int
	threshold        uint64 // documents beyond which an index moves out by itself; 0: the default
	indexes          []string
	writers, writes  int
	readers          int
	length           time.Duration // faults begin within it
	faults           []fault
	busy             bool            // many writes and reads of few documents
	renaming         bool            // indexes are created, deleted and swapped all the time
	ids              int             // documents have ids from 1 to this
	lag              time.Duration   // the longest that a node takes for an answer when nothing is wrong
	changes          []change        // of the topology
	drift            time.Duration   // between two readings of all settings; 0: the default
	podClocks        []time.Duration // how far the clock of each pod is ahead; nil: none is
	nodeClocks       []time.Duration // and of each node, the spares last
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
	faultLie       = "lie"       // answers are those of somebody else
	faultRefuse    = "refuse"    // status 500
	faultIdle      = "idle"      // tasks wait
	faultFail      = "fail"      // tasks fail
	faultForeign   = "foreign"   // somebody writes to the node directly
	faultUnset     = "unset"     // a setting is lost
	faultWander    = "wander"    // the address leads to another node's server
	faultWipe      = "wipe"      // the disk is lost
	faultRollback  = "rollback"  // the disk is replaced by an older copy
	faultCrash     = "crash"     // a pod dies at a commit or at a request to a node
	faultPartition = "partition" // a pod does not reach the others
	faultUnlink    = "unlink"    // a pod does not reach a node
	faultTransfer  = "transfer"  // leadership is handed to another pod
)

var nodeFaults = []string{faultStop, faultStop, faultFreeze, faultSlow, faultLost, faultUnheard, faultHalf, faultLie, faultRefuse, faultIdle, faultFail}

// plan is a kind of history. Each is made as often as its weight says.
type plan struct {
	name   string
	weight int
	make   func(*history, *rand.Rand)
}

var plans = []plan{
	{"calm", 1, func(*history, *rand.Rand) {}},
	{"faults", 12, (*history).planFaults},
	{"destroy", 2, (*history).planDestruction},
	{"topology", 2, (*history).planChanges},
	{"troubled topology", 2, (*history).planTroubledChanges},
	{"busy repair", 2, (*history).planBusyRepair},
	{"busy moves", 2, (*history).planBusyMoves},
	{"absence", 2, (*history).planAbsences},
	{"only copy", 3, (*history).planOnlyCopy},
	{"names", 2, (*history).planNames},
	{"apart", 1, (*history).planApart},
	{"slow nodes", 1, (*history).planSlowNodes},
	{"foreign writes", 1, (*history).planForeignWrites},
	{"failing tasks", 1, (*history).planFailingTasks},
	{"growth", 1, (*history).planGrowth},
	{"lost settings", 1, (*history).planLostSettings},
	{"wandering addresses", 1, (*history).planWandering},
}

// planFor draws a plan, or takes the one that -plan names.
func planFor(r *rand.Rand) plan {
	total := 0
	for _, p := range plans {
		total += p.weight
	}
	n := r.IntN(total)
	for _, p := range plans {
		if n -= p.weight; *onlyPlan == p.name || *onlyPlan == "" && n < 0 {
			return p
		}
	}
	panic("there is no plan " + *onlyPlan)
}

func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &history{seed: seed, ids: 12, groups: 1 + r.IntN(2), perGroup: 1 + r.IntN(3), shards: []uint32{1, 2, 3, 5, 8}[r.IntN(5)]}
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
	if h.spread == fsm.SpreadAuto && seed%2 == 0 {
		h.threshold = 4
	}
	p := planFor(r)
	h.plan = p.name
	p.make(h, r)
	if r.IntN(4) == 0 && h.plan != "foreign writes" { // which are told by their time
		h.setClocks(r)
	}
	return h
}

// maxClock is how far a clock may be off.
const maxClock = 3 * time.Hour

// setClocks lets clocks differ.
func (h *history) setClocks(r *rand.Rand) {
	off := func(n int) []time.Duration {
		clocks := make([]time.Duration, n)
		for i := range clocks {
			clocks[i] = time.Duration(r.Int64N(2*int64(maxClock))) - maxClock
		}
		return clocks
	}
	h.podClocks, h.nodeClocks = off(h.pods), off(h.groups*h.perGroup+h.spares())
}

// within is a random time below a limit.
func within(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(limit)))
}

// minAbsence is how long a node is away at least when its disk is exchanged: one health check misses it. A faster exchange
// shows to whoever writes to the node next, and to readers only then.
const minAbsence = 1600 * time.Millisecond

// planDestruction takes the disk of one node. It stands alone, since the loss of two copies at once is nobody's fault.
func (h *history) planDestruction(r *rand.Rand) {
	kind := []string{faultWipe, faultRollback}[r.IntN(2)]
	h.faults = append(h.faults, fault{kind: kind, node: r.IntN(h.groups * h.perGroup), at: within(r, h.length), last: minAbsence + within(r, 12*time.Second)})
}

// planFaults puts faults on a time line. Those of one node follow one another.
func (h *history) planFaults(r *rand.Rand) {
	for node := range h.groups * h.perGroup {
		for at := within(r, h.length); at < h.length && r.IntN(3) > 0; {
			f := fault{kind: nodeFaults[r.IntN(len(nodeFaults))], node: node, at: at, chance: []float64{0.2, 0.6, 1}[r.IntN(3)]}
			f.last = 10*time.Millisecond + within(r, []time.Duration{200 * time.Millisecond, 3 * time.Second, 25 * time.Second}[r.IntN(3)])
			h.faults = append(h.faults, f)
			at += f.last + within(r, h.length)
		}
	}
	h.planPodFaults(r)
}

func (h *history) planPodFaults(r *rand.Rand) {
	for range r.IntN(3) {
		h.faults = append(h.faults, fault{kind: faultCrash, at: within(r, h.length), last: within(r, 3*time.Second), after: r.IntN(25), chance: r.Float64(), node: r.IntN(9)})
	}
	if h.pods == 1 {
		return
	}
	for range r.IntN(3) {
		kind := []string{faultPartition, faultUnlink, faultTransfer}[r.IntN(3)]
		h.faults = append(h.faults, fault{kind: kind, at: within(r, h.length), last: within(r, 12*time.Second), after: r.IntN(9), node: r.IntN(9)})
	}
}

// planBusyRepair is a copy of an index under load: answers take their time, so that writes and reads come between the steps
// of the repair.
func (h *history) planBusyRepair(r *rand.Rand) {
	h.crowd(r)
	h.groups, h.perGroup, h.rf, h.ids = 1, 2+r.IntN(2), 2, 30
	kind := []string{faultWipe, faultRollback}[r.IntN(2)]
	h.faults = []fault{{kind: kind, node: r.IntN(h.perGroup), at: time.Second + within(r, 2*time.Second), last: minAbsence + within(r, time.Second)}}
}

// crowd lets many clients write and read few documents of one index.
func (h *history) crowd(r *rand.Rand) {
	h.busy, h.lag = true, time.Duration(30+r.IntN(150))*time.Millisecond
	h.indexes = h.indexes[:1]
	h.writers, h.writes, h.readers, h.length = 3, 40, 2, 12*time.Second
}

// planBusyMoves moves shards under load.
func (h *history) planBusyMoves(r *rand.Rand) {
	h.crowd(r)
	h.groups, h.perGroup, h.spread = 1+r.IntN(2), 2+r.IntN(2), fsm.SpreadAll
	h.rf = 1 + r.IntN(2)
	at := func() time.Duration { return time.Second + within(r, 4*time.Second) }
	drained := fmt.Sprintf("/_miroir/nodes/n0-%d", r.IntN(h.perGroup))
	for _, c := range []change{
		{at(), "POST", "/_miroir/nodes", h.nodeBody(0, 0)},
		{at(), "POST", drained + "/drain", ""},
		{at(), "PATCH", "/_miroir/topology", fmt.Sprintf(`{"replication_factor":%d}`, 1+r.IntN(h.perGroup))},
		{at(), "PATCH", "/_miroir/indexes/" + h.indexes[0], fmt.Sprintf(`{"spread":%d}`, 1+r.IntN(3))},
	} {
		if r.IntN(2) == 0 {
			h.changes = append(h.changes, c)
		}
	}
	if r.IntN(3) == 0 {
		h.planPodFaults(r)
	}
}

// planAbsences lets one node miss writes again and again, whose order matters, and return with its disk.
func (h *history) planAbsences(r *rand.Rand) {
	h.crowd(r)
	h.lag = time.Duration(r.IntN(3)) * 20 * time.Millisecond
	h.perGroup, h.rf = 2, 2
	node := r.IntN(h.groups * h.perGroup)
	for at := within(r, 2*time.Second); at < h.length; {
		f := fault{kind: []string{faultStop, faultFreeze, faultLost, faultUnheard, faultHalf}[r.IntN(5)], node: node, at: at, chance: 1, last: 300*time.Millisecond + within(r, 6*time.Second)}
		h.faults = append(h.faults, f)
		at += f.last + within(r, 4*time.Second)
	}
	if r.IntN(3) == 0 {
		h.planPodFaults(r)
	}
}

// planOnlyCopy takes the only copy of documents away, or all copies but one, while writes are on their way: nobody can be
// asked what became of them until it is back.
func (h *history) planOnlyCopy(r *rand.Rand) {
	h.crowd(r)
	h.lag = time.Duration(r.IntN(3)) * 20 * time.Millisecond
	h.groups, h.perGroup, h.rf = 1+r.IntN(2), 1+r.IntN(2), 1
	for node := range h.groups * h.perGroup {
		for at := within(r, h.length); at < h.length && r.IntN(4) > 0; {
			quiet := fault{kind: []string{faultUnheard, faultHalf, faultLie}[r.IntN(3)], node: node, at: at, chance: 1, last: 20*time.Millisecond + within(r, 4*time.Second)}
			gone := fault{kind: []string{faultStop, faultFreeze, faultLost, faultRefuse}[r.IntN(4)], node: node, at: at + quiet.last, chance: 1, last: within(r, 6*time.Second)}
			h.faults = append(h.faults, quiet, gone)
			at = gone.at + gone.last + within(r, 4*time.Second)
		}
	}
	for range r.IntN(3) {
		h.faults = append(h.faults, fault{kind: faultCrash, at: within(r, h.length), last: within(r, 2*time.Second), after: r.IntN(12), chance: r.Float64(), node: r.IntN(9)})
	}
}

// planNames changes what names lead to, while some nodes miss it and others take their time.
func (h *history) planNames(r *rand.Rand) {
	h.renaming, h.indexes = true, []string{"a", "b", "c"}
	h.perGroup = max(h.perGroup, 2)
	h.rf = 1 + r.IntN(2)
	for node := range h.groups * h.perGroup {
		for at := within(r, h.length); at < h.length && r.IntN(4) > 0; {
			f := fault{kind: []string{faultIdle, faultIdle, faultSlow, faultStop, faultLost, faultRefuse, faultUnheard}[r.IntN(7)], node: node, at: at, chance: []float64{0.5, 1}[r.IntN(2)]}
			f.last = 50*time.Millisecond + within(r, 3*time.Second)
			h.faults = append(h.faults, f)
			at += f.last + within(r, h.length)
		}
	}
}

// planApart lets the leader lose sight of a node, which others still read, while another pod does not hear the leader.
func (h *history) planApart(r *rand.Rand) {
	h.crowd(r)
	h.lag = time.Duration(r.IntN(2)) * 10 * time.Millisecond
	h.pods, h.writers, h.readers = 3, 3, 3
	if h.groups == 1 {
		h.perGroup, h.rf = 2, 2
	}
	for at := within(r, time.Second); at < h.length; at += time.Second + within(r, 2*time.Second) {
		last := 500*time.Millisecond + within(r, 3*time.Second)
		h.faults = append(h.faults,
			fault{kind: faultUnlink, at: at, last: last, node: 1, after: r.IntN(h.groups * h.perGroup)},
			fault{kind: faultPartition, at: at + within(r, time.Second) - 500*time.Millisecond, last: last, after: r.IntN(3)})
	}
}

// planSlowNodes lets some answers take so long that others are asked instead.
func (h *history) planSlowNodes(r *rand.Rand) {
	h.crowd(r)
	h.lag, h.readers = 12*time.Millisecond, 3
	h.groups, h.perGroup, h.rf, h.spread = 1+r.IntN(2), 3, 1+r.IntN(3), fsm.SpreadAll
	for node := range h.groups * h.perGroup {
		if r.IntN(2) == 0 {
			h.faults = append(h.faults, fault{kind: faultSlow, node: node, at: 3*time.Second + within(r, 3*time.Second), last: 8 * time.Second, chance: []float64{0.1, 0.3}[r.IntN(2)]})
		}
	}
}

// planFailingTasks lets nodes fail some of their tasks while indexes come and go and settings change: of what is several tasks on a
// node, some are done and some are not.
func (h *history) planFailingTasks(r *rand.Rand) {
	h.renaming, h.indexes = r.IntN(2) == 0, []string{"a", "b"}
	h.groups = max(h.groups, 3-h.perGroup)
	for node := range h.groups * h.perGroup {
		for at := within(r, h.length); at < h.length && r.IntN(4) > 0; {
			f := fault{kind: faultFail, node: node, at: at, chance: []float64{0.2, 0.5}[r.IntN(2)], last: 100*time.Millisecond + within(r, 5*time.Second)}
			h.faults = append(h.faults, f)
			at += f.last + within(r, h.length)
		}
	}
	if r.IntN(3) == 0 {
		h.planPodFaults(r)
	}
}

// planGrowth lets indexes outgrow their nodes while settings change, and mostly nodes miss some of that or lose their disks.
func (h *history) planGrowth(r *rand.Rand) {
	h.spread, h.threshold, h.shards = fsm.SpreadAuto, uint64(3+r.IntN(4)), max(h.shards, 2)
	h.perGroup = 2 + r.IntN(2)
	h.rf = 1 + r.IntN(h.perGroup-1)
	if r.IntN(2) == 0 {
		h.crowd(r)
	}
	switch r.IntN(5) {
	case 0: // nothing goes wrong: no answer may lack anything
	case 1:
		h.planChanges(r)
	case 2:
		h.planDestruction(r)
	default:
		h.planFaults(r)
	}
}

// planForeignWrites lets somebody write to one node past Miroir; a comparison of the copies follows.
func (h *history) planForeignWrites(r *rand.Rand) {
	h.groups = max(h.groups, 3-h.perGroup)
	if h.rf = min(h.rf+1, h.perGroup); h.groups == 1 {
		h.rf = max(h.rf, 2)
	}
	node := r.IntN(h.groups * h.perGroup)
	for range 1 + r.IntN(3) {
		h.faults = append(h.faults, fault{kind: faultForeign, node: node, at: within(r, h.length), after: r.IntN(12)})
	}
}

// planLostSettings lets nodes lose settings without a trace in their tasks.
func (h *history) planLostSettings(r *rand.Rand) {
	h.drift = 5 * time.Second
	if r.IntN(2) == 0 {
		h.planFaults(r)
	}
	for range 1 + r.IntN(4) {
		h.faults = append(h.faults, fault{kind: faultUnset, node: r.IntN(h.groups * h.perGroup), at: within(r, h.length), after: r.IntN(9)})
	}
}

// planWandering lets the address of a node lead to the server of another one for a while. As with the exchange of a disk, other copies
// are in sync, and a health check misses the node before.
func (h *history) planWandering(r *rand.Rand) {
	if r.IntN(2) == 0 {
		h.crowd(r)
	}
	h.perGroup = max(h.perGroup, 2)
	h.rf = max(h.rf, 2)
	nodes := h.groups * h.perGroup
	node := r.IntN(nodes)
	for at := within(r, h.length/2); at < h.length && r.IntN(4) > 0; {
		f := fault{kind: faultWander, node: node, at: at, last: 100*time.Millisecond + within(r, []time.Duration{2 * time.Second, 20 * time.Second}[r.IntN(2)])}
		f.after = (node + 1 + r.IntN(nodes-1)) % nodes
		h.faults = append(h.faults, f)
		at += f.last + 2*minAbsence + 5*time.Second + within(r, h.length)
	}
}
