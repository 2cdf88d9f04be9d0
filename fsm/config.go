package fsm

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// MaxShards bounds the shards of an index: every shard is a placement entry once the index is cut up.
const MaxShards = 4096

// Config are the cluster-wide values every pod must agree on.
type Config struct {
	Shards                   uint32 `json:"shards"`                   // of a new index
	ReplicationFactor        int    `json:"replicationFactor"`        // replicas of a shard per group
	Spread                   int    `json:"spread"`                   // of a new index
	SpreadThresholdDocuments uint64 `json:"spreadThresholdDocuments"` // an auto index beyond it moves out over the group
	MinAcks                  int    `json:"minAcks"`                  // in-sync replicas of each shard that must acknowledge
	ReplicaGroups            int    `json:"replicaGroups"`            // that the cluster began with; see View.ShownConfig

	CatchUp          CatchUp          `json:"catchUp"`
	Reads            Reads            `json:"reads"`
	Hedging          Hedging          `json:"hedging"`
	ReplicaSelection ReplicaSelection `json:"replicaSelection"`
	Sessions         Sessions         `json:"sessions"`
	Rebalancer       Rebalancer       `json:"rebalancer"`
	AntiEntropy      AntiEntropy      `json:"antiEntropy"`
	Raft             RaftConfig       `json:"raft"`
	Writes           Writes           `json:"writes"`
	Tasks            Tasks            `json:"tasks"`
	MultiSearch      MultiSearch      `json:"multiSearch"`
	QueryPlanner     QueryPlanner     `json:"queryPlanner"`
	SettingsVerify   SettingsVerify   `json:"settingsVerify"`
	SettingsDrift    SettingsDrift    `json:"settingsDrift"`
	SearchUI         SearchUI         `json:"searchUi"`
}

// Writes bounds what a node may take for a sub-write, and how many wait for it.
type Writes struct {
	NodeTimeoutMs int `json:"nodeTimeoutMs"`
	MaxNodeQueue  int `json:"maxNodeQueue"` // of one index on one node
	ResultBatchMs int `json:"resultBatchMs"`
}

// Tasks says how often open tasks are looked at, and for how long and how many finished ones are kept.
type Tasks struct {
	PollMinMs     int `json:"pollMinMs"`
	PollMaxMs     int `json:"pollMaxMs"`
	RetentionDays int `json:"retentionDays"` // 0: for ever
	MaxTasks      int `json:"maxTasks"`      // 0: as many as there are
}

// MultiSearch bounds /multi-search.
type MultiSearch struct {
	Enabled            bool `json:"enabled"`
	MaxQueriesPerBatch int  `json:"maxQueriesPerBatch"`
	TotalTimeoutMs     int  `json:"totalTimeoutMs"`
	PerQueryTimeoutMs  int  `json:"perQueryTimeoutMs"`
}

// QueryPlanner narrows reads to the shards that can hold what a filter names by its primary key.
type QueryPlanner struct {
	Enabled                 bool `json:"enabled"`
	MaxPKLiteralsNarrowable int  `json:"maxPkLiteralsNarrowable"` // ids of one filter
	LogPlans                bool `json:"logPlans,omitempty"`
}

// SettingsVerify bounds how settings are read back after a change, and how often a node is put right in a row.
type SettingsVerify struct {
	TimeoutS   int `json:"timeoutS"`
	MaxRetries int `json:"maxRetries"`
	// NoFreeze lets an index take writes although its nodes cannot be brought to its settings.
	NoFreeze bool `json:"noFreeze,omitempty"`
}

// SettingsDrift says how settings are read back from nodes.
type SettingsDrift struct {
	IntervalS  int  `json:"intervalS"`
	AutoRepair bool `json:"autoRepair"`
}

// SearchUI is the search page.
type SearchUI struct {
	Enabled bool `json:"enabled"`
}

// CatchUp bounds what the leader keeps of writes that an absent node missed.
type CatchUp struct {
	Bytes   int64 `json:"bytes"`   // on the leader's disk, over all nodes; 0 keeps nothing
	MaxAgeS int   `json:"maxAgeS"` // seconds
}

