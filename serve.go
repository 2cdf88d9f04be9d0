package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
)

// nodeFlag is one --node: [id=]URL[,group].
type nodeFlag struct {
	ID      fsm.NodeID
	Address string
	Group   fsm.GroupID
}

// UnmarshalText parses [id=]URL[,group]. Without an id, serve numbers the nodes in the order given.
func (n *nodeFlag) UnmarshalText(text []byte) error {
	rest := string(text)
	if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
		group, err := strconv.ParseUint(rest[comma+1:], 10, 32)
		if err != nil {
			return fmt.Errorf("%q: the group after the comma must be a number, as in --node a=http://10.0.0.1:7700,1", text)
		}
		n.Group, rest = fsm.GroupID(group), rest[:comma]
	}
	if id, address, found := strings.Cut(rest, "="); found && !strings.Contains(id, "/") {
		n.ID, rest = fsm.NodeID(id), address
	}
	if !strings.Contains(rest, "://") {
		rest = "http://" + rest
	}
	parsed, err := url.Parse(rest)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return fmt.Errorf("%q is not a node: write [id=]URL[,group], as in --node a=http://10.0.0.1:7700", text)
	}
	n.Address = strings.TrimSuffix(rest, "/")
	return nil
}

type spreadFlag int

// UnmarshalText parses auto, all or a number of nodes.
func (s *spreadFlag) UnmarshalText(text []byte) error {
	switch string(text) {
	case "auto":
		*s = 0
		return nil
	case "all":
		*s = -1
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a spread: write auto, all or a number of nodes", text)
	}
	*s = spreadFlag(n)
	return nil
}

