package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// settler decides writes whose coordinator is gone: it asks the nodes. What carries documents is found by its write
// id or did not happen. Everything else is sent again from the intent, which does no harm twice.
type settler struct {
	opts    Options
	settled func()        // called after each decision
	timeout time.Duration // of one question
	// accepted and refused count what was decided.
	accepted, refused *metrics.Counter

	mu     sync.Mutex
	silent map[fsm.NodeID]bool // guarded by mu: they did not answer in time during this look, and are not asked again
	// heard is since when nodes have answered every question; guarded by mu.
	heard map[fsm.NodeID]time.Time

	// compare has replicas compared; doubts are those that are to be once it can.
	compare func(tasks.AuditRequest) (string, error)
	doubts  []tasks.AuditRequest
}

func newSettler(o Options, settled func(), timeout time.Duration) *settler {
	count := func(outcome string) *metrics.Counter {
		return o.Metrics.GetOrCreateCounter(fmt.Sprintf("miroir_intents_resolved_total{outcome=%q}", outcome))
	}
	return &settler{
		opts: o, settled: settled, timeout: timeout, heard: map[fsm.NodeID]time.Time{},
		accepted: count("accepted"), refused: count("refused"),
	}
}

const (
	// askTimeout bounds one question to a node.
	askTimeout = 5 * time.Second
	// firstAskTimeout bounds one of a new leader, whose writes all wait for the answers.
	firstAskTimeout = time.Second
)

// lateArrival is how long a node may take, once it answers, to enqueue what it has in its hands. One that hung or was cut off
// gets the last leader's requests at the same time as the questions of the next: that it does not have a write counts only
// when it says so that much after its first answer.
const lateArrival = 500 * time.Millisecond

var errUnconfirmed = errors.New("the node does not have the write, and is asked once more")

// clockSkew is how far a node's clock may be behind ours when its tasks are compared with our times.
const clockSkew = time.Hour

// settleInterval is how often undecided writes are looked at again.
const settleInterval = time.Second

// keep looks again at writes nobody could decide, until ctx ends. It costs nothing while there are none.
func (s *settler) keep(ctx context.Context) {
	s.timeout = askTimeout
	for sleep(ctx, settleInterval) {
		if s.opts.Cluster.View().NumOpenIntents > 0 {
			s.run(ctx)
		}
		s.compareDoubts()
	}
}

// begin decides the writes that the last leader left open, as far as nodes can be asked.
func (s *settler) begin(ctx context.Context) {
	for deadline := time.Now().Add(2 * lateArrival); s.run(ctx) && time.Now().Before(deadline) && sleep(ctx, lateArrival/5); {
	}
}

// run looks once at every open intent, oldest first: the order in which nodes must have the writes of an index. An
// index with an undecided write keeps its later ones open too. It reports whether some need only be asked for once more.
func (s *settler) run(ctx context.Context) (unconfirmed bool) {
	intents, err := s.opts.Cluster.Tasks().OpenIntents()
	if err != nil {
		s.opts.Logger.Error("open intents not read", "error", err)
		return false
	}
	s.silent = map[fsm.NodeID]bool{}
	undecided := map[fsm.IndexID]bool{}
	for i, intent := range intents {
		if ctx.Err() != nil || s.opts.Coordinator.WriteInFlight(intent.WriteID) || undecided[intent.Index] {
			continue
		}
		err := s.settle(ctx, intent, intents[i+1:])
		switch {
		case errors.Is(err, fsm.ErrNotFound): // decided meanwhile
		case errors.Is(err, errUnconfirmed):
			undecided[intent.Index], unconfirmed = true, true
		case err != nil:
			undecided[intent.Index] = true
			s.opts.Logger.Warn("write not decided", "write_id", intent.WriteID, "task_uid", intent.TaskUID, "error", err)
		default:
			s.opts.Logger.Info("write decided", "write_id", intent.WriteID, "task_uid", intent.TaskUID)
			s.settled()
		}
	}
	return unconfirmed
}

// settle asks every target and commits what they say. later are the open intents after it.
func (s *settler) settle(ctx context.Context, intent *fsm.Intent, later []*fsm.Intent) error {
	view := s.opts.Cluster.View()
	end := fsm.EndWrite{WriteID: intent.WriteID}
	if ix := view.Indexes[intent.Index]; ix != nil {
		end.Acks = s.askAll(ctx, view, ix, intent)
		if slices.ContainsFunc(end.Acks, func(a fsm.Ack) bool { return a.Err == errUnconfirmed.Error() }) {
			return errUnconfirmed
		}
		if err := s.spare(ctx, view, ix, answered{intent, end.Acks}, later); err != nil {
			return err
		}
	}
	end.Now = s.opts.Now()
	ended, err := fsm.Do(ctx, s.opts.Cluster, end)
	switch {
	case err != nil:
		return err
	case ended.Accepted:
		s.accepted.Inc()
	default:
		s.refused.Inc()
		if tasks.InDoubt(end.Acks) && len(s.doubts) < maxQueued {
			s.doubts = append(s.doubts, tasks.AuditRequest{Index: intent.Index, Shards: intent.Shards})
		}
	}
	return nil
}

