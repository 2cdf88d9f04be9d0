package proxy

import (
	"net/http"
	"testing"

	"miroir/fsm"
)

// A task is shown with what became of it on each node; of one that does not answer, what is recorded.
func TestATaskWithWhatNodesMadeOfIt(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll})
	for _, document := range []string{`[{"id":1}]`, `[{"id":2}]`} {
		succeeded(t, c.do("POST", "/indexes/m/documents", document))
	}
	shows := func() map[string]any {
		t.Helper()
		got := c.admin("GET", "/_miroir/tasks/1", "", http.StatusOK)
		if got["uid"] != 1.0 || got["status"] != "succeeded" || got["type"] != "documentAdditionOrUpdate" || got["write_id"] == "" || len(got["shards"].([]any)) != 1 {
			t.Errorf("task: %v", got)
		}
		replicas := got["replicas"].([]any)
		if len(replicas) != 2 {
			t.Fatalf("replicas: %v", replicas)
		}
		for _, one := range replicas {
			one := one.(map[string]any)
			if uid, known := one["node_task_uid"].(float64); !known || uid < 0 || one["status"] != "succeeded" || one["error"] != nil {
				t.Errorf("replica: %v", one)
			}
		}
		return replicas[1].(map[string]any)
	}
	if ms, known := shows()["duration_ms"].(float64); !known || ms < 0 {
		t.Error("no duration")
	}
	c.nodes["n0-1"].Stop()
	if one := shows(); one["node"] != "n0-1" || one["duration_ms"] != nil {
		t.Errorf("a node that is gone: %v", one)
	}
	if got := c.admin("GET", "/_miroir/tasks/7", "", http.StatusNotFound); got["code"] != "miroir_not_found" {
		t.Error(got)
	}
}
