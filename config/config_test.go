package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"miroir/fsm"
)

// load reads a configuration from texts.
func load(t *testing.T, file string, env, flags map[string]string) (*Config, error) {
	t.Helper()
	s := Sources{Flags: flags, Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	if file != "" {
		s.File = filepath.Join(t.TempDir(), "miroir.yaml")
		if err := os.WriteFile(s.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(s)
}

func TestPrecedence(t *testing.T) {
	file := "scatter: {node_timeout_ms: 3}\nserver.port: 33\nlog:\n  level: warn\n"
	c, err := load(t, file, map[string]string{"MIROIR_SCATTER_NODE_TIMEOUT_MS": "2", "MIROIR_SERVER_PORT": "22"}, map[string]string{"server.port": "11"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Port != 11 || c.Cluster.Reads.NodeTimeoutMs != 2 || c.Log.Level != "warn" || c.Server.MaxQueuedRequests != 1000 {
		t.Errorf("flag, environment, file, default gave %d, %d, %s, %d", c.Server.Port, c.Cluster.Reads.NodeTimeoutMs, c.Log.Level, c.Server.MaxQueuedRequests)
	}
	want := map[string]Source{"server.port": FromFlag, "scatter.node_timeout_ms": FromEnv, "log.level": FromFile}
	if !maps.Equal(c.sources, want) {
		t.Errorf("sources %v, want %v", c.sources, want)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct{ file, names string }{
		"unknown key":         {"scatter: {node_timeout: 3}", "line 1: unknown key scatter.node_timeout"},
		"unknown section":     {"\nscattr: {node_timeout_ms: 3}", "line 2: unknown key scattr.node_timeout_ms"},
		"below the range":     {"shards: 0", "shards (file): 0 is not between 1 and 4096"},
		"above the range":     {"shards: 5000", "shards"},
		"too large for a u32": {"shards: 4294967297", "shards"},
		"not a number":        {"server: {port: http}", "server.port"},
		"not a choice":        {"log: {level: loud}", "log.level (file): \"loud\" is none of debug, info, warn, error"},
		"not a schedule":      {"anti_entropy: {schedule: daily}", "anti_entropy.schedule"},
		"not a number (NaN)":  {"hedging: {budget_percent: NaN}", "hedging.budget_percent"},
		"yes is not true":     {"metrics: {enabled: yes}", "metrics.enabled"},
		"given twice":         {"shards: 1\nshards: 2", "shards is given twice"},
		"no value":            {"shards:", "shards has no value"},
		"a node misspelt":     {"nodes: [{id: a, addres: http://a}]", "nodes"},
		"a server twice":      {"nodes: [{id: a, address: http://a}, {id: b, address: a/}]", "a and b have the same address, http://a"},
		"a node twice":        {"nodes: [{id: a, address: http://a}, {id: a, address: http://b}]", "the id \"a\" is given twice"},
		"a node without URL":  {"nodes: [{id: a}]", "nodes: a has no address"},
		"no variable":         {"nodes: [{id: a, address: http://a, key_env: NOT_SET}]", "NOT_SET"},
		"no such group":       {"replica_groups: 2\nnodes: [{id: a, address: http://a}, {id: b, address: http://b, replica_group: 2}]", "replica_groups: node b is in group 2"},
		"an empty group":      {"replica_groups: 2\nnodes: [{id: a, address: http://a}]", "replica_groups: no node is in group 1 of 2"},
		"too few nodes":       {"replication_factor: 2\nnodes: [{id: a, address: http://a}]", "replication_factor: 2 is more than the 1 nodes of group 0"},
		"short master key":    {"env: production\nmaster_key: short", "master_key"},
		"a part of TLS":       {"raft: {tls: {key_file: k}}", "raft.tls: cert_file, key_file and ca_file go together"},
		"polls":               {"tasks: {poll_min_ms: 10, poll_max_ms: 5}", "tasks.poll_min_ms"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, test.file, nil, nil)
			if err == nil || !strings.Contains(err.Error(), test.names) {
				t.Errorf("got %v, want an error with %q", err, test.names)
			}
		})
	}
}

func TestNodesAndSecretFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, "master_key_file: "+secret+"\nnodes:\n- {address: 10.0.0.1:7700}\n- {id: b, address: https://b/, replica_group: 1, key_env: B_KEY}\n",
		map[string]string{"B_KEY": "of b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Node{{ID: "node-0", Address: "http://10.0.0.1:7700"}, {ID: "b", Address: "https://b", Group: 1, KeyEnv: "B_KEY", Key: "of b"}}
	if !slices.Equal(c.Nodes, want) || c.MasterKey != "from a file" {
		t.Errorf("got %+v and key %q", c.Nodes, c.MasterKey)
	}
}

// TestEveryKey sets each key to what it shows: names, accessors and text forms belong together, none twice.
func TestEveryKey(t *testing.T) {
	seen := map[string]bool{}
	for i := range keys {
		k := &keys[i]
		c := Default()
		before := k.at(c).get()
		shown := strings.Trim(fmt.Sprint(before), "[]")
		if err := k.at(c).set(shown); err != nil {
			t.Errorf("%s refuses its default: %v", k.name, err)
		}
		if after := k.at(c).get(); !reflect.DeepEqual(after, before) {
			t.Errorf("%s was %v and became %v", k.name, before, after)
		}
		for _, name := range []string{k.name, k.flag(), k.short} {
			if name != "" && name != k.name && seen[name] || seen[k.name] {
				t.Errorf("%s occurs twice", name)
			}
		}
		seen[k.name], seen[k.flag()], seen[k.short] = true, true, true
	}
}

func TestShowAndChange(t *testing.T) {
	c, err := load(t, "master_key: secret\nshards: 16\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := Change(fsm.DefaultConfig(), []byte(`{"placement":{"spread":"all"},"writes.min_acks":"quorum","hedging":{"enabled":false}}`))
	if err != nil {
		t.Fatal(err)
	}
	if committed.Spread != fsm.SpreadAll || committed.MinAcks != fsm.MinAcksQuorum || committed.Hedging.Enabled || committed.Shards != 64 {
		t.Errorf("changed to %+v", committed)
	}
	shown := c.Show(committed)
	for name, want := range map[string]Setting{
		"master_key":       {"***", FromFile, "pod", true},
		"admin.api_key":    {"", FromDefault, "pod", true},
		"placement.spread": {"all", Replicated, "cluster", false},
		"shards":           {uint32(64), FromDefault, "cluster", false},
	} {
		if shown[name] != want {
			t.Errorf("%s shows %+v, want %+v", name, shown[name], want)
		}
	}
	if differing := c.Differing(committed); !slices.Equal(differing, []string{"shards"}) {
		t.Errorf("differing: %v", differing)
	}
}

// TestSizesFitTheMemory: what nobody set grows and shrinks with the memory limit, within bounds, and says so.
func TestSizesFitTheMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for name, test := range map[string]struct {
		memory            uint64
		concurrent, total int
	}{
		"no limit": {0, 500, 128}, "the envelope": {3_750_000_000, 500, 128}, "half of it": {1_875_000_000, 250, 64}, "tiny": {64 << 20, 125, 32},
		"twice": {7_500_000_000, 1000, 256}, "huge": {1 << 40, 2000, 512},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := load(t, "server: {max_queued_requests: 7}", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.FitMemory(test.memory)
			if c.Server.MaxConcurrentRequests != test.concurrent || c.Pool.MaxTotal != test.total || c.Server.MaxQueuedRequests != 7 || c.Server.BodyMemoryBytes != 1<<20 {
				t.Errorf("%d requests, %d connections, %d queued", c.Server.MaxConcurrentRequests, c.Pool.MaxTotal, c.Server.MaxQueuedRequests)
			}
			shown := c.Show(fsm.DefaultConfig())
			want := Derived
			if test.memory == 0 {
				want = FromDefault
			}
			if got := shown["server.max_concurrent_requests"]; got.Source != want || got.Value != test.concurrent {
				t.Errorf("shown as %+v", got)
			}
			if got := shown["GOMEMLIMIT"]; test.memory > 0 && (got.Value != fmt.Sprint(test.memory/10*9) || got.Source != Derived) {
				t.Errorf("the runtime's limit shows as %+v", got)
			}
			if got := shown["GOMAXPROCS"]; got.Value != runtime.GOMAXPROCS(0) {
				t.Errorf("processors show as %+v", got)
			}
			debug.SetMemoryLimit(before)
		})
	}
}

func TestChangeRefused(t *testing.T) {
	before := fsm.DefaultConfig()
	for patch, names := range map[string]string{
		`{"scatter":{"node_timeout_ms":0}}`: "scatter.node_timeout_ms",
		`{"hedging.enabled":true,"no":1}`:   "unknown key no",
		`{"server":{"port":1}}`:             "server.port belongs to the pod",
		`{"replica_groups":2}`:              "POST /_miroir/replica_groups",
		`{"replication_factor":2}`:          "PATCH /_miroir/topology",
		`{"shards":null}`:                   "shards",
		`{"shards":1.5}`:                    "shards",
		`{}`:                                "no key",
		`[]`:                                "not a JSON object",
	} {
		if after, err := Change(before, []byte(patch)); err == nil || !strings.Contains(err.Error(), names) || after != before {
			t.Errorf("%s: %v (changed: %t)", patch, err, after != before)
		}
	}
}
