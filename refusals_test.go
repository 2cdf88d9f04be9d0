package main

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"miroir/cli"
	"miroir/config"
	"miroir/devnode"
	"miroir/fsm"
	"miroir/raftnode"
)

// runCaptured executes a command line and returns its exit code and what it wrote to standard error.
func runCaptured(t *testing.T, args ...string) (code int, message string) {
	t.Helper()
	before := os.Stderr
	defer func() { os.Stderr = before }()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stderr = write
	text := make(chan string, 1)
	go func() {
		content, _ := io.ReadAll(read) // until write is closed
		text <- string(content)
	}()
	code = run(args)
	if err := write.Close(); err != nil {
		t.Error(err)
	}
	return code, <-text
}

// onPorts reaches nodes on ports of this machine beside those that next reaches by name.
type onPorts struct{ next http.RoundTripper }

func (t onPorts) RoundTrip(r *http.Request) (*http.Response, error) {
	if name := r.URL.Hostname(); name == "127.0.0.1" || name == "localhost" {
		return http.DefaultTransport.RoundTrip(r)
	}
	return t.next.RoundTrip(r)
}

// emptyNode is the address of an embedded node on a port.
func emptyNode(t *testing.T) string {
	t.Helper()
	node := devnode.New(devnode.Options{MasterKey: "masterKey"})
	server := httptest.NewServer(node)
	t.Cleanup(func() {
		server.Close()
		node.Close()
	})
	return server.URL
}

// byName is another address of a server on a port.
func byName(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }

// withoutTimes leaves out when nodes were last seen.
func withoutTimes(text string) string {
	return regexp.MustCompile(`"(last_seen_ms|updated_at)":("[^"]*"|[0-9]+|null)`).ReplaceAllString(text, "")
}

// TestCommandsRefuse: what would lose data or contradict itself ends with exit code 1 and the reason, and changes nothing.
// Topology: one pod over two embedded nodes, RF 1, an index spread over both.
func TestCommandsRefuse(t *testing.T) {
	p := openTestPod(t, 2, func(o *podOptions) { o.Admin.APIKey, o.NodeTransport = "adminKey", onPorts{o.NodeTransport} })
	clients := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	if err := clients.DoTask(t.Context(), http.MethodPost, "/indexes/m/documents", "application/json", []byte(`[{"id":1},{"id":2},{"id":3},{"id":4}]`)); err != nil {
		t.Fatal(err)
	}
	operator := &cli.Client{URL: p.ClientURL(), Key: "adminKey", HTTP: http.DefaultClient}
	state := func() string {
		t.Helper()
		var all []byte
		for _, path := range []string{"/_miroir/nodes", "/_miroir/replica_groups", "/_miroir/shards", "/_miroir/config", "/_miroir/jobs"} {
			answer, err := operator.Call(t.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, answer...)
		}
		return withoutTimes(string(all))
	}
	// A node that comes and goes again before anything has moved there, so that its id was used.
	for _, args := range [][]string{
		{"rebalance", "pause"}, {"node", "add", "--id", "gone", "--address", emptyNode(t)}, {"node", "remove", "gone", "--force", "--yes"}, {"rebalance", "resume"},
	} {
		if code, message := runCaptured(t, append(args, "--api-url", p.ClientURL(), "--admin-key", "adminKey", "--quiet")...); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, message)
		}
	}
	waitFor(t, "the end of its job", func() bool {
		jobs, err := operator.Call(t.Context(), http.MethodGet, "/_miroir/jobs", "", nil)
		return err == nil && !strings.Contains(string(jobs), `"running"`)
	})
	twice := emptyNode(t)
	t.Setenv("WRONG_NODE_KEY", "wrong")
	for name, test := range map[string]struct {
		args    string
		code    int
		message string
	}{
		"removing the last copy by force":    {"node remove node-a --force --yes", exitFailed, "accept_data_loss"},
		"removing more nodes than RF allows": {"topology set --replication-factor 3", exitFailed, "more than the 2 nodes"},
		"an id in use":                       {"node add --id node-a --address http://node-c", exitFailed, "node-a"},
		"an id used before":                  {"node add --id gone --address http://node-c", exitFailed, "was used before"},
		"a server that is not there":         {"node add --id new --address http://127.0.0.1:1", exitFailed, "127.0.0.1:1"},
		"one server as two nodes":            {"group add --id 1 --node b=" + twice + " --node c=" + byName(twice), exitFailed, "server of node `b`"},
		"a pod as a node":                    {"node add --id new --address " + p.ClientURL(), exitFailed, "is a pod of Miroir"},
		"a key of another server":            {"node add --id new --address " + twice + " --key-env WRONG_NODE_KEY", exitFailed, "on the node: The provided API key is invalid."},
		"removing the last group":            {"group remove 0 --yes", exitFailed, "last"},
		"an unknown node":                    {"node drain nobody", exitFailed, "nobody"},
		"an unknown configuration key":       {"config set no.such=1", exitFailed, "no.such"},
		"a value out of range":               {"config set tasks.max_tasks=-1", exitFailed, "tasks.max_tasks"},
		"a key of the pod alone":             {"config set server.port=1", exitFailed, "server.port"},
		"no admin key that is right":         {"node list --admin-key wrong", exitFailed, "401"},
		"a pod that is not there":            {"node list --api-url http://127.0.0.1:1", exitUnreachable, "no pod answered"},
		"destroying without saying so":       {"node remove node-a --force", exitUsage, "--yes"},
	} {
		t.Run(name, func(t *testing.T) {
			before := state()
			args := append([]string{}, strings.Fields(test.args)...)
			if !strings.Contains(test.args, "--api-url") {
				args = append(args, "--api-url", p.ClientURL())
			}
			if !strings.Contains(test.args, "--admin-key") {
				args = append(args, "--admin-key", "adminKey")
			}
			code, message := runCaptured(t, args...)
			if code != test.code || !strings.Contains(message, test.message) || strings.Contains(message, "..") {
				t.Errorf("exit code %d, want %d; %q, want %q in it", code, test.code, message, test.message)
			}
			if after := state(); after != before {
				t.Errorf("it changed something:\n%s\n%s", before, after)
			}
		})
	}
}

