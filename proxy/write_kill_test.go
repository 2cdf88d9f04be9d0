package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"

	"miroir/fsm"
	"miroir/workers"
)

// mortal is the transport of a pod that can die: from then on nothing it sends leaves it.
type mortal struct {
	dead atomic.Bool
	next http.RoundTripper
}

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.dead.Load() {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, errKilled
	}
	return m.next.RoundTrip(r)
}

// kill lets neither commands nor requests of the pod pass any more.
func (c *writeCluster) kill(m *mortal) {
	m.dead.Store(true)
	c.state.refuse(func(fsm.Command) error { return errKilled })
}

// revive starts the next pod over what the last one left, with the repair.
func (c *writeCluster) revive(m *mortal) {
	c.t.Helper()
	c.stop()
	m.dead.Store(false)
	c.state.refuse(nil)
	c.options.OnWriteStep = nil
	c.start()
	c.repair(workers.Repair{})
}

// killMoment is the n-th time that a step happens at a node ("" for any).
type killMoment struct {
	step WriteStep
	node fsm.NodeID
	n    int32
}

func killMoments() []killMoment {
	moments := []killMoment{}
	for _, step := range []WriteStep{StepChecked, StepBegun, StepCollected, StepConcluded, StepUnconfirmed} {
		moments = append(moments, killMoment{step, "", 1})
	}
	for _, step := range []WriteStep{StepSending, StepSent} {
		for n := range int32(3) {
			moments = append(moments, killMoment{step, "", n + 1})
		}
		moments = append(moments, killMoment{step, "n1-0", 1})
	}
	return moments
}

// The pod dies at every step of a write, with all nodes there and with one away; the next pod finds the state it left. What
// was acknowledged is on every replica; what was not happened everywhere or nowhere, as its task says. Red when a result is
// acknowledged before the log has it while a node misses it, and when open intents are forgotten.
func TestPodDiesAtEveryStepOfAWrite(t *testing.T) {
	writes := map[string]struct{ method, path, body string }{
		"add":    {"POST", "/indexes/m/documents", `[{"id":1,"v":"new"},{"id":2,"v":"new"},{"id":3,"v":"new"}]`},
		"delete": {"POST", "/indexes/m/documents/delete-batch", `[1,2,3]`},
	}
	for kind, write := range writes {
		for _, away := range []string{"", "n0-0"} {
			for _, moment := range killMoments() {
				name := fmt.Sprintf("%s, %s %s %d, away %q", kind, moment.step, moment.node, moment.n, away)
				t.Run(name, func(t *testing.T) { dieAt(t, moment, away, write.method, write.path, write.body) })
			}
		}
	}
}

func dieAt(t *testing.T, moment killMoment, away, method, path, body string) {
	c := newWriteCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"v":"old"},{"id":2,"v":"old"},{"id":3,"v":"old"},{"id":4,"v":"old"}]`))
	c.stop()
	pod := &mortal{next: c.rt}
	c.options.NodeTransport = pod
	var count atomic.Int32
	c.options.OnWriteStep = func(step WriteStep, node fsm.NodeID) {
		if step == moment.step && (moment.node == "" || moment.node == node) && count.Add(1) == moment.n {
			c.kill(pod)
		}
	}
	c.start()
	if away != "" {
		c.nodes[away].Stop()
	}
	write := uint32(c.state.View().NextTaskUID)
	answer := c.call(method, path, body)
	acknowledged := answer.Code == http.StatusAccepted
	if away != "" {
		c.nodes[away].Start()
	}
	c.revive(pod)
	status := "none"
	if _, err := c.state.FSM.Task(write); !errors.Is(err, fsm.ErrNotFound) {
		status = c.await(int(write))["status"].(string)
	}
	if acknowledged && status != "succeeded" {
		t.Errorf("the write was acknowledged and its task is %s", status)
	}
	c.repaired("m")
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":5,"v":"last"}]`))
	old := oracle{}
	for id := 1; id <= 4; id++ {
		old.put(id, map[string]any{"v": "old"})
	}
	old.put(5, map[string]any{"v": "last"})
	want := oracle{"4": old["4"], "5": old["5"]}
	if method == "POST" && path == "/indexes/m/documents" {
		for id := 1; id <= 3; id++ {
			want.put(id, map[string]any{"v": "new"})
		}
	}
	if status != "succeeded" {
		want = old
	}
	for node := range c.nodes {
		if got := c.documentsOn(node, "m"); !reflect.DeepEqual(oracle(got), want) {
			t.Errorf("task %s; node %s has %v, want %v", status, node, got, want)
		}
	}
	if n := c.state.View().NumOpenIntents; n != 0 {
		t.Errorf("%d writes are open", n)
	}
}
