package raftnode

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// Member is one pod of the cluster.
type Member struct {
	ID      string
	Address string // of its pod port
	Voter   bool
	Leader  bool
	// LastContact and AppliedIndex are what the leader knows of it; -1 and 0 on other pods.
	LastContact  time.Duration
	AppliedIndex uint64
}

// Status is what this pod knows of the cluster and of itself.
type Status struct {
	Role         string // leader, follower, candidate or shutdown
	Term         uint64
	LastIndex    uint64        // of the log
	CommitIndex  uint64        // agreed upon
	AppliedIndex uint64        // in the state
	LastContact  time.Duration // since the leader was heard; 0 on the leader, -1 when it never was
	Members      []Member
}

// Status returns a snapshot of this pod's Raft state.
func (n *Node) Status() (Status, error) {
	s := Status{
		Role: roles[n.raft.State()], Term: n.raft.CurrentTerm(), LastIndex: n.raft.LastIndex(),
		CommitIndex: n.raft.CommitIndex(), AppliedIndex: n.raft.AppliedIndex(), LastContact: n.LastContact(),
	}
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return s, fmt.Errorf("read the members: %w", err)
	}
	leader, reports := n.LeaderID(), n.leases.reports()
	for _, server := range future.Configuration().Servers {
		member := Member{
			ID: string(server.ID), Address: string(server.Address),
			Voter: server.Suffrage == raft.Voter, Leader: string(server.ID) == leader, LastContact: -1,
		}
		switch {
		case member.ID == n.id:
			member.LastContact, member.AppliedIndex = s.LastContact, n.View().AppliedIndex
		case n.IsLeader():
			member.LastContact, member.AppliedIndex = n.silence(member.ID), reports[member.ID].Applied
		}
		s.Members = append(s.Members, member)
	}
	return s, nil
}

var roles = map[raft.RaftState]string{
	raft.Leader: "leader", raft.Follower: "follower", raft.Candidate: "candidate", raft.Shutdown: "shutdown",
}

// lastTerm is the term of the last entry that this pod has, as an entry of its log or as part of the state that it was sent.
func (n *Node) lastTerm() uint64 {
	stats := n.raft.Stats()
	inLog, _ := strconv.ParseUint(stats["last_log_term"], 10, 64) // Raft writes it so
	inState, _ := strconv.ParseUint(stats["last_snapshot_term"], 10, 64)
	return max(inLog, inState)
}

// AddMember makes a pod part of the cluster; only the leader can. A pod that is one already gets the new address.
func (n *Node) AddMember(id, address string, voter bool) error {
	return n.setMember(context.Background(), id, address, voter)
}

// RemoveMember takes a pod out of the cluster; only the leader can. A leader that removes itself steps down.
func (n *Node) RemoveMember(id string) error {
	return translate(n.raft.RemoveServer(raft.ServerID(id), 0, 0).Error())
}

// TransferLeadership hands leadership to a voter, to the one that is furthest for "", and returns once it leads.
func (n *Node) TransferLeadership(id string) error {
	if id == "" {
		return translate(n.raft.LeadershipTransfer().Error())
	}
	server, known := n.member(id)
	if !known || server.Suffrage != raft.Voter {
		return fmt.Errorf("%s is no voting pod", id)
	}
	return translate(n.raft.LeadershipTransferToServer(server.ID, server.Address).Error())
}

// Snapshot lets the log be cut to what the trailing entries keep. The state itself is on disk already.
func (n *Node) Snapshot() error {
	return translate(n.raft.Snapshot().Error())
}

// Address is this pod's Raft address as the others dial it.
func (n *Node) Address() string { return n.address }
