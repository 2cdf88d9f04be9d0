// Package raftnode is this pod as a member of the Raft cluster: hashicorp/raft around package fsm. It agrees on the
// order of commands and applies them; what they mean is fsm's, and when to send which is the proposers'.
package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

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
	// Transport replaces TCP; tests use raft's in-memory one. With nil, BindAddr is listened on.
	Transport raft.Transport
	BindAddr  string
	Advertise net.Addr // what other pods dial; nil: the bound address
	// LogStore and StableStore replace the file of the log, both or none; tests keep them in memory and open them again.
	LogStore    raft.LogStore
	StableStore raft.StableStore
	// Bootstrap makes this pod a cluster of one if its log is empty.
	Bootstrap bool
	// Servers, with Bootstrap, is the first configuration of a cluster of several; empty: this pod alone.
	Servers []raft.Server
	Logger  *slog.Logger

	HeartbeatTimeout  time.Duration // 1 s
	ElectionTimeout   time.Duration // 1 s
	SnapshotInterval  time.Duration // 2 min
	SnapshotThreshold uint64        // 8192 log entries
	TrailingLogs      uint64        // 10240 log entries kept behind a snapshot
}

// Node is one pod in the cluster. All methods are safe for concurrent use.
type Node struct {
	id      string
	address string
	logger  *slog.Logger
	raft    *raft.Raft
	fsm     *fsm.FSM
	closers []func() error // run last to first
	closed  chan struct{}  // closed once Raft has ended
	once    sync.Once
	err     error // of Close
}

// Open starts this pod's share of the cluster. After an error nothing is left open.
func Open(o Options) (_ *Node, err error) {
	if o.NodeID == "" {
		return nil, errors.New("raftnode: a node id is required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{id: o.NodeID, logger: o.Logger, closed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeAll())
		}
	}()
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if n.fsm, err = fsm.Open(filepath.Join(o.DataDir, "state.db")); err != nil {
		return nil, err
	}
	n.closers = append(n.closers, n.fsm.Close)
	if o.LogStore == nil {
		log, err := raftboltdb.NewBoltStore(filepath.Join(o.DataDir, "raft.db"))
		if err != nil {
			return nil, fmt.Errorf("open the Raft log: %w", err)
		}
		n.closers = append(n.closers, log.Close)
		o.LogStore, o.StableStore = log, log
	}
	return n, n.start(o)
}

// start opens the transport and runs Raft over the opened stores.
func (n *Node) start(o Options) error {
	logger := newLogger(o.Logger)
	transport := o.Transport
	if transport == nil {
		tcp, err := raft.NewTCPTransportWithLogger(o.BindAddr, o.Advertise, 3, 10*time.Second, logger)
		if err != nil {
			return fmt.Errorf("listen for pods on %s: %w", o.BindAddr, err)
		}
		n.closers = append(n.closers, tcp.Close)
		transport = tcp
	}
	n.address = string(transport.LocalAddr())
	snapshots := n.fsm.SnapshotStore()
	cached, err := raft.NewLogCache(512, o.LogStore)
	if err != nil {
		return err
	}
	config := o.config(logger)
	if o.Bootstrap {
		if err := bootstrap(config, o, cached, o.StableStore, snapshots, transport); err != nil {
			return err
		}
	}
	if n.raft, err = raft.NewRaft(config, n.fsm, cached, o.StableStore, snapshots, transport); err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	n.closers = append(n.closers, func() error {
		defer close(n.closed)
		return n.raft.Shutdown().Error()
	})
	return nil
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
	config.BatchApplyCh = true
	config.NoSnapshotRestoreOnStart = true // the state file is synced with every batch: it is never older than a snapshot
	config.HeartbeatTimeout = orDuration(o.HeartbeatTimeout, time.Second)
	config.ElectionTimeout = orDuration(o.ElectionTimeout, time.Second)
	config.LeaderLeaseTimeout = min(config.LeaderLeaseTimeout, config.HeartbeatTimeout)
	config.SnapshotInterval = orDuration(o.SnapshotInterval, 2*time.Minute)
	if o.SnapshotThreshold > 0 {
		config.SnapshotThreshold = o.SnapshotThreshold
	}
	if o.TrailingLogs > 0 {
		config.TrailingLogs = o.TrailingLogs
	}
	if alone := len(o.Servers) < 2; alone && o.Bootstrap && o.HeartbeatTimeout == 0 {
		// Nobody else can be leading: a pod alone need not wait a second to elect itself.
		config.HeartbeatTimeout, config.ElectionTimeout, config.LeaderLeaseTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
	}
	return config
}

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

// Leading tells each change of this pod's leadership: true when it begins to lead.
func (n *Node) Leading() <-chan bool { return n.raft.LeaderCh() }

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
	return n.wait(ctx, n.raft.Barrier(0))
}

// Apply commits cmd and returns its typed result. Errors: *fsm.Error when the state machine refuses it, ErrNotLeader,
// ErrUnknown, ctx's. After ErrUnknown and ctx's error the command may have been applied.
func (n *Node) Apply(ctx context.Context, cmd fsm.Command) (any, error) {
	entry, err := fsm.Encode(cmd)
	if err != nil {
		return nil, err
	}
	future := n.raft.Apply(entry, 0)
	if err := n.wait(ctx, future); err != nil {
		return nil, err
	}
	if refused, ok := future.Response().(error); ok {
		return nil, refused
	}
	return future.Response(), nil
}

// wait waits for a future, at most until ctx or Raft ends. Raft ends every future it has taken out of its queue; one that
// it leaves there when it is shut down keeps its goroutine, which lasts no longer than the process is about to.
func (n *Node) wait(ctx context.Context, future raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- future.Error() }()
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

// Close hands leadership over if somebody can take it, ends Raft and closes the files. It may be called twice.
func (n *Node) Close() error {
	n.once.Do(func() {
		if n.raft != nil && n.IsLeader() && len(n.Pods()) > 1 {
			// Without a taker the others elect one of their own after the election timeout.
			if err := n.raft.LeadershipTransfer().Error(); err != nil {
				n.logger.Info("no pod took leadership over", "error", err)
			}
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