// Reads says how a node's failure to answer is dealt with.
type Reads struct {
	NodeTimeoutMs          int    `json:"nodeTimeoutMs"`
	UnavailableShardPolicy string `json:"unavailableShardPolicy"` // partial or error
	NoRetryOnTimeout       bool   `json:"noRetryOnTimeout,omitempty"`
}

// Hedging asks other replicas when a node takes long.
type Hedging struct {
	Enabled              bool    `json:"enabled"`
	P95TriggerMultiplier float64 `json:"p95TriggerMultiplier"`
	MinTriggerMs         int     `json:"minTriggerMs"`
	MaxHedgesPerQuery    int     `json:"maxHedgesPerQuery"`
	BudgetPercent        float64 `json:"budgetPercent"` // of a pod's node requests
	CrossGroupFallback   bool    `json:"crossGroupFallback"`
}

// ReplicaSelection says how reads choose among replicas in sync.
type ReplicaSelection struct {
	Strategy           string  `json:"strategy"` // adaptive, round_robin or random
	LatencyWeight      float64 `json:"latencyWeight"`
	InflightWeight     float64 `json:"inflightWeight"`
	ErrorWeight        float64 `json:"errorWeight"`
	EwmaHalfLifeMs     int     `json:"ewmaHalfLifeMs"`
	ExplorationEpsilon float64 `json:"explorationEpsilon"`
	ExcludeAboveMedian float64 `json:"excludeAboveMedian"`
}

// Sessions gives clients that name a session their own writes to read.
type Sessions struct {
	Enabled      bool   `json:"enabled"`
	TTLSeconds   int    `json:"ttlSeconds"`
	MaxSessions  int    `json:"maxSessions"`
	WaitStrategy string `json:"waitStrategy"` // block or route_pin
	MaxWaitMs    int    `json:"maxWaitMs"`
}

// Rebalancer bounds the copying of shards.
type Rebalancer struct {
	AutoRebalanceOnRecovery bool `json:"autoRebalanceOnRecovery"`
	MaxConcurrentMigrations int  `json:"maxConcurrentMigrations"`
	MigrationTimeoutS       int  `json:"migrationTimeoutS"`
	PageSize                int  `json:"pageSize"`
	ThrottleDocsPerSec      int  `json:"throttleDocsPerSec"` // 0: unthrottled
	WriteHoldMaxMs          int  `json:"writeHoldMaxMs"`
	ReplaceFailedAfterS     int  `json:"replaceFailedAfterS"` // 0: never
}

// AntiEntropy compares replicas in the background.
type AntiEntropy struct {
	Enabled              bool    `json:"enabled"`
	Schedule             string  `json:"schedule"`      // "every 6h"
	ShardsPerPass        int     `json:"shardsPerPass"` // 0: all
	MaxReadConcurrency   int     `json:"maxReadConcurrency"`
	FingerprintBatchSize int     `json:"fingerprintBatchSize"`
	AutoRepair           bool    `json:"autoRepair"`
	MaxDutyPercent       float64 `json:"maxDutyPercent"`
}

// RaftConfig bounds the membership of the cluster.
type RaftConfig struct {
	MaxVoters       int `json:"maxVoters"`
	DeadPodCleanupS int `json:"deadPodCleanupS"`
}

