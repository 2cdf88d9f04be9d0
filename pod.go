package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/uuid"

	"miroir/config"
	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy"
	"miroir/proxy/node"
	"miroir/raftnode"
	"miroir/ui"
	"miroir/workers"
)

// podOptions is what one pod needs. serve reads its configuration, demo and tests make it.
type podOptions struct {
	*config.Config
	NodeTransport http.RoundTripper // nil: TCP
	Logger        *slog.Logger
}

// pod is one running Miroir process: its share of the replicated state, the coordinator, workers and listeners.
type pod struct {
	options   podOptions
	raft      *raftnode.Node
	server    *proxy.Server
	metrics   *metrics.Set
	client    *http.Server
	clientURL string
	adminURL  string
	failed    chan error // a listener that ended by itself
	closers   closers
}

// openPod starts a pod and returns once it answers requests. After an error nothing is left running.
func openPod(ctx context.Context, o podOptions) (_ *pod, err error) {
	p := &pod{options: o, failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.openState(ctx); err != nil {
		return nil, err
	}
	p.metrics = metrics.NewSet()
	commit, date := buildCommit()
	cluster := p.raft.View().Config // what pods read at their start only
	p.server, err = proxy.New(proxy.Options{
		MasterKey: o.MasterKey, AdminKey: o.Admin.APIKey, NodeKey: o.NodeKey(), NodeTransport: o.nodeTransport(),
		Logger: o.Logger.With("component", "proxy"), Metrics: p.metrics, Config: o.Config,
		MaxBodyBytes: o.Server.MaxBodyBytes, BodyMemoryBytes: o.Server.BodyMemoryBytes, TempDir: filepath.Join(o.DataDir, "spool"), DumpDir: filepath.Join(o.DataDir, "dumps"),
		SearchTimeout: milliseconds(cluster.Reads.NodeTimeoutMs), WriteTimeout: milliseconds(cluster.Writes.NodeTimeoutMs),
		MaxNodeQueue: cluster.Writes.MaxNodeQueue, MaxRequests: o.Server.MaxConcurrentRequests, MaxQueued: o.Server.MaxQueuedRequests,
		ReadyCoverageWait: o.Server.ReadyCoverageWait, SlowQuery: o.Log.SlowQuery, AdminOnMetricsPortOnly: !o.Admin.OnClientPort,
		SearchPage: cluster.SearchUI.Enabled, UI: ui.Handler(), Version: version, Commit: commit, CommitDate: date,
	}, p.raft)
	if err != nil {
		return nil, err
	}
	p.closers.Add("coordinator", p.server.Close)
	p.prepareNodes(ctx)
	if err := p.startWorkers(ctx); err != nil {
		return nil, err
	}
	return p, p.listen()
}

// openState opens the replicated state; the first pod of a new cluster gives it its contents.
func (p *pod) openState(ctx context.Context) error {
	if err := prepareDataDir(p.options.DataDir); err != nil {
		return err
	}
	id := p.options.Raft.NodeID
	if id == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no raft.node_id and no host name: %w", err)
		}
		id = host
	}
	var err error
	p.raft, err = raftnode.Open(raftnode.Options{
		DataDir: p.options.DataDir, NodeID: id,
		BindAddr:  net.JoinHostPort("127.0.0.1", strconv.Itoa(p.options.Raft.Port)), // a pod alone listens to itself only
		Bootstrap: true, Logger: p.options.Logger.With("component", "raft"),
		HeartbeatTimeout: p.options.Raft.HeartbeatTimeout, ElectionTimeout: p.options.Raft.ElectionTimeout,
		SnapshotInterval: p.options.Raft.SnapshotInterval, SnapshotThreshold: p.options.Raft.SnapshotThreshold,
		TrailingLogs: p.options.Raft.TrailingLogs,
	})
	if err != nil {
		return fmt.Errorf("open the replicated state in %s: %w", p.options.DataDir, err)
	}
	p.closers.Add("replicated state", p.raft.Close)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.raft.WaitLeader(ctx); err != nil {
		return fmt.Errorf("no leader within 30 s: %w", err)
	}
	if p.raft.View().ClusterID == "" {
		return p.bootstrap(ctx)
	}
	if differing := p.options.Differing(p.raft.View().Config); len(differing) > 0 {
		p.options.Logger.Warn("configuration differs from the cluster's, which rules (change it by miroir config set)", "keys", differing)
	}
	return p.addNewNodes(ctx)
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
		Now: now, ClusterID: uuid.NewString(), Groups: []fsm.GroupID{0},
		Config: p.options.Cluster,
	}
	if len(p.options.Nodes) > 0 {
		command.Groups = nil // the nodes name theirs
	}
	for _, n := range p.options.Nodes {
		command.Nodes = append(command.Nodes, fsm.Node{ID: n.ID, Address: n.Address, Key: n.Key, Group: n.Group, State: fsm.NodeActive, LastTaskUID: -1, Since: now})
	}
	for _, key := range meili.DefaultKeys(now, uuid.NewString) {
		command.Keys = append(command.Keys, proxy.KeyToState(&key))
	}
	if _, err := fsm.Do(ctx, p.raft, command); err != nil {
		return fmt.Errorf("bootstrap the cluster: %w", err)
	}
	return nil
}

