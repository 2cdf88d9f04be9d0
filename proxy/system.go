package proxy

import "net/http"

// meilisearchVersion is what clients are told they talk to: SDKs switch features by it.
const meilisearchVersion = "1.50.0"

func (s *Server) handleRoot(w http.ResponseWriter, _ *request) error {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"Meilisearch is running"})
	return nil
}

// handleHealth is the liveness probe: it answers at once, whatever the cluster's state.
func (s *Server) handleHealth(w http.ResponseWriter, _ *request) error {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"available"})
	return nil
}

func (s *Server) handleVersion(w http.ResponseWriter, _ *request) error {
	writeJSON(w, http.StatusOK, struct {
		CommitSha  string `json:"commitSha"`
		CommitDate string `json:"commitDate"`
		PkgVersion string `json:"pkgVersion"`
	}{s.opts.Commit, s.opts.CommitDate, meilisearchVersion})
	return nil
}
