package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// request is an operation as a client sends it.
func (op *operation) request() (method, path, body string) {
	base := "/indexes/" + op.index
	marked := "?customMetadata=" + op.marker
	text := func(value any) string {
		out, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		return string(out)
	}
	switch op.kind {
	case opAdd:
		return http.MethodPost, base + "/documents" + marked + "&primaryKey=id", text(op.documents)
	case opUpdate:
		return http.MethodPut, base + "/documents" + marked + "&primaryKey=id", text(op.documents)
	case opDelete:
		return http.MethodPost, base + "/documents/delete-batch" + marked, text(op.ids)
	case opDeleteFilter:
		return http.MethodPost, base + "/documents/delete" + marked, fmt.Sprintf(`{"filter":"n < %d"}`, op.below)
	case opEdit:
		return http.MethodPost, base + "/documents/edit" + marked, fmt.Sprintf(`{"filter":"n < %d","function":"doc.n += 1; doc.u = \"%s\""}`, op.below, op.marker)
	case opClear:
		return http.MethodDelete, base + "/documents" + marked, ""
	case opSettings:
		return http.MethodPatch, base + "/settings", fmt.Sprintf(`{"filterableAttributes":["n","g"],"sortableAttributes":["id"],"stopWords":[%q]}`, op.stopWord)
	case opCreate:
		return http.MethodPost, "/indexes", fmt.Sprintf(`{"uid":%q,"primaryKey":"id"}`, op.index)
	case opDrop:
		return http.MethodDelete, base, ""
	case opSwap:
		return http.MethodPost, "/swap-indexes", fmt.Sprintf(`[{"indexes":[%q,%q]}]`, op.index, op.other)
	}
	panic("unknown kind " + op.kind)
}

// send sends a write and notes what the client was told.
func (w *world) send(p *pod, op *operation) *write {
	method, path, body := op.request()
	got := p.call(method, path, body, op.session)
	done := &write{operation: op, status: got.status, uid: -1}
	switch got.status {
	case http.StatusAccepted:
		var task struct{ TaskUID int64 }
		if err := json.Unmarshal(got.body, &task); err != nil {
			w.wrong("%s was answered %s", op.marker, got.body)
		}
		done.uid = task.TaskUID
	case 0, http.StatusServiceUnavailable:
	case http.StatusInternalServerError: // what a node answered who is told to
		if !w.plans(faultRefuse) {
			w.wrong("%s was answered %d: %s", op.marker, got.status, got.body)
		}
	default:
		w.wrong("%s was answered %d: %s", op.marker, got.status, got.body)
	}
	w.tracef("%s %s %s %s: %d, task %d %s", p.id, method, path, body, got.status, done.uid, got.degraded)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, done)
	return done
}

// plans reports that a kind of fault is among those of the history.
func (w *world) plans(kind string) bool {
	return slices.ContainsFunc(w.history.faults, func(f fault) bool { return f.kind == kind })
}

func (w *world) writeAtRandom(number int, r *rand.Rand) {
	for n := range w.history.writes {
		time.Sleep(time.Duration(r.Int64N(2 * int64(w.history.length) / int64(w.history.writes))))
		op := newOperation(r, w.history, fmt.Sprintf("w%d-%d", number, n))
		if number%2 == 0 {
			op.session = fmt.Sprintf("s%d", number)
		}
		done := w.send(w.pods[r.IntN(len(w.pods))], op)
		if done.uid < 0 {
			continue
		}
		if op.session != "" && op.kind != opSwap && r.IntN(2) == 0 {
			w.read(r, done)
		}
		if r.IntN(3) == 0 {
			w.await(w.pods[r.IntN(len(w.pods))], done)
			w.read(r, nil)
		}
	}
}