// compareDoubts has the copies compared of shards in which refused writes happened: nobody follows the tasks of these.
func (s *settler) compareDoubts() {
	for len(s.doubts) > 0 {
		_, err := s.compare(s.doubts[0])
		if errors.Is(err, ErrNotLeading) {
			return // the auditor is not there yet
		}
		if err != nil {
			s.opts.Logger.Warn("index not compared after a refused write", "index_id", s.doubts[0].Index, "error", err)
		}
		s.doubts = s.doubts[1:]
	}
}

// spare refuses to put a node out of sync that cannot be asked and may be the only one that has a later write: clients may
// have read that there, and what was read must not vanish. A node that can be asked about both has them in their order.
func (s *settler) spare(ctx context.Context, view *fsm.View, ix *fsm.Index, first answered, later []*fsm.Intent) error {
	if !slices.ContainsFunc(first.acks, func(a fsm.Ack) bool { return !acknowledged(a) }) {
		return nil
	}
	for _, intent := range later {
		if intent.Index != ix.ID || !isDocumentWrite(intent) || s.opts.Coordinator.WriteInFlight(intent.WriteID) {
			continue
		}
		second := answered{intent, s.askAll(ctx, view, ix, intent)}
		if node, shard, alone := soleHolder(ix, first, second); alone {
			return fmt.Errorf("node %s cannot be asked and may be the only one that has task %d in shard %d", node, intent.TaskUID, shard)
		}
	}
	return nil
}

// answered is an open write and what its targets say of it.
type answered struct {
	*fsm.Intent
	acks []fsm.Ack
}

// of is what a node says; one that was not to get the write does not have it.
func (a answered) of(node fsm.NodeID) fsm.Ack {
	if i := slices.IndexFunc(a.acks, func(ack fsm.Ack) bool { return ack.Node == node }); i >= 0 {
		return a.acks[i]
	}
	return fsm.Ack{Node: node, Err: errNotThere.Error()}
}

// soleHolder finds a replica that the first of two writes puts out of sync, while it may be the only one in sync that has the
// second, and cannot be asked.
func soleHolder(ix *fsm.Index, first, second answered) (fsm.NodeID, fsm.ShardID, bool) {
	inFirst := ix.Slots(first.Shards)
	for _, slot := range ix.Slots(second.Shards) {
		if !slices.Contains(inFirst, slot) {
			continue
		}
		var holder fsm.NodeID
		safe := false
		for group := range ix.Placement {
			for _, r := range ix.Replicas(group, fsm.ShardID(slot)) {
				one, two := first.of(r.Node), second.of(r.Node)
				switch {
				case r.State != fsm.Active:
				case acknowledged(one):
					safe = safe || acknowledged(two)
				case two.Unknown || one.Unknown && acknowledged(two):
					holder = r.Node
				}
			}
		}
		if holder != "" && !safe {
			return holder, fsm.ShardID(slot), true
		}
	}
	return "", 0, false
}

func acknowledged(a fsm.Ack) bool { return a.Err == "" && !a.Unknown }

// askAll asks every target of an intent; answers[i] is that of its target i.
func (s *settler) askAll(ctx context.Context, view *fsm.View, ix *fsm.Index, intent *fsm.Intent) (answers []fsm.Ack) {
	answers = make([]fsm.Ack, len(intent.Targets))
	var asking sync.WaitGroup
	for i, target := range intent.Targets {
		asking.Go(func() { answers[i] = s.ask(ctx, view, ix, intent, target) })
	}
	asking.Wait()
	return answers
}

// errNotThere says that a node surely does not have the write.
var errNotThere = errors.New("the node does not have the write")

