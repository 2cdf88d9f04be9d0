package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// TopologyCommands show and change how often everything is kept.
type TopologyCommands struct {
	Flags
	Show topologyShow `cmd:"" help:"Show nodes, groups and replication."`
	Set  topologySet  `cmd:"" help:"Change the replication factor, or the shards of new indexes."`
}

type topologyShow struct{}

func (c *topologyShow) Run(ctx context.Context, a *API) error { return a.show(ctx, "/topology") }

type topologySet struct {
	ReplicationFactor *int `help:"Replicas of each shard inside a group."`
	Shards            *int `help:"Shards of new indexes."`
	Wait              bool `help:"Wait until the copies are there."`
}

func (c *topologySet) Run(ctx context.Context, a *API) error {
	body := map[string]int{}
	if c.ReplicationFactor != nil {
		body["replication_factor"] = *c.ReplicationFactor
	}
	if c.Shards != nil {
		body["shards"] = *c.Shards
	}
	return a.start(ctx, c.Wait, http.MethodPatch, "/topology", body)
}

// NodeCommands add nodes and take them away.
type NodeCommands struct {
	Flags
	List      nodeList      `cmd:"" help:"List all nodes."`
	Show      nodeShow      `cmd:"" help:"Show one node."`
	Add       nodeAdd       `cmd:"" help:"Add an empty Meilisearch server; its share of the data moves there."`
	Drain     nodeDrain     `cmd:"" help:"Move everything off a node and keep it."`
	Remove    nodeRemove    `cmd:"" help:"Drain a node, then forget it."`
	Fail      nodeFail      `cmd:"" help:"Declare a node dead now, without the grace time."`
	Recover   nodeRecover   `cmd:"" help:"Check a failed node again now."`
	RotateKey nodeRotateKey `cmd:"" help:"Give a node a new key and revoke the old one."`
}

type nodeList struct{}

func (c *nodeList) Run(ctx context.Context, a *API) error {
	return a.list(ctx, "/nodes", "id", "address", "replica_group", "status", "version", "shard_count", "error")
}

// nodeID is the argument that names a node.
type nodeID struct {
	ID string `arg:"" help:"The node."`
}

func (n nodeID) path(action string) string { return "/nodes/" + url.PathEscape(n.ID) + action }

type nodeShow struct{ nodeID }

func (c *nodeShow) Run(ctx context.Context, a *API) error { return a.show(ctx, c.path("")) }

type nodeAdd struct {
	ID      string `required:"" help:"A name that was never used."`
	Address string `required:"" help:"Its URL."`
	Group   int    `help:"Its replica group." default:"0"`
	KeyEnv  string `help:"Variable that holds its key. Default: node_master_key of the pods."`
	Wait    bool   `help:"Wait until its share has moved."`
}

func (c *nodeAdd) Run(ctx context.Context, a *API) error {
	body, err := describeNode(c.ID, c.Address, c.KeyEnv)
	if err != nil {
		return err
	}
	body["replica_group"] = c.Group
	return a.start(ctx, c.Wait, http.MethodPost, "/nodes", body)
}

func describeNode(id, address, keyEnv string) (map[string]any, error) {
	node := map[string]any{"id": id, "address": address}
	if keyEnv != "" {
		key := os.Getenv(keyEnv)
		if key == "" {
			return nil, fmt.Errorf("%w: --key-env: the variable %s is not set", ErrUsage, keyEnv)
		}
		node["key"] = key
	}
	return node, nil
}

type nodeDrain struct {
	nodeID
	Cancel bool `help:"Undo a drain."`
	Wait   bool `help:"Wait until nothing is left on it."`
}

func (c *nodeDrain) Run(ctx context.Context, a *API) error {
	if c.Cancel {
		return a.start(ctx, c.Wait, http.MethodPost, c.path("/drain/cancel"), nil)
	}
	return a.start(ctx, c.Wait, http.MethodPost, c.path("/drain"), nil)
}

