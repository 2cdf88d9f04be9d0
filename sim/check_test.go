package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/proxy"
	"miroir/tasks"
)

// task is a task as GET /tasks shows it.
type task struct {
	UID      int64     `json:"uid"`
	IndexUID string    `json:"indexUid"`
	Status   string    `json:"status"`
	Type     string    `json:"type"`
	Metadata string    `json:"customMetadata"`
	Ended    time.Time `json:"finishedAt"`
	Error    *struct{ Code, Message string }
	Details  struct {
		StopWords []string
		Swaps     []struct{ Indexes []string }
	}
}

// check holds everything that was seen, and everything that is there, against the model.
func (w *world) check() {
	m := w.replay()
	if m == nil {
		return
	}
	for _, seen := range w.reads {
		w.checkRead(m, seen)
	}
	w.checkReplicas(m)
	w.checkPages(m)
}

// replay does on the model what the tasks say, and checks that they are what clients asked for.
func (w *world) replay() *model {
	got := w.pods[0].call(http.MethodGet, "/tasks?limit=10000&reverse=true", "", "")
	var list struct{ Results []task }
	if err := json.Unmarshal(got.body, &list); err != nil || got.status != http.StatusOK {
		w.wrong("GET /tasks: status %d, %v", got.status, err)
		return nil
	}
	byUID, byMarker := map[int64]*write{}, map[string]*write{}
	for _, done := range w.writes {
		byMarker[done.marker] = done
		if done.uid >= 0 {
			if other := byUID[done.uid]; other != nil {
				w.wrong("%s and %s were told the same task %d", other.marker, done.marker, done.uid)
			}
			byUID[done.uid] = done
		}
	}
	nameAsSent(list.Results)
	m := newModel()
	for i, t := range list.Results {
		if t.UID != int64(i) {
			w.wrong("task %d comes where task %d should", t.UID, i)
			return nil
		}
		done := byUID[t.UID]
		delete(byUID, t.UID)
		op := w.operationOf(&t, done, byMarker)
		if op == nil {
			continue
		}
		op.ended = t.Ended
		if *showLogs {
			w.tracef("task %d (%s %s on %s) %s at %v, error %+v", t.UID, op.marker, op.kind, op.index, t.Status, t.Ended.Sub(w.began), t.Error)
		}
		m.sent = append(m.sent, sentOperation{op, t.UID})
		m.failed[t.UID] = t.Status == "failed"
		sure := happened
		// The only copy of some shards may have lost what makes their fields filterable; other nodes have done their part.
		unset := t.Error != nil && t.Error.Code == "invalid_document_filter" && w.plans(faultUnset)
		if t.Error != nil && (t.Error.Code == "miroir_no_quorum" || t.Error.Code == "internal" || unset) {
			sure = mayHave
			if done != nil && !unset && !(t.Error.Message == noSpace && w.plans(faultFail)) {
				w.wrong("task %d (%s) was acknowledged and failed: %s", t.UID, op.marker, t.Error.Message)
			}
			if op.kind == opDrop { // it fails only where no node has done it
				continue
			}
			if op.inOneShard(w.history.shards) { // all or nothing
				op = &operation{marker: op.marker, kind: op.kind, index: op.index, ended: op.ended}
			}
		}
		if err := m.apply(t.UID, op, sure, t.Status == "succeeded"); err != nil {
			w.wrong("%v, error %+v", err, t.Error)
		}
	}
	for uid, done := range byUID {
		w.wrong("task %d of %s was acknowledged and is not there", uid, done.marker)
	}
	return m
}

// inOneShard reports that a write of documents concerns one shard only, so that it cannot have been refused because of
// others than those that have it.
func (op *operation) inOneShard(shards uint32) bool {
	if op.kind != opAdd && op.kind != opUpdate && op.kind != opDelete {
		return false
	}
	seen := map[fsm.ShardID]bool{}
	for _, d := range op.documents {
		seen[proxy.ShardOf(fmt.Sprint(d.ID), shards)] = true
	}
	for _, id := range op.ids {
		seen[proxy.ShardOf(fmt.Sprint(id), shards)] = true
	}
	return len(seen) == 1
}

// nameAsSent gives tasks the names that they were sent to: since, later swaps made them show under others, swaps included.
func nameAsSent(list []task) {
	for i, swap := range slices.Backward(list) {
		if swap.Type != "indexSwap" || swap.Status != "succeeded" {
			continue
		}
		pair := swap.Details.Swaps[0].Indexes // as sent: what is later has been dealt with
		for j := range list[:i] {
			t := &list[j]
			t.IndexUID = exchanged(t.IndexUID, pair)
			for k := range t.Details.Swaps {
				for n, name := range t.Details.Swaps[k].Indexes {
					t.Details.Swaps[k].Indexes[n] = exchanged(name, pair)
				}
			}
		}
	}
}

