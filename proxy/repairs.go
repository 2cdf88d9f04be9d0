package proxy

import (
	"net/http"

	"miroir/tasks"
)

// ShowRepairs names what lists the repairs of replicas that this pod works on.
func (s *Server) ShowRepairs(list func() []tasks.Repair) { s.repairing.Store(&list) }

// repairs lists the repairs that this pod works on, none unless it leads.
func (s *Server) repairs() []tasks.Repair {
	if list := s.repairing.Load(); list != nil {
		return (*list)()
	}
	return []tasks.Repair{}
}

// rebalanceMove is one move as GET /_miroir/rebalance/status lists it.
type rebalanceMove struct {
	Index     string   `json:"index"`
	To        string   `json:"to"`
	Shards    []uint32 `json:"shards"`
	Phase     string   `json:"phase"`
	Documents int64    `json:"documents"`
	Total     int64    `json:"total"`
	Error     string   `json:"error,omitempty"`
}

// handleRebalanceStatus shows which replicas are being filled, and how far that is.
func (s *Server) handleRebalanceStatus(w http.ResponseWriter, _ *request) error {
	moves, queued, state := []rebalanceMove{}, 0, "idle"
	for _, job := range s.repairs() {
		if job.State == "waiting" || job.State == "blocked" {
			queued++
		} else {
			state = "running"
		}
		moves = append(moves, rebalanceMove{job.Index, job.Node, job.Shards, job.State, job.Done, job.Total, job.Error})
	}
	writeJSON(w, http.StatusOK, map[string]any{"state": state, "moves": moves, "queued": queued, "leader": s.cluster.LeaderID()})
	return nil
}
