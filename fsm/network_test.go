package fsm

import (
	"encoding/json"
	"testing"
)

func TestNetwork(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	do(m, SetNetwork{json.RawMessage(`{"self":"a"}`)})
	do(m, SetNetwork{json.RawMessage(`{"self":"b"}`)})
	m.reopen()
	if got := string(m.fsm.View().Network); got != `{"self":"b"}` {
		t.Fatal(got)
	}
}
