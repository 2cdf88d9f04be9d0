package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"
)

// apiFlags are what every management command takes to reach a pod.
type apiFlags struct {
	APIURL   string        `name:"api-url" help:"A pod's client address." default:"http://localhost:7700" env:"MIROIR_API_URL"`
	AdminKey string        `help:"Admin key (seen in process lists: prefer MIROIR_ADMIN_API_KEY)." env:"MIROIR_ADMIN_API_KEY"`
	Output   string        `help:"table or json." enum:"table,json" default:"table"`
	Timeout  time.Duration `help:"Time for one call." default:"30s"`
}

// apiClient calls one HTTP API with a bearer key.
type apiClient struct {
	URL, Key string
	HTTP     *http.Client
}

func (f *apiFlags) client() *apiClient {
	return &apiClient{URL: f.APIURL, Key: f.AdminKey, HTTP: &http.Client{Timeout: f.Timeout}}
}

// call sends one request and returns the answer's body. An answer of 400 or above is an error that holds the
// server's message; no answer at all is errUnreachable.
func (c *apiClient) call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if c.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.Key)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		var dial *net.OpError
		var failed *url.Error
		if errors.As(err, &dial) || errors.As(err, &failed) && failed.Timeout() {
			return nil, fmt.Errorf("%w at %s (is it running? --api-url says where to look): %v", errUnreachable, c.URL, err)
		}
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 400 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, serverMessage(answer))
	}
	return answer, nil
}

// doTask sends a write and waits until its task has succeeded.
func (c *apiClient) doTask(ctx context.Context, method, path, contentType string, body []byte) error {
	answer, err := c.call(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	var accepted struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil {
		return fmt.Errorf("%s %s: the answer is not a task: %w", method, path, err)
	}
	for {
		answer, err := c.call(ctx, http.MethodGet, fmt.Sprintf("/tasks/%d", accepted.TaskUID), "", nil)
		if err != nil {
			return err
		}
		var task struct {
			Status string          `json:"status"`
			Error  json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(answer, &task); err != nil {
			return err
		}
		switch task.Status {
		case "succeeded":
			return nil
		case "failed", "canceled":
			return fmt.Errorf("%s %s: task %d %s: %s", method, path, accepted.TaskUID, task.Status, serverMessage(task.Error))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func serverMessage(body []byte) string {
	var known struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &known) == nil && known.Message != "" {
		return known.Message
	}
	return string(bytes.TrimSpace(body))
}

type statusCommand struct {
	apiFlags  `embed:""`
	Watch     bool `help:"Print again every 2 s."`
	WaitReady bool `help:"Wait until the pod is ready."`
}

type clusterStatus struct {
	Version string   `json:"version"`
	Leader  string   `json:"leader"`
	Pods    []string `json:"pods"`
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
	} `json:"shards"`
	Warnings []string `json:"warnings"`
}

// Run prints the status and exits 3 when something is degraded.
func (c *statusCommand) Run(ctx context.Context) error {
	client := c.client()
	if c.WaitReady {
		if err := waitReady(ctx, client, c.Timeout); err != nil {
			return err
		}
	}
	for {
		err := c.printOnce(ctx, client)
		if !c.Watch || err != nil && !errors.Is(err, errBadNews) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(2 * time.Second):
			fmt.Println()
		}
	}
}

func (c *statusCommand) printOnce(ctx context.Context, client *apiClient) error {
	body, err := client.call(ctx, http.MethodGet, "/_miroir/status", "", nil)
	if err != nil {
		return err
	}
	var status clusterStatus
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("the answer of %s is not a status: %w", client.URL, err)
	}
	if c.Output == "json" {
		fmt.Println(string(body))
	} else {
		status.print(os.Stdout)
	}
	if len(status.Warnings) > 0 && status.degraded() {
		return errBadNews
	}
	return nil
}

// degraded tells trouble from advice.
func (s *clusterStatus) degraded() bool {
	if s.Shards.Uncovered > 0 || s.Replicas["stale"] > 0 || s.Leader == "" {
		return true
	}
	for _, n := range s.Nodes {
		if n.Status != "active" {
			return true
		}
	}
	return false
}

func (s *clusterStatus) print(w io.Writer) {
	fmt.Fprintf(w, "version %s, leader %s, %d pod(s), %d index(es), %d open intent(s)\n", s.Version, s.Leader, len(s.Pods), s.Indexes, s.OpenIntents)
	fmt.Fprintf(w, "replicas: %d active, %d stale, %d joining, %d leaving; shards without a reachable in-sync replica: %d of %d\n\n",
		s.Replicas["active"], s.Replicas["stale"], s.Replicas["joining"], s.Replicas["leaving"], s.Shards.Uncovered, s.Shards.Total)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tADDRESS\tGROUP\tSTATE\tVERSION\tREPLICAS\tERROR")
	for _, n := range s.Nodes {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%d\t%s\n", n.ID, n.Address, n.Group, n.Status, n.Version, n.ShardCount, n.Error)
	}
	_ = table.Flush() // w reports its own errors
	for _, warning := range s.Warnings {
		fmt.Fprintln(w, "\nwarning:", warning)
	}
}

// waitReady polls readiness until it holds or the time is over.
func waitReady(ctx context.Context, client *apiClient, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_, err := client.call(ctx, http.MethodGet, "/_miroir/ready", "", nil)
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
