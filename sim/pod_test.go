package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy"
	"miroir/raftnode"
	"miroir/workers"
)

const masterKey = "simulation"

// pod is one place where a Miroir process runs. Its files outlive the process.
type pod struct {
	w   *world
	id  string
	dir string
	log *raft.InmemStore

	clock      func() time.Time
	restarting chan struct{} // holds a token meanwhile

	mu      sync.Mutex
	process *process // guarded by mu: the last one; nil before the first
	doomed  *doom    // guarded by mu
}

// doom is when a process is to die.
type doom struct {
	steps  int  // commits and requests to nodes until then
	before bool // before that step, else after it
}

// process is one life of a pod. Once dead is closed nothing it does has any effect, and what it answers is not heard.
type process struct {
	pod     *pod
	dead    chan struct{}
	die     sync.Once
	raft    *raftnode.Node
	server  *proxy.Server
	workers *workers.Workers
	running sync.WaitGroup // requests and commits
	buried  bool           // by the one fault that kills the pod, or at the end
}

var errDead = errors.New("the process is dead")

// start runs a process until it is killed.
func (p *pod) start() error {
	options := raftnode.Options{DataDir: p.dir, NodeID: p.id, LogStore: p.log, StableStore: p.log, Logger: p.w.logger, ClusterSecret: "secret"}
	options.Network = p.w.network.Pod(address(p.id))
	if n := len(p.w.pods); n == 1 {
		options.Bootstrap = true
	} else {
		options.BootstrapExpect = n
		for _, other := range p.w.pods {
			options.Join = append(options.Join, address(other.id))
		}
	}
	node, err := raftnode.Open(options)
	if err != nil {
		return err
	}
	run := &process{pod: p, dead: make(chan struct{}), raft: node}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run.join(ctx); err != nil {
		return errors.Join(err, node.Close())
	}
	run.server, err = proxy.New(proxy.Options{
		MasterKey: masterKey, NodeKey: masterKey, NodeTransport: run, Logger: p.w.logger, TempDir: p.dir,
		WriteTimeout: 5 * time.Second, SearchTimeout: 2 * time.Second, Now: p.clock,
	}, run)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	node.Serve(run.server.ForwardedHandler())
	for _, n := range node.View().Nodes {
		_ = run.server.PrepareNode(ctx, n) // one that cannot be reached is prepared when it returns
	}
	run.workers, err = workers.Start(context.Background(), workers.Options{
		Cluster: run, Nodes: run.server.Nodes(), Coordinator: run.server, Logger: p.w.logger,
		HealthInterval: time.Second, HealthTimeout: 500 * time.Millisecond, Now: p.clock, AntiEntropy: &workers.AntiEntropy{}, Drift: workers.Drift{Interval: p.w.history.drift},
		Repair: &workers.Repair{PageSize: 3, BackoffMax: 5 * time.Second, RequestTimeout: 5 * time.Second},
	})
	if err != nil {
		return errors.Join(err, node.Close())
	}
	run.server.ShowRepairs(run.workers.Repairs)
	run.server.ShowAudits(run.workers)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = run
	return nil
}

