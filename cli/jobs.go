package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// JobCommands show and steer background jobs.
type JobCommands struct {
	Flags
	List   jobList   `cmd:"" help:"List background jobs."`
	Status jobStatus `cmd:"" help:"Show one job."`
	Pause  jobPause  `cmd:"" help:"Pause a job."`
	Resume jobResume `cmd:"" help:"Go on with a paused job."`
	Cancel jobCancel `cmd:"" help:"End a job."`
}

type jobList struct {
	Type  string `help:"Only jobs of this type."`
	State string `help:"Only jobs in this state."`
	Watch bool   `help:"Print again every 2 s."`
}

func (c *jobList) Run(ctx context.Context, a *API) error {
	once := func() error {
		return a.list(ctx, "/jobs"+query("type", c.Type, "state", c.State), "id", "type", "state", "phase", "progress.done", "progress.total", "updated_at", "error")
	}
	if c.Watch {
		return watch(ctx, once)
	}
	return once()
}

// query is the query of pairs of name and value, without those that are empty.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

type jobID struct {
	ID string `arg:"" help:"The job."`
}

func (j jobID) path(action string) string { return "/jobs/" + url.PathEscape(j.ID) + action }

type jobStatus struct{ jobID }

func (c *jobStatus) Run(ctx context.Context, a *API) error { return a.show(ctx, c.path("")) }

type jobPause struct{ jobID }

func (c *jobPause) Run(ctx context.Context, a *API) error { return a.post(ctx, c.path("/pause"), nil) }

type jobResume struct{ jobID }

func (c *jobResume) Run(ctx context.Context, a *API) error {
	return a.post(ctx, c.path("/resume"), nil)
}

type jobCancel struct{ jobID }

func (c *jobCancel) Run(ctx context.Context, a *API) error {
	return a.post(ctx, c.path("/cancel"), nil)
}

// VerifyCommand compares the copies of shards.
type VerifyCommand struct {
	Flags
	Index  string `help:"Only this index."`
	Shards []int  `help:"Only these shards of it."`
	Depth  string `help:"What is compared: counts, digests or documents." enum:"counts,digests,documents" default:"digests"`
	Repair bool   `help:"Put right what differs."`
	Wait   bool   `help:"Wait for the result." default:"true" negatable:""`
}

// Run exits 3 when copies differ.
func (c *VerifyCommand) Run(ctx context.Context, a *API) error {
	body := map[string]any{"depth": c.Depth, "repair": c.Repair}
	if c.Index != "" {
		body["index"] = c.Index
	}
	if len(c.Shards) > 0 {
		body["shards"] = c.Shards
	}
	answer, err := a.do(ctx, http.MethodPost, "/verify", body)
	if err != nil {
		return err
	}
	var accepted struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil {
		return err
	}
	if !c.Wait {
		return a.print(answer)
	}
	var result struct {
		State      string `json:"state"`
		Mismatches int    `json:"mismatches"`
	}
	answer, err = a.until(ctx, "/verify/"+url.PathEscape(accepted.JobID), func(answer json.RawMessage) (bool, error) {
		err := json.Unmarshal(answer, &result)
		return result.State != "queued" && result.State != "running", err
	})
	if err != nil {
		return err
	}
	if err := a.print(answer); err != nil {
		return err
	}
	if result.State != "succeeded" || result.Mismatches > 0 {
		return ErrBadNews
	}
	return nil
}

// TaskCommands show and cancel the tasks of clients.
type TaskCommands struct {
	Flags
	List   taskList   `cmd:"" help:"List tasks, the latest first."`
	Status taskStatus `cmd:"" help:"Show a task with what became of it on each node."`
	Wait   taskWait   `cmd:"" help:"Wait for a task's end; exit 3 if it did not succeed."`
	Cancel taskCancel `cmd:"" help:"Cancel tasks."`
}

// taskFilters are Meilisearch's.
type taskFilters struct {
	UIDs             []string `name:"uids" help:"Tasks by uid."`
	Statuses         []string `help:"enqueued, processing, succeeded, failed, canceled."`
	Types            []string `help:"As in documentAdditionOrUpdate."`
	IndexUIDs        []string `name:"index-uids" help:"Tasks of these indexes."`
	CanceledBy       []string `help:"Tasks that these tasks canceled."`
	BeforeEnqueuedAt string   `help:"RFC 3339."`
	AfterEnqueuedAt  string   `help:"RFC 3339."`
	BeforeStartedAt  string   `help:"RFC 3339."`
	AfterStartedAt   string   `help:"RFC 3339."`
	BeforeFinishedAt string   `help:"RFC 3339."`
	AfterFinishedAt  string   `help:"RFC 3339."`
}

