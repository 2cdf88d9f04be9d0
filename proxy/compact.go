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
