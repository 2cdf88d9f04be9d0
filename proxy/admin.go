package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"miroir/fsm"
	"miroir/proxy/node"
)

// openAdminRoutes are those of Miroir's own endpoints that do their own checks of the caller.
func (s *Server) openAdminRoutes(router *httprouter.Router) {
	router.GET("/_miroir/ready", s.open("/_miroir/ready", s.handleReady))
	if s.opts.SearchPage {
		router.GET("/_miroir/ui/search/:index/session", s.open("/_miroir/ui/search/{index}/session", s.handlePageSession))
	}
}

// adminRoute is one line of the management API.
type adminRoute struct {
	method, path string
	handle       handler
}

// adminRoutes are Miroir's own endpoints for who has the admin key.
func (s *Server) adminRoutes(router *httprouter.Router) {
	if s.opts.NoAdmin {
		return
	}
	table := append(s.topologyRoutes(),
		adminRoute{"GET", "/_miroir/status", s.handleStatus},
		adminRoute{"GET", "/_miroir/metrics", s.handleMetrics},
		adminRoute{"GET", "/_miroir/config", s.handleConfig},
		adminRoute{"PATCH", "/_miroir/config", s.handlePatchConfig},
		adminRoute{"GET", "/_miroir/indexes/:uid/settings/version", s.handleSettingsVersion},
		adminRoute{"POST", "/_miroir/indexes/:uid/settings/preview", s.handlePreviewSettings},
		adminRoute{"POST", "/_miroir/indexes/:uid/settings/unfreeze", s.handleUnfreezeSettings},
		adminRoute{"GET", "/_miroir/tasks/:task", s.handleTaskDetail},
	)
	table = append(table, s.raftRoutes()...)
	for _, rt := range append(table, s.auditRoutes()...) {
		router.Handle(rt.method, rt.path, s.admin(rt.path, rt.handle))
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		router.Handle(method, "/_miroir/api/*path", s.admin("/_miroir/api/{path}", s.handleAPI))
	}
}

// AdminHandler serves /_miroir, /metrics and /health for the listener inside the network.
func (s *Server) AdminHandler() http.Handler {
	router := httprouter.New()
	router.GET("/health", s.open("/health", s.handleHealth))
	router.GET("/metrics", s.open("/metrics", s.handleMetrics))
	s.openAdminRoutes(router)
	s.adminRoutes(router)
	return paced(s.opts.RequestTimeout, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBodyBytes)
		router.ServeHTTP(w, r)
	}))
}

func (s *Server) admin(template string, h handler) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		req := &request{Request: r, Params: params, View: s.cluster.View(), Template: template}
		s.run(w, req, func(w http.ResponseWriter, req *request) error {
			if err := s.authorizeAdmin(req.Request); err != nil {
				return err
			}
			if leadersCall(r.Method, template) && s.away(r) {
				return s.passOn(w, req, h)
			}
			return h(w, req)
		})
	}
}

// coverage counts the shards of all indexes, and those that no reachable in-sync replica can answer, of which it names some.
func (s *Server) coverage(v *fsm.View) (total, uncovered int, names []string) {
	for _, ix := range v.Indexes {
		slots := 1
		if !ix.Whole() {
			slots = int(ix.Shards)
		}
		for slot := range slots {
			total++
			if s.covered(v, ix, fsm.ShardID(slot)) {
				continue
			}
			uncovered++
			if len(names) < maxNamed {
				names = append(names, slotName(ix, slot))
			}
		}
	}
	slices.Sort(names)
	return total, uncovered, names
}

// slotName is an index that lives whole, or one of its shards, as operators read it.
func slotName(ix *fsm.Index, slot int) string {
	if ix.Whole() {
		return ix.UID
	}
	return fmt.Sprintf("%s/%d", ix.UID, slot)
}

func (s *Server) covered(v *fsm.View, ix *fsm.Index, shard fsm.ShardID) bool {
	for _, group := range v.Groups {
		for _, replica := range ix.Replicas(group.ID, shard) {
			if replica.State == fsm.Active && s.alive(v, replica.Node) {
				return true
			}
		}
	}
	return false
}

// alive reports that this pod's own calls reach the node.
func (s *Server) alive(v *fsm.View, id fsm.NodeID) bool {
	n := v.Node(id)
	return n != nil && s.nodes.Get(n).Alive()
}

// Drain turns readiness off, so that nobody sends this pod more requests; it still answers them.
func (s *Server) Drain() error {
	s.draining.Store(true)
	return nil
}

