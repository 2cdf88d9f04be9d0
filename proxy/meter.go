package proxy

import (
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// readMeter counts what reads ask of nodes.
type readMeter struct {
	fanOut, merging  *metrics.PrometheusHistogram
	partial, retries *metrics.Counter
}

func newReadMeter(set *metrics.Set) readMeter {
	return readMeter{
		fanOut:  set.GetOrCreatePrometheusHistogramExt("miroir_scatter_fan_out_size", metrics.ExponentialBuckets(1, 2, 10)),
		merging: set.GetOrCreatePrometheusHistogramExt("miroir_merge_duration_seconds", metrics.ExponentialBuckets(0.0001, 4, 10)),
		partial: set.GetOrCreateCounter("miroir_scatter_partial_responses_total"),
		retries: set.GetOrCreateCounter("miroir_scatter_retries_total"),
	}
}

func (m *readMeter) merged(since time.Time) { m.merging.Update(time.Since(since).Seconds()) }
