package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// StatusCommand shows the cluster's health.
type StatusCommand struct {
	Flags
	Watch       bool `help:"Print again every 2 s."`
	WaitReady   bool `help:"Wait until the pod is ready."`
	WaitCovered bool `help:"Wait until every shard has a reachable in-sync replica, and nodes that came back have caught up."`
}

// Status is what /_miroir/status answers, as far as it is printed.
type Status struct {
	Version string   `json:"version"`
	Leader  string   `json:"leader"`
	Pods    []string `json:"pods"`
	Silent  []string `json:"silent_pods"`
	Nodes   []struct {
		ID         string `json:"id"`
		Address    string `json:"address"`
		Group      int    `json:"replica_group"`
		Status     string `json:"status"`
		Version    string `json:"version"`
		ShardCount int    `json:"shard_count"`
		Error      string `json:"error"`
	} `json:"nodes"`
	Replicas    map[string]int `json:"replicas"`
	OpenIntents int            `json:"open_intents"`
	Indexes     int            `json:"indexes"`
	Shards      struct {
		Total     int `json:"total"`
		Uncovered int `json:"uncovered"`
		Settling  int `json:"settling"`
	} `json:"shards"`
	Jobs     []statusJob `json:"jobs"`
	Warnings []string    `json:"warnings"`
}

// statusJob is a job that has not ended.
type statusJob struct {
	Type   string `json:"type"`
	State  string `json:"state"`
	Phase  string `json:"phase"`
	Object struct {
		Node  string `json:"node"`
		Group *int   `json:"group"`
		Index string `json:"index"`
	} `json:"object"`
	Progress struct {
		Done  int64  `json:"done"`
		Total int64  `json:"total"`
		Unit  string `json:"unit"`
	} `json:"progress"`
}

// object is what the job works on, on one line.
func (j *statusJob) object() string {
	var parts []string
	if j.Object.Index != "" {
		parts = append(parts, "index "+j.Object.Index)
	}
	if j.Object.Node != "" {
		parts = append(parts, "node "+j.Object.Node)
	}
	if j.Object.Group != nil {
		parts = append(parts, fmt.Sprintf("group %d", *j.Object.Group))
	}
	return cmp.Or(strings.Join(parts, ", "), "everything")
}

// Run prints the status and exits 3 when something is degraded.
func (c *StatusCommand) Run(ctx context.Context, a *API) error {
	if c.WaitReady {
		if err := WaitReady(ctx, a.Client, c.Timeout); err != nil {
			return err
		}
	}
	if c.WaitCovered {
		if err := c.waitCovered(ctx, a); err != nil {
			return err
		}
	}
	once := func() error { return c.print(ctx, a) }
	if c.Watch {
		return watch(ctx, once)
	}
	return once()
}

func (c *StatusCommand) waitCovered(ctx context.Context, a *API) error {
	_, err := a.until(ctx, "/status", func(answer json.RawMessage) (bool, error) {
		var status Status
		err := json.Unmarshal(answer, &status)
		return status.Leader != "" && status.Shards.Uncovered == 0 && status.Shards.Settling == 0, err
	})
	return err
}

func (c *StatusCommand) print(ctx context.Context, a *API) error {
	var status Status
	answer, err := a.get(ctx, "/status", &status)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = a.printJSON(answer)
	} else {
		status.print(a.out)
	}
	if err == nil && status.degraded() {
		return ErrBadNews
	}
	return err
}

// degraded tells trouble from advice.
func (s *Status) degraded() bool {
	if s.Shards.Uncovered > 0 || s.Replicas["stale"] > 0 || s.Leader == "" || len(s.Silent) > 0 {
		return true
	}
	for _, n := range s.Nodes {
		if n.Status != "active" {
			return true
		}
	}
	return false
}

func (s *Status) print(w io.Writer) {
	fmt.Fprintf(w, "version %s, leader %s, %d pod(s), %d index(es), %d open intent(s)\n", s.Version, s.Leader, len(s.Pods), s.Indexes, s.OpenIntents)
	fmt.Fprintf(w, "replicas: %d active, %d stale, %d joining, %d leaving; shards without a reachable in-sync replica: %d of %d\n\n",
		s.Replicas["active"], s.Replicas["stale"], s.Replicas["joining"], s.Replicas["leaving"], s.Shards.Uncovered, s.Shards.Total)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tADDRESS\tGROUP\tSTATE\tVERSION\tREPLICAS\tERROR")
	for _, n := range s.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%d\t%s\n", n.ID, n.Address, n.Group, n.Status, n.Version, n.ShardCount, n.Error)
	}
	_ = table.Flush() // w reports its own errors
	if len(s.Jobs) > 0 {
		fmt.Fprintln(table, "\nJOB\tOF\tSTATE\tPHASE\tDONE")
	}
	for _, j := range s.Jobs {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d of %d %s\n", j.Type, j.object(), j.State, j.Phase, j.Progress.Done, j.Progress.Total, j.Progress.Unit)
	}
	_ = table.Flush()
	for _, warning := range s.Warnings {
		fmt.Fprintln(w, "\nwarning:", warning)
	}
}

// WaitReady polls readiness until it holds or the time is over.
func WaitReady(ctx context.Context, client *Client, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_, err := client.Call(ctx, http.MethodGet, "/_miroir/ready", "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", timeout, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