// handleReady is the readiness probe. Shards that nobody can answer hold it back for ReadyCoverageWait at most: after that,
// serving the rest is better than serving nothing. For the same reason a pod that was ready stays so until it ends: without a
// leader or with nodes gone, it still answers searches, and says what they lack.
func (s *Server) handleReady(w http.ResponseWriter, r *request) error {
	var waiting []string
	if s.draining.Load() {
		waiting = append(waiting, "shutdown")
	}
	if !s.wasReady.Load() {
		waiting = append(waiting, s.notReady(r.View)...)
	}
	if len(waiting) > 0 {
		writeWaiting(w, waiting)
		return nil
	}
	s.wasReady.Store(true)
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// notReady is what a pod that starts waits for.
func (s *Server) notReady(v *fsm.View) (waiting []string) {
	if s.peers != nil && !s.peers.Fresh() {
		waiting = append(waiting, "state")
	}
	if len(v.Nodes) == 0 {
		waiting = append(waiting, "nodes")
	}
	if s.cluster.LeaderID() == "" {
		waiting = append(waiting, "leader")
	}
	if _, uncovered, _ := s.coverage(v); uncovered > 0 && s.opts.Now().Sub(s.started) < s.opts.ReadyCoverageWait {
		waiting = append(waiting, "shards")
	}
	return waiting
}

type nodeStatus struct {
	ID           fsm.NodeID  `json:"id"`
	Address      string      `json:"address"`
	ReplicaGroup fsm.GroupID `json:"replica_group"`
	Status       string      `json:"status"`
	Version      string      `json:"version"`
	ShardCount   int         `json:"shard_count"`
	LastSeenMs   int64       `json:"last_seen_ms"`
	Error        string      `json:"error,omitempty"`
}

type groupStatus struct {
	ID    fsm.GroupID `json:"id"`
	State string      `json:"state"`
}

type topology struct {
	Shards              uint32        `json:"shards"`
	ReplicationFactor   int           `json:"replication_factor"`
	ReplicaGroups       []groupStatus `json:"replica_groups"`
	Nodes               []nodeStatus  `json:"nodes"`
	DegradedNodeCount   int           `json:"degraded_node_count"`
	RebalanceInProgress bool          `json:"rebalance_in_progress"`
	FullyCovered        bool          `json:"fully_covered"`
}

func (s *Server) topology(v *fsm.View) topology {
	_, uncovered, _ := s.coverage(v)
	t := topology{
		Shards: v.Config.Shards, ReplicationFactor: v.Config.ReplicationFactor,
		ReplicaGroups: []groupStatus{}, Nodes: []nodeStatus{}, FullyCovered: uncovered == 0,
		RebalanceInProgress: moving(v),
	}
	for _, group := range v.Groups {
		t.ReplicaGroups = append(t.ReplicaGroups, groupStatus{group.ID, string(group.State)})
	}
	shards := replicasByNode(v)
	for id, n := range v.Nodes {
		status := nodeStatus{
			ID: id, Address: n.Address, ReplicaGroup: n.Group, Status: string(n.State),
			Version: n.Version, ShardCount: shards[id], Error: n.Error,
		}
		if seen := s.nodes.Get(n).LastSeen(); !seen.IsZero() {
			status.LastSeenMs = seen.UnixMilli()
		}
		if n.State == fsm.NodeActive && !s.alive(v, id) {
			status.Status = string(fsm.NodeDegraded)
		}
		if status.Status == string(fsm.NodeDegraded) || status.Status == string(fsm.NodeFailed) {
			t.DegradedNodeCount++
		}
		t.Nodes = append(t.Nodes, status)
	}
	slices.SortFunc(t.Nodes, func(a, b nodeStatus) int { return cmp.Compare(a.ID, b.ID) })
	return t
}

// moving reports that a replica is on its way in or out.
func moving(v *fsm.View) bool {
	for _, ix := range v.Indexes {
		for _, slots := range ix.Placement {
			for _, replicas := range slots {
				if slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return r.Fresh || r.State == fsm.Leaving }) {
					return true
				}
			}
		}
	}
	return false
}

// replicasByNode counts each node's replicas: an index that lives whole counts once.
func replicasByNode(v *fsm.View) map[fsm.NodeID]int {
	counts := map[fsm.NodeID]int{}
	for _, ix := range v.Indexes {
		for _, slots := range ix.Placement {
			for _, replicas := range slots {
				for _, replica := range replicas {
					counts[replica.Node]++
				}
			}
		}
	}
	return counts
}

func (s *Server) handleTopology(w http.ResponseWriter, r *request) error {
	writeJSON(w, http.StatusOK, s.topology(r.View))
	return nil
}

type shardRow struct {
	Index    string       `json:"index"`
	Shard    *fsm.ShardID `json:"shard"` // null: the index lives whole on its replicas
	Group    fsm.GroupID  `json:"group"`
	Replicas []replicaRow `json:"replicas"`
}

type replicaRow struct {
	Node  fsm.NodeID `json:"node"`
	State string     `json:"state"`
	Since string     `json:"since"`
	// NodeTaskUID is the newest task of the node that is recorded; null before the first.
	NodeTaskUID *int64 `json:"node_task_uid"`
}

