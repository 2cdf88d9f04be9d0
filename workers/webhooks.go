package workers

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// webhooks tells every webhook of each task that finishes while this pod leads, in the order in which they were seen to
// finish. It looks at the replicated state only, so that no write waits for it. What is still to be sent when the
// leader changes is not sent again, as a single server forgets it when it ends.
type webhooks struct {
	opts   Options
	client *http.Client
	pause  []time.Duration // before each further attempt

	applied uint64          // state that was looked at last
	next    uint32          // first task uid not seen then
	open    map[uint32]bool // tasks unfinished then
	calls   map[string]*hookCalls
	senders sync.WaitGroup
}

// hookCalls are what one webhook is still to be sent; the channel bounds them.
type hookCalls struct {
	hook   fsm.Webhook
	bodies chan []byte
	end    context.CancelFunc
}

const (
	hookPoll    = 100 * time.Millisecond // between two looks at the state; it costs no I/O while nothing changes
	hookTimeout = 30 * time.Second       // for one attempt
	hookQueue   = 1000                   // calls waiting for one webhook; more are dropped and logged
)

func newWebhooks(o Options) *webhooks {
	return &webhooks{opts: o, client: &http.Client{Timeout: hookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		pause: []time.Duration{time.Second, 5 * time.Second}, calls: map[string]*hookCalls{}}
}

// run looks and sends until ctx ends.
func (h *webhooks) run(ctx context.Context) {
	for {
		if err := h.look(ctx); err != nil {
			h.opts.Logger.Warn("finished tasks not read for webhooks", "error", err)
		}
		if !sleep(ctx, hookPoll) {
			break
		}
	}
	for _, calls := range h.calls {
		calls.end()
	}
	h.senders.Wait()
}

// look finds the tasks that finished since the last look and hands them to every webhook.
func (h *webhooks) look(ctx context.Context) error {
	view := h.opts.Cluster.View()
	if view.AppliedIndex == h.applied {
		return nil
	}
	h.follow(ctx, view)
	if len(view.Webhooks) == 0 { // the first webhook will hear of the tasks that begin after this look
		h.open, h.next, h.applied = map[uint32]bool{}, view.NextTaskUID, view.AppliedIndex
		return nil
	}
	list, err := h.opts.Cluster.Tasks().OpenTasks()
	if err != nil {
		return err
	}
	open := make(map[uint32]bool, len(list))
	for _, task := range list {
		open[task.UID] = true
	}
	finished, err := h.finished(view, open)
	if err != nil {
		return err
	}
	h.open, h.next, h.applied = open, view.NextTaskUID, view.AppliedIndex
	if len(finished) == 0 {
		return nil
	}
	body, err := hookBody(finished)
	if err != nil {
		return err
	}
	for _, calls := range h.calls {
		select {
		case calls.bodies <- body:
		default:
			h.opts.Logger.Error("webhook is too slow: tasks are not told", "webhook", calls.hook.UUID, "tasks", len(finished))
		}
	}
	return nil
}

// finished are the tasks that were open or unknown at the last look and are finished now, in the order of their ends.
func (h *webhooks) finished(view *fsm.View, open map[uint32]bool) ([]*fsm.Task, error) {
	if h.open == nil {
		return nil, nil // the first look of a leader: what was before is not told
	}
	var candidates []uint32
	for uid := range h.open {
		if uid < h.next {
			candidates = append(candidates, uid)
		}
	}
	for uid := h.next; uid < view.NextTaskUID; uid++ {
		candidates = append(candidates, uid)
	}
	var list []*fsm.Task
	for _, uid := range candidates {
		if open[uid] {
			continue
		}
		task, err := h.opts.Cluster.Tasks().Task(uid)
		if errors.Is(err, fsm.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if !task.Finished() {
			open[uid] = true // enqueued between the two reads
			continue
		}
		list = append(list, task)
	}
	slices.SortFunc(list, func(a, b *fsm.Task) int {
		if byTime := a.FinishedAt.Compare(*b.FinishedAt); byTime != 0 {
			return byTime
		}
		return int(int64(a.UID) - int64(b.UID))
	})
	return list, nil
}

// hookBody is the gzipped NDJSON of tasks as GET /tasks shows them.
func hookBody(list []*fsm.Task) ([]byte, error) {
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	for _, task := range list {
		line, err := tasks.View(task).MarshalJSON()
		if err != nil {
			return nil, err
		}
		if _, err := zip.Write(append(line, '\n')); err != nil {
			return nil, err
		}
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// follow starts a sender for each new webhook and ends those of deleted ones. A changed one keeps what waits for it
// only when its address is the same.
func (h *webhooks) follow(ctx context.Context, view *fsm.View) {
	for id, calls := range h.calls {
		now := view.Webhook(id)
		if now == nil || now.URL != calls.hook.URL || !mapsEqual(now.Headers, calls.hook.Headers) {
			calls.end()
			delete(h.calls, id)
		}
	}
	for _, hook := range view.Webhooks {
		if h.calls[hook.UUID] != nil {
			continue
		}
		ctx, end := context.WithCancel(ctx)
		calls := &hookCalls{hook: hook, bodies: make(chan []byte, hookQueue), end: end}
		h.calls[hook.UUID] = calls
		h.senders.Go(func() { h.send(ctx, calls) })
	}
}

func mapsEqual(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if other, has := b[name]; !has || other != value {
			return false
		}
	}
	return true
}

// send delivers the calls of one webhook one after another until ctx ends.
func (h *webhooks) send(ctx context.Context, calls *hookCalls) {
	for {
		select {
		case body := <-calls.bodies:
			h.deliver(ctx, calls.hook, body)
		case <-ctx.Done():
			return
		}
	}
}

// deliver tries a few times, then gives the call up: the next ones must not wait for ever.
func (h *webhooks) deliver(ctx context.Context, hook fsm.Webhook, body []byte) {
	err := h.post(ctx, hook, body)
	for _, pause := range h.pause {
		if err == nil || !sleep(ctx, pause) {
			break
		}
		err = h.post(ctx, hook, body)
	}
	if err != nil && ctx.Err() == nil {
		h.opts.Logger.Log(ctx, slog.LevelError, "webhook not reached, its call is given up", "webhook", hook.UUID, "attempts", len(h.pause)+1, "error", err)
	}
}

func (h *webhooks) post(ctx context.Context, hook fsm.Webhook, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Encoding", "gzip")
	request.Header.Set("Content-Type", "application/x-ndjson")
	for name, value := range hook.Headers {
		request.Header.Set(name, value)
	}
	response, err := h.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
		return fmt.Errorf("it answered status %d", response.StatusCode)
	}
	return nil
}
