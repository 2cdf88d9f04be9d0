package fsm

import "testing"

// A rename updates an index, as on one server; swapping names does not.
func TestRenamesShowAsUpdates(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	before := m.fsm.View().Index("a").UpdatedAt
	do(m, swap("a", "b"))
	if got := m.fsm.View().Index("b").UpdatedAt; !got.Equal(before) {
		t.Errorf("a swap updated the index: %s, was %s", got, before)
	}
	rename := swap("b", "c")
	rename.Now = m.tick()
	rename.Effect.Swaps[0].Rename = true
	do(m, rename)
	if got := m.fsm.View().Index("c"); got == nil || !got.UpdatedAt.After(before) {
		t.Errorf("a rename left the date: %+v, was %s", got, before)
	}
}
