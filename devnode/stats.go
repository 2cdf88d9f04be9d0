package devnode

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"miroir/meili"
)

// pageBytes is the unit a real server's disk usage grows by.
const pageBytes = 4096

// storedBytes is what the documents of an index would occupy, in whole pages.
func (ix *index) storedBytes() int64 {
	return (ix.DocumentBytes() + pageBytes - 1) / pageBytes * pageBytes
}

// statsView are the statistics of an index.
func (s *store) statsView(uid string, ix *index, human bool) object {
	numDocuments, stored := ix.NumDocuments(), ix.storedBytes()
	average := int64(0)
	if numDocuments > 0 {
		average = max(0, stored-8*int64(numDocuments)) / int64(numDocuments)
	}
	numVectors, numEmbedded := ix.Embeddings()
	return object{
		{"numberOfDocuments", numDocuments},
		{"rawDocumentDbSize", size(stored, human)},
		{"avgDocumentSize", size(average, human)},
		{"isIndexing", s.isIndexing(uid)},
		{"numberOfEmbeddings", numVectors},
		{"numberOfEmbeddedDocuments", numEmbedded},
		{"fieldDistribution", ix.FieldDistribution()},
	}
}

// isIndexing tells whether a task of the index is being processed.
func (s *store) isIndexing(uid string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.batches) == 0 {
		return false
	}
	last := s.batches[len(s.batches)-1]
	return last.finishedAt == nil && last.index == uid
}

// size is a number of bytes, or its text for humans.
func size(n int64, human bool) any {
	if human {
		return humanBytes(n)
	}
	return n
}

// humanBytes prints a size in binary units with up to two decimals.
func humanBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", value), "0"), ".")
	return text + " " + units[unit]
}

func indexStats(q *request) (answer, *meili.Error) {
	params, err := meili.DecodeStatsParams(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	ix, err := q.index()
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, q.store.statsView(q.param("uid"), ix, params.Human)), nil
}

// allStats answers with the statistics of the indexes that the key covers. Sizes are those of all indexes.
func allStats(q *request) (answer, *meili.Error) {
	params, err := meili.DecodeStatsParams(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	total := int64(pageBytes)
	var lastUpdate *time.Time
	views := object{}
	for _, uid := range q.store.indexUIDs(func(string) bool { return true }) {
		ix, err := q.store.index(uid)
		if err != nil {
			continue
		}
		total += ix.storedBytes()
		if !q.authorized(uid) {
			continue
		}
		views = append(views, member{uid, q.store.statsView(uid, ix, params.Human)})
		if updated := q.store.updatedAt(ix); lastUpdate == nil || updated.After(*lastUpdate) {
			lastUpdate = &updated
		}
	}
	view := object{{"databaseSize", size(total, params.Human)}, {"usedDatabaseSize", size(total, params.Human)}, {"lastUpdate", nil}}
	if lastUpdate != nil {
		view = view.set("lastUpdate", meili.FormatTime(*lastUpdate))
	}
	return respond(http.StatusOK, append(view, member{"indexes", views})), nil
}

func (s *store) updatedAt(ix *index) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return ix.updatedAt
}

// writeMetrics prints the numbers that dashboards ask for first, as Prometheus reads them.
func (s *store) writeMetrics(out *strings.Builder) {
	uids := s.indexUIDs(func(string) bool { return true })
	fmt.Fprintf(out, "# TYPE meilisearch_index_count gauge\nmeilisearch_index_count %d\n", len(uids))
	fmt.Fprint(out, "# TYPE meilisearch_index_docs_count gauge\n")
	for _, uid := range uids {
		if ix, err := s.index(uid); err == nil {
			fmt.Fprintf(out, "meilisearch_index_docs_count{index=%q} %d\n", uid, ix.NumDocuments())
		}
	}
	counts := map[string]int{}
	s.mu.RLock()
	for _, t := range s.tasks {
		counts[string(t.status)]++
	}
	s.mu.RUnlock()
	fmt.Fprint(out, "# TYPE meilisearch_nb_tasks gauge\n")
	for _, status := range sortedNames(counts) {
		fmt.Fprintf(out, "meilisearch_nb_tasks{kind=\"statuses\",value=%q} %d\n", status, counts[status])
	}
}
