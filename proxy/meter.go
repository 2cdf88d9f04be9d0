package proxy

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/meili"
)

// readMeter counts what reads ask of nodes.
type readMeter struct {
	fanOut, planned, merging, queries         *metrics.PrometheusHistogram
	partial, retries, secondRounds            *metrics.Counter
	narrowed, unnarrowed, batches, lostShards *metrics.Counter
}

// sizes are the bounds of histograms of counts.
var sizes = metrics.ExponentialBuckets(1, 2, 10)

func newReadMeter(set *metrics.Set) readMeter {
	m := readMeter{
		fanOut:       set.GetOrCreatePrometheusHistogramExt("miroir_scatter_fan_out_size", sizes),
		planned:      set.GetOrCreatePrometheusHistogramExt("miroir_query_plan_fanout_size", sizes),
		merging:      set.GetOrCreatePrometheusHistogramExt("miroir_merge_duration_seconds", metrics.ExponentialBuckets(0.0001, 4, 10)),
		queries:      set.GetOrCreatePrometheusHistogramExt("miroir_multisearch_queries_per_batch", sizes),
		partial:      set.GetOrCreateCounter("miroir_scatter_partial_responses_total"),
		retries:      set.GetOrCreateCounter("miroir_scatter_retries_total"),
		secondRounds: set.GetOrCreateCounter("miroir_facet_second_rounds_total"),
		narrowed:     set.GetOrCreateCounter(`miroir_query_plan_narrowable_total{narrowed="yes"}`),
		unnarrowed:   set.GetOrCreateCounter(`miroir_query_plan_narrowable_total{narrowed="no"}`),
		batches:      set.GetOrCreateCounter("miroir_multisearch_batches_total"),
		lostShards:   set.GetOrCreateCounter("miroir_multisearch_partial_failures_total"),
	}
	set.GetOrCreateGauge("miroir_query_plan_narrowing_ratio", func() float64 {
		narrowed := float64(m.narrowed.Get())
		return narrowed / max(1, narrowed+float64(m.unnarrowed.Get()))
	})
	return m
}

func (m *readMeter) merged(since time.Time) { m.merging.Update(time.Since(since).Seconds()) }

// noteNarrowing counts a plan that was asked for.
func (m *readMeter) noteNarrowing(narrowed bool) {
	if narrowed {
		m.narrowed.Inc()
	} else {
		m.unnarrowed.Inc()
	}
}

// writeMeter counts writes and the time they spend on what.
type writeMeter struct {
	check, intent, fanout, result    *metrics.PrometheusHistogram
	ok, degraded, noQuorum, rejected *metrics.Counter
}

func newWriteMeter(set *metrics.Set) writeMeter {
	phase := func(name string) *metrics.PrometheusHistogram {
		return set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("miroir_write_phase_seconds{phase=%q}", name), metrics.ExponentialBuckets(0.0005, 2, 18))
	}
	count := func(result string) *metrics.Counter {
		return set.GetOrCreateCounter(fmt.Sprintf("miroir_writes_total{result=%q}", result))
	}
	return writeMeter{
		check: phase("check"), intent: phase("intent"), fanout: phase("fanout"), result: phase("result"),
		ok: count("ok"), degraded: count("degraded"), noQuorum: count("no_quorum"), rejected: count("rejected"),
	}
}

// ended counts a write by what its client is told.
func (m *writeMeter) ended(w *write, err error) {
	known, refused := err.(*meili.Error)
	switch {
	case refused && known.Code == codeNoQuorum:
		m.noQuorum.Inc()
	case err != nil:
		m.rejected.Inc()
	case w.degraded() != "":
		m.degraded.Inc()
	default:
		m.ok.Inc()
	}
}
