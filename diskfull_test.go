package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"miroir/cli"
	"miroir/scripts/cluster"
)

// TestAFullDiskIsOutlived: one pod as a process over three embedded nodes, with its data on a small volume that runs full
// altogether while four writers are at work, and has room again later. Writes are refused with 503 and Retry-After meanwhile,
// searches go on, the process stays, and nothing that was acknowledged is lost.
func TestAFullDiskIsOutlived(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes; not with -short")
	}
	program, err := cluster.BuildMiroir(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	volume := filepath.Join(dir, "pod", "data")
	if err := os.MkdirAll(volume, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mountSmall(volume, "48m"); err != nil {
		t.Skipf("no small volume can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(volume); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	c := startPodOverDevnodes(t, program, dir, 3)
	client := &cli.Client{URL: c.URL, Key: cluster.Key, HTTP: &http.Client{Timeout: time.Minute}}
	pid := c.Pod.PID()
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "pod", "log")); t.Failed() && err == nil {
			t.Logf("the pod's log ends: %s", log[max(0, len(log)-4000):])
		}
	})

	load := startLoad(t, client)
	waitFor(t, "writes", func() bool { return load.count.Load() >= 200 })
	ballast := filepath.Join(volume, "ballast")
	if err := fill(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "writes to be refused for want of space", func() bool {
		status, retry, body := request(t, c.URL, http.MethodPost, "/indexes/load/documents", `[{"id":"x"}]`)
		return status == http.StatusServiceUnavailable && retry != "" && strings.Contains(body, "data directory")
	})
	if status, _, body := request(t, c.URL, http.MethodPost, "/indexes/load/search", `{"q":""}`); status != http.StatusOK {
		t.Errorf("a search while the disk is full: status %d: %s", status, body)
	}
	before := load.count.Load()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "writes after there is room again", func() bool { return load.count.Load() >= before+200 })
	load.stop()
	load.check()
	if now := c.Pod.PID(); now != pid || syscall.Kill(pid, 0) != nil {
		t.Errorf("the pod's process was %d and is %d", pid, now)
	}
	if err := c.Pod.Kill(); err != nil { // the files are whole
		t.Fatal(err)
	}
	if err := c.StartPod(t.Context()); err != nil {
		t.Fatal(err)
	}
	load.check()
}

// request sends a request with the master key.
func request(t *testing.T, base, method, path, body string) (status int, retry, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+cluster.Key)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err.Error()
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, "", err.Error()
	}
	return answer.StatusCode, answer.Header.Get("Retry-After"), string(content)
}

// fill writes a file until the volume has no room.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill the volume: %w", err)
	}
	return nil
}
