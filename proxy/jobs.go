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

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// A job is a task of no index that the leader carries out itself: a dump, a snapshot, an export, a change of search rules. Jobs run one at a time
// in the order of their uids. What a leader leaves unfinished its successor starts again.
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
		task, err := s.nextJob()
		if err == nil && task != nil {
			err = s.runJob(ctx, task)
		}
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.log.Warn("job not carried on", "error", err)
			}
			sleep(ctx, jobRetry)
		case task == nil:
			select {
			case <-s.jobs:
			case <-ctx.Done():
			}
		}
	}
}

// nextJob is the open job with the lowest uid, nil for none.
func (s *Server) nextJob() (*fsm.Task, error) {
	open, err := s.cluster.Tasks().OpenTasks()
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(t *fsm.Task) bool { return jobKinds[meili.TaskKind(t.Kind)] == nil })
	if len(open) == 0 {
		return nil, nil
	}
	return slices.MinFunc(open, func(a, b *fsm.Task) int { return cmp.Compare(a.UID, b.UID) }), nil
}

// runJob carries one job out and finishes its task. An error means that the task is still open.
func (s *Server) runJob(ctx context.Context, task *fsm.Task) error {
	if _, err := fsm.Do(ctx, s.cluster, fsm.StartTasks{Now: s.opts.Now(), TaskUIDs: fsm.TaskUIDs{task.UID}}); err != nil {
		return err
	}
	task, err := s.cluster.Tasks().Task(task.UID)
	if err != nil || task.Finished() {
		return err
	}
	public, _ := tasks.ReadNote(task.Details)
	j := &job{server: s, task: task}
	if err := json.Unmarshal(public, &j.details); err != nil && len(public) > 0 {
		return err
	}
	failure := jobKinds[meili.TaskKind(task.Kind)](j, ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	end := fsm.FinishTask{Now: s.opts.Now(), TaskUID: task.UID, Status: fsm.StatusSucceeded}
	if len(public) > 0 {
		end.Details = j.details.JSON()
	}
	if failure != nil {
		s.log.Error("job failed", "task_uid", task.UID, "type", task.Kind, "error", failure)
		end.Status = fsm.StatusFailed
		end.Error, _ = marshal(jobError(failure)) // strings always marshal
	}
	_, err = fsm.Do(ctx, s.cluster, end)
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
