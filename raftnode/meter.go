package raftnode

import (
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// meter counts what Raft does on this pod.
type meter struct {
	commit, apply, snapshot *metrics.PrometheusHistogram
	snapshotBytes           *metrics.Gauge
	ended                   map[string]*metrics.Counter // tasks, by status
}

func newMeter(set *metrics.Set) meter {
	times := metrics.ExponentialBuckets(0.0005, 2, 16)
	ended := map[string]*metrics.Counter{}
	for _, status := range []string{fsm.StatusSucceeded, fsm.StatusFailed, fsm.StatusCanceled} {
		ended[status] = set.GetOrCreateCounter(fmt.Sprintf("miroir_tasks_total{status=%q}", status))
	}
	return meter{
		ended:         ended,
		commit:        set.GetOrCreatePrometheusHistogramExt("miroir_raft_commit_duration_seconds", times),
		apply:         set.GetOrCreatePrometheusHistogramExt("miroir_raft_apply_duration_seconds", times),
		snapshot:      set.GetOrCreatePrometheusHistogramExt("miroir_raft_snapshot_duration_seconds", times),
		snapshotBytes: set.GetOrCreateGauge("miroir_raft_snapshot_bytes", nil),
	}
}

// show publishes what is read when it is asked for. Call once Raft runs.
func (n *Node) show(set *metrics.Set) {
	gauge := func(name string, value func() float64) { set.GetOrCreateGauge(name, value) }
	members := func(counts func(raft.Server) bool) func() float64 {
		return func() (count float64) {
			for _, server := range n.servers() {
				if counts(server) {
					count++
				}
			}
			return count
		}
	}
	gauge("miroir_leader", func() float64 {
		if n.IsLeader() {
			return 1
		}
		return 0
	})
	gauge("miroir_peer_pod_count", members(func(raft.Server) bool { return true }))
	gauge(`miroir_raft_members{role="voter"}`, members(func(s raft.Server) bool { return s.Suffrage == raft.Voter }))
	gauge(`miroir_raft_members{role="non_voter"}`, members(func(s raft.Server) bool { return s.Suffrage != raft.Voter }))
	gauge("miroir_raft_term", func() float64 { return float64(n.raft.CurrentTerm()) })
	gauge("miroir_raft_commit_index", func() float64 { return float64(n.raft.CommitIndex()) })
	gauge("miroir_raft_applied_index", func() float64 { return float64(n.raft.AppliedIndex()) })
	gauge("miroir_raft_last_contact_seconds", func() float64 { return max(0, n.LastContact().Seconds()) })
	gauge("miroir_state_bytes", func() float64 { return float64(n.fsm.SizeBytes()) })
	changes := set.GetOrCreateCounter("miroir_raft_leader_changes_total")
	n.raft.RegisterObserver(raft.NewObserver(nil, false, func(o *raft.Observation) bool { // called for each, one at a time
		if leader, ok := o.Data.(raft.LeaderObservation); ok && leader.LeaderID != "" {
			changes.Inc()
		}
		return false
	}))
}

// meteredFSM is the state machine as Raft calls it.
type meteredFSM struct {
	*fsm.FSM
	meter
}

func (m meteredFSM) ApplyBatch(logs []*raft.Log) []any {
	defer m.apply.UpdateDuration(time.Now())
	return m.FSM.ApplyBatch(logs)
}

func (m meteredFSM) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

func (m meteredFSM) Snapshot() (raft.FSMSnapshot, error) {
	defer m.snapshot.UpdateDuration(time.Now())
	m.snapshotBytes.Set(float64(m.SizeBytes()))
	return m.FSM.Snapshot()
}

// Restore takes another pod's state over.
func (m meteredFSM) Restore(source io.ReadCloser) error {
	defer m.snapshot.UpdateDuration(time.Now())
	return m.FSM.Restore(source)
}
