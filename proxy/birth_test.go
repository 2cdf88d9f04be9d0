package proxy

import (
	"net/http"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/workers"
)

// failSettings lets a node fail changes of settings as often as left says, -1 for ever.
func (c *writeCluster) failSettings(node string, left int) {
	c.nodes[node].FailTasks(func(kind meili.TaskKind) *meili.Error {
		if kind != meili.TaskSettingsUpdate || left == 0 {
			return nil
		}
		left--
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
}

// readableEverywhere looks whether each node with a part of an index in sync can be asked for some of its shards.
func (c *writeCluster) readableEverywhere(uid string) {
	c.t.Helper()
	ix := c.state.View().Route(uid)
	for _, id := range ix.Nodes(fsm.Active) {
		check, err := c.server.CheckSettings(c.t.Context(), ix.ID, id)
		if err != nil || check.Missing() || check.Unmarked {
			c.t.Errorf("node %s cannot be read by shard: %+v, %v", id, check, err)
		}
	}
}

// A node takes the documents that make an index, and fails to make the shard field filterable for them. Red when the task ends
// before that is put right: the node refuses what it is asked for some of its shards.
func TestNewIndexThatANodeCouldNotBeReadBy(t *testing.T) {
	for name, test := range map[string]struct {
		shape    clusterShape
		write    func(c *writeCluster) map[string]any
		failures int
		stale    bool
	}{
		"documents, once":                {repairShapes["spread, two copies in each group"], addDocuments, 1, false},
		"documents, the only copy":       {clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4}, addDocuments, 1, false},
		"documents, twice the only copy": {clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4}, addDocuments, 2, false},
		"documents, always":              {repairShapes["spread, two copies in each group"], addDocuments, -1, true},
		"settings, once":                 {repairShapes["spread, two copies in each group"], setStopWords, 1, false},
		"no documents, once":             {twoCopies, addNone, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, test.shape)
			c.watchDrift(workers.Drift{Interval: time.Hour})
			c.failSettings("n0-0", test.failures)
			succeeded(t, test.write(c))
			c.readableEverywhere("m")
			if stale := c.replicas("m")[fsm.Stale] > 0; stale != test.stale {
				t.Errorf("replicas %v", c.replicas("m"))
			}
		})
	}
}

// addDocuments gives every node some.
func addDocuments(c *writeCluster) map[string]any {
	return c.do("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8},{"id":9},{"id":10},{"id":11},{"id":12}]`)
}

func addNone(c *writeCluster) map[string]any {
	return c.do("POST", "/indexes/m/documents?primaryKey=id", `[]`)
}

func setStopWords(c *writeCluster) map[string]any {
	return c.do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`)
}

// The node that could not be read by shard cannot be asked either once it has the documents. Red when its copy counts as in sync.
func TestNewIndexOnANodeThatCannotBeAsked(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.watchDrift(workers.Drift{Interval: time.Hour})
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.Method != http.MethodGet || r.URL.Path != "/indexes/m/settings" {
			return nil
		}
		return &devnode.Fault{DropBefore: true}
	})
	c.failSettings("n1-0", 1)
	succeeded(t, addDocuments(c))
	if got := c.replicas("m"); got[fsm.Stale] != 1 || got[fsm.Active] != 1 {
		t.Errorf("replicas %v", got)
	}
}

// All that a write does is to make its index: the rest of it fails. Red when it stays without its shard field.
func TestNewIndexOfAFailedTaskCanBeRead(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	c.watchDrift(workers.Drift{Interval: time.Hour})
	failures := 2 // the settings of ours, the documents
	c.nodes["n0-0"].FailTasks(func(kind meili.TaskKind) *meili.Error {
		if kind == meili.TaskIndexCreation || failures == 0 {
			return nil
		}
		failures--
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
	if task := addDocuments(c); task["status"] != "failed" {
		t.Errorf("the task: %v", task)
	}
	c.readableEverywhere("m")
}

// The only copy of an index was made without its shard field, on a node that had dropped an earlier one of that name. Red when the
// check of settings takes that for the deletion of this one: nobody could read its documents any more.
func TestNewIndexIsNotTakenForLost(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, addDocuments(c))
	succeeded(t, c.do("DELETE", "/indexes/m", ""))
	c.failSettings("n0-0", 1)
	succeeded(t, addDocuments(c))
	succeeded(t, c.do("POST", "/indexes", `{"uid":"next"}`))
	set := c.watchDrift(workers.Drift{Interval: time.Millisecond})
	c.on("n0-0", "PUT", "/indexes/next/settings/stop-words", `["drift"]`)
	c.until("the check to have come to the next index", func() bool { return counted(set, driftRepairs) > 0 })
	if got := c.replicas("m"); got[fsm.Stale] > 0 {
		t.Errorf("replicas %v", got)
	}
	if got := c.call("GET", "/indexes/m/documents/1", ""); got.Code != http.StatusOK {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
}
