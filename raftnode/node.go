// Package raftnode is this pod as a member of the Raft cluster: hashicorp/raft around package fsm. It agrees on the
// order of commands and applies them; what they mean is fsm's, and when to send which is the proposers'.
package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"miroir/fsm"
)

// ErrNotLeader says that this pod does not lead; the command was not applied and may be sent to the leader.
var ErrNotLeader = errors.New("this pod is not the Raft leader")

// ErrUnknown says that leadership was lost while a command was on its way: it may still be applied.
var ErrUnknown = errors.New("leadership was lost before the command's fate was known")

// Options configures a Node. Zero durations take the defaults named beside them.
type Options struct {
	DataDir string // holds state.db (fsm) and raft.db (the log); created if missing
	NodeID  string // stable name of this pod in the cluster
	// Network carries Raft and what pods ask each other; nil: TCP on BindAddr. Memory is one without sockets.
	Network       Network
	BindAddr      string // without a Network: host:port to listen on
	ClusterSecret string // what pods prove to each other on every stream
	// Transport replaces Raft's own streams; without a Network there is no pod port then, and followers forward nothing.
	Transport raft.Transport
	// LogStore and StableStore replace the file of the log, both or none; tests keep them in memory and open them again.
	LogStore    raft.LogStore
	StableStore raft.StableStore

	// Alone says that no other pod can be reached, so that there is no need to wait for one at the start.
	Alone bool
	// Bootstrap makes this pod a cluster of one if its log is empty.
	Bootstrap bool
	// Servers, with Bootstrap, is the first configuration of a cluster of several; empty: this pod alone.
	Servers []raft.Server
	// Join are addresses of other pods: a pod without a cluster joins theirs, one whose address changed tells them.
	Join []string
	// BootstrapExpect above 1 makes that many pods that find each other through Join a new cluster, once all are there.
	BootstrapExpect int

	Logger  *slog.Logger
	Metrics *metrics.Set // a set of its own

	HeartbeatTimeout  time.Duration // 1 s: a pod that hears no heartbeat for about so long looks for another leader
	ElectionTimeout   time.Duration // 1 s: an election is decided by then, or another begins
	SnapshotInterval  time.Duration // 2 min
	SnapshotThreshold uint64        // 8192 log entries
	TrailingLogs      uint64        // 10240 log entries kept behind a snapshot
	ReadLease         time.Duration // 2 s: how long after it last heard the leader a pod's reads count as fresh

	Level   int                   // feature level of this pod, 0: fsm.Level; tests of mixed versions set another
	levelOf func(fsm.Command) int // nil: fsm.LevelOf
}

// Node is one pod in the cluster. All methods are safe for concurrent use.
type Node struct {
	id        string
	address   string
	logger    *slog.Logger
	options   Options
	raft      *raft.Raft
	fsm       *fsm.FSM
	meter     meter
	stable    raft.StableStore
	disk      disk
	peers     *peers       // nil without a pod port
	leases    leases       // what this pod, leading, promised the others
	fresh     atomic.Int64 // when this pod last asked for the lease it has, since started; 0: never
	old       atomic.Int64 // when this pod was first seen without a lease, since started; 0: it has had one since
	admitting sync.Mutex   // held while a pod is let in, and while the feature level rises
	waiting   atomic.Int64 // requests that wait for a leader
	index     readIndex    // questions for the leader's index under way
	started   time.Time
	duties    duties
	endDials  context.CancelFunc // of Raft's streams; nil where the options bring a transport
	closers   []func() error     // run last to first
	closed    chan struct{}      // closed once Raft has ended
	once      sync.Once
	err       error // of Close
}

// Open starts this pod's share of the cluster. After an error nothing is left open.
func Open(o Options) (_ *Node, err error) {
	if o.NodeID == "" {
		return nil, errors.New("raftnode: a node id is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	o.ReadLease = orDuration(o.ReadLease, 2*time.Second)
	o.Level = cmp.Or(o.Level, fsm.Level)
	if o.levelOf == nil {
		o.levelOf = fsm.LevelOf
	}
	n := &Node{id: o.NodeID, logger: o.Logger, meter: newMeter(o.Metrics), options: o, closed: make(chan struct{}), started: time.Now()}
	n.disk = disk{ended: make(chan struct{}), log: o.Logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeAll())
		}
	}()
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if n.fsm, err = fsm.OpenAt(filepath.Join(o.DataDir, stateFile), o.Level); err != nil {
		return nil, err
	}
	n.closers = append(n.closers, n.fsm.Close)
	n.fsm.OnFinished(func(status string, count int) { n.meter.ended[status].Add(count) })
	n.fsm.Patiently(func(write func() error) error { return n.disk.patiently("the state", write) })
	if o.LogStore == nil {
		log, err := raftboltdb.NewBoltStore(filepath.Join(o.DataDir, logFile))
		if err != nil {
			return nil, fmt.Errorf("open the Raft log: %w", err)
		}
		n.closers = append(n.closers, log.Close)
		o.LogStore, o.StableStore = log, log
	}
	n.stable = o.StableStore
	if err := checkIdentity(n.stable, o.NodeID); err != nil {
		return nil, err
	}
	if err := n.start(o); err != nil {
		return nil, err
	}
	if err := n.stable.Set(keyNodeID, []byte(o.NodeID)); err != nil {
		return nil, fmt.Errorf("note the pod's id: %w", err)
	}
	return n, n.startDuties()
}

