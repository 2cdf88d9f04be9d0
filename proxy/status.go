package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
)

// clusterStatus is what GET /_miroir/status answers.
type clusterStatus struct {
	Version      string         `json:"version"`
	FeatureLevel int            `json:"feature_level"`
	Leader       string         `json:"leader"`
	Pods         []string       `json:"pods"`
	SilentPods   []string       `json:"silent_pods"` // not heard by the leader lately
	Nodes        []nodeStatus   `json:"nodes"`
	Replicas     map[string]int `json:"replicas"`
	OpenIntents  int            `json:"open_intents"`
	Indexes      int            `json:"indexes"`
	Shards       shardCoverage  `json:"shards"`
	Jobs         []jobView      `json:"jobs"` // that have not ended, at most maxShownJobs
	Warnings     []string       `json:"warnings"`
}

type shardCoverage struct {
	Total     int `json:"total"`
	Uncovered int `json:"uncovered"` // without a reachable replica in sync
	// Settling counts what comes into order by itself soon: replicas out of sync on nodes that answer, and such nodes that are
	// not in service again yet. While there are some, a further node should not be taken away.
	Settling int `json:"settling"`
}

const (
	maxShownJobs = 100
	maxNamed     = 10 // things that one warning names
	// silence is how long a pod may not be heard before that is a warning.
	silence = 5 * time.Second
	// seenLately is how long ago a node may have answered to count as one that does.
	seenLately = 15 * time.Second
	// askLeader is how long a pod waits for what the leader says of the cluster.
	askLeader = 2 * time.Second
)

// handleStatus is the operator's first look: is anything wrong, and what is to be done. It is the leader who knows; where
// none answers, a pod tells what it sees itself, and says so.
func (s *Server) handleStatus(w http.ResponseWriter, r *request) error {
	own := s.volumeWarnings()
	if !s.away(r.Request) {
		status := s.status(r.View)
		status.Warnings = append(own, status.Warnings...)
		writeJSON(w, http.StatusOK, status)
		return nil
	}
	status, err := s.leadersStatus(r)
	if err != nil {
		status = s.status(r.View)
		own = append(own, fmt.Sprintf("the leader does not answer this pod (%s): what follows is what this pod sees", err))
	}
	status.Warnings = append(own, status.Warnings...)
	writeJSON(w, http.StatusOK, status)
	return nil
}

// leadersStatus asks the leader.
func (s *Server) leadersStatus(r *request) (*clusterStatus, error) {
	if s.cluster.LeaderID() == "" || !s.peers.Fresh() {
		return nil, errors.New("none is known")
	}
	ctx, cancel := context.WithTimeout(r.Context(), askLeader)
	defer cancel()
	asked := r.Clone(ctx)
	asked.Header.Del("Accept-Encoding")
	asked.Header.Set(headerCaller, r.RemoteAddr)
	answer, err := s.peers.ToLeader(asked)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	var status clusterStatus
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		return nil, err
	}
	return &status, nil
}

func (s *Server) status(v *fsm.View) *clusterStatus {
	t := s.topology(v)
	status := &clusterStatus{
		Version: s.opts.Version, FeatureLevel: v.Level, Leader: s.cluster.LeaderID(), Pods: s.cluster.Pods(), SilentPods: s.silentPods(),
		Nodes: t.Nodes, Replicas: countReplicas(v, nil), OpenIntents: v.NumOpenIntents, Indexes: len(v.Names), Jobs: []jobView{}, Warnings: []string{},
	}
	var uncovered []string
	status.Shards.Total, status.Shards.Uncovered, uncovered = s.coverage(v)
	status.Shards.Settling = s.settling(v)
	for _, job := range s.listJobs(v) {
		if job.unended() && len(status.Jobs) < maxShownJobs {
			status.Jobs = append(status.Jobs, job)
		}
	}
	warn := func(format string, args ...any) {
		status.Warnings = append(status.Warnings, fmt.Sprintf(format, args...))
	}
	if status.Leader == "" {
		warn("no pod leads: writes are refused and searches go by what each pod knows. A majority of the pods must run and reach each other: look at `miroir cluster members` and the pods' logs; if they are lost for good, `miroir cluster recover`")
	}
	for _, pod := range status.SilentPods {
		warn("pod %s is not heard: start it again, or `miroir cluster remove %s`", pod, pod)
	}
	if len(uncovered) > 0 {
		warn("%d shards have no reachable in-sync replica (%s): searches on them are partial until a node that holds them returns", status.Shards.Uncovered, named(uncovered, status.Shards.Uncovered))
	}
	warnOfLost(v, warn)
	warnOfFrozen(v, warn)
	s.warnOfNodes(v, t.Nodes, warn)
	s.warnOfReplicas(v, status, warn)
	if v.Config.ReplicationFactor < 2 && len(v.Groups) < 2 {
		warn("replication_factor is 1: a node that is lost takes its documents with it. With two nodes or more: `miroir topology set --replication-factor 2`")
	}
	for _, found := range s.foreignTasks() {
		warn("somebody wrote to node %s directly: %d tasks, the last on index %s at %s. What differs is put right; give nobody the node's key",
			found.Node, found.Count, found.Index, meili.FormatTime(found.Last))
	}
	return status
}

