package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"miroir/conformance"
	"miroir/devnode"
	"miroir/fsm"
)

// layout is a shape of cluster that recorded conversations are replayed through.
type layout struct {
	name          string
	groups, nodes int // nodes in each group
	rf, spread    int
	// floors are how many steps of each case agree. They may only rise.
	floors map[string]int
	// transparent says that every step which one node alone gets right must be right through Miroir too: true where an
	// index is not spread.
	transparent bool
}

// floorsWith are the floors of a layout: they differ in two cases only.
func floorsWith(search, packages int) map[string]int {
	return map[string]int{
		"api-documents": 123, "api-indexes": 62, "api-keys": 131, "api-misc": 39, "api-search": search, "api-settings": 149,
		"api-tasks": 62, "api-vectors": 27, "packages": packages,
	}
}

var layouts = []layout{
	{name: "one node", groups: 1, nodes: 1, rf: 1, spread: -1, floors: floorsWith(172, 408)},
	{name: "three nodes", groups: 1, nodes: 3, rf: 1, spread: -1, floors: floorsWith(172, 408)},
	{name: "three nodes, two replicas", groups: 1, nodes: 3, rf: 2, spread: -1, floors: floorsWith(172, 408)},
	{name: "two groups of two", groups: 2, nodes: 2, rf: 2, spread: -1, floors: floorsWith(172, 408)},
	{name: "three nodes, indexes whole", groups: 1, nodes: 3, rf: 2, spread: 0, floors: floorsWith(172, 408), transparent: true},
}

// TestConformance replays every recorded conversation through a pod over embedded nodes, once for each layout and each on
// an empty cluster, beside one embedded node asked directly.
func TestConformance(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "conformance", "*.json*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	for _, file := range files {
		c, err := conformance.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			alone := replayAlone(t, c)
			for _, l := range layouts {
				if c.Name == "packages" && underRace() && !l.transparent {
					continue // thousands of documents: minutes with the detector on, and no other code than the small cases
				}
				t.Run(l.name, func(t *testing.T) { l.replay(t, c, alone) })
			}
		})
	}
}

// underRace reports whether the race detector is on.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// replayAlone runs a case against one embedded node without Miroir.
func replayAlone(t *testing.T, c *conformance.Case) []conformance.Result {
	node := devnode.New(devnode.Options{MasterKey: "masterKey"})
	defer node.Close()
	return conformance.Run(t.Context(), conformance.Options{
		Transport: devnode.Transport(map[string]*devnode.Node{"node": node}), Key: "masterKey",
	}, c)
}

// replay runs a case through a new pod. alone[i] is what one node made of step i.
func (l layout) replay(t *testing.T, c *conformance.Case, alone []conformance.Result) {
	p := openTestPod(t, l.groups*l.nodes, func(o *podOptions) {
		o.Cluster.ReplicationFactor, o.Cluster.Spread = l.rf, l.spread
		for i := range o.Nodes {
			o.Nodes[i].Group = fsm.GroupID(i / l.nodes)
		}
	})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	results := conformance.Run(t.Context(), conformance.Options{BaseURL: p.ClientURL(), Transport: transport, Key: "masterKey"}, c)
	for i, r := range results {
		if r.OK() {
			continue
		}
		t.Logf("%s/%s %s", c.Name, r.Step, r.Request)
		for _, line := range r.Differences[:min(4, len(r.Differences))] {
			t.Log("     " + line)
		}
		if l.transparent && alone[i].OK() {
			t.Errorf("%s/%s: one node alone answers this step as recorded", c.Name, r.Step)
		}
	}
	passed := conformance.Passed(results)
	fmt.Printf("miroir conformance: %s %s %d/%d\n", strings.ReplaceAll(l.name, " ", "-"), c.Name, passed, len(results))
	if passed < l.floors[c.Name] {
		t.Errorf("%d steps agree, the floor is %d", passed, l.floors[c.Name])
	}
}
