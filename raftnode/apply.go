package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
)

// Apply commits cmd and returns its typed result once this pod has applied it; where this pod does not lead, the command
// travels to the leader. Errors: *fsm.Error when the state machine refuses it, ErrNotLeader, ErrNoLeader, ErrUnknown,
// ctx's. After ErrUnknown and ctx's error the command may have been applied.
func (n *Node) Apply(ctx context.Context, cmd fsm.Command) (any, error) {
	if err := n.checkProposal(cmd); err != nil {
		return nil, err
	}
	entry, err := fsm.Encode(cmd)
	if err != nil {
		return nil, err
	}
	if n.IsLeader() {
		answer, err := n.applyHere(ctx, entry)
		if !errors.Is(err, ErrNotLeader) || n.peers == nil {
			return answer, err
		}
	}
	select {
	case <-n.closed:
		return nil, fmt.Errorf("%w: this pod is closed", ErrUnknown)
	default:
	}
	var done applied
	if err := n.askLeader(ctx, "apply", entry, &done); err != nil {
		return nil, err
	}
	if err := n.fsm.WaitApplied(ctx, done.Index); err != nil {
		return nil, err
	}
	return fsm.DecodeResult(cmd, done.Result)
}

// applyHere commits an encoded command on this pod, which must lead.
func (n *Node) applyHere(ctx context.Context, entry []byte) (any, error) {
	defer n.meter.commit.UpdateDuration(time.Now())
	var future raft.ApplyFuture
	err := n.wait(ctx, func() raft.Future {
		future = n.raft.Apply(entry, 0)
		return future
	})
	if err != nil {
		return nil, err
	}
	if refused, ok := future.Response().(error); ok {
		return nil, refused
	}
	return future.Response(), nil
}

// applied is what the leader answers for a command.
type applied struct {
	Index  uint64          `json:"index"` // of a view that has it
	Result json.RawMessage `json:"result"`
}

func (n *Node) answerApply(w http.ResponseWriter, r *http.Request) error {
	entry, err := io.ReadAll(io.LimitReader(r.Body, maxAnswerBytes))
	if err != nil {
		return err
	}
	// An entry that cannot be understood would stop every pod once it is in the log.
	cmd, err := fsm.Decode(entry)
	if err != nil {
		return fmt.Errorf("a pod sent a command that this one does not know: %w", err)
	}
	if err := n.checkProposal(cmd); err != nil {
		return err
	}
	result, err := n.applyHere(r.Context(), entry)
	if err != nil {
		return err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return writeAnswer(w, applied{n.View().AppliedIndex, text})
}

// Synced returns once this pod's view holds everything that was committed, and told to anybody, when the call began.
// Questions that come while one is on its way share the next one. Errors: ErrNoLeader, ErrNotLeader without a pod port,
// ctx's.
func (n *Node) Synced(ctx context.Context) error {
	index, err := n.index.get(ctx, n)
	if err != nil {
		return err
	}
	return n.fsm.WaitApplied(ctx, index)
}

// WaitApplied returns once this pod's view is at an index.
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	return n.fsm.WaitApplied(ctx, index)
}

// readIndex batches questions for the index that the leader's state is at. Its zero value is ready.
type readIndex struct {
	mu      sync.Mutex
	next    *question // guarded by mu: asked when the running one is answered
	running bool      // guarded by mu
}

type question struct {
	answered chan struct{}
	index    uint64
	err      error
}

func (ri *readIndex) get(ctx context.Context, n *Node) (uint64, error) {
	ri.mu.Lock()
	if ri.next == nil {
		ri.next = &question{answered: make(chan struct{})}
	}
	q := ri.next
	if !ri.running {
		ri.running = n.spawn(func(ctx context.Context) { ri.run(ctx, n) })
	}
	running := ri.running
	ri.mu.Unlock()
	if !running {
		return 0, ErrNoLeader // closed
	}
	select {
	case <-q.answered:
		return q.index, q.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run asks until nobody waits.
func (ri *readIndex) run(ctx context.Context, n *Node) {
	for {
		ri.mu.Lock()
		q := ri.next
		ri.next = nil
		if q == nil {
			ri.running = false
		}
		ri.mu.Unlock()
		if q == nil {
			return
		}
		q.index, q.err = n.leaderIndex(ctx)
		close(q.answered)
	}
}

// leaderIndex is the index of everything that anybody was told so far.
func (n *Node) leaderIndex(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, n.options.ReadLease)
	defer cancel()
	if n.IsLeader() {
		return n.verifiedIndex(ctx)
	}
	var at applied
	err := n.askLeader(ctx, "index", struct{}{}, &at)
	return at.Index, err
}

// verifiedIndex is leaderIndex on the leader: what it has applied, once a majority confirms that it still leads. It must
// have applied what its predecessors committed, which opens its leases.
func (n *Node) verifiedIndex(ctx context.Context) (uint64, error) {
	if !n.leases.open(n.raft.CurrentTerm()) {
		return 0, ErrNoLeader
	}
	index := n.View().AppliedIndex
	return index, n.verify(ctx)
}

func (n *Node) answerIndex(w http.ResponseWriter, r *http.Request) error {
	index, err := n.verifiedIndex(r.Context())
	if err != nil {
		return err
	}
	return writeAnswer(w, applied{Index: index})
}
