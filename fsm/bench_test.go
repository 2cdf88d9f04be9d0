package fsm

import (
	"fmt"
	"testing"
)

// BenchmarkApply measures one write's three commands (begin, end, finish) with batches of several sizes, synced.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			m := newMachine(b)
			m.bootstrap(1, 3, 2, SpreadAuto)
			m.create("movies")
			node := m.fsm.View().Index("movies").Nodes()
			b.ResetTimer()
			next := m.fsm.View().NextTaskUID
			var batch []Command
			for n := range b.N {
				switch n % 3 {
				case 0:
					batch = append(batch, BeginWrite{Now: m.tick(), WriteID: m.writeID(), Kind: "documentAdditionOrUpdate", IndexUID: ptr("movies"), Shards: []ShardID{1, 2}})
				case 1:
					batch = append(batch, EndWrite{Now: m.tick(), WriteID: WriteID(fmt.Sprintf("w%d", m.nextW)), Acks: []Ack{{Node: node[0], NodeTaskUID: int64(n)}, {Node: node[1], NodeTaskUID: int64(n)}}})
				case 2:
					batch = append(batch, FinishTask{Now: m.tick(), TaskUID: next, Status: StatusSucceeded})
					next++
				}
				if len(batch) == size {
					m.batch(batch)
					batch = batch[:0]
					m.dropLog()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// BenchmarkTaskPage measures GET /tasks with filters over a million tasks.
func BenchmarkTaskPage(b *testing.B) {
	const numTasks = 1_000_000
	m := newMachine(b)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.fsm.db.NoSync = true
	var batch []Command
	for n := range numTasks {
		uid := fmt.Sprintf("index%d", n%100)
		batch = append(batch, BeginWrite{
			Now: m.tick(), Kind: "documentAdditionOrUpdate", IndexUID: &uid, Outcome: &Outcome{Status: StatusFailed},
		})
		if len(batch) == 10_000 {
			m.batch(batch)
			batch = batch[:0]
			m.dropLog()
		}
	}
	at := m.task(numTasks / 2).EnqueuedAt
	filters := map[string]TaskFilter{
		"all": {}, "status": {Statuses: []string{StatusFailed}}, "index+kind": {IndexUIDs: []string{"index7"}, Kinds: []string{"documentAdditionOrUpdate"}},
		"open": {Statuses: []string{StatusEnqueued, StatusProcessing}}, "after": {AfterEnqueuedAt: &at},
	}
	for name, filter := range filters {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.fsm.Tasks(filter, TaskPage{Limit: 20}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
