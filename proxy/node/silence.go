package node

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A node that hangs looks like a slow one, and keeps its callers until their time is over. What tells the two apart is what
// else comes from it: a slow node answers other reads, and says that it is healthy.
const (
	// quietTime is how long reads wait without anything having come from their node before it is asked for its health.
	quietTime = 100 * time.Millisecond
	// probePause is how long nothing must have come until it is asked once more.
	probePause = 250 * time.Millisecond
	// probeTime is how long a node may take to say that it is healthy before it counts as silent.
	probeTime = 200 * time.Millisecond
	// probeLimit is how long it may still say so, which ends the silence at once.
	probeLimit = 5 * time.Second
	// A node that says so and yet has answered no read for stuckTimes as long as its slow ones take is not asked for more of
	// them; stuckTime at least.
	stuckTimes = 10
	stuckTime  = 600 * time.Millisecond
	// silenceTick is how often those who wait look.
	silenceTick = 20 * time.Millisecond
)

// waiting is what reads wait for.
type waiting struct {
	reads atomic.Int32
	since atomic.Int64 // UnixNano: when the first of them began to wait, or when something last came in answer to one
}

func (w *waiting) begin() {
	if w.reads.Load() == 0 {
		w.heard()
	}
	w.reads.Add(1)
}

func (w *waiting) end() { w.reads.Add(-1) }

func (w *waiting) heard() { w.since.Store(time.Now().UnixNano()) }

// Read is Do for a read that somebody waits for. Nodes are judged by how they answer these, see AwaitSilence.
func (c *Client) Read(ctx context.Context, r Request) (*Response, error) {
	r.Read, r.heard = true, c.waiting.heard
	c.waiting.begin()
	defer c.waiting.end()
	response, err := c.Do(ctx, r)
	if err == nil {
		c.health.reads.clear()
	}
	return response, err
}

// AwaitSilence returns true once nothing comes from the node any more while reads wait, and false when ctx ends first. usual
// is what the node's slow reads take, 0 if that is not known.
func (c *Client) AwaitSilence(ctx context.Context, usual time.Duration) bool {
	tick := time.NewTicker(silenceTick)
	defer tick.Stop()
	for !c.isSilent(time.Now(), usual) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (c *Client) isSilent(now time.Time, usual time.Duration) bool {
	if c.health.silent.Load() {
		return true
	}
	quiet := c.quiet(now)
	if quiet >= max(stuckTime, stuckTimes*usual) {
		if !c.health.reads.holds(now) { // else another one that waits has said so
			c.health.reads.raise(now)
		}
		return true
	}
	if quiet >= quietTime && now.Sub(c.LastSeen()) >= min(quiet, probePause) {
		c.probe()
	}
	return false
}

// quiet is for how long reads have been waiting without anything having come in answer to one.
func (c *Client) quiet(now time.Time) time.Duration {
	if c.waiting.reads.Load() == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, c.waiting.since.Load()))
}

// IsQuiet reports that reads wait and that nothing has come in answer to one for a while: the node may turn out to be silent.
func (c *Client) IsQuiet(now time.Time) bool { return c.quiet(now) >= quietTime }

// Recheck asks a node that is silent whether it has come back. To be called now and then while it could be of use.
func (c *Client) Recheck() {
	if c.health.silent.Load() {
		c.probe()
	}
}

// probe asks the node for its health, unless that is being asked already. Do notes the answer.
func (c *Client) probe() {
	if !c.probing.CompareAndSwap(false, true) {
		return
	}
	c.background(func(ctx context.Context) {
		defer c.probing.Store(false)
		ctx, cancel := context.WithTimeout(ctx, probeLimit)
		defer cancel()
		overdue := time.AfterFunc(probeTime, func() { c.health.silent.Store(true) })
		defer overdue.Stop()
		_, _ = c.Do(ctx, Request{Method: http.MethodGet, Path: "/health", Read: true})
	})
}

// heardReader tells of every byte that comes.
type heardReader struct {
	io.Reader
	heard func()
}

func (h heardReader) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.heard()
	}
	return n, err
}
