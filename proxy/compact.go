package proxy

import (
	"encoding/json"
	"net/http"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// handleCompactIndex has every node that holds the index compact its file.
func (s *Server) handleCompactIndex(w http.ResponseWriter, r *request) error {
	uid := r.uid()
	propose := func(_ *fsm.View, ix *fsm.Index) (*proposal, error) {
		begin := fsm.BeginWrite{Kind: string(meili.TaskIndexCompaction), IndexUID: &uid, Details: json.RawMessage("{}")}
		if ix == nil {
			return failed(begin, meili.IndexNotFound(uid), nil), nil
		}
		return indexProposal(begin, tasks.Request{Compact: true}), nil
	}
	done, err := s.writer.submit(r.Context(), propose, uid)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

var taskCompaction = gated{"Using the /tasks/compact route", "taskQueueCompactionRoute",
	func(f meili.Features) bool { return f.TaskQueueCompactionRoute }, ""}

// compactionSummary is the answer of POST /tasks/compact. Unlike a server of Meilisearch nobody has to be started anew.
type compactionSummary struct {
	PreSize  string `json:"preSize,omitempty"`
	PostSize string `json:"postSize,omitempty"`
	Status   string `json:"status"`
	Error    string `json:"errorMessage,omitempty"`
}

// handleCompactTasks frees what deleted tasks have left in the state file of the leader.
func (s *Server) handleCompactTasks(w http.ResponseWriter, r *request) error {
	if err := taskCompaction.check(r.View); err != nil {
		return err
	}
	before, after, err := s.cluster.Tasks().Compact()
	if err != nil {
		s.log.Error("state file not compacted", "error", err)
		writeJSON(w, http.StatusInternalServerError, compactionSummary{Status: "failed", Error: err.Error()})
		return nil
	}
	writeJSON(w, http.StatusOK, compactionSummary{PreSize: humanSize(before), PostSize: humanSize(after), Status: "succeeded"})
	return nil
}