// handleShards lists the placement, one row for each index, shard and group, filtered by ?index&group&node&state.
func (s *Server) handleShards(w http.ResponseWriter, r *request) error {
	query := r.URL.Query()
	if group := query.Get("group"); group != "" {
		if _, err := strconv.ParseUint(group, 10, 32); err != nil {
			return miroirError(codeInvalidArgument, "`group` is the number of a replica group, not `%s`.", group)
		}
	}
	if state := query.Get("state"); state != "" && !slices.Contains(replicaStates, state) {
		return miroirError(codeInvalidArgument, "`state` is one of %s, not `%s`.", strings.Join(replicaStates, ", "), state)
	}
	rows := []shardRow{}
	for _, ix := range r.View.Indexes {
		if want := query.Get("index"); want != "" && want != ix.UID {
			continue
		}
		for group, slots := range ix.Placement {
			if want := query.Get("group"); want != "" && want != strconv.Itoa(int(group)) {
				continue
			}
			for slot, replicas := range slots {
				row := shardRow{Index: ix.UID, Group: group}
				if !ix.Whole() {
					shard := fsm.ShardID(slot)
					row.Shard = &shard
				}
				row.Replicas = replicaRows(r.View, replicas, query.Get("node"), query.Get("state"))
				if len(row.Replicas) > 0 {
					rows = append(rows, row)
				}
			}
		}
	}
	slices.SortFunc(rows, func(a, b shardRow) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(shardOrZero(a.Shard), shardOrZero(b.Shard)), cmp.Compare(a.Group, b.Group))
	})
	writeJSON(w, http.StatusOK, rows)
	return nil
}

// replicaStates are the states that a replica may be in.
var replicaStates = []string{string(fsm.Active), string(fsm.Stale), string(fsm.Joining), string(fsm.Leaving)}

func shardOrZero(shard *fsm.ShardID) fsm.ShardID {
	if shard == nil {
		return 0
	}
	return *shard
}

func replicaRows(v *fsm.View, replicas []fsm.Replica, node, state string) []replicaRow {
	var rows []replicaRow
	for _, replica := range replicas {
		if node != "" && node != string(replica.Node) || state != "" && state != string(replica.State) {
			continue
		}
		row := replicaRow{Node: replica.Node, State: string(replica.State), Since: replica.Since.UTC().Format("2006-01-02T15:04:05.000Z")}
		if n := v.Node(replica.Node); n != nil && n.LastTaskUID >= 0 {
			row.NodeTaskUID = &n.LastTaskUID
		}
		rows = append(rows, row)
	}
	return rows
}

func countReplicas(v *fsm.View, only *fsm.Index) map[string]int {
	counts := map[string]int{"active": 0, "stale": 0, "joining": 0, "leaving": 0}
	for _, ix := range v.Indexes {
		if only != nil && only != ix {
			continue
		}
		for _, slots := range ix.Placement {
			for _, replicas := range slots {
				for _, replica := range replicas {
					counts[string(replica.State)]++
				}
			}
		}
	}
	return counts
}

func (s *Server) handleIndexPlacement(w http.ResponseWriter, r *request) error {
	ix := r.View.Index(r.uid())
	if ix == nil {
		return miroirError(codeNotFound, "There is no index `%s`.", r.uid())
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"uid": ix.UID, "shards": ix.Shards, "spread": spreadName(ix.Spread), "effective_spread": effectiveSpread(ix), "documents": s.numDocuments(r, ix),
		"replicas": countReplicas(r.View, ix), "settings_version": ix.SettingsVersion,
	})
	return nil
}

// effectiveSpread is how many nodes of a group share an index now; the copies of one that lives whole do not share it.
func effectiveSpread(ix *fsm.Index) int {
	if ix.Whole() {
		return 1
	}
	most := 0
	for _, slots := range ix.Placement {
		nodes := map[fsm.NodeID]bool{}
		for _, replicas := range slots {
			for _, replica := range replicas {
				nodes[replica.Node] = nodes[replica.Node] || replica.State == fsm.Active
			}
		}
		most = max(most, len(nodes))
	}
	return most
}

// numDocuments is the number of documents of an index, nil when not all shards can be asked.
func (s *Server) numDocuments(r *request, ix *fsm.Index) any {
	reports, err := askNodes[indexStats](r.Context(), s, r.View, ix.Nodes(fsm.Active), node.Request{Method: "GET", Path: indexPath(ix.NodeUID) + "/stats"})
	if err != nil {
		return nil
	}
	stats, missing, err := s.statsOf(r.Context(), r.View, ix, reports)
	if err != nil || len(missing) > 0 {
		return nil
	}
	return stats.NumberOfDocuments
}

func spreadName(spread int) any {
	switch spread {
	case 0:
		return "auto"
	case -1:
		return "all"
	}
	return spread
}

func (s *Server) handleMetrics(w http.ResponseWriter, r *request) error {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	s.opts.Metrics.WritePrometheus(w)
	s.writeViewMetrics(w, r.View)
	return nil
}
