package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"miroir/conformance/generate"
)

// conversation is a dialogue about the whole API, generated from one seed: requests that are right, and requests that are
// wrong in one place. Both servers get each of them, and each task is waited for, so that both number tasks alike.
type conversation struct {
	options
	alone, miroir *server
	report        *report
	title         string
	seed          uint64
	g             *generate.Generator
	names         []string // of its indexes
	keys          []string // uids of keys it made
}

// compared are the headers that clients go by.
var compared = []string{
	"Content-Type", "Content-Encoding", "Allow", "Location", "Retry-After", "Access-Control-Allow-Origin", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Max-Age", "Access-Control-Allow-Credentials",
}

func newConversation(o options, alone, miroir *server, r *report, seed uint64) *conversation {
	c := &conversation{options: o, alone: alone, miroir: miroir, report: r, title: fmt.Sprintf("conversation %d", seed), seed: seed, g: generate.New(seed)}
	for _, name := range []string{"films", "Books_2", "x-y"} {
		c.names = append(c.names, fmt.Sprintf("%s%d", name, seed))
	}
	return c
}

func (c *conversation) run(ctx context.Context) error {
	topics := c.topics()
	for _, q := range c.opening() {
		if err := c.step(ctx, q); err != nil {
			return err
		}
	}
	for range c.Queries {
		topic := generate.Pick(c.g, topics)
		q := topic.make()
		q.kind = topic.name
		if c.g.Chance(35) {
			q = c.spoil(q)
		}
		if err := c.step(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range c.closing(ctx) {
		if err := c.step(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// step asks both and reports.
func (c *conversation) step(ctx context.Context, q step) error {
	q.wait, q.exact = true, true
	if q.method == "POST" && q.path == "/webhooks" { // one at a time: they are listed by their random ids
		if err := c.step(ctx, step{kind: q.kind, method: "DELETE", path: "/webhooks/{webhook}"}); err != nil {
			return err
		}
	}
	want, err := c.alone.do(ctx, q)
	if err != nil {
		return fmt.Errorf("one server: %s: %w", short(q.String()), err)
	}
	if c.Trace {
		fmt.Printf("%s: %d %s %s\n", q, want.status, short(string(want.body)), short(string(want.task)))
	}
	got, err := c.miroir.do(ctx, q)
	if err != nil {
		return fmt.Errorf("miroir: %s: %w", short(q.String()), err)
	}
	var v verdict
	if want.status != got.status {
		v.found = append(v.found, fmt.Sprintf("status: want %d %s, got %d %s", want.status, short(string(want.body)), got.status, short(string(got.body))))
	} else if q.path != "/metrics" || want.status != 200 { // which tell of the server itself
		v.found = differ(want.body, got.body)
	}
	for _, name := range compared {
		if a, b := headerOf(want.header, name), headerOf(got.header, name); a != b {
			v.found = append(v.found, fmt.Sprintf("%s: want %q, got %q", name, a, b))
		}
	}
	for _, difference := range differ(want.task, got.task) {
		v.found = append(v.found, "task"+difference)
	}
	v.found = slices.DeleteFunc(v.found, func(line string) bool {
		path, _, _ := strings.Cut(line, ":")
		name := path[strings.LastIndexByte(path, '.')+1:]
		madeKey := listsKeys.MatchString(unescaped(q.path)) && (name == "uid" || name == "key")
		grown := name == "internalDatabaseSizes" // told of files that grew or shrank, which differ in what they hold
		return grown || q.unordered && path == "order" || madeKey || slices.Contains(q.masked, name)
	})
	if c.report.drifted && listsTasks.MatchString(q.path) {
		return nil
	}
	c.report.add(c, q, v)
	return c.level(ctx, want, got)
}

// level gives the server that has numbered fewer tasks more of them, so that one difference is not told again and again.
func (c *conversation) level(ctx context.Context, want, got reply) error {
	lag := int(taskUID(want.body)) - int(taskUID(got.body))
	if want.status == got.status && lag == 0 {
		return nil
	}
	if lag == 0 || taskUID(want.body) < 0 || taskUID(got.body) < 0 { // only one has made a task, or says so
		var uids [2]int64
		for i, s := range []*server{c.alone, c.miroir} {
			r, err := s.do(ctx, blank)
			if err != nil {
				return err
			}
			uids[i] = taskUID(r.body)
		}
		lag = int(uids[0] - uids[1])
	}
	c.report.drifted = c.report.drifted || lag != 0
	late := c.miroir
	if lag < 0 {
		late, lag = c.alone, -lag
	}
	for range lag {
		if _, err := late.do(ctx, blank); err != nil {
			return err
		}
	}
	return nil
}

// listsTasks are paths whose answers tell of the tasks that level made.
var listsTasks = regexp.MustCompile(`^/+(tasks|batches)`)

// listsKeys are paths whose answers tell of keys that the server made, from random uids.
var listsKeys = regexp.MustCompile(`^/+keys/*(\?|$)`)

// unescaped is a path as servers read it.
func unescaped(path string) string {
	if text, err := url.PathUnescape(path); err == nil {
		return text
	}
	return path
}

// blank makes a task that changes nothing.
var blank = step{method: "POST", path: "/tasks/cancel?uids=4294967295", wait: true}

// taskUID is the uid of the task that an answer names, -1 for none.
func taskUID(answer []byte) int64 {
	var summary struct{ TaskUID *int64 }
	if json.Unmarshal(answer, &summary) != nil || summary.TaskUID == nil {
		return -1
	}
	return *summary.TaskUID
}

func (c *conversation) String() string { return c.title }

func (c *conversation) describe() string { return fmt.Sprintf("%s: indexes %v", c.title, c.names) }

// headerOf is a header's value, a list in alphabetical order.
func headerOf(h http.Header, name string) string {
	if h == nil {
		return ""
	}
	parts := strings.Split(strings.Join(h.Values(name), ","), ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// opening gives the dialogue something to talk about.
func (c *conversation) opening() []step {
	return []step{
		{kind: "load", method: "POST", path: "/indexes", body: generate.Object{"uid": c.names[0], "primaryKey": "id"}},
		{kind: "load", method: "PATCH", path: "/indexes/" + c.names[0] + "/settings", body: generate.Object{
			"filterableAttributes": []string{"genre", "n", "id", "_geo"}, "sortableAttributes": []string{"n", "_geo"},
			"embedders": generate.Object{"mine": generate.Object{"source": "userProvided", "dimensions": 2}},
		}},
		{kind: "load", method: "POST", path: "/indexes/" + c.names[0] + "/documents", body: c.documents(12)},
		{kind: "load", method: "POST", path: "/indexes/" + c.names[1] + "/documents", body: c.documents(5)},
	}
}

// closing removes what the dialogue made, so that the next finds servers as this one found them.
func (c *conversation) closing(ctx context.Context) []step {
	var steps []step
	for _, name := range c.alone.listed(ctx, "/indexes?limit=1000", "uid") {
		steps = append(steps, step{kind: "load", method: "DELETE", path: "/indexes/" + name})
	}
	for _, uid := range c.keys {
		steps = append(steps, step{kind: "load", method: "DELETE", path: "/keys/" + uid})
	}
	for range c.alone.listed(ctx, "/webhooks", "uuid") {
		steps = append(steps, step{kind: "load", method: "DELETE", path: "/webhooks/{webhook}"})
	}
	features := generate.Object{}
	for _, name := range featureNames {
		features[name] = false
	}
	return append(steps,
		step{kind: "load", method: "PATCH", path: "/experimental-features", body: features},
		step{kind: "load", method: "GET", path: "/stats"},
		step{kind: "load", method: "GET", path: "/tasks?limit=100"},
		step{kind: "load", method: "GET", path: "/batches?limit=30"})
}

// listed are the values of a member of each entry that the server lists.
func (s *server) listed(ctx context.Context, path, name string) []string {
	answer, err := s.send(ctx, step{method: "GET", path: path})
	if err != nil {
		return nil
	}
	var page struct{ Results []map[string]any }
	_ = json.Unmarshal(answer.body, &page) // a refusal lists nothing
	var values []string
	for _, entry := range page.Results {
		values = append(values, fmt.Sprint(entry[name]))
	}
	return values
}
