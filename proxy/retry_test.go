package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

// TestRetryOnTimeout: others are asked instead of a node that takes all its time, or its shards are missing, as configured. The
// time is over before the node counts as silent.
func TestRetryOnTimeout(t *testing.T) {
	for _, retry := range []bool{true, false} {
		for name, read := range map[string]struct{ path, body string }{
			"search":       {"/indexes/docs/search", `{"filter":"price > -%d","limit":3}`},
			"multi-search": {"/multi-search", `{"queries":[{"indexUid":"docs","filter":"price > -%d"}]}`},
			"federated":    {"/multi-search", `{"federation":{},"queries":[{"indexUid":"docs","filter":"price > -%d"}]}`},
			"list":         {"/indexes/docs/documents/fetch", `{"filter":"price > -%d"}`},
		} {
			t.Run(fmt.Sprintf("%s, retry %v", name, retry), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newSlowCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8}, func(config *fsm.Config) {
						fixedSelection(config)
						config.Hedging.Enabled = false
						config.Reads.NoRetryOnTimeout = !retry
						config.Reads.NodeTimeoutMs = 80
					})
					c.nodes["node0"].Freeze()
					marked := 0
					for i := range 10 {
						time.Sleep(time.Minute) // the node is trusted again
						got := ask(t, c, "POST", read.path, fmt.Sprintf(read.body, i))
						if got.status != 200 {
							t.Errorf("%d %s", got.status, got.body)
						}
						if got.header.Get("X-Miroir-Degraded") != "" {
							marked++
						}
					}
					if (marked > 0) == retry {
						t.Errorf("%d of 10 answers are marked", marked)
					}
					c.nodes["node0"].Thaw()
				})
			})
		}
	}
}

func TestResultsAreGathered(t *testing.T) {
	at := time.UnixMilli(1_000_003)
	for ms, want := range map[int]time.Duration{0: 0, 5: 2 * time.Millisecond, 10: 7 * time.Millisecond} {
		if got := untilBatch(at, ms); got != want {
			t.Errorf("%d ms: %v, want %v", ms, got, want)
		}
	}
}

func TestPlansAreLogged(t *testing.T) {
	c, _ := filledCluster(t, layout{groups: 1, nodes: 2, copies: 1, shards: 8})
	var log bytes.Buffer
	c.server.log = slog.New(slog.NewTextHandler(&log, nil))
	view := *c.view.Load()
	for _, wanted := range []bool{false, true} {
		view.Config.QueryPlanner.LogPlans = wanted
		c.view.Store(&view)
		ask(t, c, "POST", "/indexes/docs/search", `{"filter":"id = 3"}`)
		if logged := bytes.Contains(log.Bytes(), []byte("msg=plan index=docs")) && bytes.Contains(log.Bytes(), []byte("narrowed=true")); logged != wanted {
			t.Errorf("log_plans %v: %s", wanted, log.Bytes())
		}
	}
}
