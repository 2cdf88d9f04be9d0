package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// report is what was seen. Safe for concurrent use.
type report struct {
	mu       sync.Mutex
	seed     uint64
	counts   map[string]int
	problems []string
	latency  map[string][]time.Duration // of searches, by weather
	times    map[string][]time.Duration
	failed   map[string][]string // searches without a full answer, by weather
}

func newReport(seed uint64) *report {
	return &report{seed: seed, counts: map[string]int{}, latency: map[string][]time.Duration{}, times: map[string][]time.Duration{}, failed: map[string][]string{}}
}

func (r *report) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
}

// wrong notes something that must not happen.
func (r *report) wrong(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := time.Now().Format("15:04:05.000 ") + fmt.Sprintf(format, args...)
	r.problems = append(r.problems, text)
	if len(r.problems) <= maxShown {
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
	r.counts["searches"]++
	r.latency[weather] = append(r.latency[weather], took)
	switch {
	case a.err != nil || a.status != http.StatusOK || a.incomplete():
		r.counts["searches without a full answer: "+a.reason()]++
		r.failed[weather] = append(r.failed[weather], time.Now().Format("15:04:05.000 ")+a.String())
	case a.unsure():
		r.counts["searches by a pod without a leader"]++
	}
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
	maxSlowdown = 3               // p99 with one node dead over p99 in calm weather
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
	for _, what := range slices.Sorted(maps.Keys(r.times)) {
		list := r.times[what]
		fmt.Printf("%8d  %s: median %s, longest %s\n", len(list), what, round(percentile(list, 0.5)), round(percentile(list, 1)))
	}
	for _, weather := range slices.Sorted(maps.Keys(r.latency)) {
		list := r.latency[weather]
		fmt.Printf("%8d  searches, %s: p50 %s, p99 %s, longest %s, without a full answer %d\n", len(list), weather,
			round(percentile(list, 0.5)), round(percentile(list, 0.99)), round(percentile(list, 1)), len(r.failed[weather]))
		for _, text := range r.failed[weather][:min(5, len(r.failed[weather]))] {
			fmt.Println("            ", text)
		}
	}
	return errors.Join(r.broken()...)
}

func (r *report) broken() []error {
	var broken []error
	if n := len(r.problems); n > 0 {
		broken = append(broken, fmt.Errorf("%d things went wrong", n))
	}
	for _, weather := range []string{"calm", "node-dead"} {
		if n := len(r.failed[weather]); n > 0 {
			broken = append(broken, fmt.Errorf("%d searches got no full answer while the weather was %s", n, weather))
		}
	}
	calm, dead := r.latency["calm"], r.latency["node-dead"]
	if slow := percentile(dead, 0.99); len(calm) >= minSearches && len(dead) >= minSearches && slow > maxSlowdown*percentile(calm, 0.99) {
		broken = append(broken, fmt.Errorf("p99 is %s with a node dead and %s without", round(slow), round(percentile(calm, 0.99))))
	}
	if slow := percentile(r.times[resumeTime], 1); slow > maxResume {
		broken = append(broken, fmt.Errorf("writes went on %s after the leader's death", round(slow)))
	}
	return broken
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
