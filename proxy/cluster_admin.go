package proxy

import (
	"net/http"
	"time"

	"miroir/raftnode"
)

// RaftAdmin is what the endpoints below /_miroir/raft need of the cluster; raftnode.Node implements it.
type RaftAdmin interface {
	Status() (raftnode.Status, error)
	// TransferLeadership hands over to a pod, "" for any.
	TransferLeadership(id string) error
	RemoveMember(id string) error
	Snapshot() error
}

// raftRoutes are the management endpoints about the pods themselves.
func (s *Server) raftRoutes() []adminRoute {
	return []adminRoute{
		{"GET", "/_miroir/raft", s.raftCall(s.handleRaft)},
		{"POST", "/_miroir/raft/transfer", s.raftCall(s.handleTransfer)},
		{"POST", "/_miroir/raft/snapshot", s.raftCall(s.handleRaftSnapshot)},
		{"DELETE", "/_miroir/raft/members/:id", s.raftCall(s.handleRemoveMember)},
		{"GET", "/_miroir/backup", s.handleBackup},
	}
}

// raftCall hands the cluster's Raft side to a handler.
func (s *Server) raftCall(h func(w http.ResponseWriter, r *request, raft RaftAdmin) error) handler {
	return func(w http.ResponseWriter, r *request) error {
		raft, ok := s.cluster.(RaftAdmin)
		if !ok {
			return miroirError(codeFeatureDisabled, "This pod runs without Raft.")
		}
		return h(w, r, raft)
	}
}

type memberStatus struct {
	ID            string `json:"id"`
	Address       string `json:"address"`
	Role          string `json:"role"`            // leader, voter or non-voter
	LastContactMs *int64 `json:"last_contact_ms"` // null when the pod that answers does not know
	AppliedIndex  uint64 `json:"applied_index"`
}

type raftStatus struct {
	Role         string         `json:"role"` // of the pod that answers
	Leader       string         `json:"leader"`
	Term         uint64         `json:"term"`
	LastIndex    uint64         `json:"last_index"`
	CommitIndex  uint64         `json:"commit_index"`
	AppliedIndex uint64         `json:"applied_index"`
	Members      []memberStatus `json:"members"`
}

// handleRaft shows the members of the cluster: as the leader sees them, or, without one, as this pod does.
func (s *Server) handleRaft(w http.ResponseWriter, r *request, raft RaftAdmin) error {
	if s.away(r.Request) && s.cluster.LeaderID() != "" && s.peers.Fresh() {
		return s.passOn(w, r, func(w http.ResponseWriter, r *request) error { return s.handleRaft(w, r, raft) })
	}
	status, err := raft.Status()
	if err != nil {
		return err
	}
	answer := raftStatus{status.Role, s.cluster.LeaderID(), status.Term, status.LastIndex, status.CommitIndex, status.AppliedIndex, []memberStatus{}}
	for _, member := range status.Members {
		answer.Members = append(answer.Members, memberStatus{member.ID, member.Address, roleOf(member), contactOf(member.LastContact), member.AppliedIndex})
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func roleOf(member raftnode.Member) string {
	switch {
	case member.Leader:
		return "leader"
	case member.Voter:
		return "voter"
	}
	return "non-voter"
}

func contactOf(ago time.Duration) *int64 {
	if ago < 0 {
		return nil
	}
	ms := ago.Milliseconds()
	return &ms
}

// handleTransfer hands leadership over, to the pod ?to names or to any.
func (s *Server) handleTransfer(w http.ResponseWriter, r *request, raft RaftAdmin) error {
	if len(s.cluster.Pods()) < 2 {
		return miroirError(codeTopologyConflict, "There is no other pod that could lead.")
	}
	if err := raft.TransferLeadership(r.URL.Query().Get("to")); err != nil {
		return miroirError(codeTopologyConflict, "Leadership stays where it is: %s.", err)
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "transferred"})
	return nil
}

// handleRaftSnapshot cuts the log of the pod that is asked. A log with nothing to cut is no error.
func (s *Server) handleRaftSnapshot(w http.ResponseWriter, _ *request, raft RaftAdmin) error {
	if err := raft.Snapshot(); err != nil {
		s.log.Info("no snapshot taken", "error", err)
		writeJSON(w, http.StatusOK, map[string]string{"status": "nothing to do"})
		return nil
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "taken"})
	return nil
}

// handleRemoveMember takes a dead pod out of the cluster.
func (s *Server) handleRemoveMember(w http.ResponseWriter, r *request, raft RaftAdmin) error {
	status, err := raft.Status()
	if err != nil {
		return err
	}
	id := r.Params.ByName("id")
	for _, member := range status.Members {
		if member.ID != id {
			continue
		}
		if member.Leader || member.LastContact >= 0 && member.LastContact < 5*time.Second {
			return miroirError(codeTopologyConflict, "Pod `%s` is alive and would join again at once: stop it first, and ask again 5 s later.", id)
		}
		if err := raft.RemoveMember(id); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, map[string]string{"status": "removed"})
		return nil
	}
	return miroirError(codeNotFound, "There is no pod `%s`.", id)
}

// handleBackup streams the replicated state as of one moment; miroir cluster restore reads it.
func (s *Server) handleBackup(w http.ResponseWriter, r *request) error {
	if s.peers != nil {
		if err := s.peers.Synced(r.Context()); err != nil {
			w.Header().Set("X-Miroir-Degraded", "no-leader")
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="miroir-backup"`)
	if err := s.cluster.Tasks().Backup(w); err != nil {
		s.log.Error("backup broke off", "error", err)
		panic(http.ErrAbortHandler) // the client must see that it is not whole; its seal is missing, too
	}
	return nil
}