func exchanged(name string, pair []string) string {
	switch name {
	case pair[0]:
		return pair[1]
	case pair[1]:
		return pair[0]
	}
	return name
}

var taskTypes = map[string]string{
	opAdd: "documentAdditionOrUpdate", opUpdate: "documentAdditionOrUpdate", opDelete: "documentDeletion", opDeleteFilter: "documentDeletion", opEdit: "documentEdition",
	opClear: "documentDeletion", opSettings: "settingsUpdate", opCreate: "indexCreation", opDrop: "indexDeletion", opSwap: "indexSwap",
}

// operationOf is the write a task stands for. done is the one whose client was told the task, if any.
func (w *world) operationOf(t *task, done *write, byMarker map[string]*write) *operation {
	if t.Status != "succeeded" && t.Status != "failed" {
		w.wrong("task %d is %s", t.UID, t.Status)
		return nil
	}
	if done == nil && t.Metadata != "" {
		if done = byMarker[t.Metadata]; done == nil {
			w.wrong("task %d is of nobody: %s", t.UID, t.Metadata)
			return nil
		}
		if done.uid >= 0 {
			w.wrong("%s has the tasks %d and %d", done.marker, done.uid, t.UID)
		}
	}
	if done != nil {
		if taskTypes[done.kind] != t.Type || t.Metadata != "" && t.Metadata != done.marker || t.IndexUID != "" && t.IndexUID != done.index {
			w.wrong("task %d of %s is %+v", t.UID, done.marker, t)
		}
		return done.operation
	}
	op := &operation{marker: "?", index: t.IndexUID}
	switch t.Type {
	case "settingsUpdate":
		op.kind = opSettings
		if len(t.Details.StopWords) > 0 {
			op.stopWord = t.Details.StopWords[0]
		}
	case "indexCreation":
		op.kind = opCreate
	case "indexDeletion":
		op.kind = opDrop
	case "indexSwap":
		op.kind, op.index, op.other = opSwap, t.Details.Swaps[0].Indexes[0], t.Details.Swaps[0].Indexes[1]
	default:
		w.wrong("task %d is of nobody: %+v", t.UID, t)
		return nil
	}
	return op
}

// readLease is how long a pod that does not hear the leader answers reads unmarked.
const readLease = 2500 * time.Millisecond

// checkRead holds a read against the model.
func (w *world) checkRead(m *model, seen *read) {
	ix := m.index(seen.index)
	for _, line := range w.tampered { // under whatever name it is by now
		if seen.line > line {
			return
		}
	}
	if seen.own != nil && m.failed[seen.own.uid] { // such a task is not waited for
		seen.own = nil
	}
	alone := strings.Contains(seen.degraded, "no-leader")
	if alone {
		seen.from, seen.own = -1, nil // it may be as old as it likes
	}
	exists := ix.exists.within(seen.from, seen.to)
	if seen.own != nil {
		exists = ix.exists.within(max(seen.from, seen.own.uid), seen.to)
	}
	// may is what a document may be: at least as new as what its session wrote of it.
	may := func(id int) []document {
		from := seen.from
		if seen.own != nil && seen.own.touches(id) {
			from = max(from, seen.own.uid)
		}
		values := ix.document(id).within(from, seen.to)
		if w.plans(faultFail) {
			values = append(values, m.skipping(seen.index, id, from, seen.to)...)
		}
		return values
	}
	unsure := func(f flip) bool {
		// Under either name while it is not known to have happened: what is written meanwhile is routed by the state after it.
		// Other pods hear of names with the log, at most a read lease later.
		return f.uid <= seen.to && (f.uid > seen.from || len(w.pods) > 1 && (w.history.podClocks != nil || seen.at.Sub(f.at) < readLease))
	}
	if slices.ContainsFunc(ix.flips, unsure) {
		return
	}
	wrong := func(format string, args ...any) {
		w.wrong("read in line %d: "+format, append([]any{seen.line}, args...)...)
	}
	if seen.status == http.StatusOK && seen.code == "" || seen.code == "document_not_found" {
		if !slices.Contains(exists, true) {
			wrong("the index cannot exist")
		}
	}
	switch {
	case seen.status == http.StatusOK:
	case seen.code == "index_not_found":
		if !slices.Contains(exists, false) {
			wrong("the index must exist")
		}
		return
	case seen.code == "document_not_found":
		if !slices.Contains(may(seen.id), document{}) {
			wrong("document %d must exist: %v", seen.id, may(seen.id))
		}
		return
	case seen.status >= 500 && (len(w.history.faults) > 0 || slices.Contains(exists, false)): // being deleted

		return
	default:
		wrong("status %d %s", seen.status, seen.code)
		return
	}
	if seen.degraded != "" && len(w.history.faults)+len(w.history.changes) == 0 {
		wrong("it lacks something although nothing is wrong: %s", seen.degraded)
	}
	found := map[int]bool{}
	for _, d := range seen.documents {
		if found[d.ID] {
			wrong("document %d comes twice", d.ID)
		}
		found[d.ID] = true
		if !slices.Contains(may(d.ID), d) && !(alone && slices.Contains(m.mixed(seen.index, d.ID), d)) {
			wrong("document %v cannot be: %v", d, may(d.ID))
		}
		if seen.g != "" && d.G != seen.g {
			wrong("document %v does not match %s", d, seen.g)
		}
	}
	if seen.id != 0 || seen.degraded != "" {
		return
	}
	if seen.total != len(seen.documents) {
		wrong("%d documents, total %d", len(seen.documents), seen.total)
	}
	for id := range ix.documents {
		if !found[id] && !slices.ContainsFunc(may(id), func(d document) bool { return d == document{} || seen.g != "" && d.G != seen.g }) {
			wrong("document %d is missing: %v", id, may(id))
		}
	}
}

