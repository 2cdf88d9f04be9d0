// Package proxy is the coordinator: it answers Meilisearch's HTTP API (and Miroir's own, below /_miroir) out of
// the nodes that hold an index's shards. A read is authorize → plan → scatter → gather → merge over one immutable
// view; a write is check → intent → fan-out → result. The package holds no state of the cluster: that is fsm's,
// reached through the Cluster interface. What runs without a request lives in package workers.
package proxy

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/semaphore"

	"miroir/config"
	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// Cluster is what the coordinator needs of the replicated state; raftnode.Node implements it. Every method is safe
// for concurrent use.
type Cluster interface {
	// Apply commits a command and returns its result once this pod has applied it; use fsm.Do for a typed one.
	fsm.Applier
	// View returns the current picture of the replicated state. Load it once per request.
	View() *fsm.View
	// Tasks reads the tables that are on disk and not part of the view.
	Tasks() *fsm.FSM
	IsLeader() bool
	// LeaderID names the leading pod, "" when none is known. Pods lists all members.
	LeaderID() string
	Pods() []string
}

// Options configures a Server. The zero value of a field means the default named beside it.
type Options struct {
	// MasterKey of the client API. Empty leaves the API open, as Meilisearch does.
	MasterKey string
	// AdminKey for /_miroir. Empty: /_miroir answers loopback addresses only.
	AdminKey string
	// NodeKey is sent to nodes that were added without a key of their own.
	NodeKey string
	// NodeTransport reaches the nodes; nil means pooled TCP connections. Tests pass devnode's transport.
	NodeTransport http.RoundTripper
	// ModelNetworks are the internal networks in which language models of chats may be.
	ModelNetworks []netip.Prefix
	Logger        *slog.Logger
	Metrics       *metrics.Set
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	MaxBodyBytes    int64                  // 100 MiB (104,857,600 bytes): larger bodies answer 413
	BodyMemoryBytes int64                  // 1 MiB: what one request's body may hold in memory, the rest is spooled to TempDir
	TempDir         string                 // os.TempDir()
	volume          func() (volume, error) // what TempDir is on, asked of the operating system
	DumpDir         string                 // dumps, below TempDir: where the leader writes dumps
	SearchTimeout   time.Duration          // 5 s: one node's answer to one read
	WriteTimeout    time.Duration          // 30 s: one node's answer to one sub-write
	MaxNodeQueue    int                    // 1000 sub-writes waiting per node and index
	MaxRequests     int                    // 500 requests served at once
	MaxQueued       int                    // 1000 requests waiting for their turn
	RequestTimeout  time.Duration          // 30 s: how long one may wait for its turn, for its client to go on, and a read for the nodes

	LeavingGrace      time.Duration // tasks.LeavingGrace; the workers wait as long (workers.Repair)
	ReadyCoverageWait time.Duration // 60 s: how long uncovered shards hold readiness back after the start

	// OnWriteStep, when set, is called at every step of a write; tests end the pod there. It must be safe for concurrent use.
	OnWriteStep func(WriteStep, fsm.NodeID)

	// Config is what /_miroir/config shows and changes; nil: defaults.
	Config      *config.Config
	MemoryLimit uint64 // of this process, in bytes; 0: none
	// MaxIndexLabels is how many indexes metrics name (200); the rest share one name.
	MaxIndexLabels int
	// SlowQuery is what a search may take without being logged as a warning; 0: any time.
	SlowQuery time.Duration
	// AdminOnMetricsPortOnly takes /_miroir off the client port, save what pages and probes need.
	AdminOnMetricsPortOnly bool
	NoAdmin                bool // it is nowhere

	// SearchPage switches /ui/search and its token endpoint on.
	SearchPage bool
	// UI serves /ui/*; nil leaves those paths unknown.
	UI http.Handler

	Version, Commit, CommitDate string
}

