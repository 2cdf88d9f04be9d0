package conformance

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRealServer replays the recordings against a real Meilisearch, named by MEILISEARCH_BIN or found on PATH: a recording
// or a comparison that is wrong shows here. One fresh server per case.
func TestRealServer(t *testing.T) {
	program := realServer(t)
	folder := os.Getenv("MIROIR_CONFORMANCE")
	if folder == "" {
		folder = filepath.Join("..", "testdata", "conformance")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json*"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s: %v", folder, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".gz"), ".json")
		t.Run(name, func(t *testing.T) {
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			results := Run(t.Context(), Options{BaseURL: startServer(t, program), Key: "masterKey"}, c)
			for _, r := range results {
				if !r.OK() && r.Step != machineDependent[name] {
					t.Errorf("%s %s: %q", r.Step, r.Request, r.Differences)
				}
			}
			t.Logf("real server: %s %d/%d", name, Passed(results), len(results))
		})
	}
}

// machineDependent are steps whose answer depends on the machine: the size of a database file after compaction.
var machineDependent = map[string]string{"api-misc": "036"}

func realServer(t *testing.T) string {
	if testing.Short() {
		t.Skip("a real server takes a minute: not with -short")
	}
	if program := os.Getenv("MEILISEARCH_BIN"); program != "" {
		return program
	}
	program, err := exec.LookPath("meilisearch")
	if err != nil {
		t.Skip("no real server: MEILISEARCH_BIN is not set and there is no meilisearch on PATH")
	}
	return program
}

// startServer runs an empty server until the test ends and returns its address.
func startServer(t *testing.T, program string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	var output bytes.Buffer
	command := exec.CommandContext(ctx, program, "--no-analytics", "--master-key", "masterKey", "--http-addr", address, "--log-level", "WARN")
	command.Dir = t.TempDir()
	command.Env = append(os.Environ(), "MEILI_MAX_INDEXING_MEMORY=256MiB")
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		command.Wait()
		if t.Failed() {
			t.Log(output.String())
		}
	})
	awaitHealth(t, "http://"+address)
	return "http://" + address
}

// awaitHealth waits until a server answers.
func awaitHealth(t *testing.T, url string) {
	t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-pause.C {
		response, err := http.Get(url + "/health")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server does not answer: %v", err)
		}
	}
}