func (f *taskFilters) query(more ...string) string {
	return query(append(more, "uids", strings.Join(f.UIDs, ","), "statuses", strings.Join(f.Statuses, ","),
		"types", strings.Join(f.Types, ","), "indexUids", strings.Join(f.IndexUIDs, ","), "canceledBy", strings.Join(f.CanceledBy, ","),
		"beforeEnqueuedAt", f.BeforeEnqueuedAt, "afterEnqueuedAt", f.AfterEnqueuedAt, "beforeStartedAt", f.BeforeStartedAt,
		"afterStartedAt", f.AfterStartedAt, "beforeFinishedAt", f.BeforeFinishedAt, "afterFinishedAt", f.AfterFinishedAt)...)
}

type taskList struct {
	taskFilters
	Limit string `help:"How many." default:"20"`
	From  string `help:"The uid to begin at."`
}

func (c *taskList) Run(ctx context.Context, a *API) error {
	return a.list(ctx, "/api/tasks"+c.query("limit", c.Limit, "from", c.From), "uid", "indexUid", "status", "type", "enqueuedAt", "duration", "error.code")
}

type taskUID struct {
	UID uint32 `arg:"" name:"uid" help:"The task."`
}

type taskStatus struct{ taskUID }

func (c *taskStatus) Run(ctx context.Context, a *API) error {
	return a.show(ctx, fmt.Sprintf("/tasks/%d", c.UID))
}

type taskWait struct{ taskUID }

func (c *taskWait) Run(ctx context.Context, a *API) error { return a.waitTask(ctx, c.UID) }

// waitTask waits for a task's end and prints it; ErrBadNews if it did not succeed.
func (a *API) waitTask(ctx context.Context, uid uint32) error {
	var task struct {
		Status string `json:"status"`
	}
	answer, err := a.until(ctx, fmt.Sprintf("/api/tasks/%d", uid), func(answer json.RawMessage) (bool, error) {
		err := json.Unmarshal(answer, &task)
		return task.Status != "enqueued" && task.Status != "processing", err
	})
	if err != nil {
		return err
	}
	if err := a.print(answer); err != nil || task.Status == "succeeded" {
		return err
	}
	return ErrBadNews
}

type taskCancel struct{ taskFilters }

func (c *taskCancel) Run(ctx context.Context, a *API) error {
	filters := c.query()
	if filters == "" {
		return fmt.Errorf("%w: name the tasks by at least one filter", ErrUsage)
	}
	return a.post(ctx, "/api/tasks/cancel"+filters, nil)
}

// ConfigCommands show and change the configuration of a running cluster.
type ConfigCommands struct {
	Flags
	Show configShow `cmd:"" help:"Show every key with its effective value."`
	Set  configSet  `cmd:"" help:"Change keys of the cluster."`
}

type configShow struct{}

func (c *configShow) Run(ctx context.Context, a *API) error {
	var settings map[string]map[string]any
	answer, err := a.get(ctx, "/config", &settings)
	if err != nil {
		return err
	}
	if a.flags.Output == "json" {
		return a.printJSON(answer)
	}
	var rows []map[string]any
	for _, name := range sortedNames(settings) {
		settings[name]["key"] = name
		rows = append(rows, settings[name])
	}
	return writeTable(a.out, rows, []string{"key", "value", "source", "scope", "needs_restart"})
}

type configSet struct {
	Values []string `arg:"" help:"key=value, as in hedging.enabled=false."`
}

func (c *configSet) Run(ctx context.Context, a *API) error {
	patch := map[string]string{}
	for _, text := range c.Values {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("%w: %q: write key=value", ErrUsage, text)
		}
		patch[name] = value
	}
	var settings map[string]map[string]any
	answer, err := a.do(ctx, http.MethodPatch, "/config", patch)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &settings); err != nil {
		return err
	}
	for _, name := range sortedNames(patch) {
		note := ""
		if settings[name]["needs_restart"] == true {
			note = " (from the next start of each pod)"
		}
		fmt.Fprintf(a.out, "%s = %s%s\n", name, cell(settings[name]["value"]), note)
	}
	return nil
}
