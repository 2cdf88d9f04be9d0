package sim

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	numHistories = flag.Int("histories", histories(), "how many histories to run; MIROIR_HISTORIES is its default")
	firstSeed    = flag.Uint64("seed", 1, "the first seed")
	showLogs     = flag.Bool("logs", false, "show what pods log in the trace of a failed history")
	numPods      = flag.Int("pods", 0, "how many pods; 0: three for each third seed, one for the others")
	onlyPlan     = flag.String("plan", "", "make histories of this plan only; empty: of all")
	maxRed       = flag.Int("red", 3, "stop after so many failed histories")
)

// histories is the default of -histories.
func histories() int {
	if n, err := strconv.Atoi(os.Getenv("MIROIR_HISTORIES")); err == nil {
		return n
	}
	return 60
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // histories are small and short-lived
	os.Exit(m.Run())
}

// TestHistories runs histories, as many at a time as there are processors. A seed that fails is run again alone with
// go test ./sim -run TestHistories -histories 1 -seed N -logs. Interleavings vary, and what Raft and maps draw at random: with
// GODEBUG=randautoseed=0,asyncpreemptoff=1 and GOMAXPROCS=1 a seed takes the same course most times.
func TestHistories(t *testing.T) {
	began := time.Now()
	var (
		mu    sync.Mutex
		total tally
		next  = *firstSeed
		runs  sync.WaitGroup
	)
	take := func() (seed uint64, more bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == *firstSeed+uint64(*numHistories) || total.red >= *maxRed {
			return 0, false
		}
		next++
		return next - 1, true
	}
	count := func(w *world) {
		mu.Lock()
		defer mu.Unlock()
		total.add(w)
		if len(w.problems) > 0 {
			t.Errorf("%s", w.report())
		}
		if total.histories%500 == 0 {
			t.Logf("%v in %v", total, time.Since(began).Round(time.Millisecond))
		}
	}
	for range runtime.GOMAXPROCS(0) {
		runs.Go(func() {
			for seed, more := take(); more; seed, more = take() {
				count(simulate(t, seed))
			}
		})
	}
	runs.Wait()
	t.Logf("%v in %v", total, time.Since(began).Round(time.Millisecond))
}

// simulate runs one history in a bubble of its own.
func simulate(t *testing.T, seed uint64) (w *world) {
	var log slog.Handler
	if *showLogs {
		log = slog.NewTextHandler(os.Stderr, nil)
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		if w, err = newWorld(newHistory(seed), log); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w.run()
		if err := w.close(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	return w
}

// report is what a failed history shows: the seed, the cluster, what was wrong and everything before it.
func (w *world) report() string {
	h := w.history
	slices.Sort(w.problems)
	return fmt.Sprintf("seed %d: %s, pods %d, groups %d × nodes %d, RF %d, shards %d, spread %d, clocks %v %v\n%s\n\n%s", h.seed, h.plan, h.pods, h.groups, h.perGroup, h.rf, h.shards, h.spread, h.podClocks, h.nodeClocks,
		strings.Join(w.problems, "\n"), strings.Join(w.trace, "\n"))
}

// tally sums up histories.
type tally struct {
	histories, red, acknowledged, unknown, reads, degraded, refused, changes int
	counts                                                                   map[string]int
}

func (s *tally) add(w *world) {
	s.histories++
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts["plan "+w.history.plan]++
	if w.history.podClocks != nil {
		s.counts["clocks differ"]++
	}
	for what, n := range w.counts {
		s.counts[what] += n
	}
	s.changes += w.changed
	if len(w.problems) > 0 {
		s.red++
	}
	for _, done := range w.writes {
		if done.uid >= 0 {
			s.acknowledged++
		} else {
			s.unknown++
		}
	}
	for _, seen := range w.reads {
		s.reads++
		if seen.degraded != "" {
			s.degraded++
		}
		if seen.status >= 500 {
			s.refused++
		}
	}
}

func (s tally) String() string {
	counts := ""
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		counts += fmt.Sprintf(" %s %d,", what, s.counts[what])
	}
	return fmt.Sprintf("%d histories, %d of them red; %d writes acknowledged, %d not; %d reads, %d marked as degraded, %d refused; %d topology operations;%s",
		s.histories, s.red, s.acknowledged, s.unknown, s.reads, s.degraded, s.refused, s.changes, strings.TrimSuffix(counts, ","))
}