// checkReplicas reads every node directly.
func (w *world) checkReplicas(m *model) {
	view := w.view()
	held := map[string]map[string]bool{} // node → node-side indexes that belong there
	copies := map[string]string{}        // index and document → its bytes on the first node
	for _, name := range w.history.indexes {
		ix, want := view.Index(name), m.index(name)
		if exists := ix != nil; !mayBe(want.exists, exists) {
			w.wrong("index %s exists: %v", name, exists)
		}
		if ix == nil {
			continue
		}
		for _, node := range ix.Nodes() {
			if held[string(node)] == nil {
				held[string(node)] = map[string]bool{}
			}
			held[string(node)][ix.NodeUID] = true
			w.checkNode(string(node), name, ix, want, copies)
		}
	}
	for _, name := range w.names {
		if view.Node(fsm.NodeID(name)) == nil { // no node, or not any more
			continue
		}
		var list struct{ Results []struct{ UID string } }
		w.on(name, "/indexes?limit=1000", &list)
		for _, ix := range list.Results {
			if !held[name][ix.UID] {
				w.wrong("node %s has an index %s that does not belong there", name, ix.UID)
			}
		}
	}
}

// checkNode compares all that a node has of an index with the model, and with what other nodes have.
func (w *world) checkNode(node, name string, ix *fsm.Index, want *modelIndex, copies map[string]string) {
	var list struct{ Results []json.RawMessage }
	w.on(node, "/indexes/"+ix.NodeUID+"/documents?limit=1000", &list)
	found := map[int]bool{}
	for _, text := range list.Results {
		var d document
		if err := json.Unmarshal(text, &d); err != nil {
			w.wrong("node %s has %s: %v", node, text, err)
			continue
		}
		found[d.ID] = true
		key := fmt.Sprint(name, " ", d.ID)
		// Meilisearch orders the fields of documents by when the index first saw them; all else is the same byte for byte.
		if same := canonical(text); copies[key] == "" {
			copies[key] = same
		} else if copies[key] != same {
			w.wrong("node %s has %s of %s, another node %s", node, same, name, copies[key])
		}
		if may := want.document(d.ID).now(); !slices.Contains(may, d) {
			w.wrong("node %s has %s of %s; it should be %v", node, text, name, may)
		}
		if !holds(ix, node, d.ID) {
			w.wrong("node %s has %s of %s, whose shard does not belong there", node, text, name)
		}
	}
	for id, history := range want.documents {
		if !found[id] && holds(ix, node, id) && !mayBe(*history, document{}) {
			w.wrong("node %s misses document %d of %s; it should be %v", node, id, name, history.now())
		}
		if key := fmt.Sprint(name, " ", id); !found[id] && holds(ix, node, id) {
			if first := copies[key]; first != "" && first != absent {
				w.wrong("node %s misses document %d of %s, another node has %s", node, id, name, first)
			}
			copies[key] = absent
		}
	}
	var settings struct {
		StopWords            []string
		FilterableAttributes json.RawMessage
	}
	w.on(node, "/indexes/"+ix.NodeUID+"/settings", &settings)
	if word := strings.Join(settings.StopWords, " "); !mayBe(want.stopWord, word) {
		w.wrong("node %s has the stop words %q of %s; they should be %v", node, word, name, want.stopWord.now())
	}
	if !ix.Whole() && !bytes.Contains(settings.FilterableAttributes, []byte(tasks.ShardField)) {
		w.wrong("node %s cannot filter %s by shard: %s", node, name, settings.FilterableAttributes)
	}
}

