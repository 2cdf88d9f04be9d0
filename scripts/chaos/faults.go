package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// fault is something that happens to a machine and is undone after a while.
type fault struct {
	name   string
	seen   string // how it shows in the weather
	strike func(*machine) error
}

var nodeFaults = []fault{
	{"kill-node", "node killed", func(m *machine) error { return m.kill(false) }},
	{"wipe-node", "node wiped", func(m *machine) error { return m.kill(true) }},
	{"stop-node", "node stopped", (*machine).pause},
	{"cut-node", "cut", cut},
}

var podFaults = []fault{
	{"kill-pod", "pod killed", func(m *machine) error { return m.kill(false) }},
	{"stop-pod", "pod stopped", (*machine).pause},
	{"cut-pod", "cut", cut},
}

func cut(m *machine) error { m.link.Cut(); return nil }

// random lets faults happen to nodes and, beside them, to pods, until the time is over.
func (t *trial) random(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.Duration)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() { t.haunt(ctx, 10, t.fleet.nodes, t.wanted(nodeFaults), true) })
	if len(t.fleet.pods) > 1 {
		both.Go(func() { t.haunt(ctx, 11, t.fleet.pods, t.wanted(podFaults), false) })
	}
	both.Wait()
	return nil
}

func (t *trial) wanted(faults []fault) []fault {
	if len(t.Faults) == 0 {
		return faults
	}
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !slices.Contains(t.Faults, f.name) })
}

// haunt lets one fault after another happen to one of machines. Between faults of nodes all replicas come in sync again, once
// the writes are answered that were under way: their fate says which are in sync. Two copies lost at once are more than RF 2
// promises to survive.
func (t *trial) haunt(ctx context.Context, stream uint64, machines []*machine, faults []fault, whole bool) {
	if len(faults) == 0 {
		return
	}
	rng := rand.New(rand.NewPCG(t.Seed, stream))
	for sleep(ctx, time.Second+time.Duration(rng.IntN(4000))*time.Millisecond) {
		if whole && !(t.awaitAnswers(ctx) && t.awaitWhole(ctx, "before the next fault")) {
			continue
		}
		m, f := oneOf(rng, machines), oneOf(rng, faults)
		if !whole && rng.IntN(2) == 0 {
			if leader := t.fleet.pod(t.weather.leader()); leader != nil {
				m = leader
			}
		}
		t.suffer(ctx, m, f, time.Second+time.Duration(rng.IntN(5000))*time.Millisecond)
	}
}

