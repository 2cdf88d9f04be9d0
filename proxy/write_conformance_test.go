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
	"api-misc 036":  "the sizes before and after a compaction depend on how the server grew",
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
	for _, name := range writeRecordings {
		recording := loadRecording(t, name)
		node := devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(node.Close)
		reference := conformance.Run(t.Context(), conformance.Options{Transport: conformance.Handler(node), Key: testMasterKey}, recording)
		for shape, top := range shapes {
			t.Run(name+"/"+shape, func(t *testing.T) { newWriteCluster(t, top).replay(recording, reference) })
		}
	}
}

// TestWritesLikeOneServerOverRealNodes is the same over real servers, which are their own reference: every step must
// be answered as recorded.
func TestWritesLikeOneServerOverRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many servers")
	}
	shapes := map[string]clusterShape{
		"one node":          {groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto},
		"three nodes, RF 2": {groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll},
	}
	for _, name := range writeRecordings {
		recording := loadRecording(t, name)
		for shape, top := range shapes {
			t.Run(name+"/"+shape, func(t *testing.T) {
				rt, addresses := realNodes(t, top.groups*top.perGroup)
				newWriteClusterOver(t, top, rt, addresses).replay(recording, nil)
			})
		}
	}
}

var writeRecordings = []string{"api-indexes", "api-documents", "api-settings", "api-tasks", "api-vectors", "api-misc", "api-keys"}

func loadRecording(t *testing.T, name string) *conformance.Case {
	recording, err := conformance.Load(filepath.Join("..", "testdata", "conformance", name+".json"))
	if err != nil {
		t.Skip(err)
	}
	return recording
}

// replay sends a recorded conversation. A step that differs is an error unless reads are concerned, it differs by
// design, or the reference does not agree with the recording either.
func (c *writeCluster) replay(recording *conformance.Case, reference []conformance.Result) {
	results := conformance.Run(c.t.Context(), conformance.Options{Transport: conformance.Handler(c.server), Key: testMasterKey}, recording)
	for i, result := range results {
		switch {
		case result.OK():
		case isRead(result.Request): // TestReadsLikeOneServer judges them
		case differsByDesign[recording.Name+" "+result.Step] != "":
			c.t.Logf("%s %s: %s", result.Step, result.Request, differsByDesign[recording.Name+" "+result.Step])
		case reference == nil || reference[i].OK():
			c.t.Errorf("%s %s: %s", result.Step, result.Request, strings.Join(result.Differences, "; "))
		}
	}
	c.t.Logf("%d of %d steps agree with the recording", conformance.Passed(results), len(results))
}
