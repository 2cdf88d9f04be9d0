package proxy

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"miroir/fsm"
)

// writeShardMetrics writes what a view says of shards and replicas, in Prometheus' text form. It is read from the view when it
// is asked for, so that a node or state that is gone leaves nothing behind.
func (s *Server) writeShardMetrics(w io.Writer, v *fsm.View) {
	total, uncovered, _ := s.coverage(v)
	fmt.Fprintf(w, "miroir_shard_coverage %d\nmiroir_degraded_shards_total %d\n", total-uncovered, uncovered)
	shards := replicasByNode(v)
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		fmt.Fprintf(w, "miroir_shard_distribution{node_id=%q} %d\n", id, shards[id])
	}
	counts := countReplicas(v, nil)
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "miroir_replicas{state=%q} %d\n", state, counts[state])
	}
}
