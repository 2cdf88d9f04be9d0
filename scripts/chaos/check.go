package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"miroir/scripts/cluster"
)

// check holds every replica in sync against the ledger once all is quiet again.
func (t *trial) check(ctx context.Context) error {
	for _, pod := range t.fleet.pods {
		if err := okWithin(ctx, pod.URL+"/_miroir/ready", time.Minute); err != nil {
			t.report.wrong(otherwise, "pod %s at the end: %v", pod.name, err)
		}
	}
	t.checkTasks(ctx)
	if !t.awaitWhole(ctx, "at the end") {
		t.report.wrong(otherwise, "the end was checked while not everything was in sync")
	}
	if open := t.openIntents(ctx); open != 0 {
		t.report.wrong(otherwise, "%d intents are open at the end", open)
	}
	for _, index := range indexes {
		if err := t.checkIndex(ctx, index); err != nil {
			return fmt.Errorf("check %s: %w", index, err)
		}
	}
	return nil
}

func (t *trial) openIntents(ctx context.Context) int {
	c := t.client(4)
	for range 50 {
		if t.lookOnce(ctx, c); t.weather.openIntents() == 0 {
			break
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return t.weather.openIntents()
}

func (w *weather) openIntents() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status.Open
}

// checkTasks: every acknowledged write's task ends, and succeeds.
func (t *trial) checkTasks(ctx context.Context) {
	c := t.client(5)
	deadline := time.Now().Add(t.HealTime)
	for uid, what := range t.ledger.tasks { // the clients have ended
		status := c.taskStatus(ctx, uid, max(time.Second, time.Until(deadline)))
		if status != "succeeded" {
			t.report.wrong(lostWrites, "task %d (%s) was acknowledged and is %s", uid, what, status)
		}
	}
}

// replicaRow is a row of /_miroir/shards.
type replicaRow struct {
	Shard    *int `json:"shard"`
	Replicas []struct {
		Node  string `json:"node"`
		State string `json:"state"`
	} `json:"replicas"`
}

// checkIndex compares each document on every replica in sync of its shard with what clients were told.
func (t *trial) checkIndex(ctx context.Context, index string) error {
	a := t.client(6).send(ctx, http.MethodGet, "/_miroir/shards?state=active&index="+index, "")
	var rows []replicaRow
	if a.err != nil || json.Unmarshal(a.body, &rows) != nil || len(rows) == 0 {
		return fmt.Errorf("where its shards are: %s", a)
	}
	copies := map[int][]string{} // shard → nodes; -1 for an index as a whole
	for _, row := range rows {
		shard := -1
		if row.Shard != nil {
			shard = *row.Shard
		}
		for _, replica := range row.Replicas {
			copies[shard] = append(copies[shard], replica.Node)
		}
	}
	found := map[string]map[string]stored{} // node → id → document
	for _, nodes := range copies {
		for _, name := range nodes {
			if found[name] == nil {
				var err error
				if found[name], err = t.documentsOn(ctx, name, index); err != nil {
					return err
				}
			}
		}
	}
	t.compare(index, copies, found)
	return nil
}

func (t *trial) compare(index string, copies map[int][]string, found map[string]map[string]stored) {
	shardOf := map[string]int{}
	for _, documents := range found {
		for id, d := range documents {
			shardOf[id] = d.shard
		}
	}
	ids := t.ledger.documents(index)
	for id := range shardOf {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	lost := 0
	for _, id := range slices.Compact(ids) {
		nodes := copies[-1]
		if shard, ok := shardOf[id]; ok && nodes == nil {
			nodes = copies[shard]
		}
		versions := []int{absent} // on no node at all
		if len(nodes) > 0 {
			versions = nil
		}
		for _, name := range nodes {
			versions = append(versions, found[name][id].Version)
		}
		if text := t.ledger.wrong(document{index, id}, versions); text != "" {
			lost++
			t.report.wrong(lostWrites, "at the end %s %s on %v: %s", index, id, nodes, text)
		}
	}
	fmt.Printf("checked %s: %d documents on %d nodes, %d wrong\n", index, len(slices.Compact(ids)), len(found), lost)
}

// stored is a document as a node holds it. Version is absent when it does not.
type stored struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	Shard   string `json:"_miroir_shard"`
	shard   int
}

// documentsOn reads all documents of an index from a node itself.
func (t *trial) documentsOn(ctx context.Context, name, index string) (map[string]stored, error) {
	at := slices.IndexFunc(t.fleet.nodes, func(m *machine) bool { return m.name == name })
	if at < 0 {
		return nil, fmt.Errorf("no node %s", name)
	}
	all := map[string]stored{}
	for offset := 0; ; {
		url := fmt.Sprintf("%s/indexes/%s/documents?limit=5000&offset=%d", t.fleet.nodes[at].URL, index, offset)
		status, _, body, err := request(ctx, &http.Client{Timeout: time.Minute}, http.MethodGet, url, "")
		if err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("documents of %s: %d %s %w", name, status, short(string(body)), err)
		}
		var page struct {
			Results []stored `json:"results"`
			Total   int      `json:"total"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		for _, d := range page.Results {
			d.shard = shardNumber(d.Shard)
			all[d.ID] = d
		}
		if offset += len(page.Results); offset >= page.Total || len(page.Results) == 0 {
			return all, nil
		}
	}
}

// shardDigits are the digits of a shard's number in a stored document.
const shardDigits = "⸰⸱⸲⸳"

func shardNumber(text string) int {
	n := 0
	for _, digit := range text {
		n = 4*n + len([]rune(shardDigits[:strings.IndexRune(shardDigits, digit)]))
	}
	return n
}

// okWithin asks url until it answers 200.
func okWithin(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := cluster.WaitOK(ctx, url)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}
