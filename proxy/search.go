package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// metadataHeader asks for query metadata in the answer of a search.
const metadataHeader = "Meili-Include-Metadata"

// handleSearch answers GET and POST /indexes/{uid}/search. Where one node holds everything the request and its answer are
// passed through; anything else is scattered and merged.
func (s *Server) handleSearch(w http.ResponseWriter, r *request) error {
	raw, err := readSearch(r)
	if err != nil {
		return err
	}
	pin, err := s.pinSession(r, r.uid())
	if err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	rule := r.Grant.Rule(r.uid())
	if ix == nil || len(rule) > 0 || raw.gated() || foreignKeysOf(r.View, ix) != nil || !heldByOne(ix) {
		return s.searchDecoded(w, r, ix, raw, rule, pin)
	}
	plan := s.planRequest(r.View, ix, nil, raw.seed(ix))
	plan.pinTo(pin)
	answer, err := s.passThrough(r, plan, raw.nodeRequest(r, ix))
	switch {
	case errors.Is(err, errNotWhole):
		return s.searchDecoded(w, r, ix, raw, rule, pin)
	case err != nil:
		return err
	}
	if refused := raw.checkFacets(answer.body[answer.behind:], ix); refused != nil {
		return refused
	}
	writeRawJSON(w, http.StatusOK, answer.body)
	answer.room.release()
	return nil
}

// rawSearch is a search as it came: a body, or the query string of a GET.
type rawSearch struct {
	get   bool
	query string
	body  []byte
}

func readSearch(r *request) (rawSearch, error) {
	if r.Method == http.MethodGet {
		return rawSearch{get: true, query: r.URL.RawQuery}, nil
	}
	body, err := r.readJSON()
	return rawSearch{body: body}, err
}

// decode checks the search as Meilisearch does.
func (raw rawSearch) decode() (*meili.SearchQuery, *meili.Error) {
	if raw.get {
		return meili.DecodeSearchParams(raw.query)
	}
	return meili.DecodeSearch(raw.body)
}

// checkFacets is checkFacets for an answer whose facets are empty.
func (raw rawSearch) checkFacets(answer []byte, ix *fsm.Index) *meili.Error {
	if !bytes.Contains(answer, []byte(`"facetDistribution":{}`)) {
		return nil
	}
	query, refused := raw.decode()
	if refused != nil {
		return refused
	}
	return checkFacets(query, ix)
}

// gated reports that the search may use what nodes accept but the cluster has not enabled, so it must be looked at.
func (raw rawSearch) gated() bool {
	for _, name := range []string{"useNetwork", "_shard"} {
		if strings.Contains(raw.query, name) || bytes.Contains(raw.body, []byte(name)) {
			return true
		}
	}
	return false
}

// seed is equal for the pages of one search: paging is left out of it.
func (raw rawSearch) seed(ix *fsm.Index) uint64 {
	if raw.get {
		values, _ := url.ParseQuery(raw.query)
		for _, name := range pagingNames {
			values.Del(name)
		}
		return seedOf(ix.UID, values.Encode())
	}
	parts := []string{ix.UID}
	eachMember(raw.body, skipSpace(raw.body, 0), func(m member) bool {
		if !isPaging(string(m.key)) {
			parts = append(parts, string(raw.body[m.start:m.end]))
		}
		return true
	})
	return seedOf(parts...)
}

var pagingNames = []string{"offset", "limit", "page", "hitsPerPage"}

func isPaging(name string) bool {
	for _, paging := range pagingNames {
		if name == paging {
			return true
		}
	}
	return false
}

func (raw rawSearch) nodeRequest(r *request, ix *fsm.Index) node.Request {
	request := node.Request{Method: r.Method, Path: "/indexes/" + ix.NodeUID + "/search", Header: metadataHeaders(r)}
	if raw.get {
		request.Path += "?" + raw.query
		return request
	}
	request.Body, request.ContentType = raw.body, "application/json"
	return request
}

// metadataHeaders are the client's headers that change what a node answers.
func metadataHeaders(r *request) http.Header {
	if value := r.Header.Get(metadataHeader); value != "" {
		return http.Header{metadataHeader: {value}}
	}
	return nil
}

func wantsMetadata(r *request) bool {
	value := r.Header.Get(metadataHeader)
	return value == "1" || strings.EqualFold(value, "true")
}

