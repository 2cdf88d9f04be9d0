package tasks

import (
	"encoding/json"

	"miroir/fsm"
	"miroir/meili"
)

// details are the task's details at its end: as enqueued, with counts filled in once per document, not per copy.
func (m *merger) details(status string) json.RawMessage {
	public, note := ReadNote(m.task.Details)
	if meili.TaskKind(m.task.Kind) == meili.TaskSettingsUpdate {
		return public
	}
	if meili.TaskKind(m.task.Kind) == meili.TaskIndexCompaction {
		return m.compaction(status)
	}
	for _, count := range []string{"indexedDocuments", "editedDocuments", "deletedDocuments"} {
		if _, has := meili.Get(public, count); !has {
			continue
		}
		if count == "deletedDocuments" && status == fsm.StatusFailed && m.leavesOpen(count) {
			continue
		}
		public = replaceMember(public, count, m.count(count, status, note))
	}
	return public
}

// leavesOpen reports whether every node that failed an edition left a counter open, which Meilisearch does when the
// function failed, and not when its outcome was refused.
func (m *merger) leavesOpen(name string) bool {
	if meili.TaskKind(m.task.Kind) != meili.TaskDocumentEdition {
		return false
	}
	open := false
	for i, r := range m.reports {
		if m.verdicts[i] != failed || r.Task == nil {
			continue
		}
		if text, has := meili.Get(r.Task.Details, name); !has || string(text) != "null" {
			return false
		}
		open = true
	}
	return open
}

// count is one counter: 0 for what did not succeed.
func (m *merger) count(name, status string, note Note) uint64 {
	if status != fsm.StatusSucceeded || note.Error != nil {
		return 0
	}
	if name == "indexedDocuments" && note.DistinctIDs != nil {
		return *note.DistinctIDs
	}
	if received, known := meili.Get(m.task.Details, "receivedDocuments"); known && name == "indexedDocuments" && m.anyInherited() {
		var n uint64
		if json.Unmarshal(received, &n) == nil {
			return n
		}
	}
	return m.sum(name)
}

func (m *merger) anyInherited() bool {
	for i := range m.reports {
		if m.inherited(i) {
			return true
		}
	}
	return false
}

// share is one node's count and the shards it counted in.
type share struct {
	shards []fsm.ShardID
	count  uint64
}

// sum adds the counts of nodes that together hold each shard once. Where replicas overlap so that no such choice is
// found, it is the sum over all of them divided by the copies they hold on average.
func (m *merger) sum(name string) uint64 {
	var shares []share
	for i, r := range m.reports {
		if m.verdicts[i] == succeeded && r.InSync {
			shares = append(shares, share{r.Shards, numberIn(r.Task.Details, name)})
		}
	}
	all := map[fsm.ShardID]bool{}
	copies, total := 0, uint64(0)
	for _, s := range shares {
		if s.shards == nil {
			return s.count
		}
		for _, shard := range s.shards {
			all[shard] = true
		}
		copies += len(s.shards)
		total += s.count
	}
	if exact, ok := exactCover(shares, len(all)); ok {
		return exact
	}
	if copies == 0 {
		return 0
	}
	return (total*uint64(len(all)) + uint64(copies)/2) / uint64(copies)
}

// exactCover looks for disjoint shares that hold all shards, starting from each in turn.
func exactCover(shares []share, numShards int) (uint64, bool) {
	for first := range shares {
		held, total := map[fsm.ShardID]bool{}, uint64(0)
		for k := range shares {
			s := shares[(first+k)%len(shares)]
			if overlaps(s.shards, held) {
				continue
			}
			for _, shard := range s.shards {
				held[shard] = true
			}
			total += s.count
		}
		if len(held) == numShards {
			return total, true
		}
	}
	return 0, false
}

func overlaps(shards []fsm.ShardID, held map[fsm.ShardID]bool) bool {
	for _, shard := range shards {
		if held[shard] {
			return true
		}
	}
	return false
}

func numberIn(details json.RawMessage, name string) uint64 {
	var n uint64
	if text, ok := meili.Get(details, name); ok && json.Unmarshal(text, &n) != nil {
		return 0
	}
	return n
}

// replaceMember sets a member of a JSON object in its place.
func replaceMember(object json.RawMessage, name string, value uint64) json.RawMessage {
	text, _ := json.Marshal(value) // a number always marshals
	out := []byte{'{'}
	for field, raw := range meili.Fields(object) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = meili.AppendString(out, string(field))
		out = append(out, ':')
		if string(field) == name {
			raw = text
		}
		out = append(out, raw...)
	}
	return append(out, '}')
}
