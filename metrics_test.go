package main

import (
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"miroir/cli"
)

// documentedMetrics reads the tables of docs/metrics.md: the labels of each metric in alphabetical order, and whether it appears
// only once what it counts has happened.
func documentedMetrics(t *testing.T) (labels map[string]string, late map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	labels, late = map[string]string{}, map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(miroir_[a-z0-9_]+)(?:\\{([a-z_,]+)\\})?`(\\*?) \\| ([cgh]) \\|")
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		list := strings.Split(match[2], ",")
		slices.Sort(list)
		labels[match[1]], late[match[1]] = strings.Join(list, ","), match[3] == "*"
	}
	return labels, late
}

// shownMetrics reads a pod's metrics: the labels of each.
func shownMetrics(t *testing.T, text string) map[string]string {
	t.Helper()
	shown := map[string]string{}
	line := regexp.MustCompile(`^([a-zA-Z0-9_]+)(?:\{(.*)\})? \S+$`)
	label := regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	for row := range strings.Lines(text) {
		match := line.FindStringSubmatch(strings.TrimSpace(row))
		if match == nil {
			t.Errorf("not a metric: %q", row)
			continue
		}
		name := match[1]
		if base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, ""); strings.Contains(text, "\n"+base+"_bucket{") || strings.HasPrefix(text, base+"_bucket{") {
			name = base
		}
		var list []string
		for _, found := range label.FindAllStringSubmatch(match[2], -1) {
			if found[1] == "vmrange" {
				t.Errorf("%s has no classic buckets", name)
			}
			if found[1] != "le" {
				list = append(list, found[1])
			}
		}
		slices.Sort(list)
		shown[name] = strings.Join(list, ",")
	}
	return shown
}

// TestMetricsAreThoseDocumented takes a tour of the API and compares the pod's metrics with docs/metrics.md: none is missing and
// none is not listed.
func TestMetricsAreThoseDocumented(t *testing.T) {
	p := openTestPod(t, 3, nil)
	client := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	write := func(method, path, body string) {
		t.Helper()
		if err := client.DoTask(t.Context(), method, path, "application/json", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(method, path, body string) string {
		t.Helper()
		answer, err := client.Call(t.Context(), method, path, "application/json", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	write("POST", "/indexes", `{"uid":"tour","primaryKey":"id"}`)
	write("PATCH", "/indexes/tour/settings", `{"filterableAttributes":["id","color"]}`)
	write("POST", "/indexes/tour/documents", `[{"id":1,"color":"red"},{"id":2,"color":"blue"}]`)
	read("POST", "/indexes/tour/search", `{"facets":["color"],"filter":"id = 1"}`)
	read("POST", "/multi-search", `{"queries":[{"indexUid":"tour"}]}`)
	shown := shownMetrics(t, read("GET", "/_miroir/metrics", ""))
	documented, late := documentedMetrics(t)
	if len(documented) < 75 {
		t.Errorf("only %d metrics are documented", len(documented))
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if labels, ok := documented[name]; !ok || labels != shown[name] {
			t.Errorf("%s{%s} is not documented so: %q", name, shown[name], labels)
		}
	}
	source := sourceText(t)
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if _, ok := shown[name]; !ok && !late[name] {
			t.Errorf("%s is documented and not there", name)
		}
		if !strings.Contains(source, name) {
			t.Errorf("%s is documented and nowhere in the code", name)
		}
	}
}

// sourceText is all Go code but tests.
func sourceText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			text, failed := os.ReadFile(path)
			all.Write(text)
			return failed
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestMetricsNameFewIndexes: beyond the limit indexes share a name.
func TestMetricsNameFewIndexes(t *testing.T) {
	p := openTestPod(t, 1, func(o *podOptions) { o.MaxIndexLabels = 3 })
	client := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	for i := range 5 {
		if err := client.DoTask(t.Context(), "POST", "/indexes", "application/json", fmt.Appendf(nil, `{"uid":"index-%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := client.Call(t.Context(), "GET", "/_miroir/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, match := range regexp.MustCompile(`miroir_settings_version\{index="([^"]+)"\}`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, match[1])
	}
	if want := []string{"index-0", "index-1", "index-2", "_other"}; !slices.Equal(names, want) {
		t.Errorf("metrics name %v, want %v", names, want)
	}
}
