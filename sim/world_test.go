package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/raftnode"
)

// world is a history while it runs: pods, nodes, and what clients saw.
type world struct {
	history *history
	dir     string
	began   time.Time
	names   []string // of the nodes, group by group
	byName  map[string]*devnode.Node
	nodes   http.RoundTripper
	pods    []*pod
	network *raftnode.Memory // between pods
	logger  *slog.Logger

	mu       sync.Mutex
	trace    []string          // guarded by mu
	problems []string          // guarded by mu
	writes   []*write          // guarded by mu
	reads    []*read           // guarded by mu
	done     map[string]int64  // guarded by mu: by index, the newest task that a client saw succeed
	newest   *fsm.View         // guarded by mu: that any pod has had
	changed  int               // guarded by mu: topology operations that were accepted
	cuts     map[string]int    // guarded by mu: why a pod is cut off from the others, counted
	leads    map[string]string // guarded by mu: where the address of a node leads, if not to its server
	unlinked map[string]bool   // guarded by mu: pod and node that do not reach each other
	counts   map[string]int    // guarded by mu: faults that happened, requests they hit, and other things worth counting
	tampered map[string]int    // guarded by mu: by index, the line of the trace in which somebody wrote past Miroir
}

// write is an operation and what its client was told.
type write struct {
	*operation
	status int   // 0: nothing
	uid    int64 // of the task; -1 when the client does not know
}

func newWorld(h *history, log slog.Handler) (*world, error) {
	w := &world{history: h, began: time.Now(), byName: map[string]*devnode.Node{}, done: map[string]int64{}, newest: &fsm.View{},
		network: raftnode.NewMemory(), cuts: map[string]int{}, unlinked: map[string]bool{}, leads: map[string]string{}, counts: map[string]int{}, tampered: map[string]int{}}
	w.logger = slog.New(&podLog{w: w, next: log})
	var err error
	if w.dir, err = scratch(); err != nil {
		return nil, err
	}
	for i := range h.groups * h.perGroup {
		name := fmt.Sprintf("n%d-%d", i/h.perGroup, i%h.perGroup)
		w.names = append(w.names, name)
	}
	for i := range h.spares() {
		w.names = append(w.names, spareName(i))
	}
	for i, name := range w.names {
		w.byName[name] = devnode.New(devnode.Options{MasterKey: masterKey, Clock: clock(h.nodeClocks, i)})
		w.byName[name].Delay(w.lag(i))
	}
	w.nodes = devnode.Transport(w.byName)
	for i := range h.pods {
		w.pods = append(w.pods, w.newPod(i))
	}
	failures := make([]error, h.pods)
	var starting sync.WaitGroup
	for i, p := range w.pods {
		starting.Go(func() { failures[i] = p.start() })
	}
	starting.Wait()
	return w, errors.Join(failures...)
}

// clock is the clock of a pod or node.
func clock(ahead []time.Duration, i int) func() time.Time {
	if i >= len(ahead) {
		return time.Now
	}
	return func() time.Time { return time.Now().Add(ahead[i]) }
}

// count notes that something happened.
func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// isolate counts one reason more (or less, by -1) why a pod does not reach the others.
func (w *world) isolate(p *pod, by int) {
	w.mu.Lock()
	w.cuts[p.id] += by
	cuts := maps.Clone(w.cuts)
	w.mu.Unlock()
	for _, other := range w.pods {
		switch {
		case other == p:
		case cuts[p.id]+cuts[other.id] > 0:
			w.network.Cut(address(p.id), address(other.id))
		default:
			w.network.Heal(address(p.id), address(other.id))
		}
	}
}

// isUnlinked reports that a pod does not reach a node, which others may.
func (w *world) isUnlinked(pod, node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unlinked[pod+" "+node]
}

func (w *world) unlink(pod, node string, off bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlinked[pod+" "+node] = off
}

// close ends everything.
func (w *world) close() error {
	for _, p := range w.pods {
		if run := p.current(); run != nil {
			run.kill()
			if err := run.bury(); err != nil {
				return err
			}
		}
	}
	for _, n := range w.byName {
		n.Close()
	}
	return os.RemoveAll(w.dir)
}

// tracef notes what happened, with the time since the beginning.
func (w *world) tracef(format string, args ...any) {
	line := fmt.Sprintf("%8.3fs ", time.Since(w.began).Seconds()) + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, line)
}

// wrong notes that something must not be.
func (w *world) wrong(format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	w.tracef("WRONG %s", problem)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, problem)
}

// leader is the process that leads, nil when none does.
func (w *world) leader() *process {
	for _, p := range w.pods {
		if run := p.current(); run != nil && run.IsLeader() {
			return run
		}
	}
	return nil
}