// DefaultConfig is what a cluster starts with.
func DefaultConfig() Config {
	return Config{
		Shards: 64, ReplicationFactor: 1, Spread: SpreadAuto, SpreadThresholdDocuments: 100_000, MinAcks: 1, ReplicaGroups: 1,
		CatchUp: CatchUp{Bytes: 1 << 30, MaxAgeS: 3600},
		Reads:   Reads{NodeTimeoutMs: 5000, UnavailableShardPolicy: "partial"},
		Hedging: Hedging{Enabled: true, P95TriggerMultiplier: 1.2, MinTriggerMs: 15, MaxHedgesPerQuery: 2, BudgetPercent: 5, CrossGroupFallback: true},
		ReplicaSelection: ReplicaSelection{
			Strategy: "adaptive", LatencyWeight: 1, InflightWeight: 2, ErrorWeight: 10,
			EwmaHalfLifeMs: 5000, ExplorationEpsilon: 0.05, ExcludeAboveMedian: 5,
		},
		Sessions: Sessions{Enabled: true, TTLSeconds: 900, MaxSessions: 100_000, WaitStrategy: "block", MaxWaitMs: 5000},
		Rebalancer: Rebalancer{
			AutoRebalanceOnRecovery: true, MaxConcurrentMigrations: 4, MigrationTimeoutS: 3600, PageSize: 1000,
			WriteHoldMaxMs: 2000, ReplaceFailedAfterS: 900,
		},
		AntiEntropy: AntiEntropy{
			Enabled: true, Schedule: "every 6h", MaxReadConcurrency: 2, FingerprintBatchSize: 1000, AutoRepair: true, MaxDutyPercent: 2,
		},
		Raft:           RaftConfig{MaxVoters: 5, DeadPodCleanupS: 600},
		Writes:         Writes{NodeTimeoutMs: 30_000, MaxNodeQueue: 1000, ResultBatchMs: 5},
		Tasks:          Tasks{PollMinMs: 25, PollMaxMs: 1000, RetentionDays: 7, MaxTasks: 10_000_000},
		MultiSearch:    MultiSearch{Enabled: true, MaxQueriesPerBatch: 100, TotalTimeoutMs: 30_000, PerQueryTimeoutMs: 30_000},
		QueryPlanner:   QueryPlanner{Enabled: true, MaxPKLiteralsNarrowable: 128},
		SettingsVerify: SettingsVerify{TimeoutS: 60, MaxRetries: 3},
		SettingsDrift:  SettingsDrift{IntervalS: 300, AutoRepair: true},
	}
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
	Config Config    `json:"config"`
	Now    time.Time `json:"now,omitzero"`
	Job    *Job      `json:"job,omitempty"` // started with it
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

// withDefaults replaces zero values and sections that are all zero; spread 0 is auto and stays.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	c.Shards = cmp.Or(c.Shards, d.Shards)
	c.ReplicationFactor = cmp.Or(c.ReplicationFactor, d.ReplicationFactor)
	c.SpreadThresholdDocuments = cmp.Or(c.SpreadThresholdDocuments, d.SpreadThresholdDocuments)
	c.MinAcks = cmp.Or(c.MinAcks, d.MinAcks)
	c.ReplicaGroups = cmp.Or(c.ReplicaGroups, d.ReplicaGroups)
	c.CatchUp = cmp.Or(c.CatchUp, d.CatchUp)
	c.Reads = cmp.Or(c.Reads, d.Reads)
	c.Hedging = cmp.Or(c.Hedging, d.Hedging)
	c.ReplicaSelection = cmp.Or(c.ReplicaSelection, d.ReplicaSelection)
	c.Sessions = cmp.Or(c.Sessions, d.Sessions)
	c.Rebalancer = cmp.Or(c.Rebalancer, d.Rebalancer)
	c.AntiEntropy = cmp.Or(c.AntiEntropy, d.AntiEntropy)
	c.Raft = cmp.Or(c.Raft, d.Raft)
	c.Writes = cmp.Or(c.Writes, d.Writes)
	c.Tasks = cmp.Or(c.Tasks, d.Tasks)
	c.MultiSearch = cmp.Or(c.MultiSearch, d.MultiSearch)
	c.QueryPlanner = cmp.Or(c.QueryPlanner, d.QueryPlanner)
	c.SettingsVerify = cmp.Or(c.SettingsVerify, d.SettingsVerify)
	c.SettingsDrift = cmp.Or(c.SettingsDrift, d.SettingsDrift)
	return c
}

func (c Config) validate() error {
	switch {
	case c.Shards > MaxShards:
		return refuse(CodeInvalid, "%d shards are too many, the limit is %d", c.Shards, MaxShards)
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
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	t.setConfig(config)
	t.startJob(c.Job, c.Now)
	return None{}, nil
}

func (t *txn) setConfig(c Config) {
	t.view.Config = c
	t.put(bucketMeta, rowConfig, c)
}