// addNewNodes makes nodes known that the flags name and the state does not. A known node keeps its committed
// address: an entry that differs is said aloud, not obeyed.
func (p *pod) addNewNodes(ctx context.Context) error {
	view := p.raft.View()
	for _, n := range p.options.Nodes {
		if known := view.Node(n.ID); known != nil {
			if known.Address != n.Address || known.Group != n.Group {
				p.options.Logger.Warn("a node's configuration differs from the replicated state, which rules", "node", n.ID,
					"configured", n.Address, "state", known.Address)
			}
			continue
		}
		_, err := fsm.Do(ctx, p.raft, fsm.AddNode{Now: time.Now().UTC(), Node: fsm.Node{ID: n.ID, Address: n.Address, Key: n.Key, Group: n.Group, State: fsm.NodeActive, LastTaskUID: -1}})
		if err != nil {
			return fmt.Errorf("add node %s: %w", n.ID, err)
		}
	}
	return nil
}

// prepareNodes brings the nodes in line before the first request. One that is down is prepared when it returns.
func (p *pod) prepareNodes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var prepared sync.WaitGroup
	for _, n := range p.raft.View().Nodes {
		prepared.Go(func() {
			if err := p.server.PrepareNode(ctx, n); err != nil {
				p.options.Logger.Warn("a node is not ready", "node_id", n.ID, "address", n.Address, "error", err)
			}
		})
	}
	prepared.Wait()
}

// startWorkers starts the duties without a request. They end before the coordinator closes.
func (p *pod) startWorkers(ctx context.Context) error {
	health, polls := p.options.Health, p.raft.View().Config.Tasks
	running, err := workers.Start(context.WithoutCancel(ctx), workers.Options{
		Cluster: p.raft, Nodes: p.server.Nodes(), Coordinator: p.server,
		HealthInterval: health.Interval, HealthTimeout: health.Timeout,
		UnhealthyThreshold: health.UnhealthyThreshold, RecoveryThreshold: health.RecoveryThreshold,
		PollMin: milliseconds(polls.PollMinMs), PollMax: milliseconds(polls.PollMaxMs), Logger: p.options.Logger.With("component", "workers"),
		Repair: &workers.Repair{Metrics: p.metrics}, Drift: workers.Drift{Metrics: p.metrics}, AntiEntropy: &workers.AntiEntropy{Metrics: p.metrics},
	})
	if err != nil {
		return err
	}
	p.closers.Add("workers", running.Close)
	p.server.ShowRepairs(running.Repairs)
	p.server.ShowAudits(running)
	return nil
}

// listen opens the client port and the port inside the network.
func (p *pod) listen() error {
	var err error
	p.client, p.clientURL, err = p.serveOn(p.options.Server.Listener, p.server)
	if err != nil {
		return err
	}
	if inside := p.options.Metrics; inside.Enabled {
		inside.Bind = cmp.Or(inside.Bind, p.options.Server.Bind)
		_, p.adminURL, err = p.serveOn(inside, p.server.AdminHandler())
	}
	return err
}

// nodeTransport reaches the nodes.
func (o *podOptions) nodeTransport() http.RoundTripper {
	if o.NodeTransport != nil {
		return o.NodeTransport
	}
	return node.NewTransport(node.Pool{MaxIdle: o.Pool.MaxIdle, MaxTotal: o.Pool.MaxTotal, IdleTimeout: o.Pool.IdleTimeout})
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// serveOn serves h on an address and registers its graceful end: running requests may finish.
func (p *pod) serveOn(at config.Listener, h http.Handler) (*http.Server, string, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(at.Bind, strconv.Itoa(at.Port)))
	if err != nil {
		return nil, "", fmt.Errorf("%w (another port: server.port, metrics.port)", err)
	}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.options.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	}()
	p.closers.Add("listener "+listener.Addr().String(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), p.options.Server.ShutdownGrace)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil { // the grace is over: cut what still runs
			err = errors.Join(err, server.Close())
		}
		<-done
		return err
	})
	return server, "http://" + reachable(listener.Addr()), nil
}

// reachable turns a listening address into one a client on this machine can use.
func reachable(address net.Addr) string {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return address.String()
	}
	return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
}

// ClientURL is the base URL of the client API.
func (p *pod) ClientURL() string { return p.clientURL }

// MetricsURL is the base URL of the listener inside the network, "" without one.
func (p *pod) MetricsURL() string { return p.adminURL }

// Wait blocks until ctx ends (nil) or a listener fails.
func (p *pod) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

// Close ends the pod in this order: stop accepting and let requests finish, stop the workers, close the write
// queues, close Raft and the state. It may be called twice.
func (p *pod) Close() error { return p.closers.Close() }
