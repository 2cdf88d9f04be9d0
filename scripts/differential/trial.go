package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"miroir/conformance/generate"
)

// trial is what one seed is about: an index of generated documents and settings, and requests to it.
type trial struct {
	options
	alone, miroir *server
	report        *report
	seed          uint64
	g             *generate.Generator
	shape         *generate.Shape
	corpus        *generate.Corpus
	uid           string
}

func (t *trial) String() string { return fmt.Sprintf("seed %d (%s)", t.seed, t.shape.Name) }

func (t *trial) describe() string {
	settings, _ := json.Marshal(t.corpus.Settings)
	return fmt.Sprintf("seed %d: %d documents, settings %s", t.seed, len(t.corpus.Documents), settings)
}

func (t *trial) run(ctx context.Context) error {
	t.g.Wide, t.g.Frequency = true, t.options.Frequency
	t.corpus, t.uid = t.g.Corpus(t.shape), fmt.Sprintf("%s-%d", t.shape.Name, t.seed)
	if t.Battery {
		return t.runBattery(ctx)
	}
	for _, q := range t.load() {
		if err := t.step(ctx, q); err != nil {
			return err
		}
	}
	if t.Grow {
		if err := t.grow(ctx); err != nil {
			return err
		}
	}
	kinds := t.kinds()
	for range t.Queries {
		if err := t.step(ctx, generate.Pick(t.g, kinds)()); err != nil {
			return err
		}
	}
	return t.step(ctx, step{kind: "load", method: "DELETE", path: "/indexes/" + t.uid, wait: true})
}

// step asks both and reports.
func (t *trial) step(ctx context.Context, q step) error {
	want, err := t.alone.do(ctx, q)
	if err != nil {
		return fmt.Errorf("one server: %s: %w", short(q.String()), err)
	}
	if t.Trace {
		fmt.Printf("%s: %d %s %s\n", q, want.status, short(string(want.body)), short(string(want.task)))
	}
	got, err := t.miroir.do(ctx, q)
	if err != nil {
		return fmt.Errorf("miroir: %s: %w", short(q.String()), err)
	}
	v, err := t.judge(ctx, q, want, got)
	if err != nil {
		return err
	}
	t.report.add(t, q, v)
	return nil
}

func (t *trial) path(rest string) string { return "/indexes/" + t.uid + rest }

// load is what fills the index: settings first or last, documents in parts, deletion of some.
func (t *trial) load() []step {
	c := t.corpus
	steps := []step{{kind: "load", method: "POST", path: "/indexes", body: generate.Object{"uid": t.uid, "primaryKey": c.Shape.PrimaryKey}, wait: true}}
	settings := step{kind: "load", method: "PATCH", path: t.path("/settings"), body: c.Settings, wait: true}
	if t.seed%2 == 0 {
		steps = append(steps, settings)
	}
	third := (len(c.Documents) + 2) / 3
	for part := range slices.Chunk(c.Documents, third) {
		steps = append(steps, step{kind: "load", method: "POST", path: t.path("/documents"), body: part, wait: true})
	}
	if t.Rewrites {
		steps = append(steps, step{kind: "load", method: "PUT", path: t.path("/documents"), body: c.Updates, wait: true})
	}
	if !t.Keep {
		steps = append(steps, step{kind: "load", method: "POST", path: t.path("/documents/delete-batch"), body: c.Deletions, wait: true})
	}
	if t.seed%2 != 0 {
		steps = append(steps, settings)
	}
	return append(steps, step{kind: "stats", method: "GET", path: t.path("/stats")})
}

