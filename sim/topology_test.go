package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// change is one request of an operator.
type change struct {
	at                 time.Duration
	method, path, body string
}

// newGroup is the replica group that operators add.
const newGroup = 7

func spareName(i int) string { return fmt.Sprintf("s%d", i) }

// spares is how many servers there are that are no nodes yet: one to be added, and as many as a group needs.
func (h *history) spares() int {
	if len(h.changes) == 0 {
		return 0
	}
	return 1 + h.rf
}

// nodeBody is the request to add a server as a node.
func (h *history) nodeBody(spare, group int) string {
	return fmt.Sprintf(`{"id":%q,"address":"http://%s","key":%q,"replica_group":%d}`, spareName(spare), spareName(spare), masterKey, group)
}

// planChanges makes up operations on the topology. What the state does not allow is refused, which is as good.
func (h *history) planChanges(r *rand.Rand) {
	add := func(method, path, body string) {
		h.changes = append(h.changes, change{at: within(r, h.length), method: method, path: path, body: body})
	}
	node := func() string { return fmt.Sprintf("/_miroir/nodes/n%d-%d", r.IntN(h.groups), r.IntN(h.perGroup)) }
	for range 2 + r.IntN(4) {
		switch r.IntN(10) {
		case 0:
			add(http.MethodPost, "/_miroir/nodes", h.nodeBody(0, r.IntN(h.groups)))
		case 1, 2:
			drained := node()
			add(http.MethodPost, drained+"/drain", "")
			if r.IntN(2) == 0 {
				add(http.MethodPost, drained+"/drain/cancel", "")
			}
		case 3:
			add(http.MethodPatch, "/_miroir/topology", fmt.Sprintf(`{"replication_factor":%d}`, 1+r.IntN(h.perGroup)))
		case 4:
			var nodes []string
			for i := range h.rf {
				nodes = append(nodes, fmt.Sprintf(`{"id":%q,"address":"http://%s","key":%q}`, spareName(1+i), spareName(1+i), masterKey))
			}
			add(http.MethodPost, "/_miroir/replica_groups", fmt.Sprintf(`{"id":%d,"nodes":[%s]}`, newGroup, strings.Join(nodes, ",")))
			add(http.MethodPost, fmt.Sprintf("/_miroir/replica_groups/%d/activate", newGroup), "")
		case 5:
			add(http.MethodPatch, "/_miroir/indexes/"+h.indexes[r.IntN(len(h.indexes))], fmt.Sprintf(`{"spread":%d}`, 1+r.IntN(3)))
		case 6:
			add(http.MethodPost, "/_miroir/anti-entropy/run", "")
		case 7:
			add(http.MethodDelete, node(), "")
		case 8:
			group := fmt.Sprintf("/_miroir/replica_groups/%d", []int{r.IntN(h.groups), newGroup}[r.IntN(2)])
			add(http.MethodDelete, group, "")
			add(http.MethodDelete, group+"?force=true", "")
		case 9:
			failed := node()
			add(http.MethodPost, failed+"/fail", "")
			add(http.MethodPost, failed+"/recover", "")
		}
	}
}

// planTroubledChanges adds faults to the changes of the topology, except what destroys data.
func (h *history) planTroubledChanges(r *rand.Rand) {
	h.planChanges(r)
	h.planFaults(r)
}

// changeTopology lets operators do what they have in mind. One who is refused for a reason that passes tries again.
func (w *world) changeTopology() {
	var operators sync.WaitGroup
	for i := range w.history.changes {
		operators.Go(func() {
			c := &w.history.changes[i]
			time.Sleep(c.at)
			for range 10 {
				got := w.pods[i%len(w.pods)].call(c.method, c.path, c.body, "")
				var refused struct{ Code string }
				if got.status >= 300 && json.Unmarshal(got.body, &refused) != nil {
					w.wrong("%s %s was answered %d: %s", c.method, c.path, got.status, got.body)
				}
				w.tracef("%s %s %s: %d %s", c.method, c.path, c.body, got.status, refused.Code)
				if got.status == http.StatusInternalServerError {
					w.wrong("%s %s was answered %s", c.method, c.path, got.body)
				}
				if got.status/100 == 2 {
					w.mu.Lock()
					w.changed++
					w.mu.Unlock()
				}
				if got.status != 0 && got.status < 409 {
					return
				}
				time.Sleep(2 * time.Second)
			}
		})
	}
	operators.Wait()
}

// lag is how a node answers when nothing is wrong with it; nil: at once.
func (w *world) lag(number int) func(*http.Request) time.Duration {
	if w.history.lag == 0 {
		return nil
	}
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(w.history.seed, 2000+uint64(number)))
	return func(*http.Request) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Int64N(int64(w.history.lag)))
	}
}
