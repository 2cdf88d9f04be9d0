package fsm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// remove deletes an index that all its nodes have deleted.
func (m *machine) remove(uid string) {
	m.t.Helper()
	m.write(uid, "indexDeletion", Effect{DeleteIndex: true}, StatusSucceeded)
}

// nodeNameOf creates an index and returns its node-side name.
func (m *machine) nodeNameOf(uid string) string {
	m.t.Helper()
	m.create(uid)
	return m.fsm.View().Index(uid).NodeUID
}

// freedNames lists the freed names that are remembered, in the order in which they were freed.
func (m *machine) freedNames() (names []string) {
	m.t.Helper()
	err := m.fsm.read(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketFreedOrder).ForEach(func(key, _ []byte) error {
			names = append(names, fmt.Sprintf("%s %s", key[8:], tx.Bucket(bucketFreed).Get(key[8:])))
			return nil
		})
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

func TestFreedNodeNameIsGivenAgainMuchLater(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 2, SpreadAuto)
	if name := m.nodeNameOf("movies"); name != "movies" {
		t.Fatal(name)
	}
	m.remove("movies")
	m.now = m.now.Add(freedFor - time.Minute)
	m.reopen()
	other := newMachine(t)
	transfer(t, m, other)
	if got, want := fmt.Sprint(other.freedNames()), fmt.Sprint(m.freedNames()); got != want || len(m.freedNames()) != 1 {
		t.Errorf("another pod remembers %s, not %s", got, want)
	}
	if name := m.nodeNameOf("movies"); name != "movies__2" {
		t.Errorf("somebody may still use the node-side name %s", name)
	}
	m.remove("movies")
	m.now = m.now.Add(2 * time.Minute)
	if name := m.nodeNameOf("movies"); name != "movies" {
		t.Errorf("long after, the index is %s on its nodes", name)
	}
	m.remove("movies")
	m.now = m.now.Add(2 * freedFor)
	m.create("other")
	m.remove("other")
	if left := m.freedNames(); len(left) != 1 || m.fsm.View().counters.NumFreedNames != 1 {
		t.Errorf("remembered for ever: %v", left)
	}
}

// The time a node says that it did a task at is not the clock's of pods.
func TestNodesDoNotSayWhenANameWasFreed(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("movies")
	r, id := m.begin("movies", "indexDeletion", Effect{DeleteIndex: true})
	m.ackAll(r, id)
	wrong := m.now.Add(-24 * time.Hour)
	do(m, FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: StatusSucceeded, StartedAt: &wrong, FinishedAt: &wrong})
	if name := m.nodeNameOf("movies"); name == "movies" {
		t.Error("the name is given again at once")
	}
}

// A name with a suffix is one that clients may give, and Meilisearch allows 400 bytes.
func TestNodeNamesWithASuffix(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	if name := m.nodeNameOf("a__3"); name != "a__3" {
		t.Fatal(name)
	}
	m.create("a")
	m.remove("a")
	if name := m.nodeNameOf("a"); name != "a___3" {
		t.Errorf("the index a__3 shares its node-side name with %s", name)
	}
	long := strings.Repeat("x", maxNodeUIDBytes)
	m.create(long)
	m.remove(long)
	if name := m.nodeNameOf(long); name != long[:maxNodeUIDBytes-3]+"__5" {
		t.Errorf("%d bytes: %s", len(name), name)
	}
}

// Clients that make an index anew again and again find a state that stays small.
func TestFreedNodeNamesAreBounded(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	inTxn := func(work func(t *txn)) {
		err := m.fsm.db.Update(func(tx *bbolt.Tx) error {
			draft := newTxn(tx, m.fsm.View())
			draft.view.counters.LastUpdate = m.now
			work(draft)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	inTxn(func(draft *txn) {
		for i := range maxFreed + 100 {
			draft.index++
			draft.freeName(fmt.Sprint("movies", i))
		}
		if n := draft.view.counters.NumFreedNames; n != maxFreed {
			t.Errorf("%d names are counted", n)
		}
		if draft.taken("movies99", m.now) || !draft.taken("movies100", m.now) {
			t.Error("the wrong names are forgotten")
		}
	})
	if n := len(m.freedNames()); n != maxFreed {
		t.Errorf("%d names are remembered", n)
	}
}

func TestAnIndexMadeAnewAgainAndAgain(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	const rounds = 200
	given := map[string]bool{}
	for range rounds {
		name := m.nodeNameOf("movies")
		if given[name] {
			t.Fatalf("%s was given again", name)
		}
		given[name] = true
		m.remove("movies")
	}
	if v := m.fsm.View(); len(v.Indexes)+len(v.Names)+len(v.Leftovers) != 0 || v.counters.NumFreedNames != rounds {
		t.Errorf("indexes %v, left over %v, %d freed names", v.Indexes, v.Leftovers, v.counters.NumFreedNames)
	}
}