// settling counts the nodes that answer and are on their way back, and the replicas out of sync on nodes that answer.
func (s *Server) settling(v *fsm.View) (n int) {
	answers := map[fsm.NodeID]bool{}
	for id, node := range v.Nodes {
		answers[id] = s.alive(v, id) && !node.Dead && s.opts.Now().Sub(s.nodes.Get(node).LastSeen()) < seenLately
		if answers[id] && (node.State == fsm.NodeDegraded || node.State == fsm.NodeFailed) {
			n++
		}
	}
	for _, ix := range v.Indexes {
		for _, slots := range ix.Placement {
			for _, replicas := range slots {
				for _, r := range replicas {
					if answers[r.Node] && (r.State == fsm.Stale || r.State == fsm.Joining && !r.Fresh) {
						n++
					}
				}
			}
		}
	}
	return n
}

// volumeWarnings is what is wrong with this pod's own disk.
func (s *Server) volumeWarnings() []string {
	if v, err := s.opts.volume(); err == nil && v.filling() {
		return []string{fmt.Sprintf("%d MiB are left in this pod's data directory: without room the leading pod refuses writes. Make room, or give it a larger volume", v.free>>20)}
	}
	return []string{}
}

// silentPods are the pods that the leader has not heard lately; none are known to other pods.
func (s *Server) silentPods() []string {
	silent := []string{}
	raft, ok := s.cluster.(RaftAdmin)
	if !ok {
		return silent
	}
	status, err := raft.Status()
	if err != nil {
		return silent
	}
	for _, member := range status.Members {
		if s.cluster.IsLeader() && !member.Leader && (member.LastContact < 0 || member.LastContact > silence) {
			silent = append(silent, member.ID)
		}
	}
	return silent
}

type warning func(format string, args ...any)

// warnOfLost names the shards that no node has in sync any more, and the nodes that had them: they are not given up before
// somebody says so.
func warnOfLost(v *fsm.View, warn warning) {
	lost, names, holders := 0, []string{}, map[string]bool{}
	for _, ix := range v.Indexes {
		for slot := range ix.NumSlots() {
			inSync, had := false, []string{}
			for group := range ix.Placement {
				for _, r := range ix.Replicas(group, fsm.ShardID(slot)) {
					inSync = inSync || r.State == fsm.Active
					if !r.Fresh {
						had = append(had, string(r.Node))
					}
				}
			}
			if inSync || ix.Deleting {
				continue
			}
			lost++
			if names = append(names, slotName(ix, slot)); len(names) > maxNamed {
				names = names[:maxNamed]
			}
			for _, id := range had {
				holders[id] = true
			}
		}
	}
	if lost == 0 {
		return
	}
	slices.Sort(names)
	had := slices.Sorted(maps.Keys(holders))
	warn("no node has %d shards in sync (%s); they were last on %s. Bring these back with the disks they had; if those are gone, `miroir node remove ID --force --accept-data-loss` gives up what is lost",
		lost, named(names, lost), named(had, len(had)))
}

