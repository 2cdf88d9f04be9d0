package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"miroir/fsm"
)

func TestDocumentsOfTaskComeBackOnce(t *testing.T) {
	for name, shape := range map[string]clusterShape{
		"whole":  {groups: 2, perGroup: 1, rf: 1, shards: 8},
		"spread": {groups: 1, perGroup: 3, rf: 2, shards: 16, spread: fsm.SpreadAll},
	} {
		t.Run(name, func(t *testing.T) { documentsComeBack(t, newWriteCluster(t, shape)) })
	}
}

func documentsComeBack(t *testing.T, c *writeCluster) {
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	if answer := c.call("PATCH", "/experimental-features", `{"getTaskDocumentsRoute":true}`); answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	documents := make([]map[string]any, 50)
	for i := range documents {
		documents[i] = map[string]any{"id": i, "text": fmt.Sprint("line\n", i)}
	}
	body, _ := json.Marshal(documents)
	uid := c.accepted(c.call("POST", "/indexes/m/documents", string(body)))
	path := fmt.Sprintf("/tasks/%d/documents", uid)
	check := func(when string) {
		t.Helper()
		answer := c.call("GET", path, "")
		if answer.Code != http.StatusOK || answer.Header().Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%s: status %d, type %q: %s", when, answer.Code, answer.Header().Get("Content-Type"), answer.Body)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(answer.Body.String()) {
			var document map[string]any
			if err := json.Unmarshal([]byte(line), &document); err != nil || len(document) != 2 {
				t.Errorf("%s: line %q: %v", when, line, err)
			}
			id := fmt.Sprint(document["id"])
			if seen[id] {
				t.Errorf("%s: document %s comes twice", when, id)
			}
			seen[id] = true
		}
		if len(seen) != len(documents) {
			t.Errorf("%s: %d documents, want %d", when, len(seen), len(documents))
		}
	}
	check("all nodes up")
	for name, n := range c.nodes {
		n.Stop()
		check("without " + name)
		n.Start()
		n.PauseTasks()
		break
	}
	cancel := c.accepted(c.call("POST", fmt.Sprintf("/tasks/cancel?uids=%d", uid), ""))
	for _, n := range c.nodes {
		n.ResumeTasks()
	}
	c.await(cancel)
	c.await(uid)
	if answer := c.call("GET", path, ""); answer.Code != http.StatusNotFound || !strings.Contains(answer.Body.String(), "task_file_not_found") {
		t.Errorf("ended: status %d: %s", answer.Code, answer.Body)
	}
}