// TestPodRefusesOneServerTwice: nodes of which two are one server stop the start, of a new cluster and of one that knows one of
// them, and the pod starts without the second.
func TestPodRefusesOneServerTwice(t *testing.T) {
	dir, server := t.TempDir(), emptyNode(t)
	start := func(nodes ...config.Node) (*pod, error) {
		settings := config.Default()
		settings.DataDir, settings.Raft.NodeID, settings.MasterKey, settings.Nodes = dir, "pod", "masterKey", nodes
		settings.Server.Bind, settings.Server.Port, settings.Raft.Port, settings.Metrics.Enabled = "127.0.0.1", 0, 0, false
		return openPod(t.Context(), podOptions{Config: settings, Logger: slog.New(slog.DiscardHandler)})
	}
	first, second := config.Node{ID: "a", Address: server}, config.Node{ID: "b", Address: byName(server)}
	refused := func(nodes ...config.Node) {
		t.Helper()
		_, err := start(nodes...)
		if err == nil || !strings.Contains(err.Error(), "node `b` at "+byName(server)+" is the server of node `a`") {
			t.Fatalf("the pod with %v: %v", nodes, err)
		}
	}
	works := func(nodes ...config.Node) {
		t.Helper()
		p, err := start(nodes...)
		if err != nil {
			t.Fatal(err)
		}
		if known := p.raft.View().Nodes; len(known) != 1 || known["a"] == nil {
			t.Errorf("the pod with %v knows %v", nodes, known)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	refused(first, second)
	works(first)
	refused(first, second)
	works(first)
}

// TestRestoreRefuses: a backup that cannot be restored leaves a stopped pod's directory as it was.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	p := openTestPod(t, 1, func(o *podOptions) { o.DataDir = dir })
	clients := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	if err := clients.DoTask(t.Context(), http.MethodPost, "/indexes", "application/json", []byte(`{"uid":"kept"}`)); err != nil {
		t.Fatal(err)
	}
	var good bytes.Buffer
	if err := p.raft.Tasks().Backup(&good); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content []byte
		message string
	}{
		"a newer version": {backupOfLevel(t, fsm.Level+1), "start a newer version"},
		"cut off":         {good.Bytes()[:good.Len()/2], "restore"},
		"something else":  {[]byte(strings.Repeat("not a backup\n", 1000)), "restore"},
		"nothing":         {nil, "restore"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "backup")
			if err := os.WriteFile(file, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			code, message := runCaptured(t, "cluster", "restore", "--data-dir", dir, "--node-id", "pod", file)
			if code != exitFailed || !strings.Contains(message, test.message) {
				t.Errorf("exit code %d: %s", code, message)
			}
			if !maps.Equal(contents(t, dir), before) {
				t.Error("the refused backup changed the directory")
			}
		})
	}
	n, err := raftnode.Open(raftnode.Options{DataDir: dir, NodeID: "pod", BindAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.View().Index("kept") == nil {
		t.Error("the pod's index is gone")
	}
}

// backupOfLevel is a backup of a cluster of a later feature level.
func backupOfLevel(t *testing.T, level int) []byte {
	t.Helper()
	state, err := fsm.OpenAt(filepath.Join(t.TempDir(), "state.db"), level)
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	entry, err := fsm.Encode(fsm.RaiseLevel{Level: level})
	if err != nil {
		t.Fatal(err)
	}
	state.Apply(&raft.Log{Index: 1, Term: 1, Type: raft.LogCommand, Data: entry})
	var backup bytes.Buffer
	if err := state.Backup(&backup); err != nil {
		t.Fatal(err)
	}
	return backup.Bytes()
}

// contents are the files below a directory by name. That of the state is left out: opening it writes to it.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if files[path] = string(content); entry.Name() == "state.db" {
			files[path] = ""
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
