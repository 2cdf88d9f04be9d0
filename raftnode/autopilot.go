package raftnode

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

const (
	// stableFor is how long a pod must have been healthy to get a vote.
	stableFor = 2 * time.Second
	// replaceAfter is how long a voter must have been unhealthy to lose its vote to a healthy pod without one.
	replaceAfter = 10 * time.Second
	// maxBehind is how many log entries a healthy pod may lack.
	maxBehind = 10_000
)

// pilot decides who votes: up to max_voters pods. It runs on the leader and goes by what pods tell when they ask for
// leases. A voter that stays away is replaced by a pod without a vote, and forgotten after dead_pod_cleanup_s.
type pilot struct {
	autopilot.StablePromoter
	node *Node
}

var (
	_ autopilot.ApplicationIntegration = (*pilot)(nil)
	_ autopilot.Promoter               = (*pilot)(nil)
)

func newPilot(n *Node) *autopilot.Autopilot {
	p := &pilot{node: n}
	return autopilot.New(n.raft, p, autopilot.WithPromoter(p), autopilot.WithLogger(newLogger(n.logger)),
		autopilot.WithUpdateInterval(500*time.Millisecond), autopilot.WithReconcileInterval(time.Second))
}

// AutopilotConfig is read before every decision.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	return &autopilot.Config{
		CleanupDeadServers: true, LastContactThreshold: p.node.options.ReadLease, MaxTrailingLogs: maxBehind, MinQuorum: 1, ServerStabilizationTime: stableFor,
	}
}

// NotifyState does nothing: Status tells what is to know.
func (p *pilot) NotifyState(*autopilot.State) {}

// KnownServers are the members of the cluster.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	servers := map[raft.ServerID]*autopilot.Server{}
	for _, member := range p.node.servers() {
		status := autopilot.NodeAlive
		if p.node.silence(string(member.ID)) > p.node.options.ReadLease {
			status = autopilot.NodeFailed
		}
		servers[member.ID] = &autopilot.Server{
			ID: member.ID, Name: string(member.ID), Address: member.Address, NodeStatus: status, RaftVersion: 3,
			IsLeader: string(member.ID) == p.node.id, NodeType: autopilot.NodeVoter,
		}
	}
	return servers
}

// silence is how long this pod, which leads, has not heard of another: at most since its term began.
func (n *Node) silence(id string) time.Duration {
	if id == n.id {
		return 0
	}
	n.leases.mu.Lock()
	defer n.leases.mu.Unlock()
	if seen := n.leases.pods[id].seen; seen.After(n.leases.began) {
		return time.Since(seen)
	}
	return time.Since(n.leases.began)
}

// FetchServerStats tells what pods reported last.
func (p *pilot) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	reports := p.node.leases.reports()
	stats := map[raft.ServerID]*autopilot.ServerStats{}
	for id := range servers {
		if string(id) == p.node.id {
			stats[id] = &autopilot.ServerStats{LastTerm: p.node.lastTerm(), LastIndex: p.node.raft.LastIndex()}
		} else if pod, ok := reports[string(id)]; ok {
			stats[id] = &autopilot.ServerStats{LastContact: p.node.silence(string(id)), LastTerm: pod.LastTerm, LastIndex: pod.LastIndex}
		}
	}
	return stats
}

// RemoveFailedServer takes a pod out of the cluster that has been away for long.
func (p *pilot) RemoveFailedServer(server *autopilot.Server) {
	p.node.spawn(func(context.Context) {
		err := p.node.RemoveMember(string(server.ID))
		p.node.logger.Warn("a pod that was silent for long is taken out of the cluster", "pod", server.ID, "error", err)
	})
}

// FilterFailedServerRemovals keeps pods that have not been silent for long enough.
func (p *pilot) FilterFailedServerRemovals(_ *autopilot.Config, _ *autopilot.State, failed *autopilot.FailedServers) *autopilot.FailedServers {
	patience := time.Duration(p.node.View().Config.Raft.DeadPodCleanupS) * time.Second
	recent := func(server *autopilot.Server) bool { return p.node.silence(string(server.ID)) < patience }
	failed.FailedVoters = slices.DeleteFunc(failed.FailedVoters, recent)
	failed.FailedNonVoters = slices.DeleteFunc(failed.FailedNonVoters, recent)
	return failed
}

// CalculatePromotionsAndDemotions gives free votes to stable pods, takes those of voters that stay away where others
// wait for them, and those beyond max_voters.
func (p *pilot) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) (changes autopilot.RaftChanges) {
	now := time.Now()
	waiting, absent, voters := 0, []raft.ServerID{}, []raft.ServerID{}
	for _, server := range sortedServers(s) {
		switch {
		case server.State == autopilot.RaftNonVoter && server.Health.IsStable(now, s.ServerStabilizationTime(c)):
			changes.Promotions = append(changes.Promotions, server.Server.ID)
			waiting++
		case server.HasVotingRights() && !server.Health.Healthy && now.Sub(server.Health.StableSince) >= replaceAfter:
			absent = append(absent, server.Server.ID)
		case server.HasVotingRights() && server.Server.ID != s.Leader:
			voters = append(voters, server.Server.ID)
		}
	}
	changes.Demotions = absent[:min(waiting, len(absent))]
	maxVoters := p.node.View().Config.Raft.MaxVoters
	free := maxVoters - len(s.Voters) + len(changes.Demotions)
	for ; free < 0 && len(voters) > 0; free++ {
		changes.Demotions = append(changes.Demotions, voters[len(voters)-1])
		voters = voters[:len(voters)-1]
	}
	changes.Promotions = changes.Promotions[:min(max(free, 0), len(changes.Promotions))]
	return changes
}

func sortedServers(s *autopilot.State) []*autopilot.ServerState {
	var servers []*autopilot.ServerState
	for _, server := range s.Servers {
		servers = append(servers, server)
	}
	slices.SortFunc(servers, func(a, b *autopilot.ServerState) int { return cmp.Compare(a.Server.ID, b.Server.ID) })
	return servers
}