// grow cuts the index up that Miroir has whole on one node, and waits until its shards are where they belong.
func (t *trial) grow(ctx context.Context) error {
	began, err := t.miroir.send(ctx, step{method: "PATCH", path: "/_miroir" + t.path(""), body: generate.Object{"spread": "all"}})
	if err != nil {
		return err
	}
	job := strings.Trim(member(began.body, "job_id"), `"`)
	if began.status != http.StatusAccepted || job == "" {
		return fmt.Errorf("not cut up: %d %s", began.status, began.body)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		r, err := t.miroir.send(ctx, step{method: "GET", path: "/_miroir/jobs/" + job})
		if err != nil {
			return err
		}
		switch state := member(r.body, "state"); state {
		case `"succeeded"`:
			return nil
		case `"failed"`, `"canceled"`:
			return fmt.Errorf("not cut up: %s", r.body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("shards do not come to where they belong: %s", r.body)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kinds makes requests, each as often as it is listed.
func (t *trial) kinds() []func() step {
	all := []struct {
		kind  string
		times int
		make  func() step
	}{
		{"search", 30, t.search}, {"search-get", 6, t.searchGet}, {"multi-search", 4, t.multiSearch}, {"federated", 6, t.federated},
		{"facet-search", 6, t.facetSearch}, {"fetch", 5, t.fetch}, {"list", 3, t.list}, {"get", 2, t.get}, {"settings", 3, t.settings},
		{"change-settings", 1, t.changeSettings}, {"write", 2, t.write}, {"tasks", 2, t.tasks}, {"index", 2, t.index}, {"bad", 8, t.bad},
	}
	var list []func() step
	for _, k := range all {
		if len(t.Kinds) > 0 && !slices.Contains(t.Kinds, k.kind) || t.Keep && k.kind == "write" {
			continue
		}
		for range k.times {
			list = append(list, func() step {
				s := k.make()
				s.kind = k.kind
				return s
			})
		}
	}
	return list
}

func (t *trial) search() step {
	q := t.g.Query(t.corpus)
	return step{method: "POST", path: t.path("/search"), body: q, search: q}
}

func (t *trial) searchGet() step {
	q := t.g.Query(t.corpus)
	return step{method: "GET", path: t.path("/search?" + parameters(q)), search: q}
}

func (t *trial) multiSearch() step {
	var queries []generate.Object
	for range 1 + t.g.IntN(3) {
		q := t.g.Query(t.corpus)
		q["indexUid"] = t.uid
		queries = append(queries, q)
	}
	return step{method: "POST", path: "/multi-search", body: generate.Object{"queries": queries}}
}

func (t *trial) federated() step {
	request := t.g.Federated(t.corpus)
	for _, q := range request["queries"].([]generate.Object) {
		q["indexUid"] = t.uid
	}
	federation := request["federation"].(generate.Object)
	if t.g.Chance(30) {
		federation["facetsByIndex"] = generate.Object{t.uid: generate.Pick(t.g, t.shape.Facets)}
		if t.g.Chance(50) {
			federation["mergeFacets"] = generate.Object{"maxValuesPerFacet": 1 + t.g.IntN(10)}
		}
	}
	if t.g.Chance(10) {
		federation["page"], federation["hitsPerPage"] = 1+t.g.IntN(3), 7
		delete(federation, "limit")
		delete(federation, "offset")
	}
	return step{method: "POST", path: "/multi-search", body: request}
}

func (t *trial) facetSearch() step {
	field := generate.Pick(t.g, generate.Pick(t.g, t.shape.Facets))
	q := generate.Object{"facetName": field}
	if t.g.Chance(70) {
		q["facetQuery"] = generate.Pick(t.g, []string{"a", "s", "S", "hom", "ann", "deb", "devel", "science", "scince", "et", "é", "b", "1", "x x", ""})
	}
	core := t.g.Core(t.corpus)
	for _, name := range []string{"q", "filter", "matchingStrategy", "attributesToSearchOn"} {
		if core[name] != nil && t.g.Chance(40) {
			q[name] = core[name]
		}
	}
	if t.g.Chance(15) {
		q["exhaustiveFacetCount"] = true
	}
	return step{method: "POST", path: t.path("/facet-search"), body: q}
}

// id is the primary key of a document, often one that is still there.
func (t *trial) id() any {
	return generate.Pick(t.g, t.corpus.Documents)[t.shape.PrimaryKey]
}

func (t *trial) fetch() step {
	q := generate.Object{}
	g := t.g
	if g.Chance(40) {
		q["filter"] = g.Filter(t.shape)
	}
	if g.Chance(40) {
		q["sort"] = []string{generate.Pick(g, t.shape.Sortable) + generate.Pick(g, []string{":asc", ":desc"})}
	}
	if g.Chance(25) {
		ids := []any{}
		for range 1 + g.IntN(6) {
			ids = append(ids, t.id())
		}
		q["ids"] = ids
	}
	if g.Chance(30) {
		q["fields"] = append(generate.Some(g, t.shape.Displayed), t.shape.PrimaryKey)
	}
	if g.Chance(60) {
		q["limit"], q["offset"] = generate.Pick(g, []int{0, 1, 7, 50}), generate.Pick(g, []int{0, 3, 40})
	}
	return step{method: "POST", path: t.path("/documents/fetch"), body: q}
}

func (t *trial) list() step {
	return step{method: "GET", path: t.path(generate.Pick(t.g, []string{
		"/documents", "/documents?limit=5&offset=2", "/documents?limit=1000", "/documents?fields=" + t.shape.PrimaryKey + "&limit=3",
		"/documents?filter=" + url.QueryEscape(t.g.Condition(t.shape)), "/documents?sort=" + url.QueryEscape(t.shape.Sortable[0]+":asc"),
		"/documents?ids=" + url.QueryEscape(fmt.Sprint(t.id())),
	}))}
}

func (t *trial) get() step {
	return step{method: "GET", path: t.path("/documents/" + generate.Pick(t.g, []string{
		url.PathEscape(fmt.Sprint(t.id())), "none", url.PathEscape(fmt.Sprint(t.id())) + "?fields=" + t.shape.PrimaryKey + "," + t.shape.Displayed[0],
	}))}
}
