package config

import "miroir/fsm"

// clusterKeys are the keys of scope cluster: their fields are the replicated configuration's.
func clusterKeys() []key {
	type row struct {
		name, help string
		at         func(*fsm.Config) value
		short      string
		restart    bool
		own        string
	}
	rows := []row{
		{name: "shards", help: "Shards of new indexes.", at: func(c *fsm.Config) value { return number(&c.Shards, 1, 4096) }},
		{name: "replication_factor", help: "Replicas of each shard inside a group (2 recommended).", own: "PATCH /_miroir/topology", at: func(c *fsm.Config) value { return number(&c.ReplicationFactor, 1, 99) }},

		{name: "replica_groups", help: "Replica groups of a new cluster; with nodes, each of them has one.", own: "POST /_miroir/replica_groups", at: func(c *fsm.Config) value { return number(&c.ReplicaGroups, 1, 99) }},

		{name: "scatter.node_timeout_ms", help: "One node's time for a read.", at: func(c *fsm.Config) value { return number(&c.Reads.NodeTimeoutMs, 1, hourMs) }},
		{name: "scatter.retry_on_timeout", help: "Ask another replica when a node has not answered in time; false: its shards are missing. A write is looked for first, and never sent twice blindly.", at: func(c *fsm.Config) value { return not(&c.Reads.NoRetryOnTimeout) }},
		{name: "scatter.unavailable_shard_policy", help: "Answer without shards that nobody can answer, or refuse.", at: func(c *fsm.Config) value { return choice(&c.Reads.UnavailableShardPolicy, "partial", "error") }},

		{name: "writes.min_acks", help: "In-sync replicas of each shard that must accept a write: a number or quorum.", at: func(c *fsm.Config) value {
			return named(&c.MinAcks, 1, 99, map[string]int{"quorum": fsm.MinAcksQuorum})
		}},
		{name: "writes.node_timeout_ms", help: "One node's time for a write.", restart: true, at: func(c *fsm.Config) value { return number(&c.Writes.NodeTimeoutMs, 1, hourMs) }},
		{name: "writes.max_node_queue", help: "Writes waiting for one index on one node.", restart: true, at: func(c *fsm.Config) value { return number(&c.Writes.MaxNodeQueue, 1, maxCount) }},
		{name: "writes.result_batch_ms", help: "How long results that nobody waits for are gathered until they are committed together; 0: not at all.", at: func(c *fsm.Config) value { return number(&c.Writes.ResultBatchMs, 0, 1000) }},

		{name: "tasks.poll_min_ms", help: "Shortest time between two looks at open tasks.", restart: true, at: func(c *fsm.Config) value { return number(&c.Tasks.PollMinMs, 1, hourMs) }},
		{name: "tasks.poll_max_ms", help: "Longest.", restart: true, at: func(c *fsm.Config) value { return number(&c.Tasks.PollMaxMs, 1, hourMs) }},
		{name: "tasks.retention_days", help: "Finished tasks are forgotten after it; 0: never.", at: func(c *fsm.Config) value { return number(&c.Tasks.RetentionDays, 0, 36_500) }},
		{name: "tasks.max_tasks", help: "Of more tasks the oldest finished ones are forgotten; 0: no limit.", at: func(c *fsm.Config) value { return number(&c.Tasks.MaxTasks, 0, maxCount) }},

		{name: "placement.spread", short: "spread", help: "Nodes of a group that share a new index: auto, all or a number.", at: func(c *fsm.Config) value {
			return named(&c.Spread, 1, 4096, map[string]int{"auto": fsm.SpreadAuto, "all": fsm.SpreadAll})
		}},
		{name: "placement.spread_threshold_documents", help: "An auto index beyond it moves out over its group.", at: func(c *fsm.Config) value { return number(&c.SpreadThresholdDocuments, 1, maxBytes) }},
		{name: "placement.catch_up_log_bytes", help: "What the leader keeps of writes that absent nodes missed.", at: func(c *fsm.Config) value { return number(&c.CatchUp.Bytes, 0, maxBytes) }},
		{name: "placement.catch_up_log_max_age_s", help: "And for how long.", at: func(c *fsm.Config) value { return number(&c.CatchUp.MaxAgeS, 1, yearS) }},

		{name: "rebalancer.auto_rebalance_on_recovery", help: "Copy what a node that returns has missed; false: only when a rebalance is asked for.", at: func(c *fsm.Config) value { return boolean(&c.Rebalancer.AutoRebalanceOnRecovery) }},
		{name: "rebalancer.max_concurrent_migrations", help: "Shards that move at once; all those that leave a node with the whole index count as one.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.MaxConcurrentMigrations, 1, 1000) }},
		{name: "rebalancer.migration_timeout_s", help: "A move that takes longer is begun again.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.MigrationTimeoutS, 1, yearS) }},
		{name: "rebalancer.page_size", help: "Documents copied at once.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.PageSize, 1, 100_000) }},
		{name: "rebalancer.throttle_docs_per_sec", help: "Documents copied in a second; 0: no limit.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.ThrottleDocsPerSec, 0, maxCount) }},
		{name: "rebalancer.write_hold_max_ms", help: "How long the end of a copy may hold a shard's writes.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.WriteHoldMaxMs, 1, hourMs) }},
		{name: "rebalancer.replace_failed_after_s", help: "A failed node's copies are rebuilt elsewhere after it; 0: never.", at: func(c *fsm.Config) value { return number(&c.Rebalancer.ReplaceFailedAfterS, 0, yearS) }},

		{name: "hedging.enabled", help: "Ask a second replica when the first takes long.", at: func(c *fsm.Config) value { return boolean(&c.Hedging.Enabled) }},
		{name: "hedging.p95_trigger_multiplier", help: "After so many times its usual slowest.", at: func(c *fsm.Config) value { return number(&c.Hedging.P95TriggerMultiplier, 0.1, 1000) }},
		{name: "hedging.min_trigger_ms", help: "Never earlier.", at: func(c *fsm.Config) value { return number(&c.Hedging.MinTriggerMs, 0, hourMs) }},
		{name: "hedging.max_hedges_per_query", help: "Second requests of one search.", at: func(c *fsm.Config) value { return number(&c.Hedging.MaxHedgesPerQuery, 0, 100) }},
		{name: "hedging.budget_percent", help: "Second requests of all.", at: func(c *fsm.Config) value { return number(&c.Hedging.BudgetPercent, 0, maxPercent) }},
		{name: "hedging.cross_group_fallback", help: "Ask another group when this one has no second replica.", at: func(c *fsm.Config) value { return boolean(&c.Hedging.CrossGroupFallback) }},

		{name: "replica_selection.strategy", help: "How reads choose among replicas.", at: func(c *fsm.Config) value {
			return choice(&c.ReplicaSelection.Strategy, "adaptive", "round_robin", "random")
		}},
		{name: "replica_selection.latency_weight", help: "What a node's latency counts.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.LatencyWeight, 0, 1e6) }},
		{name: "replica_selection.inflight_weight", help: "What its running requests count.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.InflightWeight, 0, 1e6) }},
		{name: "replica_selection.error_weight", help: "What its errors count.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.ErrorWeight, 0, 1e6) }},
		{name: "replica_selection.ewma_half_life_ms", help: "How fast old observations fade.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.EwmaHalfLifeMs, 1, hourMs) }},
		{name: "replica_selection.exploration_epsilon", help: "Share of reads that try another node.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.ExplorationEpsilon, 0, 1) }},
		{name: "replica_selection.exclude_above_median", help: "A node so many times slower than the median is left out.", at: func(c *fsm.Config) value { return number(&c.ReplicaSelection.ExcludeAboveMedian, 1, 1e6) }},

		{name: "session_pinning.enabled", help: "Read your writes with X-Miroir-Session.", at: func(c *fsm.Config) value { return boolean(&c.Sessions.Enabled) }},
		{name: "session_pinning.ttl_seconds", help: "How long a session is remembered.", at: func(c *fsm.Config) value { return number(&c.Sessions.TTLSeconds, 1, yearS) }},
		{name: "session_pinning.max_sessions", help: "Sessions remembered at once.", at: func(c *fsm.Config) value { return number(&c.Sessions.MaxSessions, 1, maxCount) }},
		{name: "session_pinning.wait_strategy", help: "Wait for the write, or read where it is.", at: func(c *fsm.Config) value { return choice(&c.Sessions.WaitStrategy, "block", "route_pin") }},
		{name: "session_pinning.max_wait_ms", help: "Longest wait.", at: func(c *fsm.Config) value { return number(&c.Sessions.MaxWaitMs, 0, hourMs) }},

		{name: "anti_entropy.enabled", help: "Compare replicas in the background.", at: func(c *fsm.Config) value { return boolean(&c.AntiEntropy.Enabled) }},
		{name: "anti_entropy.schedule", help: "How often, as in \"every 6h\".", at: func(c *fsm.Config) value { return schedule(&c.AntiEntropy.Schedule) }},
		{name: "anti_entropy.shards_per_pass", help: "Shards of one pass; 0: all.", at: func(c *fsm.Config) value { return number(&c.AntiEntropy.ShardsPerPass, 0, maxCount) }},
		{name: "anti_entropy.max_read_concurrency", help: "Shards compared at once.", at: func(c *fsm.Config) value { return number(&c.AntiEntropy.MaxReadConcurrency, 1, 1000) }},
		{name: "anti_entropy.fingerprint_batch_size", help: "Documents read at once.", at: func(c *fsm.Config) value { return number(&c.AntiEntropy.FingerprintBatchSize, 1, 100_000) }},
		{name: "anti_entropy.auto_repair", help: "Put right what differs.", at: func(c *fsm.Config) value { return boolean(&c.AntiEntropy.AutoRepair) }},
		{name: "anti_entropy.max_duty_percent", help: "Share of the time it may read.", at: func(c *fsm.Config) value { return number(&c.AntiEntropy.MaxDutyPercent, 0.01, maxPercent) }},

		{name: "multi_search.enabled", help: "Answer /multi-search.", at: func(c *fsm.Config) value { return boolean(&c.MultiSearch.Enabled) }},
		{name: "multi_search.max_queries_per_batch", help: "Queries in one multi-search.", at: func(c *fsm.Config) value { return number(&c.MultiSearch.MaxQueriesPerBatch, 1, 100_000) }},
		{name: "multi_search.total_timeout_ms", help: "Time for a multi-search; shards that have not answered by then are missing.", at: func(c *fsm.Config) value { return number(&c.MultiSearch.TotalTimeoutMs, 1, hourMs) }},
		{name: "multi_search.per_query_timeout_ms", help: "Time for one query of it.", at: func(c *fsm.Config) value { return number(&c.MultiSearch.PerQueryTimeoutMs, 1, hourMs) }},

		{name: "query_planner.enabled", help: "Ask only the shards that can hold what a filter names by its primary key.", at: func(c *fsm.Config) value { return boolean(&c.QueryPlanner.Enabled) }},
		{name: "query_planner.max_pk_literals_narrowable", help: "Ids that such a filter may name.", at: func(c *fsm.Config) value { return number(&c.QueryPlanner.MaxPKLiteralsNarrowable, 1, 100_000) }},

		{name: "query_planner.log_plans", help: "Log the plan of every search.", at: func(c *fsm.Config) value { return boolean(&c.QueryPlanner.LogPlans) }},

		{name: "settings_broadcast.verify_timeout_s", help: "Time to read settings back from a node after a change.", at: func(c *fsm.Config) value { return number(&c.SettingsVerify.TimeoutS, 1, yearS) }},
		{name: "settings_broadcast.max_repair_retries", help: "How often in a row a node that differs is asked again, and put right.", at: func(c *fsm.Config) value { return number(&c.SettingsVerify.MaxRetries, 1, 1000) }},
		{name: "settings_broadcast.freeze_writes_on_unrepairable", help: "Refuse writes to an index while nodes that are read cannot be brought to its settings and no group is without such.", at: func(c *fsm.Config) value { return not(&c.SettingsVerify.NoFreeze) }},

		{name: "settings_drift_check.interval_s", help: "Time between two readings of every index's settings.", at: func(c *fsm.Config) value { return number(&c.SettingsDrift.IntervalS, 1, yearS) }},
		{name: "settings_drift_check.auto_repair", help: "Put right what differs.", at: func(c *fsm.Config) value { return boolean(&c.SettingsDrift.AutoRepair) }},

		{name: "raft.max_voters", help: "Pods with a vote; more join without.", at: func(c *fsm.Config) value { return number(&c.Raft.MaxVoters, 1, 9) }},
		{name: "raft.dead_pod_cleanup_s", help: "A pod silent for longer is replaced.", at: func(c *fsm.Config) value { return number(&c.Raft.DeadPodCleanupS, 1, yearS) }},

		{name: "search_ui.enabled", help: "Serve the search page at /ui/search/{index}.", restart: true, at: func(c *fsm.Config) value { return boolean(&c.SearchUI.Enabled) }},
	}
	table := make([]key, len(rows))
	for i, r := range rows {
		table[i] = key{name: r.name, help: r.help, short: r.short, restart: r.restart, own: r.own, cluster: true,
			at: func(c *Config) value { return r.at(&c.Cluster) }}
	}
	return table
}
