package fsm

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// samples is one command of every type with something in it.
func samples() []Command {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	return []Command{
		Bootstrap{Now: now, ClusterID: "c", Config: DefaultConfig(), Groups: []GroupID{0}, Keys: []Key{{UID: "k"}}},
		SetConfig{Config: DefaultConfig()},
		AddNode{Now: now, Node: Node{ID: "n"}}, SetNodeState{Now: now, Node: "n", State: NodeFailed},
		RemoveNode{Now: now, Node: "n", Force: true}, MarkNodeStale{Now: now, Node: "n", LastTaskUID: ptr(int64(-1))},
		RecordNodeTask{Node: "n", UID: 7},
		AddGroup{Now: now, Group: 3}, SetGroupState{Now: now, Group: 3, State: GroupDraining}, RemoveGroup{Now: now, Group: 3},
		ForgetLeftover{Leftover{"n", "i"}}, SetSpread{Index: 1, Spread: SpreadAll}, ExpandIndex{Index: 1},
		MarkReplicas{Now: now, Changes: []ReplicaChange{{ReplicaRef{1, 2, 3, "n"}, Stale, Joining}}},
		ActivateReplica{Now: now, ReplicaRef: ReplicaRef{1, 2, 3, "n"}, Epoch: 9, Displaced: "m"},
		GiveUpSettings{Now: now, Index: 1, NextVersion: 2, Nodes: []SettingsGaps{{"n", []string{"stopWords"}}}}, UnfreezeIndex{Index: 1},
		BeginWrite{Now: now, WriteID: "w", Kind: "settingsUpdate", IndexUID: ptr("i"), Effect: Effect{Settings: json.RawMessage(`{"a":"<&>"}`)}},
		EndWrite{Now: now, WriteID: "w", Acks: []Ack{{Node: "n", NodeTaskUID: 3}, {Node: "m", Err: "down"}}},
		StartTasks{Now: now, TaskUIDs: TaskUIDs{1, 2, 3, 9}}, FinishTask{Now: now, TaskUID: 1, Status: StatusFailed},
		CancelTasks{Now: now, TaskUID: 5, UIDs: TaskUIDs{1}}, DeleteTasks{Now: now, UIDs: TaskUIDs{4, 5, 6}},
		PutKey{Key: Key{UID: "k"}, Create: true}, DeleteKey{UID: "k"}, SetFeatures{Features: json.RawMessage(`{"metrics":true}`)}, SetNetwork{Network: json.RawMessage(`{"self":"s"}`)},
		PutWebhook{Webhook: Webhook{UUID: "u", URL: "http://hook", Headers: map[string]string{"Authorization": "Bearer x"}}, Create: true}, DeleteWebhook{UUID: "u"},
		PutChatWorkspace{ChatWorkspace{UID: "c", Settings: json.RawMessage(`{"source":"openAi"}`)}}, DeleteChatWorkspace{UID: "c"},
		PutSearchRule{UID: "r", Rule: json.RawMessage(`{"active":true}`)}, DeleteSearchRules{UIDs: []string{"r"}},
		StartJob{Now: now, Job: Job{ID: "j", Type: JobDrainNode, Node: "n"}}, EndJob{Now: now, ID: "j", State: JobSucceeded},
		RaiseLevel{Level: 2},
		SetRebalance{Now: now, State: RebalancePaused},
	}
}

func TestEveryCommandRoundTrips(t *testing.T) {
	seen := map[reflect.Type]bool{}
	for _, cmd := range samples() {
		seen[reflect.TypeOf(cmd)] = true
		data, err := Encode(cmd)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, cmd) {
			t.Errorf("%T came back as\n%+v, was\n%+v", cmd, got, cmd)
		}
	}
	for _, row := range commandTypes {
		if !seen[row.goType] {
			t.Errorf("%s has no sample", row.goType)
		}
	}
	if len(commandsByTag) != len(commandTypes) {
		t.Errorf("%d tags for %d commands", len(commandsByTag), len(commandTypes))
	}
}

func TestResultsRoundTrip(t *testing.T) {
	want := BeginWriteResult{TaskUID: 3, Targets: []Target{{Node: "n", Shards: []ShardID{1}}}, Index: &Index{ID: 4}}
	got, err := DecodeResult(BeginWrite{}, marshal(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestOpaqueJSONIsKept(t *testing.T) {
	data, err := Encode(SetFeatures{Features: json.RawMessage(`{"a":"<b>&"}`)})
	if err != nil || !bytes.Contains(data, []byte(`"<b>&"`)) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestAnEntryThatIsNotUnderstoodStopsTheProcess(t *testing.T) {
	good, err := Encode(AddGroup{Group: 1})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty": nil, "unknown version": append([]byte{99}, good[1:]...), "unknown tag": {commandVersion, 255, '{', '}'},
		"unknown field": append([]byte{commandVersion, 20}, `{"group":1,"colour":"red"}`...),
		"cut off":       good[:len(good)-1], "rest": append(bytes.Clone(good), '1'),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			before := m.dump()
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, "stopping rather than diverging") {
					t.Errorf("panic %q", said)
				}
				if m.dump() != before {
					t.Error("the state changed")
				}
			}()
			m.fsm.Apply(&raft.Log{Index: 1, Term: 1, Type: raft.LogCommand, Data: data})
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, cmd := range samples() {
		data, err := Encode(cmd)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x01\x32" + `{"taskUids":[[0,4294967295]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cmd, err := Decode(data)
		if err != nil {
			return
		}
		once, err := Encode(cmd)
		if err != nil {
			t.Fatalf("%T decodes but does not encode: %v", cmd, err)
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("%T does not decode after encoding: %v", cmd, err)
		}
		if twice, err := Encode(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("encoding is not stable: %s, %s, %v", once, twice, err)
		}
	})
}