type nodeRemove struct {
	nodeID
	Force          bool `help:"The node is dead: forget it without draining."`
	AcceptDataLoss bool `help:"Even if it held the last copy of something."`
	Wait           bool `help:"Wait until it is gone."`
}

func (c *nodeRemove) Run(ctx context.Context, a *API) error {
	if err := a.confirm("remove node", c.ID); err != nil {
		return err
	}
	query := "?force=" + strconv.FormatBool(c.Force) + "&accept_data_loss=" + strconv.FormatBool(c.AcceptDataLoss)
	return a.start(ctx, c.Wait, http.MethodDelete, c.path(query), nil)
}

type nodeFail struct{ nodeID }

func (c *nodeFail) Run(ctx context.Context, a *API) error {
	if err := a.confirm("declare dead node", c.ID); err != nil {
		return err
	}
	return a.post(ctx, c.path("/fail"), nil)
}

type nodeRecover struct{ nodeID }

func (c *nodeRecover) Run(ctx context.Context, a *API) error {
	return a.post(ctx, c.path("/recover"), nil)
}

type nodeRotateKey struct {
	ID  string `arg:"" optional:"" help:"The node."`
	All bool   `help:"Every node, one after another."`
}

func (c *nodeRotateKey) Run(ctx context.Context, a *API) error {
	if (c.ID == "") != c.All {
		return fmt.Errorf("%w: name a node or give --all", ErrUsage)
	}
	nodes := []nodeID{{c.ID}}
	if c.All {
		nodes = nil
		if _, err := a.get(ctx, "/nodes", &nodes); err != nil {
			return err
		}
	}
	for _, node := range nodes {
		if err := a.post(ctx, node.path("/rotate-key"), nil); err != nil {
			return err
		}
	}
	return nil
}

// GroupCommands add replica groups and take them away.
type GroupCommands struct {
	Flags
	List     groupList     `cmd:"" help:"List all replica groups."`
	Add      groupAdd      `cmd:"" help:"Add a group of empty nodes; it gets a full copy."`
	Status   groupStatus   `cmd:"" help:"Show how far a group is filled."`
	Activate groupActivate `cmd:"" help:"Read from a filled group."`
	Remove   groupRemove   `cmd:"" help:"Stop reading from a group; with --force, forget it."`
}

type groupList struct{}

func (c *groupList) Run(ctx context.Context, a *API) error {
	return a.list(ctx, "/replica_groups", "id", "state", "since", "nodes")
}

type groupID struct {
	ID int `arg:"" help:"The group."`
}

func (g groupID) path(action string) string { return fmt.Sprintf("/replica_groups/%d%s", g.ID, action) }

type groupAdd struct {
	ID       int      `required:"" help:"Its number."`
	Node     []string `required:"" help:"A node: id=url. Repeat it for each." placeholder:"ID=URL" sep:"none"`
	KeyEnv   string   `help:"Variable that holds the nodes' key."`
	Wait     bool     `help:"Wait until it is filled."`
	Activate bool     `help:"Read from it once it is filled; implies --wait."`
}

func (c *groupAdd) Run(ctx context.Context, a *API) error {
	var nodes []map[string]any
	for _, text := range c.Node {
		id, address, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%w: --node %s: write id=url", ErrUsage, text)
		}
		node, err := describeNode(id, address, c.KeyEnv)
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
	}
	body := map[string]any{"id": c.ID, "nodes": nodes}
	if err := a.start(ctx, c.Wait || c.Activate, http.MethodPost, "/replica_groups", body); err != nil || !c.Activate {
		return err
	}
	return a.post(ctx, groupID{c.ID}.path("/activate"), nil)
}

type groupStatus struct{ groupID }

func (c *groupStatus) Run(ctx context.Context, a *API) error { return a.show(ctx, c.path("/status")) }

type groupActivate struct{ groupID }