// await asks for a task until it has ended, some seconds at most, and reports whether it succeeded.
func (w *world) await(p *pod, done *write) bool {
	for range 40 {
		got := p.call(http.MethodGet, fmt.Sprintf("/tasks/%d", done.uid), "", "")
		var task struct{ Status string }
		if got.status == http.StatusOK && json.Unmarshal(got.body, &task) == nil {
			switch task.Status {
			case "succeeded":
				w.sawSuccess(done)
				return true
			case "failed", "canceled":
				return false
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// sawSuccess raises what reads must show from now on. Tasks of one index end in their order.
func (w *world) sawSuccess(done *write) {
	w.tracef("task %d is seen to have succeeded", done.uid)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[done.index] = max(w.done[done.index], done.uid)
	if done.kind == opSwap {
		w.done[done.other] = max(w.done[done.other], done.uid)
	}
}

// read is one read and what it showed. The writes of tasks up to from must be in it, those after to can not.
type read struct {
	at        time.Time
	index     string
	own       *write // of the same session, right before; nil: no session
	from, to  int64
	id        int    // of a document asked for alone; 0 for a list
	g         string // searched for, "" for everything
	status    int
	code      string
	degraded  string
	documents []document
	total     int
	line      int // in the trace
}

func (w *world) readAtRandom(stop <-chan struct{}, r *rand.Rand) {
	often := int64(8)
	if w.history.busy {
		often = 60
	}
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(r.Int64N(int64(w.history.length) / often))):
			w.read(r, nil)
		}
	}
}

// read makes one read of a random kind; with own, in the session of that write and of its index.
func (w *world) read(r *rand.Rand, own *write) {
	seen := &read{index: w.history.indexes[r.IntN(len(w.history.indexes))], own: own}
	if own != nil {
		seen.index = own.index
	}
	path := "/indexes/" + seen.index
	kind := r.IntN(4)
	switch kind {
	case 0:
		seen.id = 1 + r.IntN(w.history.ids)
		path += fmt.Sprintf("/documents/%d", seen.id)
	case 1:
		path += "/documents?limit=100"
	case 2:
		path += "/search?limit=100"
	case 3:
		seen.g = []string{"red", "tan", "sky"}[r.IntN(3)]
		path += "/search?limit=100&q=" + url.QueryEscape(seen.g)
	}
	w.ask(w.pods[r.IntN(len(w.pods))], seen, path)
}

// ask sends a read and notes what it showed.
func (w *world) ask(p *pod, seen *read, path string) {
	w.mu.Lock()
	seen.from = -1
	if uid, known := w.done[seen.index]; known {
		seen.from = uid
	}
	w.mu.Unlock()
	session := ""
	if seen.own != nil {
		session = seen.own.session
	}
	began := time.Now()
	got := p.call(http.MethodGet, path, "", session)
	if got.status == 0 {
		return
	}
	if seen.own != nil && (time.Since(began) >= sessionWait || w.plans(faultFail) && !seen.own.stands()) {
		seen.own = nil // it need not wait any longer, or builds on a write of others that the node may have failed
	}
	if seen.own != nil {
		w.count("session reads")
	}
	seen.to = int64(w.view().NextTaskUID) - 1
	seen.at = time.Now()
	seen.status, seen.degraded = got.status, got.degraded
	if err := seen.parse(got.body); err != nil {
		w.wrong("%s was answered %d %s: %v", path, got.status, got.body, err)
		return
	}
	w.tracef("%s %s GET %s: %d %s%s %v of %d; tasks to %d are done, %d is the last", p.id, session, path, got.status, seen.code, got.degraded, seen.documents, seen.total, seen.from, seen.to)
	w.mu.Lock()
	defer w.mu.Unlock()
	seen.line = len(w.trace)
	w.reads = append(w.reads, seen)
}

// sessionWait is how long a read waits for the writes of its session.
const sessionWait = 5 * time.Second

func (s *read) parse(body []byte) error {
	if s.status != http.StatusOK {
		var refused struct{ Code string }
		err := json.Unmarshal(body, &refused)
		s.code = refused.Code
		return err
	}
	if s.id != 0 {
		s.documents = make([]document, 1)
		return json.Unmarshal(body, &s.documents[0])
	}
	var list struct {
		Results, Hits      []document
		Total              *int
		EstimatedTotalHits *int
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	s.documents = append(list.Results, list.Hits...)
	switch {
	case list.Total != nil:
		s.total = *list.Total
	case list.EstimatedTotalHits != nil:
		s.total = *list.EstimatedTotalHits
	}
	return nil
}
