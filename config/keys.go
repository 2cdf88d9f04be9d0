package config

import (
	"math"
	"strings"
)

// key is one row of the table. Its flag is --name with - for . and _; its variable is MIROIR_NAME in capitals with _ for
// the dot.
type key struct {
	name string
	help string
	at   func(*Config) value

	short   string // a second flag
	cluster bool   // the replicated value rules
	restart bool   // of the cluster's: pods read it at their start
	secret  bool   // never shown; NAME_file names a file with it
	own     string // changed at this endpoint, not by PATCH /_miroir/config
}

func (k *key) flag() string     { return strings.NewReplacer(".", "-", "_", "-").Replace(k.name) }
func (k *key) variable() string { return variable(k.name) }
func (k *key) section() string {
	section, _, found := strings.Cut(k.name, ".")
	if !found {
		return "general"
	}
	return section
}

func variable(name string) string {
	return "MIROIR_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// Bounds that several rows share.
const (
	maxPort    = 65535
	maxCount   = math.MaxInt32
	maxBytes   = 1 << 50
	yearS      = 365 * 24 * 3600
	hourMs     = 3600 * 1000
	maxPercent = 100
)

// keys are all keys, those of a section together, in the order in which they are shown.
var keys = append(podKeys, clusterKeys()...)

var podKeys = []key{
	{name: "master_key", secret: true, help: "Master key of the client API. Empty leaves the API open.", at: func(c *Config) value { return text(&c.MasterKey) }},
	{name: "node_master_key", secret: true, help: "Key for nodes without their own. Default: the master key.", at: func(c *Config) value { return text(&c.NodeMasterKey) }},
	{name: "data_dir", help: "Where the replicated state lives.", at: func(c *Config) value { return text(&c.DataDir) }},
	{name: "env", help: "production demands a master key and, between pods, a secret.", at: func(c *Config) value { return choice(&c.Env, "development", "production") }},

	{name: "server.bind", short: "bind", help: "Address to listen on.", at: func(c *Config) value { return text(&c.Server.Bind) }},
	{name: "server.port", short: "port", help: "Client port.", at: func(c *Config) value { return number(&c.Server.Port, 0, maxPort) }},
	{name: "server.max_body_bytes", help: "Largest request body.", at: func(c *Config) value { return number(&c.Server.MaxBodyBytes, 1, maxBytes) }},
	{name: "server.body_memory_bytes", help: "What one body may hold in memory; the rest is spooled to disk.", at: func(c *Config) value { return number(&c.Server.BodyMemoryBytes, 1, maxBytes) }},
	{name: "server.max_concurrent_requests", help: "Requests served at once.", at: func(c *Config) value { return number(&c.Server.MaxConcurrentRequests, 1, maxCount) }},
	{name: "server.max_queued_requests", help: "Requests waiting for their turn.", at: func(c *Config) value { return number(&c.Server.MaxQueuedRequests, 1, maxCount) }},
	{name: "server.request_timeout_ms", help: "How long a request may wait for its turn, for its client to go on sending or receiving, and a read for the nodes.", at: func(c *Config) value { return millis(&c.Server.RequestTimeout, 10, hourMs) }},
	{name: "server.ready_coverage_wait_s", help: "How long uncovered shards hold readiness back.", at: func(c *Config) value { return seconds(&c.Server.ReadyCoverageWait, 1, yearS) }},
	{name: "server.shutdown_grace_s", help: "How long running requests may finish at the end.", at: func(c *Config) value { return seconds(&c.Server.ShutdownGrace, 1, yearS) }},

	{name: "metrics.bind", help: "Address of the port inside the network. Default: server.bind.", at: func(c *Config) value { return text(&c.Metrics.Bind) }},
	{name: "metrics.port", help: "Port for metrics and management, inside the network.", at: func(c *Config) value { return number(&c.Metrics.Port, 0, maxPort) }},
	{name: "metrics.enabled", help: "Open that port.", at: func(c *Config) value { return boolean(&c.Metrics.Enabled) }},

	{name: "metrics.max_index_labels", help: "Indexes that metrics name one by one, the oldest; all others share the name _other.", at: func(c *Config) value { return number(&c.MaxIndexLabels, 1, maxCount) }},

	{name: "admin.enabled", help: "Serve the management endpoints below /_miroir at all.", at: func(c *Config) value { return boolean(&c.Admin.Enabled) }},
	{name: "admin.api_key", secret: true, help: "Key for /_miroir. Empty: loopback only.", at: func(c *Config) value { return text(&c.Admin.APIKey) }},
	{name: "admin.on_client_port", help: "Serve /_miroir on the client port too.", at: func(c *Config) value { return boolean(&c.Admin.OnClientPort) }},

	{name: "raft.bind", help: "Address for other pods; a pod alone listens to itself only.", at: func(c *Config) value { return text(&c.Raft.Bind) }},
	{name: "raft.port", help: "Pod-to-pod port.", at: func(c *Config) value { return number(&c.Raft.Port, 0, maxPort) }},
	{name: "raft.advertise", short: "advertise", help: "What other pods dial, host:port. Default: the host name and the port.", at: func(c *Config) value { return text(&c.Raft.Advertise) }},
	{name: "raft.node_id", short: "node-id", help: "This pod's stable name in the cluster. Default: the host name.", at: func(c *Config) value { return text(&c.Raft.NodeID) }},
	{name: "raft.bootstrap_expect", short: "bootstrap-expect", help: "Pods that form a new cluster together.", at: func(c *Config) value { return number(&c.Raft.BootstrapExpect, 0, 99) }},
	{name: "raft.join", short: "join", help: "Pods of the cluster to join, host:port, comma separated.", at: func(c *Config) value { return list(&c.Raft.Join) }},
	{name: "raft.cluster_secret", secret: true, help: "What pods prove to each other that they belong together.", at: func(c *Config) value { return text(&c.Raft.ClusterSecret) }},
	{name: "raft.tls.cert_file", help: "Certificate between pods.", at: func(c *Config) value { return text(&c.Raft.TLS.CertFile) }},
	{name: "raft.tls.key_file", help: "Its key.", at: func(c *Config) value { return text(&c.Raft.TLS.KeyFile) }},
	{name: "raft.tls.ca_file", help: "Who signs the pods' certificates.", at: func(c *Config) value { return text(&c.Raft.TLS.CAFile) }},
	{name: "raft.heartbeat_timeout_ms", help: "Without a heartbeat for about so long, a pod looks for another leader.", at: func(c *Config) value { return millis(&c.Raft.HeartbeatTimeout, 10, hourMs) }},
	{name: "raft.election_timeout_ms", help: "Time for one election, after which another begins.", at: func(c *Config) value { return millis(&c.Raft.ElectionTimeout, 10, hourMs) }},
	{name: "raft.snapshot_interval_s", help: "Time between two looks whether the log can be cut.", at: func(c *Config) value { return seconds(&c.Raft.SnapshotInterval, 1, yearS) }},
	{name: "raft.snapshot_threshold", help: "New entries before it is.", at: func(c *Config) value { return number(&c.Raft.SnapshotThreshold, 1, math.MaxInt64) }},
	{name: "raft.trailing_logs", help: "Entries kept for pods that lag.", at: func(c *Config) value { return number(&c.Raft.TrailingLogs, 1, math.MaxInt64) }},
	{name: "raft.no_leader_read_grace_ms", help: "After so long without a leader, answers are marked degraded.", at: func(c *Config) value { return millis(&c.Raft.NoLeaderReadGrace, 10, hourMs) }},

	{name: "health.interval_ms", help: "Time between two health checks of a node.", at: func(c *Config) value { return millis(&c.Health.Interval, 10, hourMs) }},
	{name: "health.timeout_ms", help: "Time for one.", at: func(c *Config) value { return millis(&c.Health.Timeout, 10, hourMs) }},
	{name: "health.unhealthy_threshold", help: "Missed checks until a node has failed.", at: func(c *Config) value { return number(&c.Health.UnhealthyThreshold, 1, 1000) }},
	{name: "health.recovery_threshold", help: "Good checks until it is back.", at: func(c *Config) value { return number(&c.Health.RecoveryThreshold, 1, 1000) }},

	{name: "connection_pool_per_node.max_idle", help: "Connections kept open.", at: func(c *Config) value { return number(&c.Pool.MaxIdle, 1, maxPort) }},
	{name: "connection_pool_per_node.max_total", help: "Connections at once.", at: func(c *Config) value { return number(&c.Pool.MaxTotal, 1, maxPort) }},
	{name: "connection_pool_per_node.idle_timeout_s", help: "How long an idle one is kept.", at: func(c *Config) value { return seconds(&c.Pool.IdleTimeout, 1, yearS) }},

	{name: "chats.allowed_ip_networks", help: "Internal networks where language models of chats may be, comma separated; others are refused.", at: func(c *Config) value { return networks(&c.Chats.AllowedIPNetworks) }},

	{name: "log.level", help: "What is logged.", at: func(c *Config) value { return choice(&c.Log.Level, "debug", "info", "warn", "error") }},
	{name: "log.format", help: "json to standard output, text to standard error.", at: func(c *Config) value { return choice(&c.Log.Format, "json", "text") }},
	{name: "log.slow_query_ms", help: "A search that takes longer is logged as a warning; 0: none.", at: func(c *Config) value { return millis(&c.Log.SlowQuery, 0, hourMs) }},
}