// Files of the data directory.
const (
	stateFile = "state.db" // fsm
	logFile   = "raft.db"  // the log
)

// keyNodeID is where the stable store keeps the id this data belongs to.
var keyNodeID = []byte("miroir/node-id")

// checkIdentity refuses data that another pod wrote: its place in the cluster goes by the id.
func checkIdentity(stable raft.StableStore, id string) error {
	known, err := getStable(stable, keyNodeID)
	if err != nil {
		return fmt.Errorf("read the pod's id: %w", err)
	}
	if known != nil && string(known) != id {
		return fmt.Errorf("the data directory belongs to pod %q, this one is %q: start it with --node-id %s, or with an empty directory", known, id, known)
	}
	return nil
}

// getStable returns nil for a key that was never set.
func getStable(stable raft.StableStore, key []byte) ([]byte, error) {
	value, err := stable.Get(key)
	if err != nil && err.Error() == "not found" { // raft's stores have no error value for it
		return nil, nil
	}
	return value, err
}

// start opens the pod port and runs Raft over the opened stores.
func (n *Node) start(o Options) error {
	logger := newLogger(o.Logger)
	transport, err := n.openTransport(o, logger)
	if err != nil {
		return err
	}
	n.address = string(transport.LocalAddr())
	snapshots := n.fsm.SnapshotStore()
	cached, err := raft.NewLogCache(512, o.LogStore)
	if err != nil {
		return err
	}
	config := o.config(logger)
	if o.Bootstrap {
		if err := bootstrap(config, o, cached, n.stable, snapshots, transport); err != nil {
			return err
		}
	}
	if n.raft, err = raft.NewRaft(config, meteredFSM{n.fsm, n.meter}, cached, patientStable{n.stable, &n.disk}, snapshots, transport); err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	n.closers = append(n.closers, func() error {
		defer close(n.closed)
		close(n.disk.ended)
		if n.endDials != nil {
			n.endDials()
		}
		return n.raft.Shutdown().Error()
	})
	n.show(o.Metrics)
	return nil
}

// openTransport opens the pod port and Raft's streams on it, unless the options bring a transport.
func (n *Node) openTransport(o Options, logger hclog.Logger) (raft.Transport, error) {
	if o.Transport != nil && o.Network == nil {
		return o.Transport, nil
	}
	network := o.Network
	if network == nil {
		network = TCP{Bind: o.BindAddr}
	}
	port, err := openPort(network, o.ClusterSecret, o.Logger)
	if err != nil {
		return nil, err
	}
	n.closers = append(n.closers, port.Close)
	n.peers = newPeers(n, port)
	if o.Transport != nil {
		return o.Transport, nil
	}
	var dialing context.Context
	dialing, n.endDials = context.WithCancel(context.Background())
	streams := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: raftStreams{port.kinds[streamRaft], port, n.peers.book, dialing}, ServerAddressProvider: n.peers.book, MaxPool: 3, Timeout: 10 * time.Second, Logger: logger,
	})
	n.closers = append(n.closers, streams.Close)
	return streams, nil
}

func bootstrap(config *raft.Config, o Options, log raft.LogStore, stable raft.StableStore, snapshots raft.SnapshotStore, transport raft.Transport) error {
	exists, err := raft.HasExistingState(log, stable, snapshots)
	if err != nil {
		return fmt.Errorf("look for an earlier Raft state: %w", err)
	}
	if exists {
		return nil
	}
	servers := o.Servers
	if len(servers) == 0 {
		servers = []raft.Server{{ID: config.LocalID, Address: transport.LocalAddr()}}
	}
	if err := raft.BootstrapCluster(config, log, stable, snapshots, transport, raft.Configuration{Servers: servers}); err != nil {
		return fmt.Errorf("bootstrap the Raft cluster: %w", err)
	}
	return nil
}

