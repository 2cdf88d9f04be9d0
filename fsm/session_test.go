package fsm

import (
	"fmt"
	"testing"
	"time"
)

// sessionWrite begins a document write of a session.
func (m *machine) sessionWrite(session string) (BeginWriteResult, WriteID) {
	m.t.Helper()
	m.nextW++
	id := WriteID(fmt.Sprintf("s%d", m.nextW))
	uid := "movies"
	return do(m, BeginWrite{Now: m.tick(), WriteID: id, Kind: "documentAdditionOrUpdate", IndexUID: &uid, Session: session}), id
}

func (m *machine) wantSession(session string, index IndexID, tasks ...uint32) []SessionWrite {
	m.t.Helper()
	list, err := m.fsm.SessionWrites(session, index)
	if err != nil {
		m.t.Fatal(err)
	}
	var got []uint32
	for _, w := range list {
		got = append(got, w.TaskUID)
	}
	if fmt.Sprint(got) != fmt.Sprint(tasks) {
		m.t.Fatalf("session %s waits for %v, want %v", session, got, tasks)
	}
	return list
}

// TestSessionsKnowWhatIsUnfinished: a write is known from its beginning to its task's end, with the group that took it.
func TestSessionsKnowWhatIsUnfinished(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(2, 1, 1, SpreadAuto)
	r, id := m.begin("movies", "indexCreation", Effect{CreateIndex: true, PrimaryKey: ptr("id")})
	m.ackAll(r, id)
	m.finish(r.TaskUID, StatusSucceeded)
	index := r.Index.ID

	a, aID := m.sessionWrite("alice")
	b, bID := m.sessionWrite("alice")
	c, cID := m.sessionWrite("alic")
	m.wantSession("alice", index+1)
	if list := m.wantSession("alice", index, a.TaskUID, b.TaskUID); list[0].Group != nil {
		t.Error("pinned before its result is known")
	}
	m.ackAll(a, aID)
	do(m, EndWrite{Now: m.tick(), WriteID: bID, Acks: []Ack{{Node: b.Targets[1].Node, NodeTaskUID: 9}}})
	m.reopen()
	list := m.wantSession("alice", index, a.TaskUID, b.TaskUID)
	if g := list[0].Group; g == nil || *g != a.Targets[0].Group {
		t.Errorf("a write that all took is pinned to %v", g)
	}
	if g := list[1].Group; g == nil || *g != b.Targets[1].Group {
		t.Errorf("a write that the other group missed is pinned to %v", g)
	}
	m.finish(a.TaskUID, StatusSucceeded)
	m.finish(b.TaskUID, StatusFailed)
	m.wantSession("alice", index)
	m.wantSession("alic", index, c.TaskUID)
	do(m, EndWrite{Now: m.tick(), WriteID: cID, Acks: nil}) // refused: the task has failed
	m.wantSession("alic", index)
	if n := m.fsm.View().NumSessionWrites; n != 0 {
		t.Errorf("%d writes of sessions are left", n)
	}
}

// TestSessionsAreBounded: by number and by age, oldest out first.
func TestSessionsAreBounded(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	config := m.fsm.View().Config
	config.Sessions.MaxSessions = 3
	do(m, SetConfig{Config: config})
	r, id := m.begin("movies", "indexCreation", Effect{CreateIndex: true, PrimaryKey: ptr("id")})
	m.ackAll(r, id)
	m.finish(r.TaskUID, StatusSucceeded)
	var uids []uint32
	for range 5 {
		w, _ := m.sessionWrite("alice")
		uids = append(uids, w.TaskUID)
	}
	m.wantSession("alice", r.Index.ID, uids[2:]...)
	kept, _ := m.sessionWrite("bob")
	for range config.Sessions.TTLSeconds/60 + 1 {
		m.now = m.now.Add(time.Minute)
		w, _ := m.sessionWrite("carol")
		m.finish(w.TaskUID, StatusSucceeded)
	}
	m.wantSession("bob", r.Index.ID)
	m.finish(kept.TaskUID, StatusSucceeded)
	w, _ := m.sessionWrite("bob")
	m.wantSession("bob", r.Index.ID, w.TaskUID)
	m.finish(uids[0], StatusSucceeded)
	if n := m.fsm.View().NumSessionWrites; n != 1 {
		t.Errorf("%d writes of sessions are known, want 1", n)
	}
}

// TestSessionsOutliveClocksThatJump: the end of a node's task, or a new leader, may bring a time that is hours ahead.
func TestSessionsOutliveClocksThatJump(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	r, id := m.begin("movies", "indexCreation", Effect{CreateIndex: true, PrimaryKey: ptr("id")})
	m.ackAll(r, id)
	m.finish(r.TaskUID, StatusSucceeded)
	w, _ := m.sessionWrite("alice")
	other, _ := m.sessionWrite("bob")
	ahead := m.now.Add(5 * time.Hour)
	do(m, FinishTask{Now: ahead, TaskUID: other.TaskUID, Status: StatusSucceeded})
	m.sessionWrite("bob")
	m.now = m.now.Add(5 * time.Hour)
	m.sessionWrite("bob")
	m.wantSession("alice", r.Index.ID, w.TaskUID)
}
