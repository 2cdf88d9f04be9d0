package fsm

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// maxShards bounds the shards of an index: every shard is a placement entry once the index is cut up.
const maxShards = 4096

// Config are the cluster-wide values every pod must agree on.
type Config struct {
	Shards                   uint32 `json:"shards"`                   // of a new index
	ReplicationFactor        int    `json:"replicationFactor"`        // replicas of a shard per group
	Spread                   int    `json:"spread"`                   // of a new index
	SpreadThresholdDocuments uint64 `json:"spreadThresholdDocuments"` // an auto index beyond it moves out over the group
	MinAcks                  int    `json:"minAcks"`                  // in-sync replicas of each shard that must acknowledge
}

// DefaultConfig is what a cluster starts with.
func DefaultConfig() Config {
	return Config{Shards: 64, ReplicationFactor: 1, Spread: SpreadAuto, SpreadThresholdDocuments: 100_000, MinAcks: 1}
}

// Bootstrap gives an empty state its first contents. On a state that has a cluster id it is refused with CodeExists.
// Zero values in Config mean the defaults. Groups named by Nodes only are created too.
type Bootstrap struct {
	Now       time.Time       `json:"now"`
	ClusterID string          `json:"clusterId"`
	Config    Config          `json:"config"`
	Groups    []GroupID       `json:"groups,omitempty"`
	Nodes     []Node          `json:"nodes,omitempty"`
	Keys      []Key           `json:"keys,omitempty"`
	Features  json.RawMessage `json:"features,omitempty"`
}

// SetConfig replaces the configuration; it concerns new indexes and later decisions only.
type SetConfig struct {
	Config Config `json:"config"`
}

func (Bootstrap) Result() (r None) { return }
func (SetConfig) Result() (r None) { return }

func (c Bootstrap) apply(t *txn) (any, error) {
	if err := c.check(t); err != nil {
		return nil, err
	}
	t.view.counters.ClusterID = c.ClusterID
	t.setConfig(c.Config.withDefaults())
	for _, g := range c.Groups {
		if t.view.Group(g) == nil {
			t.setGroup(Group{ID: g, State: GroupActive, Since: c.Now.UTC()})
		}
	}
	for _, n := range c.Nodes {
		t.addNode(n, c.Now)
	}
	for _, k := range c.Keys {
		t.putKey(k)
	}
	if c.Features != nil {
		t.view.Features = c.Features
		t.put(bucketMeta, rowFeatures, c.Features)
	}
	return None{}, nil
}

func (c Bootstrap) check(t *txn) error {
	if t.view.counters.ClusterID != "" {
		return refuse(CodeExists, "the cluster is set up already, as %s", t.view.counters.ClusterID)
	}
	if c.ClusterID == "" {
		return refuse(CodeInvalid, "a cluster needs an id")
	}
	seen := map[NodeID]bool{}
	for _, n := range c.Nodes {
		if err := t.checkNewNode(n); err != nil {
			return err
		}
		if seen[n.ID] {
			return refuse(CodeInvalid, "node %s occurs twice", n.ID)
		}
		seen[n.ID] = true
	}
	if slices.ContainsFunc(c.Keys, func(k Key) bool { return k.UID == "" }) {
		return refuse(CodeInvalid, "a key needs a uid")
	}
	return c.Config.withDefaults().validate()
}

// withDefaults replaces zero values; spread 0 is auto and stays.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	c.Shards = cmp.Or(c.Shards, d.Shards)
	c.ReplicationFactor = cmp.Or(c.ReplicationFactor, d.ReplicationFactor)
	c.SpreadThresholdDocuments = cmp.Or(c.SpreadThresholdDocuments, d.SpreadThresholdDocuments)
	c.MinAcks = cmp.Or(c.MinAcks, d.MinAcks)
	return c
}

func (c Config) validate() error {
	switch {
	case c.Shards > maxShards:
		return refuse(CodeInvalid, "%d shards are too many, the limit is %d", c.Shards, maxShards)
	case c.ReplicationFactor < 1:
		return refuse(CodeInvalid, "the replication factor is at least 1, not %d", c.ReplicationFactor)
	case c.Spread < SpreadAll:
		return refuse(CodeInvalid, "spread %d is neither auto, all nor a number of nodes", c.Spread)
	case c.MinAcks < MinAcksQuorum:
		return refuse(CodeInvalid, "min_acks is a number or quorum, not %d", c.MinAcks)
	}
	return nil
}

func (c SetConfig) apply(t *txn) (any, error) {
	config := c.Config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	t.setConfig(config)
	return None{}, nil
}

func (t *txn) setConfig(c Config) {
	t.view.Config = c
	t.put(bucketMeta, rowConfig, c)
}
