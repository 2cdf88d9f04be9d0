package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// topology changes nodes, replication and groups under load, one step after another.
func (t *trial) topology(ctx context.Context) error {
	o := &operator{trial: t, client: t.client(7)}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"add", o.addNode}, {"drain", o.drainNode}, {"remove", o.removeNode}, {"replace", o.replaceNode},
		{"rf", o.changeReplication}, {"group", o.addGroup},
	} {
		if !slices.Contains(t.Steps, step.name) {
			continue
		}
		start := time.Now()
		fmt.Println(start.Format("15:04:05.000"), "topology", step.name)
		if err := step.run(ctx); err != nil {
			t.report.wrong(otherwise, "topology %s: %v; %s", step.name, err, t.weather)
		}
		t.awaitWhole(ctx, "after topology "+step.name)
		t.report.took("topology "+step.name, time.Since(start))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// operator sends management requests.
type operator struct {
	*trial
	client *client
}

// do sends a request, repeated while pods have no leader, and follows the job that it starts to its end.
func (o *operator) do(ctx context.Context, method, path, body string) error {
	a := o.client.send(ctx, method, "/_miroir"+path, body)
	for try := 0; try < 50 && (a.err != nil || a.status == http.StatusServiceUnavailable) && sleep(ctx, 200*time.Millisecond); try++ {
		a = o.client.send(ctx, method, "/_miroir"+path, body)
	}
	if a.err != nil || a.status >= 300 {
		return fmt.Errorf("%s %s: %s", method, path, a)
	}
	var started struct {
		JobID string `json:"job_id"`
	}
	if json.Unmarshal(a.body, &started) != nil || started.JobID == "" {
		return nil
	}
	return o.await(ctx, started.JobID)
}

func (o *operator) await(ctx context.Context, id string) error {
	last := ""
	for start := time.Now(); time.Since(start) < o.HealTime; sleep(ctx, 200*time.Millisecond) {
		a := o.client.send(ctx, http.MethodGet, "/_miroir/jobs/"+id, "")
		var job struct {
			State string `json:"state"`
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if a.err != nil || json.Unmarshal(a.body, &job) != nil {
			continue
		}
		last = a.String()
		switch job.State {
		case "succeeded":
			return nil
		case "failed", "canceled":
			return fmt.Errorf("job: %s", a)
		}
	}
	return fmt.Errorf("job does not end within %s: %s", o.HealTime, last)
}

// replicas counts the replicas on each node.
func (o *operator) replicas(ctx context.Context) (map[string]int, error) {
	a := o.client.send(ctx, http.MethodGet, "/_miroir/nodes", "")
	var nodes []struct {
		ID         string `json:"id"`
		ShardCount int    `json:"shard_count"`
	}
	if a.err != nil || json.Unmarshal(a.body, &nodes) != nil {
		return nil, fmt.Errorf("nodes: %s", a)
	}
	counts := map[string]int{}
	for _, n := range nodes {
		counts[n.ID] = n.ShardCount
	}
	return counts, nil
}

func (o *operator) newNode(ctx context.Context) (string, error) {
	node, err := o.fleet.startNode(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`{"id":%q,"address":"http://%s"}`, node.name, node.link.Address()), nil
}

// addNode adds a node: about its share moves there, and no more than half of everything.
func (o *operator) addNode(ctx context.Context) error {
	body, err := o.newNode(ctx)
	if err != nil {
		return err
	}
	if err := o.do(ctx, http.MethodPost, "/nodes", body); err != nil {
		return err
	}
	counts, err := o.replicas(ctx)
	if err != nil {
		return err
	}
	moved, total := counts[o.fleet.nodes[len(o.fleet.nodes)-1].name], 0
	for _, n := range counts {
		total += n
	}
	fmt.Printf("%d of %d replicas are on the new node, %d nodes in all\n", moved, total, len(counts))
	if moved == 0 || 2*moved > total {
		return fmt.Errorf("%d of %d replicas moved to the new node", moved, total)
	}
	return nil
}

// drainNode moves everything off the first node.
func (o *operator) drainNode(ctx context.Context) error {
	path := "/nodes/" + o.fleet.nodes[0].name
	if err := o.do(ctx, http.MethodPost, path+"/drain", ""); err != nil {
		return err
	}
	counts, err := o.replicas(ctx)
	if err == nil && counts[o.fleet.nodes[0].name] != 0 {
		err = fmt.Errorf("%d replicas are left on the drained node", counts[o.fleet.nodes[0].name])
	}
	return err
}

func (o *operator) removeNode(ctx context.Context) error {
	name := o.fleet.nodes[0].name
	if err := o.do(ctx, http.MethodDelete, "/nodes/"+name, ""); err != nil {
		return err
	}
	counts, err := o.replicas(ctx)
	if _, there := counts[name]; err == nil && there {
		err = fmt.Errorf("%s is still there", name)
	}
	return err
}

// replaceNode lets the second node die for good; its copies are made again elsewhere, without the grace time.
func (o *operator) replaceNode(ctx context.Context) error {
	node := o.fleet.nodes[1]
	o.weather.begin(node.name, "node killed")
	defer o.weather.end(node.name)
	if err := node.kill(true); err != nil {
		return err
	}
	if err := o.do(ctx, http.MethodPost, "/nodes/"+node.name+"/fail", ""); err != nil {
		return err
	}
	o.awaitWhole(ctx, "after a node was declared dead")
	return o.do(ctx, http.MethodDelete, "/nodes/"+node.name+"?force=true", "")
}

func (o *operator) changeReplication(ctx context.Context) error {
	for _, rf := range []int{1, o.RF} {
		if err := o.do(ctx, http.MethodPatch, "/topology", fmt.Sprintf(`{"replication_factor":%d}`, rf)); err != nil {
			return fmt.Errorf("to %d: %w", rf, err)
		}
		o.weather.want(rf)
		o.awaitWhole(ctx, fmt.Sprintf("after RF %d", rf))
	}
	return nil
}

// addGroup adds a group of RF nodes and lets clients read from it.
func (o *operator) addGroup(ctx context.Context) error {
	nodes := ""
	for range o.RF {
		body, err := o.newNode(ctx)
		if err != nil {
			return err
		}
		nodes += "," + body
	}
	if err := o.do(ctx, http.MethodPost, "/replica_groups", fmt.Sprintf(`{"id":1,"nodes":[%s]}`, nodes[1:])); err != nil {
		return err
	}
	if err := o.do(ctx, http.MethodPost, "/replica_groups/1/activate", ""); err != nil {
		return err
	}
	o.weather.want(2 * o.RF)
	if !sleep(ctx, 5*time.Second) { // under load
		return ctx.Err()
	}
	return nil
}
