package node

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// meter counts the requests to one node. nil counts nothing.
type meter struct {
	set    *metrics.Set
	id     fsm.NodeID
	series sync.Map // name with labels → *metrics.PrometheusHistogram or *metrics.Counter
}

// requestTimes are the bounds of the histogram, in seconds.
var requestTimes = metrics.ExponentialBuckets(0.001, 2, 16)

func (m *meter) took(r Request, took time.Duration) {
	if m == nil {
		return
	}
	operation := operationOf(r)
	known, ok := m.series.Load(operation)
	if !ok {
		name := fmt.Sprintf("miroir_node_request_duration_seconds{node_id=%q,operation=%q}", m.id, operation)
		known, _ = m.series.LoadOrStore(operation, m.set.GetOrCreatePrometheusHistogramExt(name, requestTimes))
	}
	known.(*metrics.PrometheusHistogram).Update(took.Seconds())
}

// failed counts an error by its type: an Outcome, "server_error" for an answer of the class 500, or "garbage".
func (m *meter) failed(kind string) {
	if m == nil {
		return
	}
	m.set.GetOrCreateCounter(m.errors(kind)).Inc()
	m.series.Store("error "+kind, kind)
}

func (m *meter) errors(kind string) string {
	return fmt.Sprintf("miroir_node_errors_total{node_id=%q,error_type=%q}", m.id, strings.ReplaceAll(kind, " ", "_"))
}

// close takes the node's series back.
func (m *meter) close() {
	if m == nil {
		return
	}
	m.series.Range(func(key, value any) bool {
		if kind, isError := value.(string); isError {
			m.set.UnregisterMetric(m.errors(kind))
		} else {
			m.set.UnregisterMetric(fmt.Sprintf("miroir_node_request_duration_seconds{node_id=%q,operation=%q}", m.id, key))
		}
		return true
	})
}

// operationOf is what a request is for: one of a few words, whatever it names.
func operationOf(r Request) string {
	path, _, _ := strings.Cut(r.Path, "?")
	switch rest := strings.SplitN(strings.Trim(path, "/"), "/", 4); {
	case rest[0] == "multi-search":
		return "multi_search"
	case rest[0] == "indexes" && len(rest) > 2:
		switch rest[2] {
		case "search", "similar", "settings", "stats", "compact":
			return rest[2]
		case "facet-search":
			return "facet_search"
		case "documents":
			if r.Method == http.MethodGet || len(rest) == 4 && rest[3] == "fetch" {
				return "documents_read"
			}
			return "documents_write"
		}
	case rest[0] == "indexes", rest[0] == "tasks", rest[0] == "batches", rest[0] == "stats", rest[0] == "health", rest[0] == "keys":
		return rest[0]
	}
	return "other"
}
