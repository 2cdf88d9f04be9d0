package fsm

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

func TestCompact(t *testing.T) {
	m := newMachine(t)
	populate(m)
	for i := range 300 {
		do(m, PutSearchRule{fmt.Sprint("r", i), marshal(map[string]string{"text": fmt.Sprintf("%2000d", i)})})
	}
	var uids []string
	for i := range 299 {
		uids = append(uids, fmt.Sprint("r", i))
	}
	do(m, DeleteSearchRules{uids})
	want := m.dump()

	_, stream, err := m.fsm.SnapshotStore().Open(snapshotID)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.fsm.Compact(); !errors.Is(err, ErrBusy) {
		t.Errorf("while the state is streamed: %v", err)
	}
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	before, after, err := m.fsm.Compact()
	if err != nil || after >= before || after == 0 {
		t.Fatalf("from %d to %d bytes, %v", before, after, err)
	}
	if info, err := os.Stat(m.fsm.path); err != nil || info.Size() != after {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if m.dump() != want {
		t.Error("the state changed")
	}
	do(m, DeleteSearchRules{[]string{"r299"}}) // goes on
	m.reopen()
	if len(m.fsm.View().SearchRules) != 0 {
		t.Error("the last command is lost")
	}
	if _, err := os.Stat(m.fsm.path + compactedSuffix); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}
