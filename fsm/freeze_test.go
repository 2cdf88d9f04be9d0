package fsm

import (
	"encoding/json"
	"fmt"
	"testing"
)

// gapsOn are the settings that nodes cannot be brought to.
func gapsOn(nodes ...NodeID) (gaps []SettingsGaps) {
	for _, node := range nodes {
		gaps = append(gaps, SettingsGaps{Node: node, Settings: []string{"stopWords"}})
	}
	return gaps
}

func (m *machine) giveUp(uid string, nodes ...NodeID) GiveUpSettings {
	ix := m.fsm.View().Route(uid)
	return GiveUpSettings{Now: m.tick(), Index: ix.ID, NextVersion: ix.NextVersion, Nodes: gapsOn(nodes...)}
}

// Replicas become stale where others have the settings; the index freezes once no group is whole without the nodes. Cases name them by
// group and number.
func TestGivingUpSettings(t *testing.T) {
	const whole, cut = SpreadAuto, SpreadAll
	for _, test := range []struct {
		groups, nodes, rf, spread int
		wrong                     []NodeID
		stale                     int
		frozen                    bool
	}{
		{1, 1, 1, whole, []NodeID{"n0-0"}, 0, true},
		{1, 2, 2, whole, []NodeID{"n0-0"}, 1, false},
		{1, 2, 2, whole, []NodeID{"n0-0", "n0-1"}, 0, true},
		{2, 1, 1, whole, []NodeID{"n1-0"}, 1, false},
		{1, 4, 1, cut, []NodeID{"n0-3"}, 0, true},
		{2, 2, 1, cut, []NodeID{"n0-0"}, -1, false},
		{2, 2, 1, cut, []NodeID{"n0-0", "n1-1"}, -1, true},
		{1, 1, 1, whole, nil, 0, false},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			m := newMachine(t)
			m.bootstrap(test.groups, test.nodes, test.rf, test.spread)
			m.create("i")
			before := m.fsm.View().Index("i")
			got := do(m, m.giveUp("i", test.wrong...))
			if got.Frozen != test.frozen || test.stale >= 0 && len(got.Stale) != test.stale {
				t.Errorf("frozen %v, stale %v", got.Frozen, got.Stale)
			}
			ix := m.fsm.View().Index("i")
			for s := range ShardID(ix.Shards) {
				if !ix.hasInSync(s) {
					t.Errorf("shard %d is not in sync anywhere", s)
				}
			}
			if (ix.Frozen != nil) != test.frozen || (ix.NextVersion > before.NextVersion) != test.frozen {
				t.Errorf("index %+v", ix)
			}
		})
	}
}

// A freeze outlives a restart, moves with the index when names are swapped, and ends once; what was checked before it is not accepted.
func TestFreezeIsKeptUntilLifted(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("i")
	m.create("j")
	old := m.fsm.View().Index("i")
	stale := m.giveUp("i", "n0-0")
	do(m, stale)
	since := m.fsm.View().Index("i").Frozen.Since
	m.refused(stale, ErrChanged)
	m.refused(BeginWrite{Now: m.tick(), WriteID: "late", Kind: "documentAdditionOrUpdate", IndexUID: ptr("i"), Expect: &Expect{old.ID, old.NextVersion}}, ErrChanged)
	again := m.giveUp("i", "n0-0")
	again.Nodes[0].Settings = []string{"synonyms"}
	do(m, again)
	m.reopen()
	frozen := m.fsm.View().Index("i").Frozen
	if frozen == nil || !frozen.Since.Equal(since) || frozen.Nodes[0].Settings[0] != "synonyms" || m.fsm.View().Index("j").Frozen != nil {
		t.Fatalf("frozen %+v", frozen)
	}
	do(m, BeginWrite{Now: m.tick(), WriteID: "swap", Kind: "indexSwap", Effect: Effect{Swaps: []Swap{{A: "i", B: "j"}}}, Outcome: &Outcome{Status: StatusSucceeded}})
	if v := m.fsm.View(); v.Index("j").Frozen == nil || v.Index("i").Frozen != nil {
		t.Errorf("the freeze is not the index's: %+v", v.Index("j"))
	}
	do(m, UnfreezeIndex{old.ID})
	if lifted := m.dump(); m.fsm.View().Index("j").Frozen != nil {
		t.Errorf("not lifted: %s", lifted)
	}
	do(m, UnfreezeIndex{old.ID})
	m.refused(UnfreezeIndex{99}, ErrNotFound)
	m.refused(GiveUpSettings{Index: 99}, ErrNotFound)
}

// Without settings_broadcast.freeze_writes_on_unrepairable replicas become stale all the same.
func TestFreezeMayBeForbidden(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 2, SpreadAuto)
	m.create("i")
	config := m.fsm.View().Config
	config.SettingsVerify.NoFreeze = true
	do(m, SetConfig{Config: config})
	if got := do(m, m.giveUp("i", "n0-0", "n0-1")); got.Frozen || m.fsm.View().Index("i").Frozen != nil {
		t.Errorf("%+v", got)
	}
	if got := do(m, m.giveUp("i", "n0-0")); got.Frozen || len(got.Stale) != 1 {
		t.Errorf("%+v", got)
	}
	var kept Config
	if err := json.Unmarshal(marshal(config), &kept); err != nil || kept != config {
		t.Errorf("configuration %+v, %v", kept, err)
	}
}
