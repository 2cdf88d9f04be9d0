package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// indexStats are the statistics of one index, as a node reports them and as clients see them.
type indexStats struct {
	NumberOfDocuments         int64            `json:"numberOfDocuments"`
	RawDocumentDBSize         int64            `json:"rawDocumentDbSize"`
	AvgDocumentSize           int64            `json:"avgDocumentSize"`
	IsIndexing                bool             `json:"isIndexing"`
	InternalDatabaseSizes     map[string]int64 `json:"internalDatabaseSizes,omitempty"`
	NumberOfEmbeddings        *int64           `json:"numberOfEmbeddings,omitempty"`
	NumberOfEmbeddedDocuments *int64           `json:"numberOfEmbeddedDocuments,omitempty"`
	FieldDistribution         map[string]int64 `json:"fieldDistribution"`
}

// nodeStats is a node's answer to GET /stats.
type nodeStats struct {
	DatabaseSize     int64                 `json:"databaseSize"`
	UsedDatabaseSize int64                 `json:"usedDatabaseSize"`
	Indexes          map[string]indexStats `json:"indexes"`
}

// handleIndexStats answers GET /indexes/{uid}/stats.
func (s *Server) handleIndexStats(w http.ResponseWriter, r *request) error {
	query, refused := meili.DecodeStatsParams(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	path := "/indexes/" + ix.NodeUID + "/stats" + internalSizes(query)
	reports, err := askNodes[indexStats](r.Context(), s, r.View, ix.Nodes(), node.Request{Method: "GET", Path: path})
	if err != nil {
		return err
	}
	stats, missing, err := s.statsOf(r.Context(), r.View, ix, reports)
	if err != nil {
		return shownError(err, ix)
	}
	markMissing(w.Header(), "", missing)
	writeJSON(w, http.StatusOK, stats.view(query.Human))
	return nil
}

func internalSizes(query *meili.StatsQuery) string {
	if query.ShowInternalDatabaseSizes {
		return "?showInternalDatabaseSizes=true"
	}
	return ""
}

// handleStats answers GET /stats with one request per node. Sizes are those of all nodes together.
func (s *Server) handleStats(w http.ResponseWriter, r *request) error {
	query, refused := meili.DecodeStatsParams(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	reports, err := askNodes[nodeStats](r.Context(), s, r.View, slices.Sorted(maps.Keys(r.View.Nodes)), node.Request{Method: "GET", Path: "/stats" + internalSizes(query)})
	if err != nil && len(r.View.Nodes) > 0 {
		return err
	}
	answer := globalStats{Indexes: map[string]any{}}
	var size, used int64
	for _, report := range reports {
		size += report.DatabaseSize
		used += report.UsedDatabaseSize
	}
	answer.DatabaseSize, answer.UsedDatabaseSize = sizeView(size, query.Human), sizeView(used, query.Human)
	for uid := range r.View.Names {
		ix := r.View.Index(uid)
		if ix == nil || !r.Grant.IndexAllowed(uid) {
			continue
		}
		stats, missing, err := s.statsOf(r.Context(), r.View, ix, indexReports(reports, ix))
		if err != nil {
			missing = allShards(ix)
		}
		markMissing(w.Header(), uid, missing)
		answer.Indexes[uid] = stats.view(query.Human)
		if answer.LastUpdate == nil || ix.UpdatedAt.After(answer.lastUpdate) {
			answer.lastUpdate = ix.UpdatedAt
			answer.LastUpdate = new(meili.FormatTime(ix.UpdatedAt))
		}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

type globalStats struct {
	DatabaseSize     any            `json:"databaseSize"`
	UsedDatabaseSize any            `json:"usedDatabaseSize"`
	LastUpdate       *string        `json:"lastUpdate"`
	Indexes          map[string]any `json:"indexes"`

	lastUpdate time.Time
}

func indexReports(reports map[fsm.NodeID]nodeStats, ix *fsm.Index) map[fsm.NodeID]indexStats {
	mine := map[fsm.NodeID]indexStats{}
	for _, id := range ix.Nodes() {
		if report, ok := reports[id].Indexes[ix.NodeUID]; ok {
			mine[id] = report
		}
	}
	return mine
}

// askNodes sends one GET to each of the nodes at once; nodes that do not answer are left out. It fails when none does.
func askNodes[T any](ctx context.Context, s *Server, view *fsm.View, ids []fsm.NodeID, send node.Request) (map[fsm.NodeID]T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.SearchTimeout)
	defer cancel()
	type answer struct {
		id    fsm.NodeID
		value T
		err   error
	}
	answers := make(chan answer, len(ids))
	for _, id := range ids {
		go func() { // ends with its request, which ctx bounds; the channel holds every answer
			a := answer{id: id}
			var response *node.Response
			if response, a.err = s.exchange(ctx, s.nodes.Client(view, id), send); a.err == nil {
				a.err = json.Unmarshal(response.Body, &a.value)
			}
			answers <- a
		}()
	}
	values := map[fsm.NodeID]T{}
	var failure error
	for range ids {
		if a := <-answers; a.err == nil {
			values[a.id] = a.value
		} else {
			failure = a.err
		}
	}
	if len(values) == 0 {
		return nil, miroirError(codeShardUnavailable, "No node could answer: %s.", failureText(view, failure))
	}
	return values, nil
}

// statsOf joins what the nodes of an index report. The number of documents is exact: one in-sync replica of each shard is
// counted, by filter where its node holds other shards too. What cannot be asked by shard is scaled from the sum over
// all copies, which is exact when every shard has as many.
func (s *Server) statsOf(ctx context.Context, view *fsm.View, ix *fsm.Index, reports map[fsm.NodeID]indexStats) (indexStats, []fsm.ShardID, error) {
	if view.NumOpenTasks == 0 { // what nodes do now, such as taking a failed change back, is none of a client's
		for id, report := range reports {
			report.IsIndexing = false
			reports[id] = report
		}
	}
	if exact, ok := evenStats(ix, reports); ok {
		return exact, nil, nil
	}
	got, err := scatter(ctx, s, s.planRequest(view, ix, nil, seedOf(ix.UID, "stats")), func(ctx context.Context, c *node.Client, call Call) (int, error) {
		if report, ok := reports[call.Node]; ok && call.Whole {
			return int(report.NumberOfDocuments), nil
		}
		return s.countDocuments(ctx, c, ix, call, nil)
	})
	if err != nil {
		return indexStats{FieldDistribution: map[string]int64{}}, nil, err
	}
	numDocuments := 0
	for _, a := range got.Answers {
		numDocuments += a.Value
	}
	sum := sumStats(reports)
	factor := 0.0
	if sum.NumberOfDocuments > 0 {
		factor = float64(numDocuments) / float64(sum.NumberOfDocuments)
	}
	return sum.scaled(factor), got.Missing, nil
}

// evenStats is the answer when every shard has the same number of replicas, all in sync and all reporting.
func evenStats(ix *fsm.Index, reports map[fsm.NodeID]indexStats) (indexStats, bool) {
	copies := -1
	for slot := range ix.NumSlots() {
		n := 0
		for group := range ix.Placement {
			for _, replica := range ix.Replicas(group, fsm.ShardID(slot)) {
				if _, ok := reports[replica.Node]; !ok || replica.State != fsm.Active {
					return indexStats{}, false
				}
				n++
			}
		}
		if copies >= 0 && n != copies {
			return indexStats{}, false
		}
		copies = n
	}
	if copies <= 0 {
		return indexStats{}, false
	}
	sum := sumStats(reports)
	return sum.scaled(1 / float64(copies)), sum.NumberOfDocuments%int64(copies) == 0
}

func sumStats(reports map[fsm.NodeID]indexStats) indexStats {
	sum := indexStats{FieldDistribution: map[string]int64{}}
	for _, report := range reports {
		sum.NumberOfDocuments += report.NumberOfDocuments
		sum.RawDocumentDBSize += report.RawDocumentDBSize
		sum.IsIndexing = sum.IsIndexing || report.IsIndexing
		sum.NumberOfEmbeddings = addOptional(sum.NumberOfEmbeddings, report.NumberOfEmbeddings)
		sum.NumberOfEmbeddedDocuments = addOptional(sum.NumberOfEmbeddedDocuments, report.NumberOfEmbeddedDocuments)
		for field, count := range report.FieldDistribution {
			sum.FieldDistribution[field] += count
		}
		for name, size := range report.InternalDatabaseSizes {
			if sum.InternalDatabaseSizes == nil {
				sum.InternalDatabaseSizes = map[string]int64{}
			}
			sum.InternalDatabaseSizes[name] += size
		}
	}
	for _, field := range hiddenFields {
		delete(sum.FieldDistribution, field)
	}
	return sum
}

func addOptional(a, b *int64) *int64 {
	if b == nil {
		return a
	}
	return new(deref(a) + *b)
}

// scaled is what one copy of the documents has of the sum over all copies.
func (s indexStats) scaled(factor float64) indexStats {
	scale := func(n int64) int64 { return int64(math.Round(float64(n) * factor)) }
	out := s
	out.NumberOfDocuments, out.RawDocumentDBSize = scale(s.NumberOfDocuments), scale(s.RawDocumentDBSize)
	if s.NumberOfEmbeddings != nil {
		out.NumberOfEmbeddings = new(scale(*s.NumberOfEmbeddings))
	}
	if s.NumberOfEmbeddedDocuments != nil {
		out.NumberOfEmbeddedDocuments = new(scale(*s.NumberOfEmbeddedDocuments))
	}
	out.FieldDistribution = make(map[string]int64, len(s.FieldDistribution))
	for field, count := range s.FieldDistribution {
		if n := scale(count); n > 0 {
			out.FieldDistribution[field] = n
		}
	}
	out.AvgDocumentSize = averageSize(out.RawDocumentDBSize, out.NumberOfDocuments)
	return out
}

// averageSize is Meilisearch's formula (milli database_stats.rs): what the pages hold besides the keys, per document.
func averageSize(raw, documents int64) int64 {
	if documents == 0 {
		return 0
	}
	return max(0, raw-8*documents) / documents
}

// view is s with sizes as bytes or as text for people.
func (s indexStats) view(human bool) any {
	if !human {
		return s
	}
	return struct {
		NumberOfDocuments         int64             `json:"numberOfDocuments"`
		RawDocumentDBSize         string            `json:"rawDocumentDbSize"`
		AvgDocumentSize           string            `json:"avgDocumentSize"`
		IsIndexing                bool              `json:"isIndexing"`
		InternalDatabaseSizes     map[string]string `json:"internalDatabaseSizes,omitempty"`
		NumberOfEmbeddings        *int64            `json:"numberOfEmbeddings,omitempty"`
		NumberOfEmbeddedDocuments *int64            `json:"numberOfEmbeddedDocuments,omitempty"`
		FieldDistribution         map[string]int64  `json:"fieldDistribution"`
	}{
		s.NumberOfDocuments, humanSize(s.RawDocumentDBSize), humanSize(s.AvgDocumentSize), s.IsIndexing,
		humanSizes(s.InternalDatabaseSizes), s.NumberOfEmbeddings, s.NumberOfEmbeddedDocuments, s.FieldDistribution,
	}
}

func humanSizes(sizes map[string]int64) map[string]string {
	texts := make(map[string]string, len(sizes))
	for name, size := range sizes {
		texts[name] = humanSize(size)
	}
	return texts
}

func sizeView(size int64, human bool) any {
	if human {
		return humanSize(size)
	}
	return size
}

// humanSize prints bytes in the largest binary unit that fits, with at most two decimals.
func humanSize(size int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, unit := float64(size), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	text := fmt.Sprintf("%.2f", value)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".") + " " + units[unit]
}
