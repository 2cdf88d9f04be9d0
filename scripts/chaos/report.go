package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// report is what was seen. Safe for concurrent use.
type report struct {
	mu       sync.Mutex
	seed     uint64
	phase    string
	counts   map[string]int
	problems map[problem][]string
	times    map[string][]time.Duration
	searches map[stretch]*searches
}

// problem is a kind of thing that must not happen.
type problem string

const (
	lostWrites   problem = "lost writes"
	wrongAnswers problem = "wrong answers"
	otherwise    problem = "other things that went wrong"
)

// stretch is a part of a run: the weather of a phase.
type stretch struct{ phase, weather string }

// searches are those of one stretch.
type searches struct {
	latency      []time.Duration
	failed       int // no answer, or an error
	degraded     int // shards are missing
	leaderless   int // full, from a pod without a leader
	shortcomings []string
}

func newReport(seed uint64) *report {
	return &report{seed: seed, counts: map[string]int{}, problems: map[problem][]string{}, times: map[string][]time.Duration{}, searches: map[stretch]*searches{}}
}

// enter begins a phase.
func (r *report) enter(phase string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = phase
}

func (r *report) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// wrong notes something that must not happen.
func (r *report) wrong(kind problem, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := time.Now().Format("15:04:05.000 ") + fmt.Sprintf(format, args...)
	r.problems[kind] = append(r.problems[kind], text)
	if len(r.problems[kind]) <= maxShown {
		fmt.Println("WRONG", text)
	}
}

// maxShown bounds what is printed of one kind.
const maxShown = 20

func (r *report) took(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times[what] = append(r.times[what], d)
}

// search notes one search's time and whether it got a full answer. A pod that was killed is no failure of the others.
func (r *report) search(weather string, took time.Duration, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := stretch{r.phase, weather}
	if r.searches[at] == nil {
		r.searches[at] = &searches{}
	}
	s := r.searches[at]
	s.latency = append(s.latency, took)
	switch {
	case a.err != nil || a.status != http.StatusOK:
		s.failed++
	case a.incomplete():
		s.degraded++
	case a.unsure():
		s.leaderless++
		return
	default:
		return
	}
	s.shortcomings = append(s.shortcomings, time.Now().Format("15:04:05.000 ")+a.String())
}

func percentile(list []time.Duration, p float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(p*float64(len(sorted)-1))]
}

// The promises that a run is held to.
const (
	maxResume   = 3 * time.Second // from the leader's death to the next acknowledged write
	maxSlowdown = 3               // p99 with one node dead or hanging over p99 in calm weather
	minSearches = 200             // of a weather, for its p99 to mean something
)

// verdict prints everything and is an error when a promise was broken.
func (r *report) verdict() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Printf("\nseed %d\n", r.seed)
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Printf("%8d  %s\n", r.counts[what], what)
	}
	for _, kind := range []problem{lostWrites, wrongAnswers, otherwise} {
		fmt.Printf("%8d  %s\n", len(r.problems[kind]), kind)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\ttimes\tmedian\tlongest\t")
	for _, what := range slices.Sorted(maps.Keys(r.times)) {
		list := r.times[what]
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t\n", what, len(list), round(percentile(list, 0.5)), round(percentile(list, 1)))
	}
	_ = table.Flush() // to a terminal
	fmt.Fprintln(table, "phase\tweather\tsearches\tfailed\tdegraded\tno leader\tp50\tp99\tlongest\t")
	at := slices.SortedFunc(maps.Keys(r.searches), func(a, b stretch) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.weather, b.weather))
	})
	for _, at := range at {
		s := r.searches[at]
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", at.phase, at.weather, len(s.latency), s.failed, s.degraded, s.leaderless,
			round(percentile(s.latency, 0.5)), round(percentile(s.latency, 0.99)), round(percentile(s.latency, 1)))
	}
	_ = table.Flush()
	for _, at := range at {
		list := r.searches[at].shortcomings
		for _, text := range list[:min(maxShown/2, len(list))] {
			fmt.Println(at.phase, at.weather, text)
		}
	}
	return errors.Join(r.broken()...)
}

func (r *report) broken() []error {
	var broken []error
	for kind, list := range r.problems {
		broken = append(broken, fmt.Errorf("%d %s", len(list), kind))
	}
	latency := map[string][]time.Duration{}
	for at, s := range r.searches {
		latency[at.weather] = append(latency[at.weather], s.latency...)
		if n := s.failed + s.degraded; n > 0 && at.weather != mixed {
			broken = append(broken, fmt.Errorf("%d searches got no full answer in phase %s while the weather was %s", n, at.phase, at.weather))
		}
	}
	usual := percentile(latency[calm], 0.99)
	for _, weather := range []string{nodeDead, nodeStopped} {
		slow := percentile(latency[weather], 0.99)
		if len(latency[calm]) >= minSearches && len(latency[weather]) >= minSearches && slow > maxSlowdown*usual {
			broken = append(broken, fmt.Errorf("p99 is %s while the weather is %s, and %s when it is calm", round(slow), weather, round(usual)))
		}
	}
	if slow := percentile(r.times[resumeTime], 1); slow > maxResume {
		broken = append(broken, fmt.Errorf("writes went on %s after the leader's death", round(slow)))
	}
	return broken
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
