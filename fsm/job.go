package fsm

import (
	"cmp"
	"slices"
	"time"
)

// JobType names an operation on the topology.
type JobType string

// The operations that run longer than the request that asked for them.
const (
	JobAddNode     JobType = "add_node"
	JobDrainNode   JobType = "drain_node"
	JobRemoveNode  JobType = "remove_node" // drained, then forgotten
	JobAddGroup    JobType = "add_group"
	JobReplication JobType = "replication_factor"
	JobSpread      JobType = "spread"
	JobRebalance   JobType = "rebalance"
)

// JobTypes are all of them.
var JobTypes = []JobType{JobAddNode, JobDrainNode, JobRemoveNode, JobAddGroup, JobReplication, JobSpread, JobRebalance}

// JobState is where a job stands.
type JobState string

// A job's life: running → one of the others.
const (
	JobRunning   JobState = "running"
	JobSucceeded JobState = "succeeded"
	JobFailed    JobState = "failed"
	JobCanceled  JobState = "canceled"
)

// Job is an operation that was accepted. What it does follows from the committed states of nodes, groups and replicas, so
// that a new leader goes on with it; the job itself says who asked for what, and what became of it.
type Job struct {
	ID        string    `json:"id"`
	Type      JobType   `json:"type"`
	State     JobState  `json:"state"`
	Node      NodeID    `json:"node,omitempty"`
	Group     *GroupID  `json:"group,omitempty"`
	Index     IndexID   `json:"index,omitempty"` // 0: all
	Total     int       `json:"total"`           // replicas that were to move when it was accepted
	Error     string    `json:"error,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// maxEndedJobs bounds the jobs that are kept after their end; the oldest are forgotten first.
const maxEndedJobs = 200

// concerns reports whether two jobs work on the same object, so that they must not run together.
func (j *Job) concerns(other *Job) bool {
	switch {
	case j.Node != "" || other.Node != "":
		return j.Node == other.Node
	case j.Group != nil || other.Group != nil:
		return j.Group != nil && other.Group != nil && *j.Group == *other.Group
	}
	return j.Type == other.Type && j.Index == other.Index
}

// StartJob notes a job that changes nothing else by itself.
type StartJob struct {
	Now time.Time `json:"now"`
	Job Job       `json:"job"`
}

// EndJob says what became of a running job. Error: CodeNotFound, CodeWrongState when it has ended already.
type EndJob struct {
	Now   time.Time `json:"now"`
	ID    string    `json:"id"`
	State JobState  `json:"state"`
	Error string    `json:"error,omitempty"`
}

// RebalanceState says whether replicas may move.
type RebalanceState string

// Moves go on by themselves unless an operator stops them. Repair of replicas that were in sync once is never stopped.
const (
	RebalanceOn       RebalanceState = ""
	RebalancePaused   RebalanceState = "paused"   // no move starts, those begun stop where they are
	RebalanceCanceled RebalanceState = "canceled" // those begun are taken back
)

// SetRebalance stops the moves or lets them go on.
type SetRebalance struct {
	State RebalanceState `json:"state"`
	Now   time.Time      `json:"now"`
	Job   *Job           `json:"job,omitempty"`
}

func (StartJob) Result() (r None)     { return }
func (EndJob) Result() (r None)       { return }
func (SetRebalance) Result() (r None) { return }

// Job returns the job with an id, nil if it is unknown.
func (v *View) Job(id string) *Job {
	for i := range v.Jobs {
		if v.Jobs[i].ID == id {
			return &v.Jobs[i]
		}
	}
	return nil
}

// JobOn returns the job that runs on the object of another one, nil if there is none.
func (v *View) JobOn(job *Job) *Job {
	for i := range v.Jobs {
		if v.Jobs[i].State == JobRunning && v.Jobs[i].concerns(job) {
			return &v.Jobs[i]
		}
	}
	return nil
}

func (c StartJob) apply(t *txn) (any, error) {
	if err := t.checkJob(&c.Job); err != nil {
		return nil, err
	}
	t.startJob(&c.Job, c.Now)
	return None{}, nil
}

func (c SetRebalance) apply(t *txn) (any, error) {
	if !slices.Contains([]RebalanceState{RebalanceOn, RebalancePaused, RebalanceCanceled}, c.State) {
		return nil, refuse(CodeInvalid, "%q is no state of the rebalancer", c.State)
	}
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	t.view.Rebalance = c.State
	t.put(bucketMeta, rowRebalance, c.State)
	t.startJob(c.Job, c.Now)
	return None{}, nil
}

// checkJob refuses a job while another runs on the same object. nil is no job.
func (t *txn) checkJob(job *Job) error {
	if job == nil {
		return nil
	}
	if job.ID == "" || job.Type == "" || t.view.Job(job.ID) != nil {
		return refuse(CodeInvalid, "a job needs a type and an id of its own")
	}
	if other := t.view.JobOn(job); other != nil {
		return refuse(CodeOperationBusy, "job %s (%s) is still running there", other.ID, other.Type)
	}
	return nil
}

// startJob stores a checked job; nil is no job.
func (t *txn) startJob(job *Job, now time.Time) {
	if job == nil {
		return
	}
	started := *job
	started.State, started.CreatedAt, started.UpdatedAt = JobRunning, now.UTC(), now.UTC()
	jobs := append(slices.Clip(t.view.Jobs), started)
	ended := 0
	for i := len(jobs) - 1; i >= 0; i-- {
		if jobs[i].State != JobRunning {
			if ended++; ended > maxEndedJobs {
				jobs = slices.Delete(slices.Clone(jobs), i, i+1)
			}
		}
	}
	t.setJobs(jobs)
}

func (t *txn) setJobs(jobs []Job) {
	t.view.Jobs = jobs
	t.put(bucketMeta, rowJobs, jobs)
}

func (c EndJob) apply(t *txn) (any, error) {
	job := t.view.Job(c.ID)
	switch {
	case job == nil:
		return nil, refuse(CodeNotFound, "job %s does not exist", c.ID)
	case job.State != JobRunning:
		return nil, refuse(CodeWrongState, "job %s has ended: %s", c.ID, job.State)
	}
	jobs := slices.Clone(t.view.Jobs)
	for i := range jobs {
		if jobs[i].ID == c.ID {
			jobs[i].State, jobs[i].Error, jobs[i].UpdatedAt = cmp.Or(c.State, JobSucceeded), c.Error, c.Now.UTC()
		}
	}
	t.setJobs(jobs)
	return None{}, nil
}
