package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/tasks"
)

// Auditor compares replicas; workers.Workers implements it. Only the leader's does: others answer with an error.
type Auditor interface {
	AntiEntropy() (tasks.AntiEntropyStatus, error)
	RunAntiEntropy(tasks.AuditRequest) (id string, err error)
	Verify(tasks.AuditRequest) (id string, err error)
	Audit(id string) (audit tasks.Audit, known bool, err error)
	ForeignTasks() []tasks.ForeignTasks
}

// ShowAudits names what compares replicas.
func (s *Server) ShowAudits(a Auditor) { s.auditor.Store(&a) }

func (s *Server) foreignTasks() []tasks.ForeignTasks {
	if a := s.auditor.Load(); a != nil {
		return (*a).ForeignTasks()
	}
	return nil
}

// compareAfter has the copies compared that a refused write went to.
func (s *Server) compareAfter(w *write) {
	a := s.auditor.Load()
	if a == nil {
		return
	}
	if _, err := (*a).RunAntiEntropy(tasks.AuditRequest{Index: w.begun.Index.ID, Shards: w.begin.Shards}); err != nil {
		s.log.Warn("index not compared after a refused write", "write_id", w.id, "error", err)
	}
}

// auditRoutes are the endpoints of the comparison of replicas.
func (s *Server) auditRoutes() []adminRoute {
	return []adminRoute{
		{"GET", "/_miroir/anti-entropy", s.audited(s.handleAntiEntropy)},
		{"POST", "/_miroir/anti-entropy/run", s.audited(s.handleRunAntiEntropy)},
		{"POST", "/_miroir/verify", s.audited(s.handleVerify)},
		{"GET", "/_miroir/verify/:id", s.audited(s.handleAudit)},
	}
}

func (s *Server) audited(handle func(Auditor, http.ResponseWriter, *request) error) handler {
	return func(w http.ResponseWriter, r *request) error {
		auditor := s.auditor.Load()
		if auditor == nil {
			return miroirError(codeNoLeader, "This pod does not compare replicas.")
		}
		return handle(*auditor, w, r)
	}
}

// notLeading is the answer of a pod that does not lead.
func notLeading(err error) error {
	return miroirError(codeNoLeader, "Replicas are compared by the leader: %s. Ask it.", err.Error())
}

func (s *Server) handleAntiEntropy(a Auditor, w http.ResponseWriter, _ *request) error {
	status, err := a.AntiEntropy()
	if err != nil {
		return notLeading(err)
	}
	writeJSON(w, http.StatusOK, status)
	return nil
}

func (s *Server) handleRunAntiEntropy(a Auditor, w http.ResponseWriter, r *request) error {
	if !r.View.Config.AntiEntropy.Enabled {
		return miroirError(codeFeatureDisabled, "Anti-entropy is switched off (anti_entropy.enabled).")
	}
	request, err := r.auditRequest("index", "shards")
	if err != nil {
		return err
	}
	return startAudit(w, request, a.RunAntiEntropy)
}

func (s *Server) handleVerify(a Auditor, w http.ResponseWriter, r *request) error {
	request, err := r.auditRequest("index", "shards", "depth", "repair")
	if err != nil {
		return err
	}
	return startAudit(w, request, a.Verify)
}

func startAudit(w http.ResponseWriter, request tasks.AuditRequest, start func(tasks.AuditRequest) (string, error)) error {
	id, err := start(request)
	if err != nil {
		return notLeading(err)
	}
	writeJSON(w, http.StatusAccepted, map[string]string{"job_id": id})
	return nil
}

// auditRequest reads the body of a comparison; members are those it may have. Without a body everything is compared.
func (r *request) auditRequest(members ...string) (tasks.AuditRequest, error) {
	request := tasks.AuditRequest{Depth: tasks.DepthDigests}
	body, err := r.readBody()
	if err != nil || len(body) == 0 {
		return request, err
	}
	var given struct {
		Index  *string       `json:"index"`
		Shards []fsm.ShardID `json:"shards"`
		Depth  *string       `json:"depth"`
		Repair bool          `json:"repair"`
	}
	named := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &named); err != nil {
		return request, miroirError(codeInvalidArgument, "The body must be a JSON object with %s: %s.", strings.Join(members, ", "), err.Error())
	}
	for name := range named {
		if !slices.Contains(members, name) {
			return request, miroirError(codeInvalidArgument, "Unknown member `%s`: expected one of %s.", name, strings.Join(members, ", "))
		}
	}
	if err := json.Unmarshal(body, &given); err != nil {
		return request, miroirError(codeInvalidArgument, "The body must be a JSON object with %s: %s.", strings.Join(members, ", "), err.Error())
	}
	request.Repair = given.Repair
	if given.Depth != nil {
		request.Depth = *given.Depth
	}
	if !slices.Contains([]string{tasks.DepthCounts, tasks.DepthDigests, tasks.DepthDocuments}, request.Depth) {
		return request, miroirError(codeInvalidArgument, "Unknown depth `%s`: expected one of counts, digests, documents.", request.Depth)
	}
	return request, r.auditScope(&request, given.Index, given.Shards)
}

// auditScope finds the index and shards to compare.
func (r *request) auditScope(request *tasks.AuditRequest, uid *string, shards []fsm.ShardID) error {
	if uid == nil {
		if shards != nil {
			return miroirError(codeInvalidArgument, "`shards` needs an `index`.")
		}
		return nil
	}
	ix := r.View.Index(*uid)
	if ix == nil {
		return miroirError(codeNotFound, "There is no index `%s`.", *uid)
	}
	for _, shard := range shards {
		if uint32(shard) >= ix.Shards {
			return miroirError(codeInvalidArgument, "Index `%s` has no shard %d: it has %d.", *uid, shard, ix.Shards)
		}
	}
	request.Index, request.Shards = ix.ID, shards
	return nil
}

func (s *Server) handleAudit(a Auditor, w http.ResponseWriter, r *request) error {
	id := r.Params.ByName("id")
	audit, known, err := a.Audit(id)
	if err != nil {
		return notLeading(err)
	}
	if !known {
		return miroirError(codeNotFound, "There is no comparison `%s`. The leader remembers the last ones only.", id)
	}
	writeJSON(w, http.StatusOK, audit)
	return nil
}