// planRequest is the input of planRead for one read of this pod.
func (s *Server) planRequest(view *fsm.View, ix *fsm.Index, shards []fsm.ShardID, seed uint64) planRequest {
	r := planRequest{View: view, Index: ix, Shards: shards, Seed: seed, Alive: func(id fsm.NodeID) bool { return s.alive(view, id) }}
	r.Old = s.peers != nil && !s.peers.Fresh()
	if view.Config.Hedging.Enabled {
		r.hedges = new(atomic.Int32)
	}
	s.selector.choose(&r)
	return r
}

// notePlan counts the plan of a search, and logs it where that is wanted.
func (s *Server) notePlan(view *fsm.View, p Plan) {
	s.meter.planned.Update(float64(len(p.Calls)))
	if view.Config.QueryPlanner.LogPlans {
		calls := make([]string, len(p.Calls))
		for i, call := range p.Calls {
			calls[i] = string(call.Node) + ":" + joinShards(call.Shards)
		}
		s.log.Info("plan", "index", p.Index.UID, "calls", calls, "missing", joinShards(p.Missing), "narrowed", p.Narrowed)
	}
}

// errNotWhole says that no node can answer a request as it came: it has to be understood.
var errNotWhole = errors.New("no node that can be asked holds all of the index and nothing else")

// passThrough asks one node that holds the whole index, and after a failure the next, and returns its answer stripped of
// what is ours. Besides the errors that clients see there is errNotWhole.
func (s *Server) passThrough(r *request, plan planRequest, send node.Request) (passed, error) {
	plan.alone = true
	for {
		p := plan.plan()
		switch {
		case len(p.Calls) == 0:
			return passed{}, unavailable(r.View, p.Missing, plan.failure)
		case len(p.Calls) > 1 || !p.Calls[0].holdsAll(plan.Index):
			return passed{}, errNotWhole
		}
		s.meter.fanOut.Update(1)
		s.notePlan(r.View, p)
		answers, err := askHedged(r.Context(), s, plan, p.Calls[0], func(ctx context.Context, c *node.Client, call Call) (passed, error) {
			if !call.holdsAll(plan.Index) {
				return passed{}, errNotWhole
			}
			return s.askToPass(ctx, c, send, plan.Index)
		})
		if err == nil {
			return answers[0].Value, nil
		}
		if done := final(r.Context(), err); done != nil {
			return passed{}, shownError(done, plan.Index)
		}
		if errors.Is(err, errNotWhole) {
			return passed{}, err
		}
		s.meter.retries.Inc()
		plan = plan.without(p.Calls[0], err)
	}
}

// passed is an answer to be passed on, where its hits end, and what it is in.
type passed struct {
	body   []byte
	behind int
	room   *answerRoom
}

// answerRoom is memory for answers that are passed on one after another. It stays in the processor's caches, which fresh memory
// for each would not be in.
type answerRoom struct{ bytes []byte }

// answerRoomBytes is more than most answers have.
const answerRoomBytes = 64 << 10

var answerRooms = sync.Pool{New: func() any { return &answerRoom{make([]byte, answerRoomBytes)} }}

// release takes the room back when nobody uses the answer any more. A room that is not released is lost, which is harmless.
func (r *answerRoom) release() { answerRooms.Put(r) }

func (s *Server) askToPass(ctx context.Context, c *node.Client, send node.Request, ix *fsm.Index) (passed, error) {
	room := answerRooms.Get().(*answerRoom)
	send.Room = room.bytes
	var body []byte
	behind := 0
	_, err := s.exchangeFor(ctx, c, send, func(answer []byte) (ok bool) {
		body, behind, ok = stripAnswer(answer)
		return ok
	})
	if err != nil {
		return passed{}, err
	}
	body, err = oneServersFacets(body, behind, ix)
	return passed{body, behind, room}, err
}

// oneServersAnswer makes the answer of a node that holds all of an index what the client is to see. It takes body over.
// The error is errNotWhole: that takes more than cutting.
func oneServersAnswer(body []byte, ix *fsm.Index) ([]byte, error) {
	body, behind, _ := stripAnswer(body)
	return oneServersFacets(body, behind, ix)
}

// oneServersFacets is the rest of oneServersAnswer for what stripAnswer returned.
func oneServersFacets(body []byte, behind int, ix *fsm.Index) ([]byte, error) {
	if settings := settingsOf(ix); !ix.Whole() && listsByCount(settings) {
		var ok bool
		if body, ok = cutFacets(body, behind, settings); !ok {
			return nil, errNotWhole
		}
	}
	return renameMetadata(body, ix), nil
}

// shownError is err with what only nodes know hidden.
func shownError(err error, ix *fsm.Index) error {
	if known, ok := err.(*meili.Error); ok {
		return clientError(known, ix)
	}
	return err
}