func (s *settler) ask(ctx context.Context, view *fsm.View, ix *fsm.Index, intent *fsm.Intent, target fsm.Target) fsm.Ack {
	ack := fsm.Ack{Node: target.Node}
	client := s.opts.Nodes.Client(view, target.Node)
	if client == nil {
		ack.Err = "the node is not known any more"
		return ack
	}
	if s.isSilent(target.Node) {
		ack.Err, ack.Unknown = "the node did not answer in time a moment ago", true
		return ack
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	asked := time.Now()
	uid, err := s.find(ctx, client, ix, intent, target)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.noteSilent(target.Node)
	}
	var refused *meili.Error
	answered := err == nil || errors.Is(err, errNotThere) || errors.As(err, &refused)
	if since := s.hear(target.Node, answered); errors.Is(err, errNotThere) && isDocumentWrite(intent) && asked.Before(since.Add(lateArrival)) {
		err, answered = errUnconfirmed, false
	}
	ack.NodeTaskUID = uid
	if err != nil {
		ack.Err, ack.Unknown = err.Error(), !answered
	}
	return ack
}

// hear notes whether a node has answered, and returns since when it does.
func (s *settler) hear(id fsm.NodeID, answered bool) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, before := s.heard[id]; !answered {
		delete(s.heard, id)
	} else if !before {
		s.heard[id] = time.Now()
	}
	return s.heard[id]
}

func (s *settler) isSilent(id fsm.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent[id]
}

func (s *settler) noteSilent(id fsm.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[id] = true
}

// find returns the uid of the node task that has the write.
func (s *settler) find(ctx context.Context, client *node.Client, ix *fsm.Index, intent *fsm.Intent, target fsm.Target) (int64, error) {
	request, err := tasks.ReadRequest(intent.Request)
	if err != nil {
		return 0, err
	}
	if !carriesDocuments(intent, request, target) {
		uid, err := resend(ctx, client, request.NodeRequests(ix.NodeUID, intent.Created))
		if err == nil && !request.Delete && s.isDeleted(ix.ID) { // the node may have done that, and just have made the index anew
			_, err = resend(ctx, client, tasks.Request{Delete: true}.NodeRequests(ix.NodeUID, false))
		}
		return uid, err
	}
	task, err := client.FindWrite(ctx, ix.NodeUID, intent.WriteID, intent.BeganAt.Add(-clockSkew))
	if err != nil {
		return 0, err
	}
	if task == nil {
		return 0, errNotThere
	}
	return int64(task.UID), nil
}

// isDeleted reports that a deletion of the index was accepted: it comes after all writes to the index that are still open.
func (s *settler) isDeleted(index fsm.IndexID) bool {
	ix := s.opts.Cluster.View().Indexes[index]
	if ix == nil || !ix.Deleting {
		return false
	}
	open, err := s.opts.Cluster.Tasks().OpenIntents()
	return err == nil && !slices.ContainsFunc(open, func(in *fsm.Intent) bool {
		return in.Index == index && in.Kind == string(meili.TaskIndexDeletion)
	})
}

// carriesDocuments tells whether the target was to be sent a request with the write id.
func carriesDocuments(intent *fsm.Intent, request tasks.Request, target fsm.Target) bool {
	if !isDocumentWrite(intent) {
		return false
	}
	if !intent.Created {
		return true
	}
	return len(request.Shards) > 0 &&
		(target.Shards == nil || slices.ContainsFunc(target.Shards, func(s fsm.ShardID) bool { return slices.Contains(request.Shards, s) }))
}

func isDocumentWrite(intent *fsm.Intent) bool {
	switch meili.TaskKind(intent.Kind) {
	case meili.TaskDocumentAdditionOrUpdate, meili.TaskDocumentDeletion, meili.TaskDocumentEdition:
		return true
	}
	return false
}

// resend sends requests that do no harm twice, and returns the last one's node task.
func resend(ctx context.Context, client *node.Client, requests []node.Request) (int64, error) {
	uid := int64(-1)
	for _, request := range requests {
		response, err := client.Do(ctx, request)
		if err != nil {
			if node.OutcomeOf(err) == node.NotSent {
				// It was not sent now; whether the first sending arrived nobody knows.
				return 0, fmt.Errorf("the node cannot be asked: %s", err.Error())
			}
			return 0, err
		}
		if !response.OK() {
			return 0, refusal(response)
		}
		var summary struct {
			TaskUID int64 `json:"taskUid"`
		}
		if err := json.Unmarshal(response.Body, &summary); err != nil {
			return 0, err
		}
		uid = summary.TaskUID
	}
	if uid < 0 {
		return 0, errNotThere
	}
	return uid, nil
}

// refusal is the error a node answered with, a *meili.Error.
func refusal(response *node.Response) error {
	refused := &meili.Error{}
	if json.Unmarshal(response.Body, refused) != nil || refused.Code == "" {
		refused = meili.Errorf(meili.CodeInternal, "A node answered status %d: %.200s", response.Status, response.Body)
	}
	refused.Status = response.Status
	return refused
}
