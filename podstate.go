package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"miroir/config"
	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy"
	"miroir/proxy/node"
	"miroir/raftnode"
)

// openState opens this pod's share of the replicated state and returns once there is something to serve: the cluster's
// contents, which the first pod to lead gives it.
func (p *pod) openState(ctx context.Context) error {
	if err := prepareDataDir(p.options.DataDir); err != nil {
		return err
	}
	options, err := p.raftOptions()
	if err != nil {
		return err
	}
	if p.raft, err = raftnode.Open(options); err != nil {
		return fmt.Errorf("open the replicated state in %s: %w", p.options.DataDir, err)
	}
	p.closers.Add("replicated state", p.raft.Close)
	if pods := p.raft.Pods(); options.Alone && len(pods) > 1 {
		return fmt.Errorf("this pod is one of several (%s): start it with --join and the addresses of the others", strings.Join(pods, ", "))
	}
	if options.Bootstrap {
		waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if err := p.raft.WaitLeader(waiting); err != nil {
			return fmt.Errorf("no leader within 30 s: %w", err)
		}
	}
	if err := p.awaitContents(ctx); err != nil {
		return err
	}
	if differing := p.options.Differing(p.raft.View().ShownConfig()); len(differing) > 0 {
		p.options.Logger.Warn("configuration differs from the cluster's, which rules (change it by miroir config set)", "keys", differing)
	}
	return p.addNewNodes(ctx)
}

// several reports that other pods are to be expected.
func (p *pod) several() bool {
	return len(p.options.Raft.Join) > 0 || p.options.Raft.BootstrapExpect > 1
}

func (p *pod) raftOptions() (raftnode.Options, error) {
	raft := p.options.Raft
	network, err := p.network()
	if err != nil {
		return raftnode.Options{}, err
	}
	if raft.NodeID == "" {
		if raft.NodeID, err = os.Hostname(); err != nil {
			return raftnode.Options{}, fmt.Errorf("no raft.node_id and no host name: %w", err)
		}
	}
	return raftnode.Options{
		DataDir: p.options.DataDir, NodeID: raft.NodeID, Network: network, ClusterSecret: raft.ClusterSecret,
		Alone: !p.several(), Bootstrap: !p.several(), Join: raft.Join, BootstrapExpect: raft.BootstrapExpect,
		HeartbeatTimeout: raft.HeartbeatTimeout, ElectionTimeout: raft.ElectionTimeout, SnapshotInterval: raft.SnapshotInterval,
		SnapshotThreshold: raft.SnapshotThreshold, TrailingLogs: raft.TrailingLogs, ReadLease: raft.NoLeaderReadGrace,
		Logger: p.options.Logger.With("component", "raft"), Metrics: p.metrics,
	}, nil
}

// network is how other pods are reached. A pod alone listens to itself only.
func (p *pod) network() (raftnode.Network, error) {
	raft := p.options.Raft
	if !p.several() {
		return raftnode.TCP{Bind: net.JoinHostPort("127.0.0.1", strconv.Itoa(raft.Port))}, nil
	}
	if raft.ClusterSecret == "" {
		p.options.Logger.Warn("no cluster secret: whoever reaches the pod port may take part (set raft.cluster_secret on all pods)")
	}
	var secured *tls.Config
	if raft.TLS.CertFile != "" {
		var err error
		if secured, err = raftnode.LoadTLS(raft.TLS.CertFile, raft.TLS.KeyFile, raft.TLS.CAFile); err != nil {
			return nil, err
		}
	}
	return raftnode.TCP{Bind: net.JoinHostPort(raft.Bind, strconv.Itoa(raft.Port)), Advertise: raft.Advertise, TLS: secured}, nil
}

