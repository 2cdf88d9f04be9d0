package fsm

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// A backup by a newer version is refused by name, and the state stays as it was.
func TestAStateOfANewerVersionIsRefused(t *testing.T) {
	open := func(name string) *FSM {
		f, err := Open(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	newer, older := open("newer"), open("older")
	entry, err := Encode(PutKey{Key: Key{UID: "k"}, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	older.Apply(&raft.Log{Index: 1, Term: 1, Type: raft.LogCommand, Data: entry})
	if err := newer.write(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(rowFormat, marshal(formatVersion+1))
	}); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if err := newer.Backup(&backup); err != nil {
		t.Fatal(err)
	}
	err = older.Restore(io.NopCloser(&backup))
	if err == nil || !strings.Contains(err.Error(), "format version is 2") {
		t.Fatalf("restored, or refused without a reason: %v", err)
	}
	if older.View().Key("k") == nil {
		t.Fatal("the refused state replaced the old one")
	}
}
