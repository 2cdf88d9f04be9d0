package proxy

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// handleClientMetrics answers Meilisearch's Prometheus metrics for the whole cluster, then the pod's own.
func (s *Server) handleClientMetrics(w http.ResponseWriter, r *request) error {
	route := gated{"Getting metrics", "metrics", func(f meili.Features) bool { return f.Metrics }, ""}
	if err := route.check(r.View); err != nil {
		return err
	}
	if !r.Grant.AllIndexes() {
		return meili.Errorf(meili.CodeInvalidAPIKey, "The provided API key is invalid. The API key for the `/metrics` route must allow access to all indexes.")
	}
	var text bytes.Buffer
	if err := s.writeClusterMetrics(&text, r); err != nil {
		return err
	}
	var own bytes.Buffer
	s.opts.Metrics.WritePrometheus(&own)
	writeRequestMetrics(&text, own.String())
	text.Write(own.Bytes())
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write(text.Bytes()) // the only error left is that the client has gone
	return nil
}

// gauge writes one metric with its header. rows are label text without braces, "" for none, and value.
func gauge(w *bytes.Buffer, name, help string, rows map[string]int64) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	for _, labels := range slices.Sorted(maps.Keys(rows)) {
		if labels == "" {
			fmt.Fprintf(w, "%s %d\n", name, rows[labels])
			continue
		}
		fmt.Fprintf(w, "%s{%s} %d\n", name, labels, rows[labels])
	}
}

func one(value int64) map[string]int64 { return map[string]int64{"": value} }

// writeClusterMetrics writes what Meilisearch tells of its indexes and tasks.
func (s *Server) writeClusterMetrics(w *bytes.Buffer, r *request) error {
	reports, err := askNodes[nodeStats](r.Context(), s, r.View, slices.Sorted(maps.Keys(r.View.Nodes)), node.Request{Method: "GET", Path: "/stats"})
	if err != nil && len(r.View.Nodes) > 0 {
		return err
	}
	var size, used int64
	for _, report := range reports {
		size += report.DatabaseSize
		used += report.UsedDatabaseSize
	}
	documents := map[string]int64{}
	for uid := range r.View.Names {
		if ix := r.View.Index(uid); ix != nil {
			stats, _, err := s.statsOf(r.Context(), r.View, ix, indexReports(reports, ix))
			if err == nil {
				documents[fmt.Sprintf("index=%q", uid)] = stats.NumberOfDocuments
			}
		}
	}
	tasks, processing, err := s.countTasks(r.View)
	if err != nil {
		return err
	}
	gauge(w, "meilisearch_db_size_bytes", "Meilisearch DB Size In Bytes", one(size))
	gauge(w, "meilisearch_used_db_size_bytes", "Meilisearch Used DB Size In Bytes", one(used))
	gauge(w, "meilisearch_index_count", "Meilisearch Index Count", one(int64(len(r.View.Names))))
	gauge(w, "meilisearch_index_docs_count", "Meilisearch Index Docs Count", documents)
	gauge(w, "meilisearch_nb_tasks", "Meilisearch Number of tasks", tasks)
	gauge(w, "meilisearch_is_indexing", "Meilisearch Is Indexing", one(int64(min(processing, 1))))
	if !r.View.LastUpdate.IsZero() {
		gauge(w, "meilisearch_last_update", "Meilisearch Last Update", one(r.View.LastUpdate.Unix()))
	}
	return nil
}

// countTasks counts all tasks by status, type and index, and those being processed.
func (s *Server) countTasks(v *fsm.View) (counts map[string]int64, processing int, err error) {
	counts = map[string]int64{}
	count := func(kind, value string, filter fsm.TaskFilter) int {
		found, failed := s.cluster.Tasks().Tasks(filter, fsm.TaskPage{Limit: 1})
		if failed != nil {
			err = failed
			return 0
		}
		counts[fmt.Sprintf("kind=%q,value=%q", kind, value)] = int64(found.Total)
		return found.Total
	}
	for _, status := range meili.TaskStatuses {
		n := count("statuses", string(status), fsm.TaskFilter{Statuses: []string{string(status)}})
		if status == meili.TaskProcessing {
			processing = n
		}
	}
	for _, kind := range meili.TaskKinds {
		count("types", string(kind), fsm.TaskFilter{Kinds: []string{string(kind)}})
	}
	for uid := range v.Names {
		count("indexes", uid, fsm.TaskFilter{IndexUIDs: []string{uid}})
	}
	return counts, processing, err
}

// writeRequestMetrics shows the pod's count of requests under Meilisearch's name and labels too.
func writeRequestMetrics(w *bytes.Buffer, own string) {
	w.WriteString("# HELP meilisearch_http_requests_total Meilisearch HTTP requests total\n# TYPE meilisearch_http_requests_total counter\n")
	names := strings.NewReplacer("path_template=", "path=", ":uid", "{index_uid}", ":id\"", "{document_id}\"", ":task", "{task_id}",
		":batch", "{batch_id}", ":key", "{key}", ":workspace", "{workspace_uid}", ":uuid", "{uuid}", ":rule", "{uid}")
	for line := range strings.Lines(own) {
		if row, ok := strings.CutPrefix(line, "miroir_requests_total{"); ok {
			w.WriteString("meilisearch_http_requests_total{" + names.Replace(row))
		}
	}
}