// awaitContents returns once this pod's state has contents. The pod that leads gives a new cluster its first ones.
func (p *pod) awaitContents(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.raft.View().ClusterID == "" {
		if p.raft.IsLeader() && p.raft.Barrier(ctx) == nil && p.raft.View().ClusterID == "" {
			if err := p.bootstrap(ctx); err != nil && !errors.Is(err, raftnode.ErrNotLeader) && !errors.Is(err, raftnode.ErrNoLeader) {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the cluster has not formed: %w", ctx.Err())
		}
	}
	return nil
}

// prepareDataDir makes the directory with an empty spool: what an earlier run left there belongs to no request.
func prepareDataDir(dir string) error {
	spool := filepath.Join(dir, "spool")
	if err := os.RemoveAll(spool); err != nil {
		return err
	}
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return fmt.Errorf("data directory: %w (--data-dir says where)", err)
	}
	return nil
}

// bootstrap commits the contents of a new cluster: configuration, nodes and the default API keys.
func (p *pod) bootstrap(ctx context.Context) error {
	now := time.Now().UTC()
	command := fsm.Bootstrap{
		Now: now, ClusterID: uuid.NewString(),
		Config: p.options.Cluster,
	}
	if len(p.options.Nodes) == 0 { // else the nodes name them
		for g := range p.options.Cluster.ReplicaGroups {
			command.Groups = append(command.Groups, fsm.GroupID(g))
		}
	}
	for _, n := range p.options.Nodes {
		command.Nodes = append(command.Nodes, configuredNode(n, now))
	}
	if err := p.checkTwins(ctx, command.Nodes, nil); err != nil {
		return err
	}
	for _, key := range meili.DefaultKeys(now, uuid.NewString) {
		command.Keys = append(command.Keys, proxy.KeyToState(&key))
	}
	if _, err := fsm.Do(ctx, p.raft, command); err != nil && !errors.Is(err, fsm.ErrExists) {
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	return nil
}

func configuredNode(n config.Node, now time.Time) fsm.Node {
	return fsm.Node{ID: n.ID, Address: n.Address, Key: n.Key, Group: n.Group, State: fsm.NodeActive, LastTaskUID: -1, Since: now}
}

// checkTwins refuses nodes of which two are one server, as far as they answer yet.
func (p *pod) checkTwins(ctx context.Context, fresh []fsm.Node, view *fsm.View) error {
	var described, known []*fsm.Node
	for i := range fresh {
		described = append(described, &fresh[i])
	}
	if view != nil {
		known = slices.Collect(maps.Values(view.Nodes))
	}
	nodes := node.NewSet(p.options.NodeKey(), p.options.nodeTransport(), nil)
	defer nodes.Close()
	err := nodes.CheckTwins(ctx, described, known)
	var twins *node.Twins
	if errors.As(err, &twins) {
		return err
	}
	if err != nil {
		p.options.Logger.Warn("it is not known of every new node whether another one is the same server", "error", err)
	}
	return nil
}

// addNewNodes makes nodes known that the flags name and the state does not. A known node keeps its committed
// address: an entry that differs is said aloud, not obeyed.
func (p *pod) addNewNodes(ctx context.Context) error {
	view := p.raft.View()
	var fresh []fsm.Node
	for _, n := range p.options.Nodes {
		if known := view.Node(n.ID); known != nil {
			if known.Address != n.Address || known.Group != n.Group {
				p.options.Logger.Warn("a node's configuration differs from the replicated state, which rules", "node", n.ID,
					"configured", n.Address, "state", known.Address)
			}
			continue
		}
		if view.Retired(n.ID) {
			p.options.Logger.Warn("a configured node was removed from the cluster, and its id is not used again: leave it out of the configuration", "node", n.ID)
			continue
		}
		fresh = append(fresh, configuredNode(n, time.Now().UTC()))
	}
	if err := p.checkTwins(ctx, fresh, view); err != nil {
		return err
	}
	for _, n := range fresh {
		_, err := fsm.Do(ctx, p.raft, fsm.AddNode{Now: time.Now().UTC(), Node: n})
		if errors.Is(err, raftnode.ErrNoLeader) {
			p.options.Logger.Warn("a configured node is not known yet: no leader takes it; restart this pod once there is one, or add the node by hand", "node", n.ID)
			continue
		}
		if err != nil && !errors.Is(err, fsm.ErrExists) {
			return fmt.Errorf("add node %s: %w", n.ID, err)
		}
	}
	return nil
}
