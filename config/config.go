// Package config is what a pod is told at its start: every key with its default, its range and its scope, read from
// flags, environment and a YAML file. Keys of scope cluster seed the replicated state when a cluster is first
// bootstrapped; from then on the value there rules. The table of keys is in keys.go, and a key is nowhere else.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"miroir/fsm"
)

// Config holds the effective values. What is Cluster's belongs to the whole cluster, all else to this pod.
type Config struct {
	MasterKey     string // of the client API; empty leaves it open
	NodeMasterKey string // for nodes without a key of their own; empty: MasterKey
	DataDir       string
	Env           string // development or production
	Nodes         []Node // unknown ids are added at start

	Server  Server
	Metrics Listener
	// MaxIndexLabels is how many indexes metrics name one by one.
	MaxIndexLabels int
	Admin          Admin
	Raft           Raft
	Health         Health
	Pool           Pool
	Chats          Chats
	Log            Log
	Cluster        fsm.Config

	memory  uint64            // see FitMemory
	sources map[string]Source // of the keys that are not at their default
}

// Server is the client port and its bounds.
type Server struct {
	Listener
	MaxBodyBytes          int64
	BodyMemoryBytes       int64 // the rest of a body is spooled to disk
	MaxConcurrentRequests int
	MaxQueuedRequests     int
	RequestTimeout        time.Duration
	ReadyCoverageWait     time.Duration
	ShutdownGrace         time.Duration
}

// Listener is an address to listen on. Port 0 is any free one.
type Listener struct {
	Bind    string
	Port    int
	Enabled bool // of the metrics port
}

// Admin guards /_miroir.
type Admin struct {
	Enabled      bool
	APIKey       string // empty: loopback only
	OnClientPort bool
}

// Raft is this pod as a member of the cluster.
type Raft struct {
	Listener
	Advertise       string
	NodeID          string // empty: the host name
	BootstrapExpect int
	Join            []string
	ClusterSecret   string
	TLS             TLS

	HeartbeatTimeout  time.Duration
	ElectionTimeout   time.Duration
	SnapshotInterval  time.Duration
	SnapshotThreshold uint64
	TrailingLogs      uint64
	NoLeaderReadGrace time.Duration // without a word of the leader for longer, answers are marked
}

// TLS names the files for mutual TLS between pods; empty: none.
type TLS struct{ CertFile, KeyFile, CAFile string }

// Health is how nodes are checked.
type Health struct {
	Interval           time.Duration
	Timeout            time.Duration
	UnhealthyThreshold int // missed checks until a node has failed
	RecoveryThreshold  int // good ones until it is back
}

// Pool bounds the connections to one node.
type Pool struct {
	MaxIdle, MaxTotal int
	IdleTimeout       time.Duration
}

// Chats says what conversations may reach.
type Chats struct {
	AllowedIPNetworks []netip.Prefix // internal ones where language models may be
}

// Log is what is logged and how.
type Log struct {
	Level, Format string
	SlowQuery     time.Duration // a search that takes longer is logged; 0: none
}

// Default is the configuration without any source.
func Default() *Config {
	return &Config{
		DataDir: "./miroir-data", Env: "development",
		Server: Server{
			Listener: Listener{Bind: "0.0.0.0", Port: 7700}, MaxBodyBytes: 100 << 20, BodyMemoryBytes: 1 << 20,
			MaxConcurrentRequests: 500, MaxQueuedRequests: 1000, RequestTimeout: 30 * time.Second, ReadyCoverageWait: time.Minute, ShutdownGrace: 30 * time.Second,
		},
		Metrics: Listener{Port: 9090, Enabled: true}, MaxIndexLabels: 200,
		Admin: Admin{Enabled: true, OnClientPort: true},
		Raft: Raft{
			Listener: Listener{Bind: "0.0.0.0", Port: 7701}, HeartbeatTimeout: time.Second, ElectionTimeout: time.Second,
			SnapshotInterval: 2 * time.Minute, SnapshotThreshold: 8192, TrailingLogs: 10240, NoLeaderReadGrace: 2 * time.Second,
		},
		Health:  Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, UnhealthyThreshold: 3, RecoveryThreshold: 2},
		Pool:    Pool{MaxIdle: 32, MaxTotal: 128, IdleTimeout: time.Minute},
		Log:     Log{Level: "info", Format: "json", SlowQuery: time.Second},
		Cluster: fsm.DefaultConfig(),
		sources: map[string]Source{},
	}
}

// minMasterKeyBytes is what a production environment demands.
const minMasterKeyBytes = 16

// Validate checks what one key alone cannot tell.
func (c *Config) Validate() error {
	if c.Env == "production" && len(c.MasterKey) < minMasterKeyBytes {
		return fmt.Errorf("master_key: env is production, which needs one of at least %d bytes", minMasterKeyBytes)
	}
	several := c.Raft.BootstrapExpect > 1 || len(c.Raft.Join) > 0
	if c.Env == "production" && several && c.Raft.ClusterSecret == "" {
		return errors.New("raft.cluster_secret: env is production, which needs one when there are several pods")
	}
	if files := c.Raft.TLS; files != (TLS{}) && (files.CertFile == "" || files.KeyFile == "" || files.CAFile == "") {
		return errors.New("raft.tls: cert_file, key_file and ca_file go together")
	}
	if c.Cluster.Tasks.PollMinMs > c.Cluster.Tasks.PollMaxMs {
		return fmt.Errorf("tasks.poll_min_ms: %d is more than tasks.poll_max_ms, %d", c.Cluster.Tasks.PollMinMs, c.Cluster.Tasks.PollMaxMs)
	}
	if err := checkNodes(c.Nodes, c.Cluster.ReplicationFactor); err != nil {
		return err
	}
	if _, set := c.sources["replica_groups"]; !set {
		return nil // the nodes name their groups
	}
	return checkGroups(c.Nodes, c.Cluster.ReplicaGroups)
}

// NodeKey is sent to nodes that have no key of their own.
func (c *Config) NodeKey() string {
	if c.NodeMasterKey != "" {
		return c.NodeMasterKey
	}
	return c.MasterKey
}
