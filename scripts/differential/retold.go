package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"miroir/conformance"
	"miroir/conformance/generate"
)

// retelling is a dialogue made of recorded ones: a recorded conversation in its order, some of whose requests are left out,
// repeated, spoiled, or given values that other recorded requests have for the same member or parameter.
type retelling struct {
	*conversation
	recorded *conformance.Case
	values   *vocabulary
}

// vocabulary is what the recorded requests say.
type vocabulary struct {
	members    map[string][]any    // values of members of bodies, by name
	parameters map[string][]string // values in query strings, as they were written
}

func newVocabulary(cases []*conformance.Case) *vocabulary {
	v := &vocabulary{members: map[string][]any{}, parameters: map[string][]string{}}
	for _, c := range cases {
		for i := range c.Steps {
			request := c.Steps[i].Request
			var body any
			if json.Unmarshal(request.Body, &body) == nil {
				v.learn(body)
			}
			_, query, _ := strings.Cut(request.Path, "?")
			for part := range strings.SplitSeq(query, "&") {
				if name, value, given := strings.Cut(part, "="); given {
					v.parameters[name] = append(v.parameters[name], value)
				}
			}
		}
	}
	return v
}

func (v *vocabulary) learn(body any) {
	switch tree := body.(type) {
	case map[string]any:
		for name, value := range tree {
			v.members[name] = append(v.members[name], value)
			v.learn(value)
		}
	case []any:
		for _, value := range tree[:min(len(tree), 3)] { // of a list of documents some will do
			v.learn(value)
		}
	}
}

// retell tells the recorded dialogues in turn, as often as the options say.
func retell(ctx context.Context, o options, alone, miroir *server, r *report) error {
	cases, err := recordedCases(o.Recorded)
	if err != nil || o.Retellings == 0 {
		return err
	}
	values := newVocabulary(cases)
	for i := range o.Retellings {
		seed := o.Seed + uint64(i)
		t := &retelling{newConversation(o, alone, miroir, r, seed), cases[seed%uint64(len(cases))], values}
		t.title = fmt.Sprintf("retelling %d of %s", seed, t.recorded.Name)
		if err := t.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	return nil
}

func recordedCases(patterns []string) (cases []*conformance.Case, err error) {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			c, err := conformance.Load(path)
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("no recorded dialogues in %v", patterns)
	}
	return cases, nil
}

func (t *retelling) run(ctx context.Context) error {
	for i := range t.recorded.Steps {
		recorded := &t.recorded.Steps[i]
		q, ok := t.read(recorded)
		if !ok || t.g.Chance(4) {
			continue
		}
		for range 1 + t.g.IntN(100)/96 {
			if err := t.step(ctx, t.change(q)); err != nil {
				return err
			}
		}
	}
	for _, q := range t.closing(ctx) {
		if err := t.step(ctx, q); err != nil {
			return err
		}
	}
	return t.forgetKeys(ctx)
}

// forgetKeys deletes the keys that a server did not start with. Each made its own: their uids are random.
func (t *retelling) forgetKeys(ctx context.Context) error {
	for _, s := range []*server{t.alone, t.miroir} {
		for {
			keys := s.listed(ctx, "/keys?limit=1000", "uid")
			if len(keys) <= defaultKeys {
				break
			}
			if _, err := s.send(ctx, step{method: "DELETE", path: "/keys/" + keys[0]}); err != nil { // the newest come first
				return err
			}
		}
	}
	return nil
}

// defaultKeys is how many keys a server makes when it first starts.
const defaultKeys = 4

// read is the request of a recorded step, false for those that no two servers answer alike.
func (t *retelling) read(recorded *conformance.Step) (q step, ok bool) {
	r := recorded.Request
	q = step{
		kind: t.recorded.Name, method: r.Method, path: r.Path, auth: r.Auth, headers: r.Headers, header: r.ContentType,
		unordered: true, masked: recorded.Mask,
	}
	switch {
	case r.Raw != nil:
		q.body = *r.Raw
		if q.header == "" {
			q.header = noContentType
		}
	case r.Body != nil && r.ContentType == "":
		if err := json.Unmarshal(r.Body, &q.body); err != nil {
			return q, false
		}
	case r.Body != nil:
		q.body = string(r.Body)
	}
	return q, r.BodyFile == "" && !strings.Contains(q.path, "${")
}

// change tells a request in another way, or as it is.
func (t *retelling) change(q step) step {
	tree, isJSON := jsonOf(q.body)
	if isJSON && t.g.Chance(50) {
		q.body = t.cross(tree)
	}
	if strings.Contains(q.path, "?") && t.g.Chance(40) {
		q.path = t.crossParameters(q.path)
	}
	if t.g.Chance(20) {
		q = t.spoil(q)
	}
	return exportsNothing(q)
}

// exportsNothing has an export name no index that there is: servers try for minutes to send one to an address that does not answer.
func exportsNothing(q step) step {
	request, isObject := q.body.(map[string]any)
	if q.path != "/export" || !isObject {
		return q
	}
	switch indexes := request["indexes"].(type) {
	case nil:
		request["indexes"] = generate.Object{"none*": generate.Object{}}
	case map[string]any:
		for _, pattern := range sortedNames(indexes) {
			indexes["none"+pattern] = indexes[pattern]
			delete(indexes, pattern)
		}
	}
	return q
}

// cross gives members the values that they have elsewhere, and adds members that stand beside such elsewhere.
func (t *retelling) cross(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		for _, name := range sortedNames(v) {
			switch known := t.values.members[name]; {
			case len(known) > 1 && t.g.Chance(35):
				v[name] = cloned(generate.Pick(t.g, known))
			case t.g.Chance(8):
				delete(v, name)
			default:
				v[name] = t.cross(v[name])
			}
		}
		if t.g.Chance(25) {
			name := generate.Pick(t.g, sortedNames(t.values.members))
			v[name] = cloned(generate.Pick(t.g, t.values.members[name]))
		}
	case []any:
		if len(v) > 0 {
			at := t.g.IntN(len(v))
			v[at] = t.cross(v[at])
		}
		if len(v) > 1 && t.g.Chance(15) {
			v = append(v, v[t.g.IntN(len(v))])
		}
		return v
	}
	return tree
}

func (t *retelling) crossParameters(path string) string {
	route, query, _ := strings.Cut(path, "?")
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if known := t.values.parameters[name]; len(known) > 1 && t.g.Chance(50) {
			parts[i] = name + "=" + generate.Pick(t.g, known)
		}
	}
	if t.g.Chance(30) {
		name := generate.Pick(t.g, sortedNames(t.values.parameters))
		parts = append(parts, name+"="+generate.Pick(t.g, t.values.parameters[name]))
	}
	if route == "/tasks" || route == "/batches" { // the more filters, the less there is to compare
		parts = slices.DeleteFunc(parts, func(string) bool { return t.g.Chance(20) })
	}
	return route + "?" + strings.Join(parts, "&")
}

// cloned is a copy of a decoded JSON value.
func cloned(v any) any {
	switch tree := v.(type) {
	case map[string]any:
		copied := make(map[string]any, len(tree))
		for name, value := range tree {
			copied[name] = cloned(value)
		}
		return copied
	case []any:
		copied := make([]any, len(tree))
		for i, value := range tree {
			copied[i] = cloned(value)
		}
		return copied
	}
	return v
}
