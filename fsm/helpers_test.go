package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// machine is an FSM with a log of its own: what Raft is to it in a pod.
type machine struct {
	t       testing.TB
	path    string
	fsm     *FSM
	log     []*raft.Log
	logBase uint64 // entries dropped from the front of log
	now     time.Time
	nextW   int
}

func newMachine(t testing.TB) *machine {
	m := &machine{t: t, path: filepath.Join(t.TempDir(), "state.db"), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	m.open()
	t.Cleanup(func() { m.fsm.Close() })
	return m
}

func (m *machine) open() {
	m.t.Helper()
	f, err := Open(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	m.fsm = f
}

// reopen stops the machine as a kill would, as far as the file is concerned, and starts it again.
func (m *machine) reopen() {
	m.t.Helper()
	if err := m.fsm.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
}

func (m *machine) tick() time.Time {
	m.now = m.now.Add(time.Millisecond)
	return m.now
}

func (m *machine) entry(cmd Command) *raft.Log {
	m.t.Helper()
	data, err := Encode(cmd)
	if err != nil {
		m.t.Fatal(err)
	}
	entry := &raft.Log{Index: m.logBase + uint64(len(m.log)) + 1, Term: 1, Type: raft.LogCommand, Data: data}
	m.log = append(m.log, entry)
	return entry
}

// dropLog forgets the entries so far, for tests that do not replay them.
func (m *machine) dropLog() {
	m.logBase += uint64(len(m.log))
	m.log = nil
}

func (m *machine) try(cmd Command) (any, error) {
	m.t.Helper()
	answer := m.fsm.Apply(m.entry(cmd))
	if err, ok := answer.(error); ok {
		return nil, err
	}
	return answer, nil
}

// do applies a command that must not be refused.
func do[R any](m *machine, cmd TypedCommand[R]) R {
	m.t.Helper()
	answer, err := m.try(cmd)
	if err != nil {
		m.t.Fatalf("%T: %v", cmd, err)
	}
	return answer.(R)
}

func (m *machine) refused(cmd Command, want *Error) {
	m.t.Helper()
	before := m.dump()
	if _, err := m.try(cmd); !errors.Is(err, want) {
		m.t.Fatalf("%T: error %v, want code %s", cmd, err, want.Code)
	}
	if after := m.dump(); after != before {
		m.t.Fatalf("%T was refused but changed the state:\n%s\n%s", cmd, before, after)
	}
}

// bootstrap sets up groups of nodes named n<group>-<i>.
func (m *machine) bootstrap(groups, nodes, rf, spread int) {
	m.t.Helper()
	c := Bootstrap{Now: m.tick(), ClusterID: "c", Config: Config{Shards: 4, ReplicationFactor: rf, Spread: spread}}
	for g := range groups {
		for i := range nodes {
			c.Nodes = append(c.Nodes, Node{ID: nodeID(g, i), Address: "http://x", Group: GroupID(g)})
		}
	}
	do(m, c)
}

func nodeID(g, i int) NodeID { return NodeID(fmt.Sprintf("n%d-%d", g, i)) }

func ptr[T any](v T) *T { return &v }

func (m *machine) writeID() WriteID {
	m.nextW++
	return WriteID(fmt.Sprintf("w%d", m.nextW))
}

// begin accepts a write of a kind with an effect.
func (m *machine) begin(uid, kind string, e Effect) (BeginWriteResult, WriteID) {
	m.t.Helper()
	id := m.writeID()
	return do(m, BeginWrite{Now: m.tick(), WriteID: id, Kind: kind, IndexUID: &uid, Effect: e}), id
}

// ackAll ends a write that every target has.
func (m *machine) ackAll(r BeginWriteResult, id WriteID) EndWriteResult {
	m.t.Helper()
	c := EndWrite{Now: m.tick(), WriteID: id}
	for _, target := range r.Targets {
		c.Acks = append(c.Acks, Ack{Node: target.Node, NodeTaskUID: int64(r.TaskUID)})
	}
	return do(m, c)
}

func (m *machine) finish(task uint32, status string) FinishTaskResult {
	m.t.Helper()
	return do(m, FinishTask{Now: m.tick(), TaskUID: task, Status: status})
}

// write takes a write through to a status.
func (m *machine) write(uid, kind string, e Effect, status string) uint32 {
	m.t.Helper()
	r, id := m.begin(uid, kind, e)
	m.ackAll(r, id)
	m.finish(r.TaskUID, status)
	return r.TaskUID
}

func (m *machine) create(uid string) {
	m.write(uid, "indexCreation", Effect{CreateIndex: true}, StatusSucceeded)
}

func (m *machine) task(uid uint32) *Task {
	m.t.Helper()
	task, err := m.fsm.Task(uid)
	if err != nil {
		m.t.Fatal(err)
	}
	return task
}

// dump returns everything readers can see, and the counters, as text. The applied index is left out.
func (m *machine) dump() string {
	m.t.Helper()
	v := *m.fsm.View()
	v.AppliedIndex, v.PlacedAt, v.RulesAt = 0, 0, 0
	tasks, err := m.fsm.Tasks(TaskFilter{}, TaskPage{Limit: 1 << 30})
	batches, err2 := m.fsm.Batches(TaskFilter{}, TaskPage{Limit: 1 << 30})
	intents, err3 := m.fsm.OpenIntents()
	if err := errors.Join(err, err2, err3); err != nil {
		m.t.Fatal(err)
	}
	counts := map[string]int{}
	for _, status := range []string{StatusEnqueued, StatusProcessing, StatusSucceeded, StatusFailed, StatusCanceled} {
		list, err := m.fsm.Tasks(TaskFilter{Statuses: []string{status}}, TaskPage{})
		if err != nil {
			m.t.Fatal(err)
		}
		counts[status] = list.Total
	}
	text, err := json.Marshal([]any{v, v.counters, v.flips, v.retired, m.freedNames(), tasks, batches, intents, counts})
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}
