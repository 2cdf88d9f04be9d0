package devnode_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"miroir/conformance"
	"miroir/devnode"
)

// masterKey is the master key of the recorded server.
const masterKey = "masterKey"

// floors are how many steps of each recorded case the node answers exactly. They may only rise.
var floors = map[string]int{
	"api-documents":   123,
	"api-indexes":     62,
	"api-keys":        131,
	"api-misc":        39, // sizes on disk before and after a compaction are not reproduced
	"api-search":      172,
	"api-settings":    149,
	"api-tasks":       62,
	"api-vectors":     27,
	"search-packages": 408,
}

// recordings returns the folder of recorded cases, "" when there is none.
func recordings() string {
	folder := os.Getenv("MIROIR_CONFORMANCE")
	if folder == "" {
		folder = filepath.Join("..", "testdata", "conformance")
	}
	if _, err := os.Stat(folder); err != nil {
		return ""
	}
	return folder
}

func TestConformance(t *testing.T) {
	folder := recordings()
	if folder == "" {
		t.Skip("no recordings: set MIROIR_CONFORMANCE to their folder")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".json")
		t.Run(name, func(t *testing.T) { replay(t, name, file, floors[name]) })
	}
}

// replay runs one case against a fresh node.
func replay(t *testing.T, name, file string, floor int) {
	c, err := conformance.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	node := devnode.New(devnode.Options{MasterKey: masterKey})
	defer node.Close()
	results := conformance.Run(context.Background(), conformance.Options{
		Transport: devnode.Transport(map[string]*devnode.Node{"node": node}),
		Key:       masterKey,
	}, c)
	worded := 0
	for _, r := range results {
		if len(r.Messages) > 0 {
			worded++
			t.Logf("%s/%s %s", c.Name, r.Step, strings.Join(r.Messages, "; "))
		}
		if !r.OK() {
			t.Logf("%s/%s %s", c.Name, r.Step, r.Request)
			for _, line := range r.Differences[:min(6, len(r.Differences))] {
				t.Logf("     %s", line)
			}
		}
	}
	passed := conformance.Passed(results)
	t.Logf("devnode conformance: %s %d/%d, %d messages worded differently", name, passed, len(results), worded)
	if passed < floor {
		t.Errorf("%s: %d steps agree, the floor is %d", name, passed, floor)
	}
}
