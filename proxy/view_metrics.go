package proxy

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"miroir/fsm"
)

// otherLabel stands for the names that metrics do not show one by one.
const otherLabel = "_other"

// writeViewMetrics writes what a view says, in Prometheus' text form. It is read from the view when it is asked for, so that a
// node, an index or a state that is gone leaves nothing behind.
func (s *Server) writeViewMetrics(w io.Writer, v *fsm.View) {
	s.nodes.Forget(v)
	total, uncovered, _ := s.coverage(v)
	fmt.Fprintf(w, "miroir_shard_coverage %d\nmiroir_degraded_shards_total %d\n", total-uncovered, uncovered)
	shards, waiting := replicasByNode(v), s.writer.lanes.depths()
	for _, id := range slices.Sorted(maps.Keys(v.Nodes)) {
		fmt.Fprintf(w, "miroir_shard_distribution{node_id=%q} %d\n", id, shards[id])
		fmt.Fprintf(w, "miroir_node_healthy{node_id=%q} %d\n", id, asNumber(s.isHealthy(v, id)))
		fmt.Fprintf(w, "miroir_node_queue_depth{node_id=%q} %d\n", id, waiting[id])
	}
	counts := countReplicas(v, nil)
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "miroir_replicas{state=%q} %d\n", state, counts[state])
	}
	jobs := map[fsm.JobType]int{}
	for _, kind := range fsm.JobTypes {
		jobs[kind] = 0
	}
	for _, job := range runningJobs(v) {
		jobs[job.Type]++
	}
	for _, kind := range slices.Sorted(maps.Keys(jobs)) {
		fmt.Fprintf(w, "miroir_background_queue_depth{job_type=%q} %d\n", kind, jobs[kind])
	}
	s.writeSettingsMetrics(w, v)
	writeFrozenMetric(w, v)
}

// writeSettingsMetrics names the indexes that are oldest; the others share a name, and the highest value among them.
func (s *Server) writeSettingsMetrics(w io.Writer, v *fsm.View) {
	var names []string
	versions, phases := map[string]uint64{}, map[string]uint64{}
	for _, id := range slices.Sorted(maps.Keys(v.Indexes)) {
		ix := v.Indexes[id]
		if !ix.Visible {
			continue
		}
		name := ix.UID
		if len(names) >= s.opts.MaxIndexLabels {
			name = otherLabel
		}
		if _, known := versions[name]; !known {
			names = append(names, name)
		}
		pending := slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.Settings != nil })
		versions[name], phases[name] = max(versions[name], ix.SettingsVersion), max(phases[name], uint64(asNumber(pending)))
	}
	for _, name := range names {
		fmt.Fprintf(w, "miroir_settings_version{index=%q} %d\n", name, versions[name])
		fmt.Fprintf(w, "miroir_settings_broadcast_phase{index=%q} %d\n", name, phases[name])
	}
}

// isHealthy reports that a node is in service and answers this pod.
func (s *Server) isHealthy(v *fsm.View, id fsm.NodeID) bool {
	state := v.Nodes[id].State
	return state != fsm.NodeFailed && state != fsm.NodeDegraded && s.alive(v, id)
}

func asNumber(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