func (o Options) config(logger hclog.Logger) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(o.NodeID)
	config.Logger = logger
	config.NoSnapshotRestoreOnStart = true       // the state file is synced with every batch: it is never older than a snapshot
	config.CommitTimeout = 10 * time.Millisecond // how late followers learn of a commit
	// Raft counts both from below: a silent leader is noticed after one to three times its timeout, and an election given up
	// after one to two times its own. Half of ours makes that up to half more than ours, and ours. A pod that looks for another
	// leader too early does no harm: others that still hear theirs do not vote for it. But a leader that hears no majority for
	// the first of these times, or for half a second, steps down: on a machine that is much too busy a third of a second is too
	// short.
	config.HeartbeatTimeout = max(orDuration(o.HeartbeatTimeout, time.Second)/2, minTimeout)
	config.ElectionTimeout = max(orDuration(o.ElectionTimeout, time.Second)/2, config.HeartbeatTimeout)
	config.LeaderLeaseTimeout = min(config.LeaderLeaseTimeout, config.HeartbeatTimeout)
	config.SnapshotInterval = orDuration(o.SnapshotInterval, 2*time.Minute)
	if o.SnapshotThreshold > 0 {
		config.SnapshotThreshold = o.SnapshotThreshold
	}
	if o.TrailingLogs > 0 {
		config.TrailingLogs = o.TrailingLogs
	}
	if o.Alone || len(o.Servers) < 2 && o.Network == nil && o.Bootstrap && o.HeartbeatTimeout == 0 {
		// Nobody else can be leading: a pod alone need not wait a second to elect itself.
		config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	}
	return config
}

// minTimeout is the least that Raft takes.
const minTimeout = 5 * time.Millisecond

func orDuration(value, fallback time.Duration) time.Duration {
	if value > 0 {
		return value
	}
	return fallback
}

// newLogger passes Raft's own log on, one level lower than it thinks of itself.
func newLogger(to *slog.Logger) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Warn, Output: logWriter{to}, DisableTime: true})
}

type logWriter struct{ to *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.to.Info("raft", "line", string(line))
	return len(line), nil
}

var _ io.Writer = logWriter{}

// View returns the latest view of the replicated state.
func (n *Node) View() *fsm.View { return n.fsm.View() }

// Tasks reads the tables that are on disk and not part of the view.
func (n *Node) Tasks() *fsm.FSM { return n.fsm }

// IsLeader reports whether this pod leads, as far as it knows.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// LeaderID names the leading pod, "" when none is known.
func (n *Node) LeaderID() string {
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// Pods lists the members of the cluster, voters and others.
func (n *Node) Pods() []string {
	future := n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	var ids []string
	for _, server := range future.Configuration().Servers {
		ids = append(ids, string(server.ID))
	}
	return ids
}

// WaitLeader returns once a leader is known and, if it is this pod, has applied everything committed before.
func (n *Node) WaitLeader(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.IsLeader() {
			return n.Barrier(ctx)
		}
		if n.LeaderID() != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no leader is known: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Barrier returns once this pod, which must lead, has applied everything that was committed before the call.
func (n *Node) Barrier(ctx context.Context) error {
	return n.wait(ctx, func() raft.Future { return n.raft.Barrier(0) })
}

// wait waits for what begin asks of Raft, at most until ctx or Raft ends.
func (n *Node) wait(ctx context.Context, begin func() raft.Future) error {
	done := make(chan error, 1)
	n.duties.mu.Lock()
	if n.duties.ctx == nil {
		n.duties.mu.Unlock()
		return fmt.Errorf("%w: this pod is closed", ErrUnknown)
	}
	n.duties.asking.Go(func() { done <- begin().Error() })
	n.duties.mu.Unlock()
	select {
	case err := <-done:
		return translate(err)
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return fmt.Errorf("%w: this pod is closed", ErrUnknown)
	}
}

func translate(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

// StepDown hands leadership over if this pod leads and another can take it. Without a taker the others elect one of their
// own after the election timeout; that is no error.
func (n *Node) StepDown() error {
	if !n.IsLeader() || len(n.Pods()) < 2 {
		return nil
	}
	if err := n.raft.LeadershipTransfer().Error(); err != nil {
		n.logger.Info("no pod took leadership over", "error", err)
	}
	return nil
}

// Close steps down, ends Raft and closes the files. It may be called twice.
func (n *Node) Close() error {
	n.once.Do(func() {
		if n.raft != nil {
			_ = n.StepDown() // it has logged why nobody took over
		}
		n.err = n.closeAll()
	})
	return n.err
}

func (n *Node) closeAll() error {
	var failed error
	for i := len(n.closers) - 1; i >= 0; i-- {
		failed = errors.Join(failed, n.closers[i]())
	}
	n.closers = nil
	return failed
}
