package fsm

import (
	"fmt"
	"slices"
	"testing"
)

func someNodes(n int) []NodeID {
	nodes := make([]NodeID, n)
	for i := range nodes {
		nodes[i] = NodeID(fmt.Sprintf("meili-%d", i))
	}
	return nodes
}

func TestSmallIndexesSpreadEvenly(t *testing.T) {
	const numIndexes = 10_000
	for _, numNodes := range []int{2, 3, 5, 8, 16} {
		for rf := 1; rf <= min(3, numNodes); rf++ {
			nodes := someNodes(numNodes)
			held := map[NodeID]int{}
			for i := range numIndexes {
				for _, node := range Rendezvous(fmt.Sprintf("tenant_%d", i), nodes, rf) {
					held[node]++
				}
			}
			fair := numIndexes * rf / numNodes
			for _, node := range nodes {
				if off := held[node] - fair; off > fair/10 || -off > fair/10 {
					t.Errorf("%d nodes, rf %d: %s holds %d indexes, fair are %d", numNodes, rf, node, held[node], fair)
				}
			}
		}
	}
}

func TestAddingANodeMovesItsShareOnly(t *testing.T) {
	const numIndexes, rf = 10_000, 2
	for _, numNodes := range []int{3, 4, 8} {
		before, after := someNodes(numNodes), someNodes(numNodes+1)
		added := after[numNodes]
		moved := 0
		for i := range numIndexes {
			key := fmt.Sprintf("tenant_%d", i)
			old, now := Rendezvous(key, before, rf), Rendezvous(key, after, rf)
			for _, node := range now {
				if slices.Contains(old, node) {
					continue
				}
				moved++
				if node != added {
					t.Fatalf("%s moved to %s, which was there before", key, node)
				}
			}
		}
		fair := numIndexes * rf / (numNodes + 1)
		if moved > fair*11/10 || moved < fair*9/10 {
			t.Errorf("%d to %d nodes: %d replicas move, the share of the new node is %d", numNodes, numNodes+1, moved, fair)
		}
	}
}

func TestRemovingANodeMovesItsShareOnly(t *testing.T) {
	before := someNodes(5)
	after := slices.Delete(slices.Clone(before), 2, 3)
	for i := range 1000 {
		key := fmt.Sprintf("tenant_%d", i)
		old, now := Rendezvous(key, before, 2), Rendezvous(key, after, 2)
		for _, node := range old {
			if node != before[2] && !slices.Contains(now, node) {
				t.Fatalf("%s leaves %s, which stays", key, node)
			}
		}
	}
}

func TestDesiredSlots(t *testing.T) {
	nodes := someNodes(6)
	if got := desiredSlots("i", 64, SpreadAuto, 2, nodes); len(got) != 1 || len(got[0]) != 2 {
		t.Errorf("auto: %d entries of %d nodes, want 1 of 2", len(got), len(got[0]))
	}
	for spread, wantNodes := range map[int]int{SpreadAll: 6, 1: 2, 3: 3, 100: 6} {
		slots := desiredSlots("i", 64, spread, 2, nodes)
		used := map[NodeID]int{}
		for _, slot := range slots {
			if len(slot) != 2 || slot[0] == slot[1] {
				t.Fatalf("spread %d: replicas %v", spread, slot)
			}
			used[slot[0]]++
			used[slot[1]]++
		}
		if len(slots) != 64 || len(used) != wantNodes {
			t.Errorf("spread %d: %d shards on %d nodes, want 64 on %d", spread, len(slots), len(used), wantNodes)
		}
	}
}
