package proxy

import (
	"path/filepath"
	"strings"
	"testing"

	"miroir/conformance"
	"miroir/devnode"
	"miroir/fsm"
)

// differsByDesign are steps that cannot agree, and why.
var differsByDesign = map[string]string{
	"api-tasks 048": "a batch does not report the sizes of the nodes' internal databases",
}

// TestWritesLikeOneServer replays the recorded conversations against a whole pod in several shapes. A step that one
// embedded node alone answers as recorded must be answered so through Miroir.
func TestWritesLikeOneServer(t *testing.T) {
	shapes := map[string]clusterShape{
		"one node":               {groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto},
		"three nodes":            {groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll},
		"three nodes, RF 2":      {groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll},
		"two groups, not spread": {groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAuto},
	}
	for _, name := range []string{"api-indexes", "api-documents", "api-settings", "api-tasks", "api-vectors", "api-misc", "api-keys"} {
		path := filepath.Join("..", "testdata", "conformance", name+".json")
		recording, err := conformance.Load(path)
		if err != nil {
			t.Skip(err)
		}
		node := devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(node.Close)
		reference := conformance.Run(t.Context(), conformance.Options{Transport: conformance.Handler(node), Key: testMasterKey}, recording)
		for shape, top := range shapes {
			t.Run(name+"/"+shape, func(t *testing.T) {
				c := newWriteCluster(t, top)
				results := conformance.Run(t.Context(), conformance.Options{Transport: conformance.Handler(c.server), Key: testMasterKey}, recording)
				agree := 0
				for i, result := range results {
					switch {
					case result.OK():
						agree++
					case isRead(result.Request): // TestReadsLikeOneServer judges them
					case differsByDesign[name+" "+result.Step] != "":
						t.Logf("%s %s: %s", result.Step, result.Request, differsByDesign[name+" "+result.Step])
					case reference[i].OK():
						t.Errorf("%s %s: %s", result.Step, result.Request, strings.Join(result.Differences, "; "))
					}
				}
				t.Logf("%d of %d agree with the recording, %d of one embedded node", agree, len(results), conformance.Passed(reference))
			})
		}
	}
}