// warnOfNodes names the nodes that do not answer, with what becomes of them, and those that differ in their version.
func (s *Server) warnOfNodes(v *fsm.View, nodes []nodeStatus, warn warning) {
	versions := map[string][]string{}
	for _, n := range nodes {
		known := v.Node(n.ID)
		versions[n.Version] = append(versions[n.Version], string(n.ID))
		switch {
		case known.Dead:
			warn("node %s was declared dead: `miroir node remove %s --force` forgets it, `miroir node recover %s` takes it back", n.ID, n.ID, n.ID)
		case n.Status == string(fsm.NodeDegraded):
			warn("node %s does not answer (%s): its copies are not read meanwhile", n.ID, cmp.Or(n.Error, "the last request to it failed"))
		case n.Status == string(fsm.NodeFailed):
			warn("node %s has failed (%s): %s", n.ID, cmp.Or(n.Error, "no answer"), s.fateOf(v, known))
		case n.Status == string(fsm.NodeDrained):
			warn("node %s is drained: `miroir node remove %s` forgets it, `miroir node drain %s --cancel` takes it back", n.ID, n.ID, n.ID)
		case !s.alive(v, n.ID):
			warn("node %s (%s) does not answer: its copies are not read meanwhile", n.ID, n.Status)
		}
	}
	delete(versions, "")
	if len(versions) > 1 {
		warn("nodes run different versions, which may rank differently: %s", versionsText(versions))
	}
}

// fateOf says what happens to a node that has failed.
func (s *Server) fateOf(v *fsm.View, n *fsm.Node) string {
	grace := time.Duration(v.Config.Rebalancer.ReplaceFailedAfterS) * time.Second
	left := grace - s.opts.Now().Sub(n.Since).Truncate(time.Second)
	switch {
	case grace == 0:
		return fmt.Sprintf("bring it back, or `miroir node fail %s` to have its copies made anew elsewhere", n.ID)
	case left > 0:
		return fmt.Sprintf("bring it back; in %s its copies are made anew elsewhere, at once with `miroir node fail %s`", left, n.ID)
	}
	return fmt.Sprintf("its copies are made anew elsewhere as far as there are nodes for them; bring it back, or `miroir node remove %s --force`", n.ID)
}

// warnOfReplicas tells of copies that are not in sync, of moves that do not go on, and of groups that wait for somebody.
func (s *Server) warnOfReplicas(v *fsm.View, status *clusterStatus, warn warning) {
	if stale := status.Replicas["stale"]; stale > 0 {
		next := "they are repaired by themselves once their nodes answer: see `miroir job list`"
		if !v.Config.Rebalancer.AutoRebalanceOnRecovery {
			next = "those that can not be sent what they missed wait for `miroir rebalance start` (rebalancer.auto_rebalance_on_recovery is off)"
		}
		warn("%d replicas are stale and not read: %s", stale, next)
	}
	for _, job := range status.Jobs {
		if job.Error != nil {
			warn("job %s: %s", job.ID, *job.Error)
		}
	}
	if v.Rebalance != fsm.RebalanceOn {
		warn("moves of replicas are %s: `miroir rebalance resume` lets them go on", v.Rebalance)
	}
	for _, g := range v.Groups {
		switch _, _, missing := groupShards(v, g.ID); {
		case g.State == fsm.GroupInitializing && len(missing) == 0:
			warn("replica group %d has everything and is not read: `miroir group activate %d`", g.ID, g.ID)
		case g.State == fsm.GroupDraining:
			warn("replica group %d is not read any more: `miroir group remove %d --force` forgets it, `miroir group activate %d` takes it back", g.ID, g.ID, g.ID)
		}
	}
}

// named lists names, as many as fit a line.
func named(names []string, total int) string {
	text := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if total > min(len(names), maxNamed) {
		text += fmt.Sprintf(" and %d more", total-min(len(names), maxNamed))
	}
	return text
}

// versionsText is which nodes run which version.
func versionsText(nodes map[string][]string) string {
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(nodes)) {
		parts = append(parts, version+" on "+named(nodes[version], len(nodes[version])))
	}
	return strings.Join(parts, "; ")
}