// join waits until the pod is part of a cluster that has its first contents.
func (r *process) join(ctx context.Context) error {
	if err := r.raft.WaitLeader(ctx); err != nil {
		return err
	}
	for r.raft.View().ClusterID == "" {
		if r.raft.IsLeader() {
			if _, err := fsm.Do(ctx, r.raft, r.w().bootstrap()); err != nil && !errors.Is(err, fsm.ErrExists) {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// current is the process that runs, nil for none.
func (p *pod) current() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

// kill ends a process at once. What it has begun on its own side is waited for afterwards, without effect.
func (r *process) kill() {
	r.die.Do(func() {
		close(r.dead)
		r.w().isolate(r.pod, 1)
	})
}

func (r *process) isDead() bool {
	select {
	case <-r.dead:
		return true
	default:
		return false
	}
}

// bury frees what a dead process held.
func (r *process) bury() error {
	r.kill()
	if r.buried {
		return nil
	}
	r.buried = true
	err := r.workers.Close()
	err = errors.Join(err, r.server.Close())
	r.running.Wait()
	err = errors.Join(err, r.raft.Close())
	r.w().note(r.View())
	r.w().isolate(r.pod, -1)
	return err
}

// restart buries a process and starts another one, unless that has been done.
func (p *pod) restart(old *process) error {
	p.restarting <- struct{}{}
	defer func() { <-p.restarting }()
	if p.current() != old {
		return nil
	}
	if err := old.bury(); err != nil {
		return err
	}
	p.mu.Lock()
	p.doomed = nil
	p.mu.Unlock()
	return p.start()
}

// doom lets the process die at a later step.
func (p *pod) doom(d doom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed = &d
}

// step counts a commit or a request to a node, and kills the process when its time has come. It returns what is to be called
// behind the step.
func (r *process) step() (after func()) {
	p := r.pod
	p.mu.Lock()
	d := p.doomed
	due := false
	if d != nil {
		due = d.steps == 0
		d.steps--
	}
	p.mu.Unlock()
	switch {
	case due && d.before:
		r.w().tracef("%s dies", p.id)
		r.kill()
	case due:
		return func() {
			r.w().tracef("%s dies", p.id)
			r.kill()
		}
	}
	return func() {}
}

func (r *process) w() *world { return r.pod.w }

// Apply commits a command unless the process is dead, before or after the commit.
func (r *process) Apply(ctx context.Context, cmd fsm.Command) (any, error) {
	after := r.step()
	if r.isDead() {
		return nil, errDead
	}
	r.running.Add(1)
	defer r.running.Done()
	answer, err := r.raft.Apply(ctx, cmd)
	r.w().note(r.View()) // also of a pod that is still starting: it commits what others pass to it
	after()
	if r.isDead() {
		return nil, errDead
	}
	return answer, err
}

// RoundTrip sends a request to a node unless the process is dead.
func (r *process) RoundTrip(request *http.Request) (*http.Response, error) {
	after := r.step()
	if r.isDead() || r.w().isUnlinked(r.pod.id, request.URL.Host) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	defer cancel(nil)
	go func() {
		select {
		case <-r.dead:
			cancel(errDead)
		case <-ctx.Done():
		}
	}()
	sent := request.Clone(ctx)
	sent.URL.Host = r.w().hostOf(request.URL.Host)
	response, err := r.w().nodes.RoundTrip(sent)
	r.trace(request, response, err)
	after()
	return response, err
}

// trace notes a request to a node when logs are wanted.
func (r *process) trace(request *http.Request, response *http.Response, err error) {
	if !*showLogs || request.URL.Path == "/health" {
		return
	}
	outcome := fmt.Sprint(err)
	if err == nil {
		outcome = fmt.Sprint(response.StatusCode)
	}
	r.w().tracef("      %s → %s %s %s: %s", r.pod.id, request.URL.Host, request.Method, request.URL.RequestURI(), outcome)
}

func (r *process) View() *fsm.View                   { return r.raft.View() }
func (r *process) Tasks() *fsm.FSM                   { return r.raft.Tasks() }
func (r *process) IsLeader() bool                    { return !r.isDead() && r.raft.IsLeader() }
func (r *process) LeaderID() string                  { return r.raft.LeaderID() }
func (r *process) Pods() []string                    { return r.raft.Pods() }
func (r *process) Barrier(ctx context.Context) error { return r.raft.Barrier(ctx) }

func (r *process) Synced(ctx context.Context) error                 { return r.raft.Synced(ctx) }
func (r *process) Fresh() bool                                      { return r.raft.Fresh() }
func (r *process) AwaitFresh(ctx context.Context) bool              { return r.raft.AwaitFresh(ctx) }
func (r *process) ToLeader(q *http.Request) (*http.Response, error) { return r.raft.ToLeader(q) }
func (r *process) WaitApplied(ctx context.Context, index uint64) error {
	return r.raft.WaitApplied(ctx, index)
}
func (r *process) WaitEverywhere(ctx context.Context, index uint64) error {
	return r.raft.WaitEverywhere(ctx, index)
}

// answer is what a client gets; status 0 means nothing.
type answer struct {
	status   int
	degraded string
	body     []byte
}

// call sends a client's request, in a session unless that is "". It is not heard once the process has died.
func (p *pod) call(method, path, body, session string) answer {
	run := p.current()
	if run == nil || run.isDead() {
		return answer{}
	}
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+masterKey)
	request.RemoteAddr = "127.0.0.1:1" // may manage
	if session != "" {
		request.Header.Set("X-Miroir-Session", session)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	recorder := httptest.NewRecorder()
	done := make(chan struct{})
	run.running.Add(1)
	go func() {
		defer run.running.Done()
		defer cancel()
		run.server.ServeHTTP(recorder, request.WithContext(ctx))
		close(done)
	}()
	select {
	case <-done:
	case <-run.dead:
		return answer{}
	}
	if run.isDead() {
		return answer{}
	}
	return answer{recorder.Code, recorder.Header().Get("X-Miroir-Degraded"), recorder.Body.Bytes()}
}

// bootstrap is the first command of the cluster.
func (w *world) bootstrap() fsm.Bootstrap {
	h := w.history
	boot := fsm.Bootstrap{Now: time.Now(), ClusterID: "simulation", Config: fsm.Config{
		Shards: h.shards, ReplicationFactor: h.rf, Spread: h.spread, SpreadThresholdDocuments: h.threshold, MinAcks: 1,
	}}
	for _, key := range meili.DefaultKeys(boot.Now, uuid.NewString) {
		boot.Keys = append(boot.Keys, proxy.KeyToState(&key))
	}
	for i, name := range w.names[:h.groups*h.perGroup] { // the spares are added by operators
		boot.Nodes = append(boot.Nodes, fsm.Node{ID: fsm.NodeID(name), Address: "http://" + name, Group: fsm.GroupID(i / h.perGroup), State: fsm.NodeActive, LastTaskUID: -1})
	}
	return boot
}

// address is where pods reach a pod.
func address(id string) string { return id + ":1" }

// scratch is a directory in memory where there is one.
func scratch() (string, error) {
	base := "/dev/shm"
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		base = ""
	}
	return os.MkdirTemp(base, "miroir-sim-")
}

func (w *world) newPod(number int) *pod {
	id := fmt.Sprintf("p%d", number)
	return &pod{w: w, id: id, dir: filepath.Join(w.dir, id), log: raft.NewInmemStore(), clock: clock(w.history.podClocks, number), restarting: make(chan struct{}, 1)}
}