// view is the newest view that any pod has or had.
func (w *world) view() *fsm.View {
	for _, p := range w.pods {
		if run := p.current(); run != nil {
			w.note(run.View())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest
}

func (w *world) note(view *fsm.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if view.AppliedIndex > w.newest.AppliedIndex {
		w.newest = view
	}
}

// run lets the history happen and checks what came of it.
func (w *world) run() {
	if !w.prepare() {
		return
	}
	var faults, clients sync.WaitGroup
	for i := range w.history.faults {
		f := &w.history.faults[i]
		faults.Go(func() { w.act(f, rand.New(rand.NewPCG(w.history.seed, 1000+uint64(i)))) })
	}
	for i := range w.history.writers {
		clients.Go(func() { w.writeAtRandom(i, rand.New(rand.NewPCG(w.history.seed, 1+uint64(i)))) })
	}
	stop, readers := make(chan struct{}), sync.WaitGroup{}
	for i := range w.history.readers {
		readers.Go(func() { w.readAtRandom(stop, rand.New(rand.NewPCG(w.history.seed, 100+uint64(i)))) })
	}
	faults.Go(w.changeTopology)
	clients.Wait()
	faults.Wait()
	w.tracef("faults are over")
	settled := w.settle()
	close(stop)
	readers.Wait()
	if settled {
		w.countSpread()
		w.check()
	}
}

// countSpread notes the indexes that have moved out by themselves.
func (w *world) countSpread() {
	for _, ix := range w.view().Indexes {
		if ix.Spread == fsm.SpreadAuto && !ix.Whole() {
			w.count("indexes that outgrew their nodes")
		}
	}
}

// prepare gives every index its settings before anything goes wrong.
func (w *world) prepare() bool {
	if got := w.pods[0].call(http.MethodPatch, "/experimental-features", `{"editDocumentsByFunction":true}`, ""); got.status != http.StatusOK {
		w.wrong("features are not switched on: status %d %s", got.status, got.body)
		return false
	}
	for i, name := range w.history.indexes {
		op := &operation{marker: fmt.Sprintf("init-%d", i), kind: opSettings, index: name, stopWord: "x"}
		if done := w.send(w.pods[0], op); done.status != http.StatusAccepted || !w.await(w.pods[0], done) {
			w.wrong("%s is not prepared: status %d", name, done.status)
			return false
		}
	}
	return true
}

// patience is how long all may take to be well again.
const patience = 5 * time.Minute

// growthPatience is how long all is well before no index is about to move out any more, and all settings were read back.
const growthPatience = 15 * time.Second

// settle waits until nothing is left to be done.
func (w *world) settle() bool {
	for _, p := range w.pods {
		if run := p.current(); run.isDead() {
			if err := p.restart(run); err != nil {
				w.wrong("%s does not start: %v", p.id, err)
				return false
			}
		} else {
			p.mu.Lock()
			p.doomed = nil
			p.mu.Unlock()
		}
	}
	deadline := time.Now().Add(patience)
	if !w.compareCopies(deadline) {
		return false
	}
	for quiet := time.Now(); ; {
		w.finishOperations()
		left := w.unsettled()
		if left != "" {
			quiet = time.Now()
		} else if w.history.threshold == 0 && w.history.drift == 0 || time.Since(quiet) > growthPatience {
			return true
		}
		if time.Now().After(deadline) {
			w.wrong("not settled after %v: %s", patience, left)
			return false
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// unsettled says what is still to be done, "" for nothing.
func (w *world) unsettled() string {
	if w.leader() == nil {
		return "no leader"
	}
	view := w.view()
	for _, p := range w.pods {
		if run := p.current(); !run.Fresh() || run.View().AppliedIndex < view.AppliedIndex {
			return p.id + " is behind"
		}
	}
	switch {
	case view.NumOpenIntents > 0:
		return fmt.Sprintf("%d open intents", view.NumOpenIntents)
	case view.NumOpenTasks > 0:
		return fmt.Sprintf("%d open tasks", view.NumOpenTasks)
	case len(view.Leftovers) > 0:
		return fmt.Sprintf("left-over indexes %v", view.Leftovers)
	}
	for _, n := range view.Nodes {
		if n.State != fsm.NodeActive && n.State != fsm.NodeDrained {
			return fmt.Sprintf("node %s is %s; jobs %+v, rebalance %s%s", n.ID, n.State, view.Jobs, view.Rebalance, placements(view))
		}
	}
	for i := range view.Jobs {
		if view.Jobs[i].State == fsm.JobRunning {
			return fmt.Sprintf("job %+v", view.Jobs[i])
		}
	}
	for _, ix := range view.Indexes {
		for _, slots := range ix.Placement {
			for shard, replicas := range slots {
				for _, r := range replicas {
					if r.State != fsm.Active {
						return fmt.Sprintf("shard %d of %s on %s is %s; %+v", shard, ix.NodeUID, r.Node, r.State, w.leader().workers.Repairs())
					}
				}
			}
		}
	}
	if moves := view.Planner(time.Now()).Plan(nil); w.history.threshold > 0 && moves.NumSteps > 0 {
		return fmt.Sprintf("%d moves%s", moves.NumSteps, placements(view))
	}
	return ""
}

// placements tells where the replicas of all indexes are.
func placements(view *fsm.View) string {
	var text strings.Builder
	for _, ix := range view.Indexes {
		fmt.Fprintf(&text, "; %s (spread %d) %v", ix.NodeUID, ix.Spread, ix.Placement)
	}
	return text.String()
}

// podLog takes what pods log into the trace.
type podLog struct {
	w    *world
	next slog.Handler // nil: nothing is logged
}

func (l *podLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next != nil && l.next.Enabled(ctx, level)
}

func (l *podLog) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.w.tracef("      %s", line)
	return nil
}

func (l *podLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *podLog) WithGroup(string) slog.Handler      { return l }