// renameMetadata puts the client's index name into metadata.indexUid.
func renameMetadata(body []byte, ix *fsm.Index) []byte {
	if ix.NodeUID == ix.UID {
		return body
	}
	return replaceMember(body, ix.UID, "metadata", "indexUid")
}

// replaceMember replaces the string at a path of members, if it is there.
func replaceMember(text []byte, value string, path ...string) []byte {
	from, to := 0, 0
	at := skipSpace(text, 0)
	for i, name := range path {
		found := false
		eachMember(text, at, func(m member) bool {
			if found = string(m.key) == name; found {
				at, from, to = m.value, m.value, m.end
			}
			return !found
		})
		if !found {
			return text
		}
		if i == len(path)-1 {
			out := append([]byte(nil), text[:from]...)
			out = meili.AppendString(out, value)
			return append(out, text[to:]...)
		}
	}
	return text
}

// searchDecoded answers a search that must be understood: several nodes, a tenant rule, or a gated member.
func (s *Server) searchDecoded(w http.ResponseWriter, r *request, ix *fsm.Index, raw rawSearch, rule json.RawMessage, pin *sessionPin) error {
	start := time.Now()
	query, refused := raw.decode()
	if refused != nil {
		return refused
	}
	if err := r.checkUID(); err != nil { // before what the query may not have
		return err
	}
	if ix == nil || query.UseNetwork != nil {
		if refused := checkFilter(meili.AndFilter(query.Filter, rule), r.View); refused != nil {
			return refused
		}
	}
	if refused := checkGates(query.UseNetwork, nil, r.View); refused != nil {
		return refused
	}
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	if refused := checkGates(nil, query.Filter, r.View); refused != nil {
		return refused
	}
	query.Filter = meili.AndFilter(query.Filter, rule)
	if err := s.nodeFilter(r.Context(), r.View, ix, &query.Filter); err != nil {
		return err
	}
	search := s.newSearch(r.View, ix, query)
	search.seed, search.metadata, search.pin = raw.seed(ix), wantsMetadata(r), pin
	answer, missing, err := search.run(r.Context())
	if err != nil {
		return err
	}
	markMissing(w.Header(), "", missing)
	answer.started = start
	writeRawJSON(w, http.StatusOK, answer.appendJSON(nil, newRequestUID()))
	return nil
}

// checkFilter refuses a filter that cannot be read, or that uses what is switched off. One server reads the filter of a search
// first; where nodes are asked they say so.
func checkFilter(filter json.RawMessage, view *fsm.View) *meili.Error {
	features, err := featuresOf(view)
	if err != nil {
		return nil
	}
	parsed, malformed := meili.ParseFilter(filter)
	if malformed != nil {
		return malformed
	}
	return meili.CheckFilterFeatures(parsed, features)
}

// checkGates refuses what the cluster has not enabled although its nodes would accept it.
func checkGates(useNetwork *bool, filter json.RawMessage, view *fsm.View) *meili.Error {
	byShard := bytes.Contains(filter, []byte("_shard"))
	if useNetwork == nil && !byShard {
		return nil
	}
	features, err := featuresOf(view)
	if err != nil {
		return nil
	}
	if features.Network {
		if isTrue(useNetwork) {
			return refuseOthers(view)
		}
		return nil
	}
	if useNetwork != nil {
		return meili.FeatureNotEnabled("passing `useNetwork` in a search query", "network")
	}
	parsed, malformed := meili.ParseFilter(filter)
	if malformed != nil {
		return nil // a node says so
	}
	return meili.CheckFilterFeatures(parsed, features)
}

func newRequestUID() string { return uuid.Must(uuid.NewV7()).String() }

// settingsCache remembers the decoded settings of each index; one entry per index, replaced when its version changes.
var settingsCache sync.Map // fsm.IndexID → settingsEntry

type settingsEntry struct {
	raw      string
	settings *meili.Settings
}

// settingsOf are the visible settings of an index, read only; nil means defaults.
func settingsOf(ix *fsm.Index) *meili.Settings {
	if len(ix.Settings) == 0 {
		return nil
	}
	if known, ok := settingsCache.Load(ix.ID); ok {
		if entry := known.(settingsEntry); entry.raw == string(ix.Settings) {
			return entry.settings
		}
	}
	settings, err := meili.LoadSettings(ix.Settings)
	if err != nil {
		return nil
	}
	settingsCache.Store(ix.ID, settingsEntry{string(ix.Settings), settings})
	return settings
}
