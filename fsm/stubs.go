package fsm

import "errors"

type txn struct{}

// FSM is the replicated state machine over one bbolt file. Reads are safe for concurrent use.
type FSM struct{}

var errStub = errors.New("not yet")

// View returns the latest published view.
func (f *FSM) View() *View { return nil }

// Task returns one task, or ErrNotFound.
func (f *FSM) Task(uid uint32) (*Task, error) { return nil, errStub }

// Tasks returns one page of the tasks that match.
func (f *FSM) Tasks(filter TaskFilter, page TaskPage) (TaskList, error) { return TaskList{}, errStub }

// Batches returns one page of the batches that have a matching task; page.From is a batch uid.
func (f *FSM) Batches(filter TaskFilter, page TaskPage) (BatchList, error) {
	return BatchList{}, errStub
}

// OpenTasks returns the unfinished tasks, oldest first.
func (f *FSM) OpenTasks() ([]*Task, error) { return nil, errStub }

// OpenIntents returns the open intents, oldest first.
func (f *FSM) OpenIntents() ([]*Intent, error) { return nil, errStub }

// Intent returns one open intent, or ErrNotFound.
func (f *FSM) Intent(id WriteID) (*Intent, error) { return nil, errStub }

func (ix *Index) nodesWhere(f func(Replica) bool) []NodeID { return nil }
func (r Replica) in(states []ReplicaState) bool            { return false }

func (Bootstrap) apply(*txn) (any, error)       { return nil, errStub }
func (SetConfig) apply(*txn) (any, error)       { return nil, errStub }
func (AddNode) apply(*txn) (any, error)         { return nil, errStub }
func (SetNodeState) apply(*txn) (any, error)    { return nil, errStub }
func (RemoveNode) apply(*txn) (any, error)      { return nil, errStub }
func (MarkNodeStale) apply(*txn) (any, error)   { return nil, errStub }
func (RecordNodeTask) apply(*txn) (any, error)  { return nil, errStub }
func (AddGroup) apply(*txn) (any, error)        { return nil, errStub }
func (SetGroupState) apply(*txn) (any, error)   { return nil, errStub }
func (RemoveGroup) apply(*txn) (any, error)     { return nil, errStub }
func (ForgetLeftover) apply(*txn) (any, error)  { return nil, errStub }
func (SetSpread) apply(*txn) (any, error)       { return nil, errStub }
func (ExpandIndex) apply(*txn) (any, error)     { return nil, errStub }
func (MarkReplicas) apply(*txn) (any, error)    { return nil, errStub }
func (ActivateReplica) apply(*txn) (any, error) { return nil, errStub }
func (StartTasks) apply(*txn) (any, error)      { return nil, errStub }
func (FinishTask) apply(*txn) (any, error)      { return nil, errStub }
func (CancelTasks) apply(*txn) (any, error)     { return nil, errStub }
func (DeleteTasks) apply(*txn) (any, error)     { return nil, errStub }
func (BeginWrite) apply(*txn) (any, error)      { return nil, errStub }
func (EndWrite) apply(*txn) (any, error)        { return nil, errStub }
func (PutKey) apply(*txn) (any, error)          { return nil, errStub }
func (DeleteKey) apply(*txn) (any, error)       { return nil, errStub }
func (SetFeatures) apply(*txn) (any, error)     { return nil, errStub }
