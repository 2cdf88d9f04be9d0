package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"miroir/scripts/cluster"
)

// TestRealServer replays the recordings against a real Meilisearch, named by MEILISEARCH_BIN or found on PATH: a recording
// or a comparison that is wrong shows here. One fresh server per case.
func TestRealServer(t *testing.T) {
	program := realServer(t)
	folder := os.Getenv("MIROIR_CONFORMANCE")
	if folder == "" {
		folder = filepath.Join("..", "testdata", "conformance")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json*"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s: %v", folder, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".json")
		t.Run(name, func(t *testing.T) {
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			results := Run(t.Context(), Options{BaseURL: startServer(t, program), Key: cluster.Key}, c)
			for _, r := range results {
				if !r.OK() && r.Step != machineDependent[name] {
					t.Errorf("%s %s: %q", r.Step, r.Request, r.Differences)
				}
			}
			t.Logf("real server: %s %d/%d", name, Passed(results), len(results))
		})
	}
}

// machineDependent are steps whose answer depends on the machine: the size of a database file after compaction.
var machineDependent = map[string]string{"api-misc": "036"}

func realServer(t *testing.T) string {
	if testing.Short() {
		t.Skip("a real server takes a minute: not with -short")
	}
	program, err := cluster.FindMeilisearch()
	if err != nil {
		t.Skip(err)
	}
	return program
}

// startServer runs an empty server until the test ends and returns its address.
func startServer(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	node, err := cluster.StartNode(t.Context(), program, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
		if log, err := os.ReadFile(filepath.Join(dir, "log")); t.Failed() && err == nil {
			t.Logf("the server's log ends: %s", log[max(0, len(log)-4000):])
		}
	})
	return node.URL
}