type serveCommand struct {
	Node              []nodeFlag `help:"A Meilisearch server: [id=]URL[,group]. Repeat it for each." placeholder:"[ID=]URL[,GROUP]" sep:"none"`
	NodeMasterKey     string     `help:"Key for nodes, with all rights. Default: the master key."`
	MasterKey         string     `help:"Master key of the client API. Empty leaves the API open."`
	AdminAPIKey       string     `name:"admin-api-key" help:"Key for /_miroir. Empty: loopback only." env:"MIROIR_ADMIN_API_KEY"`
	DataDir           string     `help:"Where the replicated state lives." default:"./miroir-data" type:"path"`
	Bind              string     `help:"Address to listen on." default:"0.0.0.0"`
	Port              int        `help:"Client port." default:"7700"`
	RaftPort          int        `help:"Pod-to-pod port." default:"7701"`
	MetricsPort       int        `help:"Port for metrics and management, inside the network. 0 switches it off." default:"9090"`
	ReplicationFactor int        `help:"Replicas of each shard inside a group (2 recommended)." default:"1"`
	Shards            uint32     `help:"Shards of new indexes." default:"64"`
	Spread            spreadFlag `help:"Nodes of a group that share a new index: auto, all or a number." default:"auto"`
	NodeID            string     `name:"node-id" help:"This pod's stable name in the cluster. Default: the host name."`
	SearchUIEnabled   bool       `name:"search-ui-enabled" help:"Serve the search page at /ui/search/{index}." default:"false" negatable:""`

	ServerMaxBodyBytes    int64 `help:"Largest request body." default:"104857600"`
	ServerBodyMemoryBytes int64 `help:"What one body may hold in memory; the rest is spooled to disk." default:"1048576"`
	ServerMaxConcurrent   int   `name:"server-max-concurrent-requests" help:"Requests served at once." default:"500"`
	ServerMaxQueued       int   `name:"server-max-queued-requests" help:"Requests waiting for their turn." default:"1000"`
	ServerShutdownGraceS  int   `name:"server-shutdown-grace-s" help:"How long running requests may finish at the end." default:"30"`
	ScatterNodeTimeoutMs  int   `help:"One node's time for a read." default:"5000"`
	WritesNodeTimeoutMs   int   `help:"One node's time for a write." default:"30000"`
	WritesMaxNodeQueue    int   `help:"Writes waiting for one index on one node." default:"1000"`
	MultiSearchMaxQueries int   `name:"multi-search-max-queries-per-batch" help:"Queries in one multi-search." default:"100"`
	HealthIntervalMs      int   `help:"Time between two health checks of a node." default:"5000"`

	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"json or text." enum:"json,text" default:"json"`
}

// Validate checks what one flag alone cannot tell.
func (c *serveCommand) Validate() error {
	if len(c.Node) == 0 {
		return nil // nodes may be in the replicated state already
	}
	seen := map[fsm.NodeID]bool{}
	perGroup := map[fsm.GroupID]int{}
	for i := range c.Node {
		if c.Node[i].ID == "" {
			c.Node[i].ID = fsm.NodeID("node-" + strconv.Itoa(i))
		}
		if seen[c.Node[i].ID] {
			return fmt.Errorf("--node: the id %q is given twice", c.Node[i].ID)
		}
		seen[c.Node[i].ID] = true
		perGroup[c.Node[i].Group]++
	}
	for group, nodes := range perGroup {
		if c.ReplicationFactor > nodes {
			return fmt.Errorf("--replication-factor %d is more than the %d nodes of group %d: add nodes or lower it", c.ReplicationFactor, nodes, group)
		}
	}
	if c.ReplicationFactor < 1 {
		return fmt.Errorf("--replication-factor must be at least 1, got %d", c.ReplicationFactor)
	}
	if c.Shards < 1 || c.Shards > 4096 {
		return fmt.Errorf("--shards must be between 1 and 4096, got %d", c.Shards)
	}
	return nil
}

func (c *serveCommand) podOptions(logger *slog.Logger) podOptions {
	return podOptions{
		DataDir: c.DataDir, NodeID: c.NodeID, MasterKey: c.MasterKey, NodeKey: c.nodeKey(), AdminKey: c.AdminAPIKey,
		Bind: c.Bind, Port: c.Port, RaftPort: c.RaftPort, MetricsPort: c.MetricsPort,
		Nodes: c.Node, ReplicationFactor: c.ReplicationFactor, Shards: c.Shards, Spread: int(c.Spread),
		SearchPage: c.SearchUIEnabled, MaxBodyBytes: c.ServerMaxBodyBytes, BodyMemoryBytes: c.ServerBodyMemoryBytes,
		MaxRequests: c.ServerMaxConcurrent, MaxQueued: c.ServerMaxQueued, MaxNodeQueue: c.WritesMaxNodeQueue,
		MaxQueries: c.MultiSearchMaxQueries, SearchTimeout: milliseconds(c.ScatterNodeTimeoutMs),
		WriteTimeout: milliseconds(c.WritesNodeTimeoutMs), HealthInterval: milliseconds(c.HealthIntervalMs),
		ShutdownGrace: time.Duration(c.ServerShutdownGraceS) * time.Second, Logger: logger,
	}
}

func (c *serveCommand) nodeKey() string {
	if c.NodeMasterKey != "" {
		return c.NodeMasterKey
	}
	return c.MasterKey
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	logger := newLogger(c.LogLevel, c.LogFormat)
	if c.MasterKey == "" {
		logger.Warn("no master key: anybody who reaches the client port may do anything (set --master-key)")
	}
	pod, err := openPod(ctx, c.podOptions(logger))
	if err != nil {
		return err
	}
	logger.Info("serving", "address", pod.ClientURL(), "metrics", pod.MetricsURL(), "version", version)
	err = pod.Wait(ctx)
	return errors.Join(err, pod.Close())
}

func newLogger(level, format string) *slog.Logger {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: renameLogKeys}
	if format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stdout, options))
}

// renameLogKeys gives the always-present fields their documented names and forms.
func renameLogKeys(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attribute
	}
	switch attribute.Key {
	case slog.TimeKey:
		return slog.String("timestamp", attribute.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case slog.LevelKey:
		return slog.String("level", strings.ToLower(attribute.Value.String()))
	case slog.MessageKey:
		attribute.Key = "message"
	}
	return attribute
}
