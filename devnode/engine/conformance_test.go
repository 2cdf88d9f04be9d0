package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"miroir/meili"
)

// TestConformance replays recorded conversations with a real server against the engine and reports how much agrees. It needs
// the directory of recordings in MIROIR_CONFORMANCE; MIROIR_CASE picks one case, MIROIR_ONLY one step, MIROIR_DIFFS the
// number of differences to print.
func TestConformance(t *testing.T) {
	dir := os.Getenv("MIROIR_CONFORMANCE")
	if dir == "" {
		t.Skip("MIROIR_CONFORMANCE does not name a directory of recordings")
	}
	floors := map[string]float64{"search-packages": 0.99, "api-search": 1, "api-vectors": 1}
	names := []string{"search-packages", "api-search", "api-vectors"}
	if only := os.Getenv("MIROIR_CASE"); only != "" {
		names = strings.Split(only, ",")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			share := replay(t, dir, name)
			if share < floors[name] && os.Getenv("MIROIR_ONLY") == "" {
				t.Errorf("%.1f %% agree, want %.0f %%", 100*share, 100*floors[name])
			}
		})
	}
}

type recordedStep struct {
	ID      string `json:"id"`
	IDField string `json:"id_field"`
	Request struct {
		Method   string
		Path     string
		Body     json.RawMessage
		Raw      *string
		BodyFile string `json:"bodyFile"`
	}
	Expect struct {
		Status int
		Body   any
		Task   map[string]any
		Ranks  []any
	}
}

// replay returns the share of the steps for the engine that agree.
func replay(t *testing.T, dir, name string) float64 {
	var recorded struct{ Steps []recordedStep }
	if err := json.Unmarshal(readMaybeGzip(t, filepath.Join(dir, name+".json")), &recorded); err != nil {
		t.Fatal(err)
	}
	only := os.Getenv("MIROIR_ONLY")
	shown := 40
	fmt.Sscan(os.Getenv("MIROIR_DIFFS"), &shown)
	d := driver{t: t, dir: dir, indexes: map[string]*Index{}}
	passed, total := 0, 0
	var spent time.Duration
	for i := range recorded.Steps {
		step := &recorded.Steps[i]
		begin := time.Now()
		found, mine := d.step(step)
		took := time.Since(begin)
		if !mine || only != "" && !strings.HasPrefix(step.ID, only) {
			continue
		}
		spent += took
		total++
		if len(found) == 0 {
			passed++
			continue
		}
		if shown--; shown >= 0 || only != "" {
			t.Logf("%s %s %s", step.ID, step.Request.Path, step.Request.Body[:min(len(step.Request.Body), 400)])
			for _, line := range found[:min(len(found), 4)] {
				t.Logf("      %s", line)
			}
		}
	}
	t.Logf("%s: %d of %d steps agree (%.1f %%), %s per step", name, passed, total, 100*float64(passed)/float64(total), spent/time.Duration(max(total, 1)))
	return float64(passed) / float64(max(total, 1))
}

