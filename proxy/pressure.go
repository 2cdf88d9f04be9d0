package proxy

import (
	"bytes"
	"fmt"
	"os"
	runtimemetrics "runtime/metrics"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// showPressure publishes how busy this pod is, what it is short of, and what waits; all is read when it is asked for.
func (s *Server) showPressure(set *metrics.Set) {
	gauge := func(name string, value func() float64) { set.GetOrCreateGauge(name, value) }
	gauge("miroir_requests_in_flight", func() float64 { return float64(len(s.limit.slots)) })
	gauge("miroir_request_queue_depth", func() float64 { return float64(s.limit.waiting.Load()) })
	gauge("miroir_data_dir_free_bytes", s.freeBytes)
	gauge("miroir_memory_pressure", func() float64 { return float64(memoryPressure(memoryInUse(), s.opts.MemoryLimit)) })
	gauge("miroir_cpu_throttled_seconds_total", func() float64 { return throttled().Seconds() })
	gauge("miroir_owned_jobs", func() float64 {
		if !s.cluster.IsLeader() {
			return 0
		}
		return float64(len(runningJobs(s.cluster.View())))
	})
	gauge("miroir_intents_open", func() float64 { return float64(s.cluster.View().NumOpenIntents) })
	gauge("miroir_task_processing_age_seconds", func() float64 { return s.oldestTask().Seconds() })
	gauge("miroir_task_registry_size", func() float64 { return float64(s.numTasks()) })
	set.GetOrCreateGauge(fmt.Sprintf("miroir_build_info{version=%q,commit=%q}", s.opts.Version, s.opts.Commit), func() float64 { return 1 })
}

// runningJobs are the jobs that the leader works on.
func runningJobs(v *fsm.View) (jobs []fsm.Job) {
	for _, job := range v.Jobs {
		if job.State == fsm.JobRunning {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// oldestTask is the age of the oldest unfinished task, 0 without one.
func (s *Server) oldestTask() time.Duration {
	if s.cluster.View().NumOpenTasks == 0 {
		return 0
	}
	open := fsm.TaskFilter{Statuses: []string{fsm.StatusEnqueued, fsm.StatusProcessing}}
	list, err := s.cluster.Tasks().Tasks(open, fsm.TaskPage{Limit: 1, Reverse: true})
	if err != nil || len(list.Tasks) == 0 {
		return 0
	}
	return max(0, s.opts.Now().Sub(list.Tasks[0].EnqueuedAt))
}

// numTasks is how many tasks are known, finished ones too.
func (s *Server) numTasks() int {
	list, err := s.cluster.Tasks().Tasks(fsm.TaskFilter{}, fsm.TaskPage{})
	if err != nil {
		return 0
	}
	return list.Total
}

// memoryPressure is 0 while all is well, 1 above three quarters of the limit and 2 above nine tenths. A limit of 0 is none.
func memoryPressure(used, limit uint64) int {
	switch {
	case limit == 0 || used <= limit/4*3:
		return 0
	case used <= limit/10*9:
		return 1
	}
	return 2
}

// memoryInUse is what the Go runtime holds of the operating system.
func memoryInUse() uint64 {
	samples := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	runtimemetrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// throttled is how long the control group has kept this pod from the processor, 0 where there is none.
func throttled() time.Duration {
	for _, group := range []struct {
		file, name string
		unit       time.Duration
	}{{"/sys/fs/cgroup/cpu.stat", "throttled_usec ", time.Microsecond}, {"/sys/fs/cgroup/cpu/cpu.stat", "throttled_time ", 1}} {
		text, err := os.ReadFile(group.file)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(text) {
			if value, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte(group.name)); ok {
				if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
					return time.Duration(n) * group.unit
				}
			}
		}
	}
	return 0
}
