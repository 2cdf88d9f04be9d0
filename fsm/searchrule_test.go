package fsm

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSearchRules(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	put := func(uid, rule string) { do(m, PutSearchRule{uid, json.RawMessage(rule)}) }
	put("c", `{"n":0}`)
	put("a", `{"n":1}`)
	put("b", `{"n":2}`)
	before := m.fsm.View()
	do(m, DeleteSearchRules{[]string{"a", "unknown"}})
	put("d", `{"n":3}`) // takes the place of a
	put("c", `{"n":4}`)
	m.refused(PutSearchRule{"", json.RawMessage(`{}`)}, ErrInvalid)
	m.refused(PutSearchRule{strings.Repeat("x", 513), json.RawMessage(`{}`)}, ErrInvalid)
	if len(before.SearchRules) != 3 || before.RulesAt == m.fsm.View().RulesAt {
		t.Errorf("the view before has %d rules, as of %d", len(before.SearchRules), before.RulesAt)
	}
	other := newMachine(t)
	transfer(t, m, other)
	m.reopen()
	for name, v := range map[string]*View{"reopened": m.fsm.View(), "received": other.fsm.View()} {
		got := string(marshal(v.SearchRules))
		want := `{"b":{"uid":"b","rule":{"n":2},"seq":2},"c":{"uid":"c","rule":{"n":4},"seq":0},"d":{"uid":"d","rule":{"n":3},"seq":1}}`
		if got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	do(m, DeleteSearchRules{[]string{"b", "c", "d"}})
	if n := len(m.fsm.View().SearchRules); n != 0 {
		t.Errorf("%d rules", n)
	}
}
