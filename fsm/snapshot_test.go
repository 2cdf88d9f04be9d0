package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// populate fills a machine with some of everything.
func populate(m *machine) {
	m.bootstrap(2, 3, 2, SpreadAll)
	for _, uid := range []string{"a", "b", "c"} {
		m.create(uid)
		m.write(uid, "settingsUpdate", Effect{Settings: json.RawMessage(`{"a":1}`)}, StatusFailed)
	}
	do(m, PutKey{Key: Key{UID: "k"}, Create: true})
	m.begin("a", "documentAdditionOrUpdate", Effect{})
	do(m, swap("a", "b"))
	do(m, swap("b", "c"))
}

func configuration(ids ...string) raft.Configuration {
	var c raft.Configuration
	for _, id := range ids {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}

func TestSnapshotIsOnlyANote(t *testing.T) {
	m := newMachine(t)
	store := m.fsm.SnapshotStore()
	if list, err := store.List(); err != nil || len(list) != 0 {
		t.Fatalf("an empty state has snapshots %v, %v", list, err)
	}
	populate(m)
	m.fsm.StoreConfiguration(1, configuration("p"))
	last := uint64(len(m.log)) + 3 // entries without a command followed
	sink, err := store.Create(1, last, 2, configuration("p", "q"), last-1, nil)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := m.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Persist(sink); err != nil {
		t.Fatal(err)
	}
	snapshot.Release()
	if _, err := m.fsm.OpenTasks(); err != nil { // must not wait for entries that carry nothing
		t.Fatal(err)
	}
	m.reopen()
	list, err := m.fsm.SnapshotStore().List()
	if err != nil || len(list) != 1 {
		t.Fatalf("snapshots %v, %v", list, err)
	}
	if got := list[0]; got.Index != last || got.Term != 2 || len(got.Configuration.Servers) != 2 || got.ConfigurationIndex != last-1 {
		t.Fatalf("snapshot: %+v", got)
	}
	if got := m.fsm.View().AppliedIndex; got != last {
		t.Fatalf("resumes at %d, want %d", got, last)
	}
}

// transfer streams the state of one machine into another as Raft does.
func transfer(t *testing.T, from, to *machine) {
	t.Helper()
	meta, source, err := from.fsm.SnapshotStore().Open(snapshotID)
	if err != nil {
		t.Fatal(err)
	}
	store := to.fsm.SnapshotStore()
	sink, err := store.Create(meta.Version, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(sink, source)
	if err != nil || n != meta.Size {
		t.Fatalf("%d bytes arrived of %d, %v", n, meta.Size, err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	got, received, err := store.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got.Index != meta.Index {
		t.Fatalf("received index %d, sent %d", got.Index, meta.Index)
	}
	if err := to.fsm.Restore(received); err != nil {
		t.Fatal(err)
	}
	if err := received.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreGivesIdenticalReads(t *testing.T) {
	from, to := newMachine(t), newMachine(t)
	populate(from)
	to.bootstrap(1, 1, 1, SpreadAuto)
	to.create("other")
	from.fsm.StoreConfiguration(uint64(len(from.log)), configuration("p", "q"))
	transfer(t, from, to)
	want := from.dump()
	if got := to.dump(); got != want {
		t.Fatalf("restored state differs:\n%s\n%s", got, want)
	}
	if files, err := filepath.Glob(to.path + ".*"); err != nil || len(files) > 0 {
		t.Fatalf("left behind: %v, %v", files, err)
	}
	to.log, to.now = from.log, from.now
	entry := to.entry(AddGroup{Group: 9})
	from.fsm.Apply(entry)
	to.fsm.Apply(entry)
	to.reopen()
	if got, want := to.dump(), from.dump(); got != want {
		t.Fatalf("goes on differently:\n%s\n%s", got, want)
	}
}

func TestReadersDoNotSeeARestoreHalfDone(t *testing.T) {
	from, to := newMachine(t), newMachine(t)
	populate(from)
	populate(to)
	stop := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := to.fsm.Tasks(TaskFilter{}, TaskPage{Limit: 5}); err != nil {
				failed <- err
				return
			}
		}
	}()
	for range 5 {
		transfer(t, from, to)
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

func TestBrokenStreamLeavesTheStateAlone(t *testing.T) {
	m := newMachine(t)
	populate(m)
	want := m.dump()
	_, source, err := m.fsm.SnapshotStore().Open(snapshotID)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(source)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	for name, stream := range map[string][]byte{"empty": nil, "text": []byte(strings.Repeat("x", 1<<16)), "cut off": whole[:len(whole)/8]} {
		if err := m.fsm.Restore(io.NopCloser(bytes.NewReader(stream))); err == nil {
			t.Errorf("%s stream was accepted", name)
		}
		if got := m.dump(); got != want {
			t.Fatalf("%s stream changed the state", name)
		}
	}
}

func TestRestOfAnInterruptedTransferIsRemoved(t *testing.T) {
	m := newMachine(t)
	populate(m)
	for _, suffix := range []string{receivedSuffix, snapshotSuffix} {
		if err := os.WriteFile(m.path+suffix, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.reopen()
	if files, err := filepath.Glob(m.path + ".*"); err != nil || len(files) > 0 {
		t.Fatalf("left behind: %v, %v", files, err)
	}
}

func TestClosedStreamEndsItsTransaction(t *testing.T) {
	m := newMachine(t)
	populate(m)
	_, source, err := m.fsm.SnapshotStore().Open(snapshotID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	m.reopen() // would wait for the transaction
}

// What has no intact seal is refused, whatever it is.
func FuzzRestore(f *testing.F) {
	f.Add([]byte("x"))
	f.Add(bytes.Repeat([]byte{0}, 1<<14))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "state.db")
		machine, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer machine.Close()
		if err := machine.Restore(io.NopCloser(bytes.NewReader(data))); err == nil {
			t.Fatal("bytes from nowhere were taken for a state")
		}
		if _, err := machine.Tasks(TaskFilter{}, TaskPage{}); err != nil {
			t.Fatal(fmt.Errorf("afterwards: %w", err))
		}
	})
}

// Two programs on one file are told apart from a broken one: what runs on a stopped pod's directory finds out that it is not
// stopped.
func TestAFileInUseIsRefused(t *testing.T) {
	t.Parallel() // it waits for the lock
	m := newMachine(t)
	if _, err := Open(m.path); err == nil || !strings.Contains(err.Error(), "is in use: a pod runs on it") {
		t.Errorf("got %v", err)
	}
}
