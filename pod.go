package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/config"
	"miroir/proxy"
	"miroir/proxy/direct"
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
	clientURL string
	adminURL  string
	listeners []*listener
	failed    chan error // a listener that ended by itself
	closers   closers
	headroom  []byte
}

// headroomBytes is never touched, so it takes no memory, and the garbage collector counts it as in use: it runs after so
// many bytes of garbage at least. A pod holds a few megabytes, so it would run every hundred searches otherwise, and all
// its threads with it, beside the nodes that are waited for.
const headroomBytes = 64 << 20

// openPod starts a pod and returns once it answers requests; until then its ports say that it is alive and not ready.
// After an error nothing is left running.
func openPod(ctx context.Context, o podOptions) (_ *pod, err error) {
	p := &pod{options: o, failed: make(chan error, 2), headroom: makeHeadroom(), metrics: metrics.NewSet()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if err := p.listen(); err != nil {
		return nil, err
	}
	if err := p.openState(ctx); err != nil {
		return nil, err
	}
	commit, date := buildCommit()
	cluster := p.raft.View().Config // what pods read at their start only
	p.server, err = proxy.New(proxy.Options{
		MasterKey: o.MasterKey, AdminKey: o.Admin.APIKey, NodeKey: o.NodeKey(), NodeTransport: o.nodeTransport(),
		Logger: o.Logger.With("component", "proxy"), Metrics: p.metrics, Config: o.Config,
		MaxBodyBytes: o.Server.MaxBodyBytes, BodyMemoryBytes: o.Server.BodyMemoryBytes, TempDir: filepath.Join(o.DataDir, "spool"), DumpDir: filepath.Join(o.DataDir, "dumps"),
		SearchTimeout: milliseconds(cluster.Reads.NodeTimeoutMs), WriteTimeout: milliseconds(cluster.Writes.NodeTimeoutMs),
		MaxNodeQueue: cluster.Writes.MaxNodeQueue, MaxRequests: o.Server.MaxConcurrentRequests, MaxQueued: o.Server.MaxQueuedRequests, RequestTimeout: o.Server.RequestTimeout,
		MaxIndexLabels: o.MaxIndexLabels, MemoryLimit: o.MemoryLimit(), ReadyCoverageWait: o.Server.ReadyCoverageWait, SlowQuery: o.Log.SlowQuery, AdminOnMetricsPortOnly: !o.Admin.OnClientPort, NoAdmin: !o.Admin.Enabled,
		ModelNetworks: o.Chats.AllowedIPNetworks, SearchPage: cluster.SearchUI.Enabled, UI: ui.Handler(), Version: version, Commit: commit, CommitDate: date,
	}, p.raft)
	if err != nil {
		return nil, err
	}
	p.closers.Add("coordinator", p.server.Close)
	p.raft.Serve(p.server.ForwardedHandler())
	p.prepareNodes(ctx)
	if err := p.startWorkers(ctx); err != nil {
		return nil, err
	}
	p.serve()
	p.closers.Add("leadership", p.raft.StepDown)
	p.closers.Add("readiness", p.server.Drain)
	return p, nil
}

// makeHeadroom is nothing where the environment bounds memory (GOMEMLIMIT), for the runtime would count it.
func makeHeadroom() []byte {
	if debug.SetMemoryLimit(-1) < math.MaxInt64 {
		return nil
	}
	return make([]byte, headroomBytes)
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
		Cluster: p.raft, Nodes: p.server.Nodes(), Coordinator: p.server, Metrics: p.metrics,
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
	client, err := p.listenOn(p.options.Server.Listener)
	if err != nil {
		return err
	}
	p.clientURL = client.url
	if inside := p.options.Metrics; inside.Enabled {
		inside.Bind = cmp.Or(inside.Bind, p.options.Server.Bind)
		admin, err := p.listenOn(inside)
		if err != nil {
			return err
		}
		p.adminURL = admin.url
	}
	return nil
}

// serve lets the open ports answer requests. From here on they close before what they use.
func (p *pod) serve() {
	for i, handler := range []http.Handler{p.server, p.server.AdminHandler()}[:len(p.listeners)] {
		p.listeners[i].front.Serve(handler)
		p.closers.Add("listener "+p.listeners[i].url, p.listeners[i].close)
	}
}

// nodeTransport reaches the nodes.
func (o *podOptions) nodeTransport() http.RoundTripper {
	if o.NodeTransport != nil {
		return o.NodeTransport
	}
	return node.NewTransport(node.Pool{MaxIdle: o.Pool.MaxIdle, MaxTotal: o.Pool.MaxTotal, IdleTimeout: o.Pool.IdleTimeout})
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// listener is an open port.
type listener struct {
	url    string
	front  *proxy.Front
	direct *direct.Listener
	server *http.Server
	grace  time.Duration
	ended  chan struct{} // closed once nothing is accepted any more
}

// listenOn opens a port, whose front answers until serve.
func (p *pod) listenOn(at config.Listener) (*listener, error) {
	port, err := net.Listen("tcp", net.JoinHostPort(at.Bind, strconv.Itoa(at.Port)))
	if err != nil {
		return nil, fmt.Errorf("%w (another port: server.port, metrics.port)", err)
	}
	l := &listener{url: "http://" + reachable(port.Addr()), front: &proxy.Front{}, grace: p.options.Server.ShutdownGrace, ended: make(chan struct{})}
	l.server = &http.Server{
		Handler: l.front, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.options.Logger.Handler(), slog.LevelDebug),
	}
	l.direct = direct.New(port, direct.Options{
		Handler: l.front, Suits: proxy.IsSearch, Header: l.server.ReadHeaderTimeout, Idle: l.server.IdleTimeout, Logger: p.options.Logger,
	})
	l.server.ConnState = l.direct.ConnState
	go func() {
		defer close(l.ended)
		if err := l.server.Serve(l.direct); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- fmt.Errorf("serve %s: %w", port.Addr(), err)
		}
	}()
	p.listeners = append(p.listeners, l)
	p.closers.Add("listener "+l.url, l.close)
	return l, nil
}

// close lets running requests finish. It may be called twice.
func (l *listener) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), l.grace)
	defer cancel()
	err := l.server.Shutdown(ctx)
	if err != nil { // the grace is over: cut what still runs
		err = errors.Join(err, l.server.Close())
	}
	err = errors.Join(err, l.direct.Shutdown(ctx))
	<-l.ended
	return err
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

// Close ends the pod in this order: turn readiness off, hand leadership over, stop accepting and let requests finish, stop
// the workers, close the write queues, close Raft and the state. It may be called twice.
func (p *pod) Close() error { return p.closers.Close() }
