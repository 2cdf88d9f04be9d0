package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// weather is which faults are going on, and what the pods say of their state.
type weather struct {
	mu     sync.Mutex
	faults map[string]string // guarded by mu: machine → fault
	whole  bool              // guarded by mu: every replica that there should be is in sync
	copies int               // guarded by mu: of each shard, over all groups
	change int               // guarded by mu: rises with every change
	ever   int               // guarded by mu: faults so far
	status status            // guarded by mu
	leads  string            // guarded by mu: who led when all pods were last seen to agree, none with a fault; "" since a fault
}

// sky is the weather at one moment.
type sky struct {
	name   string
	change int
}

// Names of the weather.
const (
	calm        = "calm"         // nothing is wrong
	nodeDead    = "node-dead"    // one node is dead, and nothing else is wrong
	nodeStopped = "node-stopped" // the same with a node that hangs
	mixed       = "mixed"        // all else
)

// status is what a pod shows at /_miroir/status.
type status struct {
	Leader   string         `json:"leader"`
	Replicas map[string]int `json:"replicas"`
	Open     int            `json:"open_intents"`
	Shards   struct {
		Total     int `json:"total"`
		Uncovered int `json:"uncovered"`
	} `json:"shards"`
}

func newWeather(copies int) *weather { return &weather{faults: map[string]string{}, copies: copies} }

func (w *weather) begin(machine, fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[machine] = fault
	w.ever++
	w.change++
}

func (w *weather) end(machine string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.faults, machine)
	w.change++
}

// suffering is how many machines do now, and how many faults there have been.
func (w *weather) suffering() (now, ever int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults), w.ever
}

// isDown reports a machine that cannot answer clients.
func (w *weather) isDown(machine string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault, ok := w.faults[machine]
	return ok && fault != "cut"
}

func (w *weather) now() sky {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := sky{name: mixed, change: w.change}
	faults := slices.Collect(maps.Values(w.faults))
	switch {
	case len(faults) == 0 && w.whole:
		s.name = calm
	case len(faults) == 1 && (faults[0] == "node killed" || faults[0] == "node wiped"):
		s.name = nodeDead
	case len(faults) == 1 && faults[0] == "node stopped":
		s.name = nodeStopped
	}
	return s
}

// until is the weather of a time that began with s and ended with end.
func (s sky) until(end sky) string {
	if s != end {
		return mixed
	}
	return s.name
}

func (w *weather) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	for machine, fault := range w.faults {
		parts = append(parts, machine+" "+fault)
	}
	slices.Sort(parts)
	return fmt.Sprintf("faults [%s], replicas %v, leader %s", strings.Join(parts, ", "), w.status.Replicas, w.status.Leader)
}

// watchWeather keeps asking the pods for their state until ctx ends.
func (t *trial) watchWeather(ctx context.Context) {
	c := t.client(1)
	c.http.Timeout = 2 * time.Second
	for sleep(ctx, 200*time.Millisecond) {
		t.lookOnce(ctx, c)
	}
}

// lookOnce asks all pods that can be asked. All is whole when they agree on it, the leader among them: one that has just
// come back may still show what was before.
func (t *trial) lookOnce(ctx context.Context, c *client) {
	w := t.weather
	whole, leads, well := true, false, true
	for _, pod := range t.fleet.pods {
		if w.suffers(pod.name) {
			well = false
			continue
		}
		a := c.sendTo(ctx, pod, http.MethodGet, "/_miroir/status", "")
		var seen status
		if a.err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &seen) != nil {
			whole = false
			continue
		}
		whole = whole && seen.isWhole(w.wanted())
		if seen.Leader == pod.name {
			leads = true
			w.note(seen)
		} else if !leads {
			w.note(seen)
		}
	}
	whole = whole && leads
	if w.usurped(well) {
		t.report.count("changes of the leader without a fault of a pod")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.whole != whole {
		w.whole = whole
		w.change++
	}
}

// usurped reports that another pod leads than did when it was last asked, although no pod has had a fault since.
func (w *weather) usurped(well bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.leads
	switch {
	case !well:
		w.leads = ""
	case w.status.Leader != "":
		w.leads = w.status.Leader
	}
	return well && before != "" && w.leads != before
}

// isWhole reports that there are as many copies as there should be, all in sync.
func (s *status) isWhole(copies int) bool {
	return s.Replicas["active"] >= s.Shards.Total*copies && s.Replicas["stale"]+s.Replicas["joining"]+s.Replicas["leaving"] == 0 &&
		s.Shards.Uncovered == 0 && s.Leader != ""
}

func (w *weather) note(seen status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = seen
}

// suffers reports that a fault of a machine goes on.
func (w *weather) suffers(machine string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults[machine] != ""
}

// awaitWhole waits until every replica is in sync, and reports when that takes longer than HealTime.
func (t *trial) awaitWhole(ctx context.Context, when string) bool {
	c := t.client(2)
	c.http.Timeout = 2 * time.Second
	for start := time.Now(); time.Since(start) < t.HealTime && ctx.Err() == nil; sleep(ctx, 100*time.Millisecond) {
		if t.lookOnce(ctx, c); t.weather.isWhole() {
			t.report.took("until in sync again", time.Since(start))
			return true
		}
	}
	if ctx.Err() == nil {
		t.report.wrong(otherwise, "not in sync again within %s %s: %s", t.HealTime, when, t.weather)
	}
	return false
}

// want says how many copies of each shard there should be from now on.
func (w *weather) want(copies int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.copies = copies
}

func (w *weather) wanted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.copies
}

func (w *weather) isWhole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.whole
}

func (w *weather) leader() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status.Leader
}