// awaitAnswers waits until no write is under way that began before now.
func (t *trial) awaitAnswers(ctx context.Context) bool {
	for now := time.Now(); t.ledger.isPending(now); {
		if !sleep(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

// What the report calls the time without writes after a leader's death: while nothing else was wrong, and otherwise.
const (
	resumeTime      = "until writes go on after the leader's death"
	mixedResumeTime = "the same while more was wrong"
)

// suffer lets a fault happen to a machine for a time, then undoes it.
func (t *trial) suffer(ctx context.Context, m *machine, f fault, hold time.Duration) {
	leads := f.name == "kill-pod" && m.name == t.weather.leader()
	fmt.Println(time.Now().Format("15:04:05.000"), f.name, m.name, hold, leads)
	t.report.count("fault " + f.name)
	t.weather.begin(m.name, f.seen)
	if err := f.strike(m); err != nil {
		t.report.wrong(otherwise, "%s %s: %v", f.name, m.name, err)
	}
	if leads {
		t.report.count("fault leader killed")
		t.probeWrites(ctx)
	}
	sleep(ctx, hold)
	if err := m.revive(); err != nil {
		t.report.wrong(otherwise, "revive %s: %v", m.name, err)
	}
	t.awaitBack(context.WithoutCancel(ctx), m)
	if f.name == "wipe-node" {
		t.awaitNoticed(ctx, m)
	}
	t.weather.end(m.name)
}

// awaitBack waits until a revived machine answers, a pod unmarked: before that it is not well yet.
func (t *trial) awaitBack(ctx context.Context, m *machine) {
	pod := t.fleet.pod(m.name) == m
	path := "/health"
	if pod {
		path = "/_miroir/ready"
	}
	start := time.Now()
	err := okWithin(ctx, m.URL+path, backTime)
	for c := t.client(8); pod && err == nil; sleep(ctx, 10*time.Millisecond) {
		if a := c.sendTo(ctx, m, http.MethodGet, "/indexes/"+indexes[0], ""); a.status == http.StatusOK && !a.unsure() {
			t.report.took("until a pod is back", time.Since(start))
			return
		}
		if time.Since(start) > backTime {
			err = fmt.Errorf("it has no leader after %s", backTime)
		}
	}
	if err != nil {
		t.report.wrong(otherwise, "%s is not back: %v", m.name, err)
	}
}

// backTime is how long a machine may take to come back.
const backTime = 30 * time.Second

// noticeTime is how long a lost disk may stay unnoticed.
const noticeTime = 20 * time.Second

// awaitNoticed waits until the pods say that replicas are missing: before that, all would look well.
func (t *trial) awaitNoticed(ctx context.Context, m *machine) {
	start := time.Now()
	for t.weather.isWhole() && time.Since(start) < noticeTime {
		if !sleep(ctx, 50*time.Millisecond) {
			return
		}
	}
	if t.weather.isWhole() {
		t.report.wrong(otherwise, "the lost disk of %s is not noticed within %s", m.name, noticeTime)
		return
	}
	t.report.took("until a lost disk is noticed", time.Since(start))
}

// probeWrites sends a write every 50 ms until one is acknowledged and notes how long that took.
func (t *trial) probeWrites(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second) // beyond the end of the phase
	defer cancel()
	start := time.Now()
	suffering, before := t.weather.suffering()
	var resumed sync.Once
	var probes sync.WaitGroup
	for n := uint64(0); sleep(ctx, 50*time.Millisecond); n++ {
		probes.Go(func() {
			if t.probe(n, fmt.Sprintf("probe-%d-%d", start.UnixNano(), n)) {
				resumed.Do(func() {
					what := resumeTime
					if _, ever := t.weather.suffering(); suffering > 1 || ever != before {
						what = mixedResumeTime
					}
					fmt.Println(time.Now().Format("15:04:05.000"), what, round(time.Since(start)))
					t.report.took(what, time.Since(start))
					cancel()
				})
			}
		})
	}
	probes.Wait()
	resumed.Do(func() { t.report.wrong(otherwise, "no write within 30 s after the leader's death; %s", t.weather) })
}

// probe writes one document and reports whether that was acknowledged.
func (t *trial) probe(n uint64, id string) bool {
	a := t.client(1000+n).send(context.Background(), http.MethodPost, "/indexes/whole/documents", fmt.Sprintf(`[{"id":%q,"batch":"probe","version":1}]`, id))
	task, ok := a.task()
	if !ok {
		t.ledger.uncertain("whole", []string{id}, 1)
		return false
	}
	t.ledger.acknowledged("whole", []string{id}, 1, task)
	return true
}

// leader kills the leading pod again and again, nothing else being wrong, and starts it again.
func (t *trial) leader(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(t.Seed, 12))
	for kills := 0; kills < t.Kills && sleep(ctx, time.Duration(500+rng.IntN(1500))*time.Millisecond); {
		leader := t.fleet.pod(t.weather.leader())
		if !t.awaitWhole(ctx, "before the leader's death") || leader == nil || leader.name != t.weather.leader() {
			continue
		}
		t.suffer(ctx, leader, podFaults[0], time.Duration(rng.IntN(1000))*time.Millisecond)
		kills++
	}
	return ctx.Err()
}

// wipe takes a node's disk under load: it is noticed and filled again without a command.
func (t *trial) wipe(ctx context.Context) error {
	node := t.fleet.nodes[0]
	start := time.Now()
	t.suffer(ctx, node, nodeFaults[1], time.Second)
	if t.awaitWhole(ctx, "after a wiped disk") {
		t.report.took("until a wiped node is full again", time.Since(start))
	}
	return nil
}
