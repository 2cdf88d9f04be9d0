package raftnode

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

func onDisk(o *Options) { o.LogStore, o.StableStore = nil, nil }

// Two of three pods are lost with their disks: the third goes on, and new ones join it.
func TestOnePodGoesOnWhenTheMajorityIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		for _, id := range []string{"a", "b", "c"} {
			p.start(id, expect(3), onDisk)
		}
		p.settle()
		bootstrapState(t, p.leader())
		addKey(t, p.leader(), "before")
		p.synced()
		for _, id := range []string{"a", "b", "c"} {
			p.stop(id)
		}
		if _, err := Recover(p.dirs["c"], []raft.Server{{ID: "x", Address: "x:1"}}); err == nil {
			t.Fatal("recovered for others than itself")
		}
		recovered, err := Recover(p.dirs["c"], nil)
		if err != nil || recovered.ID != "c" {
			t.Fatalf("%+v, %v", recovered, err)
		}
		for _, id := range []string{"a", "b"} {
			delete(p.logs, id) // and with it the directory
		}
		p.start("c", onDisk)
		addKey(t, p.leader(), "after")
		p.start("a", onDisk)
		p.start("b", onDisk)
		p.settle()
		p.synced()
		for id, n := range p.nodes {
			if v := n.View(); v.Key("before") == nil || v.Key("after") == nil {
				t.Errorf("pod %s lacks a key", id)
			}
		}
		p.until("three voters", func() bool { return len(p.voters()) == 3 })
	})
}

// A backup of one cluster is the beginning of another; what is no whole backup changes nothing.
func TestABackupIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPods(t)
		p.found("a", "b", "c")
		addKey(t, p.leader(), "kept")
		p.synced()
		var backup bytes.Buffer
		if err := p.follower().Tasks().Backup(&backup); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b", "c"} {
			p.stop(id)
		}
		dir := t.TempDir()
		if err := Restore(dir, "d", bytes.NewReader(backup.Bytes()[:backup.Len()-1])); err == nil {
			t.Fatal("a backup that was cut off is restored")
		}
		if err := Restore(dir, "d", &backup); err != nil {
			t.Fatal(err)
		}
		p.logs["d"], p.dirs["d"] = raft.NewInmemStore(), dir
		p.start("d", onDisk)
		p.settle()
		addKey(t, p.leader(), "new")
		p.start("e", func(o *Options) { o.Join = []string{"d:1"} })
		p.settle()
		p.synced()
		if v := p.nodes["e"].View(); v.Key("kept") == nil || v.Key("new") == nil {
			t.Fatal("the pod that joined lacks a key")
		}
	})
}

func TestTheDataDirectoryBelongsToOnePod(t *testing.T) {
	dir := t.TempDir()
	n := openAlone(t, dir)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := Open(Options{DataDir: dir, NodeID: "other", BindAddr: "127.0.0.1:0", Bootstrap: true}); err == nil || !strings.Contains(err.Error(), "alone") {
		n.Close()
		t.Fatalf("another pod opens it: %v", err)
	}
	if _, err := fsm.Open(dir + "/" + stateFile); err != nil {
		t.Fatalf("the refusal left it locked: %v", err)
	}
}
