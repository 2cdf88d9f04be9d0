package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"miroir/fsm"
)

// Node is a Meilisearch server to add at start. Without an id it is numbered in the order given.
type Node struct {
	ID      fsm.NodeID  `yaml:"id"`
	Address string      `yaml:"address"`
	Group   fsm.GroupID `yaml:"replica_group"`
	KeyEnv  string      `yaml:"key_env"` // the variable that holds its key
	Key     string      `yaml:"-"`
}

// UnmarshalText parses [id=]URL[,group].
func (n *Node) UnmarshalText(text []byte) error {
	rest := string(text)
	if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
		group, err := strconv.ParseUint(rest[comma+1:], 10, 32)
		if err != nil {
			return fmt.Errorf("%q: the group after the comma must be a number, as in --node a=http://10.0.0.1:7700,1", text)
		}
		n.Group, rest = fsm.GroupID(group), rest[:comma]
	}
	if id, address, found := strings.Cut(rest, "="); found && !strings.Contains(id, "/") {
		n.ID, rest = fsm.NodeID(id), address
	}
	address, ok := nodeAddress(rest)
	if !ok {
		return fmt.Errorf("%q is not a node: write [id=]URL[,group], as in --node a=http://10.0.0.1:7700", text)
	}
	n.Address = address
	return nil
}

// nodeAddress completes the base URL of a node.
func nodeAddress(text string) (string, bool) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	parsed, err := url.Parse(text)
	ok := err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
	return strings.TrimSuffix(text, "/"), ok
}

// checkNodes numbers the nodes without an id and checks them as a whole.
func checkNodes(nodes []Node, replicationFactor int) error {
	seen, at := map[fsm.NodeID]bool{}, map[string]fsm.NodeID{}
	perGroup := map[fsm.GroupID]int{}
	for i := range nodes {
		n := &nodes[i]
		if n.ID == "" {
			n.ID = fsm.NodeID("node-" + strconv.Itoa(i))
		}
		if seen[n.ID] {
			return fmt.Errorf("nodes: the id %q is given twice", n.ID)
		}
		address, ok := nodeAddress(n.Address)
		if !ok {
			return fmt.Errorf("nodes: %s has no address like http://10.0.0.1:7700, but %q", n.ID, n.Address)
		}
		if other, taken := at[address]; taken {
			return fmt.Errorf("nodes: %s and %s have the same address, %s: each node needs a server of its own", other, n.ID, address)
		}
		n.Address, seen[n.ID], at[address] = address, true, n.ID
		perGroup[n.Group]++
	}
	for group, count := range perGroup {
		if replicationFactor > count {
			return fmt.Errorf("replication_factor: %d is more than the %d nodes of group %d: add nodes or lower it", replicationFactor, count, group)
		}
	}
	return nil
}

// checkGroups demands that nodes, if there are any, are in so many groups, numbered from 0.
func checkGroups(nodes []Node, numGroups int) error {
	named := map[fsm.GroupID]bool{}
	for _, n := range nodes {
		if int(n.Group) >= numGroups {
			return fmt.Errorf("replica_groups: node %s is in group %d, and with %d groups the last is %d", n.ID, n.Group, numGroups, numGroups-1)
		}
		named[n.Group] = true
	}
	for g := range numGroups {
		if len(nodes) > 0 && !named[fsm.GroupID(g)] {
			return fmt.Errorf("replica_groups: no node is in group %d of %d", g, numGroups)
		}
	}
	return nil
}
