package proxy

import (
	"testing"
	"time"

	"miroir/fsm"
)

// Topology: three groups of one node. A write killed two of them. One that returns is told to cancel it, whatever became of it: that
// makes a task, with the number of the one that its disk has lost. Red when the node is told before its task history is read.
func TestARollbackByOneTaskIsNoticedThoughAWriteWasStopped(t *testing.T) {
	c, _, _ := newCatchUpCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4})
	want := oracle{}
	c.fill("m", want, 5)
	c.nodes["n0-0"].CrashOn(isPoison)
	c.nodes["n1-0"].CrashOn(isPoison)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	stopped := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":7,"v":"poison"}]`))
	c.until("the result to be noted", func() bool { return c.state.View().NumOpenIntents == 0 })
	c.nodes["n0-0"].ResumeTasks()
	c.until("the first death", func() bool { return c.isDown("n0-0") })
	c.nodes["n1-0"].ResumeTasks()
	c.until("the third to be told", func() bool {
		return c.on("n2-0", "GET", "/tasks?types=taskCancelation", "")["total"] != 0.0
	})
	c.nodes["n2-0"].ResumeTasks()
	c.await(stopped)
	for _, id := range []string{"n0-0", "n1-0"} {
		c.nodes[id].CrashOn(nil)
		c.nodes[id].TaskDelay(50 * time.Millisecond)
		c.nodes[id].Start()
	}
	inSync := func() bool { return c.replicas("m")[fsm.Active] == 3 }
	c.until("all replicas to be in sync", inSync)
	old := c.nodes["n0-0"].Snapshot()
	succeeded(t, c.do("POST", "/indexes/m/documents", want.put(1, map[string]any{"v": "lost"})))
	c.nodes["n0-0"].Stop()
	c.nodes["n0-0"].Restore(old)
	c.until("the node to be missed", func() bool { return c.state.View().Node("n0-0").State != fsm.NodeActive })
	c.nodes["n0-0"].Start()
	c.until("the node to be back", func() bool { return c.state.View().Node("n0-0").State == fsm.NodeActive })
	c.until("all replicas to be in sync", inSync)
	c.equalEverywhere("m", want)
}

// Topology: four groups of one node. A write kills two of them and waits on the others. The fourth gets an older disk so soon that
// nothing misses it, and is then told to cancel that write. Red when nobody looks which number it gives the cancelation: it is that of
// the lost task, which then seems to have succeeded.
func TestARollbackByOneTaskIsNoticedWhenAWriteIsStopped(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 4, perGroup: 1, rf: 1, shards: 4})
	c.fill("m", oracle{}, 5)
	c.fill("k", oracle{}, 5)
	c.nodes["n0-0"].CrashOn(isPoison)
	c.nodes["n1-0"].CrashOn(isPoison)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":7,"v":"poison"}]`))
	old := c.nodes["n3-0"].Snapshot()
	lost := c.accepted(c.call("POST", "/indexes/k/documents", `[{"id":8,"v":"lost"}]`))
	c.until("the results to be noted", func() bool { return c.state.View().NumOpenIntents == 0 })
	c.nodes["n3-0"].Restore(old)
	c.nodes["n0-0"].ResumeTasks()
	c.until("the first death", func() bool { return c.isDown("n0-0") })
	c.nodes["n1-0"].ResumeTasks()
	c.until("the fourth to be told", func() bool {
		return c.on("n3-0", "GET", "/tasks?types=taskCancelation", "")["total"] != 0.0
	})
	for _, n := range c.nodes {
		n.CrashOn(nil)
		n.ResumeTasks()
		n.Start()
	}
	succeeded(t, c.await(lost))
	for _, replica := range c.state.View().Index("k").Replicas(3, 0) {
		if replica.State != fsm.Stale {
			t.Errorf("the replica that lost a write is %s", replica.State)
		}
	}
}
