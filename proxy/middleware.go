package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/uuid"
)

// requestInfo collects what a request's log line and metrics say. One goroutine writes it: the one that serves.
type requestInfo struct {
	id       string
	template string
	index    string
	code     string
	err      error
}

type requestInfoKey struct{}

// requestLog returns the info that the middleware put into ctx, or nil.
func requestLog(ctx context.Context) *requestInfo {
	info, _ := ctx.Value(requestInfoKey{}).(*requestInfo)
	return info
}

// statusWriter remembers the status and forwards Flush.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	exposeDegraded(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
		exposeDegraded(w.Header())
	}
	return w.ResponseWriter.Write(p)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// middleware wraps the router, outermost first: 1. request id, log line and metrics; 2. the target's
// characters; 3. CORS; 4. the bound on concurrent requests; 5. the pace of the client; 6. compression of the answer; 7. limit and
// decompression of the body; 8. slashes too many.
func (s *Server) middleware(next http.Handler) http.Handler {
	inner := paced(s.opts.RequestTimeout, compress(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = normalPath(routedPath(r.URL))
		r.Body = http.MaxBytesReader(w, decodeBody(r), s.opts.MaxBodyBytes)
		next.ServeHTTP(w, r)
	})))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &requestInfo{id: requestID(r), template: "unmatched"}
		status := &statusWriter{ResponseWriter: w}
		status.Header().Set("X-Request-Id", info.id)
		r = r.WithContext(context.WithValue(r.Context(), requestInfoKey{}, info))
		switch {
		case !targetAllowed(r.RequestURI):
			status.WriteHeader(http.StatusBadRequest)
		case !answerCORS(status, r):
			s.limited(status, r, inner)
		}
		s.observe(r, info, status.status, time.Since(start))
	})
}

func (s *Server) limited(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.URL.Path == "/health" || r.URL.Path == "/_miroir/ready" { // whether a pod is alive must not depend on its load
		next.ServeHTTP(w, r)
		return
	}
	if !s.limit.acquire(r.Context()) {
		writeError(w, miroirError(codeOverloaded,
			"%d requests are running and up to %d wait already (server.max_concurrent_requests, server.max_queued_requests). Retry later.",
			s.opts.MaxRequests, s.opts.MaxQueued))
		return
	}
	defer s.limit.release()
	next.ServeHTTP(w, r)
}

// observe writes the request's metrics and its log line; failures of ours are logged as errors with their cause.
func (s *Server) observe(r *http.Request, info *requestInfo, status int, took time.Duration) {
	series := s.seriesOf(served{knownMethod(r.Method), info.template, status})
	series.requests.Inc()
	series.duration.Update(took.Seconds())
	failed, slow := status >= 500 && info.err != nil, s.isSlow(info, took)
	if !failed && !slow && !s.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	attributes := []any{"request_id", info.id, "method", r.Method, "path_template", info.template, "status", status,
		"duration_ms", float64(took.Microseconds()) / 1000}
	if info.index != "" {
		attributes = append(attributes, "index", info.index)
	}
	if info.code != "" {
		attributes = append(attributes, "error_code", info.code)
	}
	switch {
	case failed:
		s.log.Error("request failed", append(attributes, "error", info.err)...)
	case slow:
		s.log.Warn("slow search", attributes...)
	default:
		s.log.Debug("request", attributes...)
	}
}

func (s *Server) isSlow(info *requestInfo, took time.Duration) bool {
	return s.opts.SlowQuery > 0 && took > s.opts.SlowQuery && strings.HasSuffix(info.template, "search")
}

// knownMethod keeps clients from making metrics by inventing methods.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// served is what requests are counted by.
type served struct {
	method, template string
	status           int
}

// servedSeries are the metrics of one kind of request.
type servedSeries struct {
	requests *metrics.Counter
	duration *metrics.PrometheusHistogram
}

// seriesOf remembers the metrics of each kind of request: their names take longer to write than to look up.
func (s *Server) seriesOf(kind served) *servedSeries {
	if known, ok := s.series.Load(kind); ok {
		return known.(*servedSeries)
	}
	labels := fmt.Sprintf(`{method=%q,path_template=%q,status="%d"}`, kind.method, kind.template, kind.status)
	made := &servedSeries{
		s.opts.Metrics.GetOrCreateCounter("miroir_requests_total" + labels),
		s.opts.Metrics.GetOrCreatePrometheusHistogramExt("miroir_request_duration_seconds"+labels, metrics.ExponentialBuckets(0.001, 2, 16)),
	}
	s.series.Store(kind, made)
	return made
}

// requestID keeps the caller's id when it is short and harmless, else makes a new one.
func requestID(r *http.Request) string {
	given := r.Header.Get("X-Request-Id")
	safe := func(c rune) bool {
		return c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	if given != "" && len(given) <= 64 && strings.IndexFunc(given, func(c rune) bool { return !safe(c) }) < 0 {
		return given
	}
	return uuid.Must(uuid.NewV7()).String()
}
