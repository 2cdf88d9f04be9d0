package fsm

import (
	"encoding/json"
	"time"
)

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
