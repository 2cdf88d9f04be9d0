package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/proxy/node"
)

// A server that is a node already is refused under another address, whether it is empty or not, and so is one that a new group
// would have twice. Red without the search for twins: the server becomes a second node.
func TestAServerIsNoSecondNode(t *testing.T) {
	top := clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll}
	t.Run("embedded", func(t *testing.T) {
		known, free := devnode.New(devnode.Options{MasterKey: testMasterKey}), devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(known.Close)
		t.Cleanup(free.Close)
		rt := devnode.Transport(map[string]*devnode.Node{"known": known, "alias": known, "free": free, "free-alias": free})
		refuseTwins(t, newWriteClusterOver(t, top, rt, []string{"http://known"}), "http://alias", [2]string{"http://free", "http://free-alias"})
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 2)
		alias := func(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }
		refuseTwins(t, newWriteClusterOver(t, top, rt, addresses[:1]), alias(addresses[0]), [2]string{addresses[1], alias(addresses[1])})
	})
}

// refuseTwins expects that the address of the only node is refused, and that of one free server is not taken twice.
func refuseTwins(t *testing.T, c *writeCluster, alias string, free [2]string) {
	t.Helper()
	state := func() string {
		view := c.state.View()
		return fmt.Sprintf("%d nodes, %d groups, %d jobs", len(view.Nodes), len(view.Groups), len(view.Jobs))
	}
	refuse := func(path, body, message string) {
		t.Helper()
		before := state()
		refused := c.admin("POST", path, body, http.StatusConflict)
		if refused["code"] != "miroir_topology_conflict" || !strings.Contains(refused["message"].(string), message) {
			t.Errorf("%s: %v", body, refused)
		}
		if after := state(); after != before {
			t.Errorf("%s changed the state: %s, then %s", body, before, after)
		}
	}
	for range 2 { // the second time its index tells as well, and that it is a node already is still what matters
		refuse("/_miroir/nodes", fmt.Sprintf(`{"id":"b","address":%q}`, alias), "server of node `n0-0`")
		succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	}
	refuse("/_miroir/replica_groups", fmt.Sprintf(`{"id":1,"nodes":[{"id":"b","address":%q},{"id":"c","address":%q}]}`, free[0], free[1]), "server of node `b`")
	c.admin("POST", "/_miroir/nodes", fmt.Sprintf(`{"id":"b","address":%q}`, free[0]), http.StatusAccepted)
	refuse("/_miroir/nodes", fmt.Sprintf(`{"id":"c","address":%q}`, free[1]), "server of node `b`")
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":2}]`))
	for id, n := range c.state.View().Nodes {
		notable, _, err := c.server.Nodes().Get(n).NotableTasks(t.Context(), -1)
		if err != nil || slices.ContainsFunc(notable, func(task node.Task) bool { return task.IsForeign() }) {
			t.Errorf("node %s: the search for twins is taken for %v of others, %v", id, notable, err)
		}
	}
}

// A node made of another one's disk is a server of its own, though its keys and its history are the other's.
func TestACopyIsAServerOfItsOwn(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll, spare: 1})
	c.nodes["s0"].Restore(c.nodes["n0-0"].Snapshot())
	c.admin("POST", "/_miroir/nodes", `{"id":"b","address":"http://s0"}`, http.StatusAccepted)
}
