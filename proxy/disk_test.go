package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestWhenAVolumeIsFull(t *testing.T) {
	const gib = 1 << 30
	for name, test := range map[string]struct {
		volume        volume
		full, filling bool
	}{
		"half":                    {volume{5 * gib, 10 * gib}, false, false},
		"a tenth":                 {volume{gib - 1, 10 * gib}, false, true},
		"3 %":                     {volume{306 << 20, 10 * gib}, true, true},
		"a small one, 40 MiB":     {volume{40 << 20, gib}, false, true},
		"a small one, 30 MiB":     {volume{30 << 20, gib}, true, true},
		"a tiny one, a third":     {volume{8 << 20, 24 << 20}, false, false},
		"a tiny one, a fifth":     {volume{5 << 20, 24 << 20}, true, true},
		"a big one, 100 GiB left": {volume{100 * gib, 4096 * gib}, false, false},
		"a big one, 9 GiB left":   {volume{9 * gib, 4096 * gib}, false, true},
		"a big one, 2 GiB left":   {volume{2 * gib, 4096 * gib}, true, true},
	} {
		if test.volume.full() != test.full || test.volume.filling() != test.filling {
			t.Errorf("%s: full %t, filling %t", name, test.volume.full(), test.volume.filling())
		}
	}
}

// TestFullDiskRefusesWrites: clients' writes are refused before anything is recorded, everything else goes on, and nothing needs
// to be started again.
func TestFullDiskRefusesWrites(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 2, spread: fsm.SpreadAll})
	c.stop()
	var free atomic.Uint64
	free.Store(1 << 40)
	c.options.volume = func() (volume, error) { return volume{free.Load(), 1 << 40}, nil }
	c.start()
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":1}]`))
	free.Store(1 << 20)
	before := fmt.Sprint(c.get("/tasks?limit=1"))
	for _, write := range [][3]string{
		{"POST", "/indexes/a/documents", `[{"id":2}]`}, {"POST", "/indexes/a/documents/delete-batch", `[1]`}, {"POST", "/indexes", `{"uid":"b"}`},
		{"PATCH", "/indexes/a/settings", `{"stopWords":["x"]}`}, {"DELETE", "/indexes/a", ""}, {"POST", "/swap-indexes", `[]`},
	} {
		answer := c.call(write[0], write[1], write[2])
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), `"no_space_left_on_device"`) {
			t.Errorf("%s %s: status %d, %s", write[0], write[1], answer.Code, answer.Body)
		}
	}
	if after := fmt.Sprint(c.get("/tasks?limit=1")); after != before {
		t.Errorf("a refused write left a trace: %s, before %s", after, before)
	}
	if answer := c.call("POST", "/indexes/a/search", `{}`); !strings.Contains(answer.Body.String(), `"id":1`) {
		t.Error(answer.Body)
	}
	if answer := c.manage("GET", "/_miroir/status", ""); !strings.Contains(answer.Body.String(), "1 MiB are left in this pod's data directory") {
		t.Error(answer.Body)
	}
	if answer := c.manage("GET", "/_miroir/metrics", ""); !strings.Contains(answer.Body.String(), "miroir_data_dir_free_bytes 1048576\n") {
		t.Error("the free space is no metric")
	}
	c.await(c.accepted(c.call("DELETE", "/tasks?uids=0", ""))) // makes room
	free.Store(1 << 39)
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":2}]`))
	if total := c.get("/indexes/a/documents")["total"]; total != 2.0 {
		t.Errorf("%v documents", total)
	}
}

// TestNoLeaderForWantOfSpace: without room a pod may be unable to lead, and says why.
func TestNoLeaderForWantOfSpace(t *testing.T) {
	s := &Server{opts: Options{volume: func() (volume, error) { return volume{1 << 20, 1 << 40}, nil }}}
	for code, blamed := range map[meili.Code]bool{codeNoLeader: true, codeNoQuorum: false} {
		err := s.blameDisk(miroirError(code, "No."))
		if got := strings.Contains(err.Error(), "Only 1 of 1048576 MiB are free in this pod's data directory."); got != blamed {
			t.Errorf("%s: %s", code, err)
		}
	}
}

// TestFullLogRefusesWrites: the log itself finds no room.
func TestFullLogRefusesWrites(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1, spread: fsm.SpreadAuto})
	c.state.refuse(func(fsm.Command) error { return fmt.Errorf("commit: %w", syscall.ENOSPC) })
	answer := c.call("POST", "/indexes/a/documents", `[{"id":1}]`)
	if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), `"no_space_left_on_device"`) {
		t.Errorf("status %d, %s", answer.Code, answer.Body)
	}
	c.state.refuse(nil)
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":1}]`))
}