func (o Options) withDefaults() Options {
	setDefault(&o.Logger, slog.Default())
	setDefault(&o.MaxBodyBytes, 100<<20)
	setDefault(&o.BodyMemoryBytes, 1<<20)
	setDefault(&o.SearchTimeout, 5*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.MaxNodeQueue, 1000)
	setDefault(&o.MaxRequests, 500)
	setDefault(&o.MaxQueued, 1000)
	setDefault(&o.RequestTimeout, 30*time.Second)
	setDefault(&o.ReadyCoverageWait, time.Minute)
	setDefault(&o.LeavingGrace, tasks.LeavingGrace)
	setDefault(&o.MaxIndexLabels, 200)
	setDefault(&o.Version, "dev")
	setDefault(&o.DumpDir, filepath.Join(cmp.Or(o.TempDir, os.TempDir()), "dumps"))
	if o.volume == nil {
		o.volume = func() (volume, error) { return volumeOf(cmp.Or(o.TempDir, os.TempDir())) }
	}
	if o.Config == nil {
		o.Config = config.Default()
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is the coordinator of one pod. It is an http.Handler for the client port.
type Server struct {
	opts         Options
	cluster      Cluster
	peers        Peers // nil for a pod alone
	nodes        *node.Set
	selector     selector
	hedger       hedger
	meter        readMeter
	writes       writeMeter
	sessionMeter func() *sessionMeter
	log          *slog.Logger
	router       http.Handler
	limit        *limiter
	bodies       *bodyRoom
	keys         atomic.Pointer[viewKeys]
	writer       *writer
	// repairing is what ShowRepairs was given.
	repairing atomic.Pointer[func() []tasks.Repair]
	auditor   atomic.Pointer[Auditor] // what ShowAudits was given
	jobs      chan struct{}           // signalled when a job has been enqueued
	// features is held while nodes are told of experimental features, so that the last word is the last committed.
	features  *semaphore.Weighted
	rules     ruleSync
	ruleBooks ruleBooks  // what merging knows of the rules
	network   sync.Mutex // held while the network is changed, so that no change is lost
	// chats is held while a chat workspace's settings are changed, so that no change is lost.
	chats  sync.Mutex
	models *http.Client // language models of chats
	series sync.Map     // served → *servedSeries
	// configuring is held from reading the committed configuration until the one made of it is committed.
	configuring sync.Mutex
	fields      knownFields
	// probing is held from looking at a server until it is a node, so that it cannot become two.
	probing  *semaphore.Weighted
	handler  http.Handler
	started  time.Time
	draining atomic.Bool // by Drain
	wasReady atomic.Bool // this pod has once been ready
}

// New builds a Server. It starts nothing but what a first request starts; call Close when done.
func New(opts Options, cluster Cluster) (*Server, error) {
	if cluster == nil {
		return nil, errors.New("proxy: a cluster is required")
	}
	opts = opts.withDefaults()
	s := &Server{
		opts:    opts,
		cluster: cluster,
		nodes:   node.NewSet(opts.NodeKey, opts.NodeTransport, opts.Metrics),
		models:  &http.Client{Transport: modelTransport(opts.ModelNetworks)},
		log:     opts.Logger,
		jobs:    make(chan struct{}, 1),

		features: semaphore.NewWeighted(1), probing: semaphore.NewWeighted(1),
		limit:   newLimiter(opts.MaxRequests, opts.MaxQueued, opts.RequestTimeout),
		bodies:  newBodyRoom(opts.BodyMemoryBytes, opts.MaxBodyBytes),
		started: opts.Now(),
	}
	s.peers, _ = cluster.(Peers)
	s.selector.nodes, s.selector.metrics = s.nodes, opts.Metrics
	s.hedger.meter = sync.OnceValue(func() *hedgeMeter { return newHedgeMeter(opts.Metrics) })
	s.meter, s.writes = newReadMeter(opts.Metrics), newWriteMeter(opts.Metrics)
	s.showPressure(opts.Metrics)
	s.sessionMeter = sync.OnceValue(func() *sessionMeter { return newSessionMeter(opts.Metrics, cluster) })
	s.writer = newWriter(s)
	s.rules.server = s
	s.router = s.routes()
	s.handler = s.middleware(s.router)
	return s, nil
}

// ServeHTTP answers one client request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dropPodHeaders(r.Header)
	s.handler.ServeHTTP(w, r)
}

// Nodes returns the clients of all nodes; the workers share them with the coordinator.
func (s *Server) Nodes() *node.Set { return s.nodes }

// Close stops the write queues and closes idle connections. Requests must have ended before.
func (s *Server) Close() error {
	err := s.writer.Close()
	s.nodes.Close()
	return err
}