// absent stands for a document that a node does not have.
const absent = "nothing"

// canonical is a document with its fields sorted.
func canonical(text []byte) string {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return string(text)
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return string(text)
	}
	return string(out)
}

// holds reports that a node has a replica of a document's shard.
func holds(ix *fsm.Index, node string, id int) bool {
	shard := proxy.ShardOf(fmt.Sprint(id), ix.Shards)
	for group := range ix.Placement {
		if slices.ContainsFunc(ix.Replicas(group, shard), func(r fsm.Replica) bool { return string(r.Node) == node }) {
			return true
		}
	}
	return false
}

// on asks one node directly.
func (w *world) on(node, path string, into any) {
	request := httptest.NewRequest(http.MethodGet, "http://"+node+path, nil)
	request.Header.Set("Authorization", "Bearer "+masterKey)
	recorder := httptest.NewRecorder()
	w.byName[node].ServeHTTP(recorder, request)
	if err := json.Unmarshal(recorder.Body.Bytes(), into); err != nil || recorder.Code != http.StatusOK {
		w.wrong("node %s, %s: status %d %s", node, path, recorder.Code, recorder.Body)
	}
}

// checkPages reads every index through the pods once all is well: all at once, page by page, with facets. Nodes answer at
// once, for a page that other nodes answer because one is slow may have another order.
func (w *world) checkPages(m *model) {
	for _, n := range w.byName {
		n.Delay(nil)
	}
	for _, p := range w.pods {
		for name, ix := range m.indexes {
			if !mayBe(ix.exists, true) {
				continue
			}
			w.checkIndex(p, name, ix)
		}
	}
}

func (w *world) checkIndex(p *pod, name string, ix *modelIndex) {
	all := w.search(p, name, "limit=100")
	if all == nil {
		return
	}
	ids, counts := map[int]bool{}, map[string]int{}
	for _, d := range all.Hits {
		ids[d.ID] = true
		if d.G != "" {
			counts[d.G]++
		}
		if !slices.Contains(ix.document(d.ID).now(), d) {
			w.wrong("%s shows %v in %s; it should be %v", p.id, d, name, ix.document(d.ID).now())
		}
	}
	for id, history := range ix.documents {
		if !ids[id] && !mayBe(*history, document{}) {
			w.wrong("%s does not show document %d of %s: %v", p.id, id, name, history.now())
		}
	}
	var paged []document
	for offset := 0; offset < 100; offset += 3 {
		page := w.search(p, name, fmt.Sprintf("limit=3&offset=%d", offset))
		if page == nil || len(page.Hits) == 0 {
			break
		}
		paged = append(paged, page.Hits...)
	}
	if len(all.Hits) != len(ids) || all.EstimatedTotalHits != len(ids) || !slices.Equal(paged, all.Hits) {
		w.wrong("%s shows %d hits of %d, %d documents, in pages %v, at once %v", p.id, len(all.Hits), all.EstimatedTotalHits, len(ids), paged, all.Hits)
	}
	if mayBe(ix.filterable, true) && len(ix.filterable.now()) == 1 {
		faceted := w.search(p, name, "limit=1&facets=g")
		if faceted != nil && !maps.Equal(faceted.FacetDistribution["g"], counts) {
			w.wrong("%s counts %v in %s; it should be %v", p.id, faceted.FacetDistribution["g"], name, counts)
		}
	}
}

type searchPage struct {
	Hits               []document
	EstimatedTotalHits int
	FacetDistribution  map[string]map[string]int
}

// search is a search that must succeed; nil when it may not.
func (w *world) search(p *pod, name, query string) *searchPage {
	got := p.call(http.MethodGet, "/indexes/"+name+"/search?"+query, "", "")
	page := &searchPage{}
	if got.status == http.StatusNotFound && w.view().Index(name) == nil {
		return nil
	}
	if err := json.Unmarshal(got.body, page); err != nil || got.status != http.StatusOK || got.degraded != "" {
		w.wrong("%s: search of %s: status %d %s %s", p.id, name, got.status, got.degraded, got.body)
		return nil
	}
	return page
}
