package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/workers"
)

// With rebalancer.auto_rebalance_on_recovery off, a node that returns gets what was kept for it, and is copied to only when a
// rebalance is asked for. Red when it is copied to before, or the rebalance ends before it is.
func TestRepairWaitsToBeAskedFor(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	set := metrics.NewSet()
	c.repair(workers.Repair{Metrics: set})
	config := func(patch string) {
		t.Helper()
		if answer := c.manage("PATCH", "/_miroir/config", patch); answer.Code != http.StatusOK {
			t.Fatal(answer.Body)
		}
	}
	config(`{"rebalancer.auto_rebalance_on_recovery":false}`)
	copied := func() uint64 { return counted(set, "miroir_repair_documents_copied_total") }
	want := oracle{}
	c.fill("m", want, 20)

	c.nodes["n1-0"].Stop()
	c.until("the failure to be noticed", func() bool { return c.state.View().Node("n1-0").State == fsm.NodeFailed })
	c.call("POST", "/indexes/m/documents", want.put(1, map[string]any{"v": "missed"}))
	c.nodes["n1-0"].Start()
	c.repaired("m")
	if copied() != 0 {
		t.Error("documents were copied that could be replayed")
	}

	config(`{"placement.catch_up_log_bytes":0}`)
	c.nodes["n1-0"].Stop()
	c.until("the failure to be noticed", func() bool { return c.state.View().Node("n1-0").State == fsm.NodeFailed })
	c.call("POST", "/indexes/m/documents", want.put(2, map[string]any{"v": "missed"}))
	c.nodes["n1-0"].Start()
	c.until("the repair to wait", func() bool {
		list := c.workers.Repairs()
		return len(list) == 1 && strings.Contains(list[0].Error, "rebalancer.auto_rebalance_on_recovery")
	})
	if copied() != 0 || c.replicas("m")[fsm.Stale] != 1 {
		t.Fatalf("%d documents were copied, replicas %v", copied(), c.replicas("m"))
	}

	answer := c.manage("POST", "/_miroir/rebalance", `{"index":"m"}`)
	if answer.Code != http.StatusAccepted {
		t.Fatal(answer.Body)
	}
	c.until("the rebalance to end", func() bool {
		jobs := c.state.View().Jobs
		return jobs[len(jobs)-1].State == fsm.JobSucceeded
	})
	if c.replicas("m")[fsm.Active] != 2 {
		t.Fatalf("the rebalance ended with replicas %v", c.replicas("m"))
	}
	c.equalEverywhere("m", want)
	if counted(set, `miroir_repair_shards_total{reason="stale",result="repaired"}`) != 2 || counted(set, `miroir_repair_shards_total{reason="move",result="repaired"}`) != 0 {
		t.Error("repairs are not counted by their reason")
	}
}
