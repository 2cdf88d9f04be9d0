package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// A job is a task of no index that the leader carries out itself: a dump, a snapshot, an export, a change of search rules. Jobs run one at a time
// in the order of their uids; nodes are told of several changes of rules at once. What a leader leaves unfinished its successor starts again.
type job struct {
	server  *Server
	task    *fsm.Task
	details meili.TaskDetails // of the end
}

// jobKinds are what each kind of job does. An error fails the task, unless ctx has ended.
var jobKinds = map[meili.TaskKind]func(*job, context.Context) error{
	meili.TaskDumpCreation:     (*job).dump,
	meili.TaskSnapshotCreation: (*job).snapshot,
	meili.TaskExport:           (*job).export,
	meili.TaskDSRUpdate:        (*job).updateRule,
	meili.TaskDSRClear:         (*job).clearRules,
}

// jobRetry is the pause before the state is asked again after it could not be read or written.
const jobRetry = time.Second

// enqueueJob enqueues a job and answers with its task.
func (s *Server) enqueueJob(w http.ResponseWriter, r *request, status int, begin fsm.BeginWrite) error {
	done, err := s.writer.submit(r.Context(), func(*fsm.View, *fsm.Index) (*proposal, error) { return &proposal{begin: begin}, nil })
	if err != nil {
		return err
	}
	select {
	case s.jobs <- struct{}{}:
	default:
	}
	done.answer(w, status)
	return nil
}

// RunJobs works on open jobs until ctx ends. The leader calls it, once per term.
func (s *Server) RunJobs(ctx context.Context) {
	s.rules.forget() // another leader may have told the nodes meanwhile
	var rules sync.WaitGroup
	rules.Go(func() { s.rules.run(ctx) })
	defer rules.Wait()
	for ctx.Err() == nil {
		next, err := s.nextJobs()
		if err == nil && next != nil {
			err = s.runJobs(ctx, next)
		}
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.log.Warn("jobs not carried on", "error", err)
			}
			sleep(ctx, jobRetry)
		case next == nil:
			select {
			case <-s.jobs:
			case <-ctx.Done():
			}
		}
	}
}

// maxRuleChanges is how many changes of search rules are carried out together.
const maxRuleChanges = 500

// nextJobs are the open job with the lowest uid and, where it changes search rules, the changes of rules right behind it: nodes need
// as long for all of them as for one. Nil for none.
func (s *Server) nextJobs() ([]*fsm.Task, error) {
	open, err := s.cluster.Tasks().OpenTasks()
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(t *fsm.Task) bool { return jobKinds[meili.TaskKind(t.Kind)] == nil })
	if len(open) == 0 {
		return nil, nil
	}
	slices.SortFunc(open, func(a, b *fsm.Task) int { return cmp.Compare(a.UID, b.UID) })
	n := 1
	for changesRules(open[0]) && n < min(len(open), maxRuleChanges) && changesRules(open[n]) {
		n++
	}
	return open[:n], nil
}

func changesRules(task *fsm.Task) bool {
	kind := meili.TaskKind(task.Kind)
	return kind == meili.TaskDSRUpdate || kind == meili.TaskDSRClear
}

// runJobs carries jobs out, one after the other, and finishes their tasks. What they change of search rules shows in the next
// search once they are finished. An error means that tasks are still open; a leader that ends leaves them so, and its successor
// does the same once more.
func (s *Server) runJobs(ctx context.Context, next []*fsm.Task) error {
	uids := make(fsm.TaskUIDs, len(next))
	for i, task := range next {
		uids[i] = task.UID
	}
	if _, err := fsm.Do(ctx, s.cluster, fsm.StartTasks{Now: s.opts.Now(), TaskUIDs: uids}); err != nil {
		return err
	}
	var ended []endedJob
	for _, uid := range uids {
		end, err := s.runJob(ctx, uid)
		if err != nil {
			return err
		}
		if end != nil {
			ended = append(ended, *end)
		}
	}
	var told error
	if changesRules(next[0]) {
		told = s.rules.sync(ctx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var finishing errgroup.Group // the log takes commands together
	finishing.SetLimit(16)
	for _, job := range ended {
		finishing.Go(func() error { return s.finishJob(ctx, job, told) })
	}
	return finishing.Wait()
}

// endedJob is a job that was carried out, with what it failed with.
type endedJob struct {
	task    *fsm.Task
	details json.RawMessage // nil: as enqueued
	failure error
}

// runJob carries one job out, nil when its task has ended otherwise. An error means that the task is still open.
func (s *Server) runJob(ctx context.Context, uid uint32) (*endedJob, error) {
	task, err := s.cluster.Tasks().Task(uid)
	if err != nil || task.Finished() {
		return nil, err
	}
	public, _ := tasks.ReadNote(task.Details)
	j := &job{server: s, task: task}
	if err := json.Unmarshal(public, &j.details); err != nil && len(public) > 0 {
		return nil, err
	}
	end := &endedJob{task: task, failure: jobKinds[meili.TaskKind(task.Kind)](j, ctx)}
	if len(public) > 0 {
		end.details = j.details.JSON()
	}
	return end, ctx.Err()
}

// finishJob finishes a job's task; told is what went wrong when nodes were told of its change.
func (s *Server) finishJob(ctx context.Context, job endedJob, told error) error {
	end := fsm.FinishTask{Now: s.opts.Now(), TaskUID: job.task.UID, Status: fsm.StatusSucceeded, Details: job.details}
	if failure := cmp.Or(job.failure, told); failure != nil {
		s.log.Error("job failed", "task_uid", job.task.UID, "type", job.task.Kind, "error", failure)
		end.Status = fsm.StatusFailed
		end.Error, _ = marshal(jobError(failure)) // strings always marshal
	}
	_, err := fsm.Do(ctx, s.cluster, end)
	return err
}

func jobError(err error) *meili.Error {
	var known *meili.Error
	if errors.As(err, &known) {
		return known
	}
	return meili.Errorf(meili.CodeInternal, "%s", err.Error())
}

// settled waits until no task before the job is open, so that the job sees what was accepted earlier.
func (j *job) settled(ctx context.Context) error {
	for {
		open, err := j.server.cluster.Tasks().OpenTasks()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(open, func(t *fsm.Task) bool { return t.UID < j.task.UID }) {
			return nil
		}
		if !sleep(ctx, jobPoll) {
			return ctx.Err()
		}
	}
}

// jobPoll is how often a job looks whether what it waits for has happened.
const jobPoll = 50 * time.Millisecond

// unreadable is the error of a job that misses some shards of an index.
func unreadable(view *fsm.View, ix *fsm.Index, missing []fsm.ShardID, cause error) error {
	text := fmt.Sprintf("No replica in sync can be read for shards %s of index `%s`.", joinNumbers(missing), ix.UID)
	if cause != nil {
		text += " " + failureText(view, cause)
	}
	return miroirError(codeShardUnavailable, "%s", text)
}
