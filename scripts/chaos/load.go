package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// load is the clients that write and read until they are stopped.
type load struct {
	cancel  context.CancelFunc
	clients sync.WaitGroup
}

func (t *trial) startLoad(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	l.clients.Go(func() { t.watchWeather(ctx) })
	for n := range t.Writers {
		l.clients.Go(func() { t.write(ctx, n) })
	}
	for n := range t.Readers {
		l.clients.Go(func() { t.read(ctx, n) })
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.clients.Wait()
}

// writer is one client that writes documents of its own.
type writer struct {
	*client
	n       int
	count   int
	last    uint32              // task of the last acknowledged write
	mutable map[string][]string // by index: documents that it may change
}

func (t *trial) write(ctx context.Context, n int) {
	w := &writer{client: t.client(uint64(100 + n)), n: n, mutable: map[string][]string{}}
	for ctx.Err() == nil {
		w.count++
		index := oneOf(w.rng, indexes)
		switch old := w.mutable[index]; {
		case w.rng.IntN(3) == 0:
			w.writeBatch(ctx, index)
		case len(old) < 20 || w.rng.IntN(4) == 0:
			w.change(ctx, index, []string{fmt.Sprintf("m%d-%d", n, w.count)}, w.count)
		case w.rng.IntN(4) == 0:
			w.change(ctx, index, pick(w, old, 3), absent)
		default:
			w.change(ctx, index, pick(w, old, 1+w.rng.IntN(5)), w.count)
		}
	}
}

func pick(w *writer, ids []string, n int) []string {
	chosen := slices.Clone(ids)
	w.rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	return chosen[:min(n, len(chosen))]
}

// writeBatch adds documents that nobody changes later, and lets readers look for them once they are there.
func (w *writer) writeBatch(ctx context.Context, index string) {
	b := batch{index: index, name: fmt.Sprintf("b%d-%d", w.n, w.count)}
	for i := range 10 {
		b.ids = append(b.ids, fmt.Sprintf("f%d-%d-%d", w.n, w.count, i))
	}
	if w.put(ctx, index, b.name, b.ids, w.count) && w.settled(ctx, b.index, b.ids, w.count) {
		w.t.ledger.publish(b)
	}
}

// change writes a new version of documents, or deletes them, and sometimes waits for it and reads one of them.
func (w *writer) change(ctx context.Context, index string, ids []string, version int) {
	ok := false
	if version == absent {
		ok = w.remove(ctx, index, ids)
	} else {
		ok = w.put(ctx, index, "mutable", ids, version)
	}
	left := slices.DeleteFunc(w.mutable[index], func(id string) bool { return slices.Contains(ids, id) })
	if ok {
		left = append(left, ids...)
	}
	w.mutable[index] = left
	if ok && w.rng.IntN(2) == 0 {
		w.settled(ctx, index, ids, version)
	}
}

func (w *writer) put(ctx context.Context, index, batch string, ids []string, version int) bool {
	documents := make([]map[string]any, len(ids))
	for i, id := range ids {
		documents[i] = map[string]any{"id": id, "batch": batch, "version": version, "text": fmt.Sprintf("%s version%d", batch, version)}
	}
	body, _ := json.Marshal(documents) // strings and numbers always marshal
	return w.submit(ctx, index, "/documents", string(body), ids, version)
}

func (w *writer) remove(ctx context.Context, index string, ids []string) bool {
	body, _ := json.Marshal(ids)
	return w.submit(ctx, index, "/documents/delete-batch", string(body), ids, absent)
}

// submit sends a write and notes in the ledger what became of it. It reports an acknowledgement.
func (w *writer) submit(ctx context.Context, index, path, body string, ids []string, version int) bool {
	w.t.ledger.begin(w.n)
	a := w.send(context.WithoutCancel(ctx), http.MethodPost, "/indexes/"+index+path, body)
	w.t.ledger.end(w.n)
	task, ok := a.task()
	if ok {
		w.last = task
		w.t.ledger.acknowledged(index, ids, version, task)
		w.t.report.count("writes acknowledged")
		return true
	}
	w.t.ledger.uncertain(index, ids, version)
	w.t.report.count("writes not acknowledged: " + a.reason())
	if a.err == nil && a.status != http.StatusServiceUnavailable && a.status != http.StatusTooManyRequests {
		w.t.report.wrong(otherwise, "a good write was refused: %s", a)
	}
	sleep(ctx, 50*time.Millisecond)
	return false
}

// settled waits until the last write's task has succeeded, and reads one of its documents, which may not be stale then.
func (w *writer) settled(ctx context.Context, index string, ids []string, version int) bool {
	switch status := w.taskStatus(context.WithoutCancel(ctx), w.last, time.Minute); status {
	case "succeeded":
	case "unknown":
		w.t.report.count("tasks not seen to end within a minute")
		return false
	default:
		w.t.report.wrong(otherwise, "task %d (%s %v to version %d) %s", w.last, index, ids, version, status)
		return false
	}
	id := oneOf(w.rng, ids)
	a := w.send(context.WithoutCancel(ctx), http.MethodGet, "/indexes/"+index+"/documents/"+id, "")
	found := absent
	switch {
	case a.err != nil, a.status >= 500, a.incomplete():
		w.t.report.count("reads by id without an answer: " + a.reason())
		return true
	case a.unsure():
		w.t.report.count("reads by id from a pod without a leader")
		return true
	case a.status == http.StatusOK:
		var document struct {
			Version int `json:"version"`
		}
		if err := json.Unmarshal(a.body, &document); err != nil {
			w.t.report.wrong(wrongAnswers, "document %s: %v", a, err)
		}
		found = document.Version
	case !strings.Contains(string(a.body), "document_not_found"):
		w.t.report.wrong(wrongAnswers, "read of %s %s: %s", index, id, a)
		return true
	}
	w.t.report.count("reads by id")
	if found != version {
		w.t.report.wrong(wrongAnswers, "stale read: %s %s is version %d after task %d made it %d; %s; %s", index, id, found, w.last, version, a, w.t.weather)
	}
	return true
}

// read searches for complete batches until ctx ends.
func (t *trial) read(ctx context.Context, n int) {
	c := t.client(uint64(200 + n))
	for ctx.Err() == nil {
		b, ok := t.ledger.recent(c.rng.IntN)
		if !ok {
			sleep(ctx, 100*time.Millisecond)
			continue
		}
		c.search(ctx, b)
	}
}

// search looks for a batch by filter or by a word and checks that exactly its documents are found.
func (c *client) search(ctx context.Context, b batch) {
	body := fmt.Sprintf(`{"filter":"batch = '%s'","limit":50}`, b.name)
	if c.rng.IntN(3) == 0 {
		body = fmt.Sprintf(`{"q":"\"%s\"","filter":"batch = '%s'","limit":50}`, b.name, b.name)
	}
	sky := c.t.weather.now()
	start := time.Now()
	a := c.send(context.WithoutCancel(ctx), http.MethodPost, "/indexes/"+b.index+"/search", body)
	c.t.report.search(sky.until(c.t.weather.now()), time.Since(start), a)
	if a.err != nil || a.status != http.StatusOK {
		return
	}
	var result struct {
		Hits []struct {
			ID string `json:"id"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(a.body, &result); err != nil {
		c.t.report.wrong(wrongAnswers, "search %s: %v", a, err)
		return
	}
	found := make([]string, len(result.Hits))
	for i, hit := range result.Hits {
		found[i] = hit.ID
	}
	want := slices.Sorted(slices.Values(b.ids))
	slices.Sort(found)
	if a.incomplete() || a.unsure() { // it may be old or lack documents, and has no others and none twice
		want = slices.DeleteFunc(want, func(id string) bool { return !slices.Contains(found, id) })
	}
	if !slices.Equal(found, want) {
		c.t.report.wrong(wrongAnswers, "search %s %s by %s found %v, want %v; %s", b.index, body, a.pod, found, want, c.t.weather)
	}
}