func readMaybeGzip(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	if err == nil && !strings.HasSuffix(path, ".gz") {
		return data
	}
	if err != nil {
		path += ".gz"
		if data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return data
}

// driver turns recorded requests into calls of the engine.
type driver struct {
	t       *testing.T
	dir     string
	indexes map[string]*Index
}

func (d *driver) index(uid string) *Index {
	if d.indexes[uid] == nil {
		d.indexes[uid] = New()
	}
	return d.indexes[uid]
}

// step runs a step; mine is false for what only a server answers.
func (d *driver) step(s *recordedStep) (found []string, mine bool) {
	path, rawQuery, _ := strings.Cut(s.Request.Path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	body := []byte(s.Request.Body)
	if s.Request.Raw != nil {
		return nil, false
	}
	if len(parts) == 1 && parts[0] == "indexes" && s.Request.Method == "POST" {
		var create struct{ UID, PrimaryKey string }
		_ = json.Unmarshal(body, &create)
		d.index(create.UID).SetPrimaryKey(create.PrimaryKey)
		return nil, false
	}
	if len(parts) < 3 || parts[0] != "indexes" {
		return nil, false
	}
	uid, route := parts[1], strings.Join(parts[2:], "/")
	if d.indexes[uid] == nil && s.Expect.Status != 202 {
		return nil, false
	}
	ctx := SearchContext{IndexUID: uid}
	ix := d.index(uid)
	switch s.Request.Method + " " + route {
	case "PATCH settings":
		delta, err := meili.DecodeSettings(body, meili.Features{})
		if err == nil {
			var full *meili.Settings
			if full, err = ix.Settings().Apply(delta); err == nil {
				err = ix.Apply(full)
			}
		}
		return d.task(s, err), true
	case "POST documents", "PUT documents":
		return d.documents(s, ix, body, s.Request.Method == "PUT"), true
	case "POST search", "GET search":
		q, err := meili.DecodeSearch(body)
		if s.Request.Method == "GET" {
			q, err = meili.DecodeSearchParams(rawQuery)
		}
		var result *Result
		if err == nil {
			result, err = ix.Search(ctx, q)
		}
		return d.compare(s, err, func() any { return searchBody(result) }), true
	case "POST facet-search":
		q, err := meili.DecodeFacetSearch(body)
		var hits *FacetHits
		if err == nil {
			hits, err = ix.FacetSearch(ctx, q)
		}
		return d.compare(s, err, func() any {
			return map[string]any{"facetHits": hits.Hits, "facetQuery": q.FacetQuery, "processingTimeMs": 0}
		}), true
	case "POST similar", "GET similar":
		q, err := meili.DecodeSimilar(body)
		if s.Request.Method == "GET" {
			q, err = meili.DecodeSimilarParams(rawQuery)
		}
		var result *Result
		if err == nil {
			result, err = ix.Similar(ctx, q)
		}
		return d.compare(s, err, func() any {
			id, _ := q.DocumentID()
			return map[string]any{"hits": hitObjects(result), "id": id, "processingTimeMs": 0, "limit": result.Limit, "offset": result.Offset, "estimatedTotalHits": result.TotalHits}
		}), true
	}
	if s.Request.Method == "GET" && len(parts) == 4 && parts[2] == "documents" {
		q, err := meili.DecodeDocumentParams(rawQuery)
		if err != nil {
			return []string{err.Message}, true
		}
		doc, _ := ix.Document(parts[3], q)
		return d.compare(s, nil, func() any { return doc }), true
	}
	return nil, false
}

func (d *driver) task(s *recordedStep, err *meili.Error) []string {
	want, _ := s.Expect.Task["error"].(map[string]any)
	switch {
	case s.Expect.Status >= 400:
		return nil
	case err == nil && want != nil:
		return []string{fmt.Sprintf("want task error %v, got none", want["code"])}
	case err != nil && (want == nil || want["code"] != string(err.Code)):
		return []string{fmt.Sprintf("task: %s: %s", err.Code, err.Message)}
	}
	return nil
}

func (d *driver) documents(s *recordedStep, ix *Index, body []byte, merge bool) []string {
	kind := meili.PayloadKind("json")
	if s.Request.BodyFile != "" {
		body, kind = readMaybeGzip(d.t, filepath.Join(d.dir, s.Request.BodyFile)), "ndjson"
	}
	var docs []Document
	_, err := meili.SplitPayload(kind, ',', bytes.NewReader(body), func(doc []byte) error {
		doc = slices.Clone(doc)
		if ix.PrimaryKey() == "" {
			key, err := meili.InferPrimaryKey(doc)
			if err != nil {
				return err
			}
			ix.SetPrimaryKey(key)
		}
		id, err := meili.DocumentID(doc, ix.PrimaryKey())
		if err != nil {
			return err
		}
		docs = append(docs, Document{id, doc})
		return nil
	})
	if err != nil {
		return []string{err.Error()}
	}
	store := ix.PutDocuments
	if merge {
		store = ix.UpdateDocuments
	}
	_, refused := store(docs, false)
	return d.task(s, refused)
}

func hitObjects(r *Result) []json.RawMessage {
	hits := []json.RawMessage{}
	for i := range r.Hits {
		hits = append(hits, r.Hits[i].Object(nil))
	}
	return hits
}

func searchBody(r *Result) any {
	out := map[string]any{"hits": hitObjects(r), "query": r.Query, "processingTimeMs": 0, "requestUid": ""}
	if r.Paged {
		out["page"], out["hitsPerPage"], out["totalPages"], out["totalHits"] = r.Page, r.HitsPerPage, r.TotalPages, r.TotalHits
	} else {
		out["limit"], out["offset"], out["estimatedTotalHits"] = r.Limit, r.Offset, r.TotalHits
	}
	if r.FacetDistribution != nil {
		out["facetDistribution"], out["facetStats"] = r.FacetDistribution, r.FacetStats
	}
	if r.SemanticHitCount != nil {
		out["semanticHitCount"] = *r.SemanticHitCount
	}
	if r.QueryVector != nil {
		out["queryVector"] = r.QueryVector
	}
	return out
}

// compare compares an answer with the recorded one, hits by rank where ranks are recorded.
func (d *driver) compare(s *recordedStep, err *meili.Error, answer func() any) []string {
	if err != nil {
		if s.Expect.Status != err.Status {
			return []string{fmt.Sprintf("want status %d, got %d: %s", s.Expect.Status, err.Status, err.Message)}
		}
		want := s.Expect.Body.(map[string]any)
		if want["code"] != string(err.Code) {
			return []string{fmt.Sprintf("want %v, got %s: %s", want["code"], err.Code, err.Message)}
		}
		return nil
	}
	if s.Expect.Status >= 400 {
		return []string{fmt.Sprintf("want status %d, got an answer", s.Expect.Status)}
	}
	text, marshalErr := json.Marshal(answer())
	if marshalErr != nil {
		return []string{marshalErr.Error()}
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		return []string{err.Error() + string(text)}
	}
	var found []string
	want, isObject := s.Expect.Body.(map[string]any)
	if !isObject || s.Expect.Ranks == nil {
		return diffJSON(found, "$", s.Expect.Body, got)
	}
	mine := got.(map[string]any)
	found = rankDiffs(s.Expect.Ranks, mine["hits"].([]any), s.IDField)
	byID := map[string]any{}
	for _, h := range want["hits"].([]any) {
		byID[fmt.Sprint(h.(map[string]any)[s.IDField])] = h
	}
	for i, h := range mine["hits"].([]any) {
		if w, ok := byID[fmt.Sprint(h.(map[string]any)[s.IDField])]; ok {
			found = diffJSON(found, fmt.Sprintf("hits.%d", i), w, h)
		}
	}
	delete(want, "hits")
	delete(mine, "hits")
	return diffJSON(found, "$", want, mine)
}

func rankDiffs(ranks []any, hits []any, idField string) (found []string) {
	wanted := 0
	for _, r := range ranks {
		wanted += int(r.([]any)[1].(float64))
	}
	if len(hits) != wanted {
		found = append(found, fmt.Sprintf("hits: want %d, got %d", wanted, len(hits)))
	}
	var ids []string
	for _, h := range hits {
		ids = append(ids, fmt.Sprint(h.(map[string]any)[idField]))
	}
	if sorted := slices.Sorted(slices.Values(ids)); len(slices.Compact(sorted)) != len(ids) {
		found = append(found, "hits: the same document twice")
	}
	for _, r := range ranks {
		group := r.([]any)
		start, count := int(group[0].(float64)), int(group[1].(float64))
		members, ok := group[2].([]any)
		if !ok {
			continue
		}
		for i := start; i < min(start+count, len(ids)); i++ {
			if !slices.ContainsFunc(members, func(m any) bool { return fmt.Sprint(m) == ids[i] }) {
				text := fmt.Sprint(members)
				found = append(found, fmt.Sprintf("hits.%d: want one of %s, got %s", i, text[:min(len(text), 160)], ids[i]))
			}
		}
	}
	return found
}

func diffJSON(found []string, path string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return append(found, fmt.Sprintf("%s: want %.150s, got %.150s", path, fmt.Sprint(want), fmt.Sprint(got)))
		}
		keys := map[string]bool{}
		for k := range w {
			keys[k] = true
		}
		for k := range g {
			keys[k] = true
		}
		names := make([]string, 0, len(keys))
		for k := range keys {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			a, inWant := w[k]
			b, inGot := g[k]
			switch {
			case k == "processingTimeMs" || k == "requestUid":
			case !inGot:
				found = append(found, fmt.Sprintf("%s.%s: missing, want %.150s", path, k, fmt.Sprint(a)))
			case !inWant:
				found = append(found, fmt.Sprintf("%s.%s: unexpected %.150s", path, k, fmt.Sprint(b)))
			default:
				found = diffJSON(found, path+"."+k, a, b)
			}
		}
		return found
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return append(found, fmt.Sprintf("%s: want %.150s, got %.150s", path, fmt.Sprint(want), fmt.Sprint(got)))
		}
		for i := range w {
			found = diffJSON(found, fmt.Sprintf("%s.%d", path, i), w[i], g[i])
		}
		return found
	case float64:
		g, ok := got.(float64)
		if ok && math.Abs(w-g) <= 1e-6*math.Max(1, math.Max(math.Abs(w), math.Abs(g))) {
			return found
		}
	}
	if want != got {
		found = append(found, fmt.Sprintf("%s: want %.200s, got %.200s", path, fmt.Sprint(want), fmt.Sprint(got)))
	}
	return found
}