func (c *groupActivate) Run(ctx context.Context, a *API) error {
	return a.post(ctx, c.path("/activate"), nil)
}

type groupRemove struct {
	groupID
	Force bool `help:"Forget a group that is drained."`
}

func (c *groupRemove) Run(ctx context.Context, a *API) error {
	if err := a.confirm("remove group", strconv.Itoa(c.ID)); err != nil {
		return err
	}
	return a.start(ctx, false, http.MethodDelete, c.path("?force="+strconv.FormatBool(c.Force)), nil)
}

// IndexCommands show where indexes live.
type IndexCommands struct {
	Flags
	List   indexList   `cmd:"" help:"List all indexes."`
	Show   indexShow   `cmd:"" help:"Show where an index lives."`
	Spread indexSpread `cmd:"" help:"Change how many nodes of a group share an index."`
}

type indexList struct{}

func (c *indexList) Run(ctx context.Context, a *API) error {
	return a.list(ctx, "/api/indexes?limit=1000", "uid", "primaryKey", "createdAt", "updatedAt")
}

type indexUID struct {
	UID string `arg:"" name:"uid" help:"The index."`
}

func (i indexUID) path() string { return "/indexes/" + url.PathEscape(i.UID) }

type indexShow struct{ indexUID }

func (c *indexShow) Run(ctx context.Context, a *API) error { return a.show(ctx, c.path()) }

type indexSpread struct {
	indexUID
	Nodes string `arg:"" help:"auto, all or a number of nodes."`
	Wait  bool   `help:"Wait until its shards have moved."`
}

func (c *indexSpread) Run(ctx context.Context, a *API) error {
	body := map[string]any{"spread": c.Nodes}
	if n, err := strconv.Atoi(c.Nodes); err == nil {
		body["spread"] = n
	}
	return a.start(ctx, c.Wait, http.MethodPatch, c.path(), body)
}

// RebalanceCommands steer the moving of shards.
type RebalanceCommands struct {
	Flags
	Start  rebalanceStart  `cmd:"" help:"Move shards to where they belong."`
	Status rebalanceStatus `cmd:"" help:"Show what moves."`
	Pause  rebalancePause  `cmd:"" help:"Begin no more moves."`
	Resume rebalanceResume `cmd:"" help:"Go on."`
	Cancel rebalanceCancel `cmd:"" help:"Take back moves that have not finished."`
}

type rebalanceStart struct {
	Index  string `help:"Only this index."`
	DryRun bool   `help:"List the moves, make none."`
	Wait   bool   `help:"Wait for the end."`
}

func (c *rebalanceStart) Run(ctx context.Context, a *API) error {
	body := map[string]any{}
	if c.Index != "" {
		body["index"] = c.Index
	}
	if !c.DryRun {
		return a.start(ctx, c.Wait, http.MethodPost, "/rebalance", body)
	}
	body["dry_run"] = true
	answer, err := a.do(ctx, http.MethodPost, "/rebalance", body)
	if err != nil {
		return err
	}
	return a.printList(answer, "index", "shard", "group", "from", "to")
}

type rebalanceStatus struct {
	Watch bool `help:"Print again every 2 s."`
}

func (c *rebalanceStatus) Run(ctx context.Context, a *API) error {
	once := func() error { return a.show(ctx, "/rebalance/status") }
	if c.Watch {
		return watch(ctx, once)
	}
	return once()
}

type (
	rebalancePause  struct{}
	rebalanceResume struct{}
	rebalanceCancel struct{}
)

func (c *rebalancePause) Run(ctx context.Context, a *API) error {
	return a.post(ctx, "/rebalance/pause", nil)
}

func (c *rebalanceResume) Run(ctx context.Context, a *API) error {
	return a.post(ctx, "/rebalance/resume", nil)
}

func (c *rebalanceCancel) Run(ctx context.Context, a *API) error {
	return a.post(ctx, "/rebalance/cancel", nil)
}
