package fsm

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// cost runs something and returns what it took and how many bytes it allocated.
func cost(run func()) (took time.Duration, allocated uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	run()
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.TotalAlloc - before.TotalAlloc
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// aThousandNodes is a state with ten thousand indexes that live whole, and one of 1,024 shards on all nodes.
func aThousandNodes(t *testing.T) *machine {
	m := newMachine(t)
	m.fsm.db.NoSync = true
	m.bootstrap(1, 1000, 2, SpreadAuto)
	settings := []byte(`{"filterableAttributes":["tenant","category","price"],"sortableAttributes":["price"],"searchableAttributes":["title","text"]}`)
	m.createMany(10_000, settings)
	config := m.fsm.View().Config
	config.Spread, config.Shards = SpreadAll, 1024
	do(m, SetConfig{Config: config, Now: m.tick()})
	m.create("big")
	m.dropLog()
	return m
}

// createMany makes indexes with settings, in batches as a busy leader commits them.
func (m *machine) createMany(n int, settings []byte) {
	m.t.Helper()
	const size = 1000
	for first := 0; first < n; first += size {
		var begin, end, finish []Command
		var ids []WriteID
		next := m.fsm.View().NextTaskUID
		for i := first; i < first+size; i++ {
			uid, id := fmt.Sprintf("tenant_%d", i), m.writeID()
			ids = append(ids, id)
			begin = append(begin, BeginWrite{Now: m.tick(), WriteID: id, Kind: "indexCreation", IndexUID: &uid, Effect: Effect{CreateIndex: true, Settings: settings}})
			finish = append(finish, FinishTask{Now: m.tick(), TaskUID: next, Status: StatusSucceeded})
			next++
		}
		m.batch(begin)
		for _, id := range ids {
			write := EndWrite{Now: m.tick(), WriteID: id}
			for _, target := range m.intent(id).Targets {
				write.Acks = append(write.Acks, Ack{Node: target.Node, NodeTaskUID: int64(m.nextW)})
			}
			end = append(end, write)
		}
		m.batch(end)
		m.batch(finish)
		m.dropLog()
	}
}

// intent is an open write.
func (m *machine) intent(id WriteID) *Intent {
	m.t.Helper()
	in, err := m.fsm.Intent(id)
	if err != nil {
		m.t.Fatal(err)
	}
	return in
}

// A thousand nodes, ten thousand small indexes and one on all nodes: the state is read in seconds, its picture in memory is
// small, and what a write to a small index costs does not come from the others. The bounds are far above what it takes, so
// that a busy machine does not fail the test; the log has the figures.
func TestStateOfABigCluster(t *testing.T) {
	m := aThousandNodes(t)
	file, err := os.Stat(m.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.fsm.Close(); err != nil {
		t.Fatal(err)
	}
	m.fsm = nil
	before := heap()
	opened, _ := cost(m.open)
	view := heap() - before
	t.Logf("file of %d MiB opened in %v, view of %d KiB", file.Size()>>20, opened.Round(time.Millisecond), view>>10)
	if n := len(m.fsm.View().Indexes); n != 10_001 {
		t.Fatalf("%d indexes", n)
	}
	if opened > 2*time.Minute || view > 50<<20 {
		t.Errorf("opened in %v with a view of %d MiB", opened, view>>20)
	}
	m.fsm.db.NoSync = true
	const writes = 100
	for name, bound := range map[string]uint64{"tenant_7": 2 << 20, "big": 8 << 20} {
		took, allocated := cost(func() {
			for range writes {
				m.write(name, "documentAdditionOrUpdate", Effect{}, StatusSucceeded)
			}
		})
		m.dropLog()
		t.Logf("a write to %s: %v, %d KiB allocated", name, took/writes, allocated/writes>>10)
		if allocated/writes > bound {
			t.Errorf("a write to %s allocates %d KiB", name, allocated/writes>>10)
		}
	}
	runtime.KeepAlive(m)
}
