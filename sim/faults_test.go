package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
)

// noSpace is the error of tasks that fail.
const noSpace = "no space left on device"

// act lets one fault happen.
func (w *world) act(f *fault, r *rand.Rand) {
	time.Sleep(f.at)
	switch f.kind {
	case faultCrash:
		w.crash(f)
		return
	case faultPartition, faultUnlink:
		w.separate(f)
		return
	case faultTransfer:
		w.transfer(f)
		return
	case faultForeign:
		w.tamper(f)
		return
	case faultUnset:
		w.unset(f)
		return
	case faultWander:
		w.wander(f)
		return
	}
	name := w.names[f.node]
	n := w.byName[name]
	var old *devnode.Snapshot
	if f.kind == faultRollback {
		old = n.Snapshot()
		time.Sleep(time.Duration(r.Int64N(int64(4 * time.Second))))
	}
	if (f.kind == faultWipe || f.kind == faultRollback) && !w.spare(fsm.NodeID(name)) {
		return
	}
	w.count(f.kind)
	w.tracef("%s: %s for %v, chance %v", name, f.kind, f.last, f.chance)
	w.begin(n, f, r)
	time.Sleep(f.last)
	w.tracef("%s: %s is over", name, f.kind)
	n.Fail(nil)
	n.FailTasks(nil)
	n.Delay(w.lag(f.node))
	n.Thaw()
	n.ResumeTasks()
	switch f.kind {
	case faultWipe:
		n.Wipe()
	case faultRollback:
		n.Restore(old)
	}
	n.Start()
}

func (w *world) begin(n *devnode.Node, f *fault, r *rand.Rand) {
	var mu sync.Mutex
	sometimes := func(fault devnode.Fault) {
		n.Fail(func(*http.Request) *devnode.Fault {
			mu.Lock()
			defer mu.Unlock()
			if r.Float64() < f.chance {
				w.count("requests " + f.kind)
				return &fault
			}
			return nil
		})
	}
	switch f.kind {
	case faultStop, faultWipe, faultRollback:
		n.Stop()
	case faultFreeze:
		n.Freeze()
	case faultIdle:
		n.PauseTasks()
	case faultSlow:
		longest := []int64{20, 300, 6000}[r.IntN(3)]
		n.Delay(func(*http.Request) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if r.Float64() >= f.chance {
				return 0
			}
			w.count("requests slow")
			return time.Duration(r.Int64N(longest)) * time.Millisecond
		})
	case faultFail:
		n.FailTasks(func(kind meili.TaskKind) *meili.Error {
			mu.Lock()
			defer mu.Unlock()
			if r.Float64() >= f.chance {
				return nil
			}
			w.count("tasks fail")
			return meili.Errorf(meili.CodeInternal, noSpace)
		})
	case faultLie:
		sometimes(devnode.Fault{Garble: "<html>It works!</html>"})
	case faultLost:
		sometimes(devnode.Fault{DropBefore: true})
	case faultUnheard:
		sometimes(devnode.Fault{DropAfter: true})
	case faultHalf:
		sometimes(devnode.Fault{TruncateBytes: 1 + r.IntN(60)})
	case faultRefuse:
		sometimes(devnode.Fault{Status: 500, Body: `{"message":"broken","code":"internal","type":"internal","link":""}`})
	}
}

// spare reports that a node's disk may be lost without loss of documents: every shard it holds has another replica in sync.
func (w *world) spare(name fsm.NodeID) bool {
	view := w.view()
	for _, ix := range view.Indexes {
		for _, slots := range ix.Placement {
			for shard, replicas := range slots {
				if !slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return r.Node == name }) {
					continue
				}
				others := 0
				for group := range ix.Placement {
					for _, r := range ix.Replicas(group, fsm.ShardID(shard)) {
						if r.Node != name && r.State == fsm.Active {
							others++
						}
					}
				}
				if others == 0 {
					return false
				}
			}
		}
	}
	return true
}

// victim is the pod that a fault hits: most often the one that leads.
func (w *world) victim(f *fault) *pod {
	if leader := w.leader(); leader != nil && f.node%3 > 0 {
		return leader.pod
	}
	return w.pods[f.after%len(w.pods)]
}

// separate cuts a pod off from the other pods, or from one node.
func (w *world) separate(f *fault) {
	p := w.victim(f)
	name := w.names[f.after%len(w.names)]
	w.count(f.kind)
	w.tracef("%s: %s for %v (%s)", p.id, f.kind, f.last, name)
	if f.kind == faultPartition {
		w.isolate(p, 1)
		defer w.isolate(p, -1)
	} else {
		w.unlink(p.id, name, true)
		defer w.unlink(p.id, name, false)
	}
	time.Sleep(f.last)
	w.tracef("%s: %s is over", p.id, f.kind)
}

// crash lets a pod die some steps from now and starts it again.
func (w *world) crash(f *fault) {
	p := w.victim(f)
	run := p.current()
	if run == nil || run.isDead() {
		return
	}
	w.count(f.kind)
	if run.IsLeader() {
		w.count("crash of a leader")
	}
	p.doom(doom{steps: f.after, before: f.chance < 0.5})
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-run.dead:
	case <-timer.C:
		w.tracef("%s dies at rest", p.id)
		run.kill()
	}
	time.Sleep(f.last)
	if err := p.restart(run); err != nil {
		w.wrong("%s does not start: %v", p.id, err)
	}
	w.tracef("%s is up again", p.id)
}

// transfer hands leadership over.
func (w *world) transfer(f *fault) {
	run := w.leader()
	if run == nil {
		return
	}
	err := run.raft.TransferLeadership("")
	if err == nil {
		w.count(f.kind)
	}
	w.tracef("%s hands leadership over: %v", run.pod.id, err)
}

// tamper writes to a node past Miroir: it changes, adds or deletes a document.
func (w *world) tamper(f *fault) {
	name := w.names[f.node]
	view := w.view()
	for _, uid := range w.history.indexes {
		ix := view.Index(uid)
		if ix == nil || len(ix.Nodes(fsm.Active)) < 2 || !slices.Contains(ix.Nodes(fsm.Active), fsm.NodeID(name)) {
			continue
		}
		id := 1 + f.after
		method, path, body := http.MethodPut, "/documents?primaryKey=id", fmt.Sprintf(`[{"id":%d,"g":"red","u":"foreign"}]`, id)
		if f.after%3 == 0 {
			method, path, body = http.MethodDelete, fmt.Sprintf("/documents/%d", id), ""
		}
		w.mu.Lock()
		if _, before := w.tampered[uid]; !before {
			w.tampered[uid] = len(w.trace)
		}
		w.mu.Unlock()
		request := httptest.NewRequest(method, "http://"+name+"/indexes/"+ix.NodeUID+path, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+masterKey)
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		w.byName[name].ServeHTTP(recorder, request)
		w.count(f.kind)
		w.tracef("somebody sends %s %s%s %s to %s: %d", method, ix.NodeUID, path, body, name, recorder.Code)
		return
	}
}

// finishOperations does what operators have left half done: it brings nodes back that were declared dead, and forgets groups
// that are not read any more.
func (w *world) finishOperations() {
	for _, n := range w.view().Nodes {
		if n.State == fsm.NodeFailed {
			w.pods[0].call(http.MethodPost, "/_miroir/nodes/"+string(n.ID)+"/recover", "", "")
		}
	}
	for _, g := range w.view().Groups {
		if g.State == fsm.GroupDraining {
			w.pods[0].call(http.MethodDelete, fmt.Sprintf("/_miroir/replica_groups/%d?force=true", g.ID), "", "")
		}
	}
}

// compareCopies has all copies compared, and made equal, when somebody wrote past Miroir.
func (w *world) compareCopies(deadline time.Time) bool {
	for left := w.unsettled(); len(w.tampered) > 0 && left != ""; left = w.unsettled() {
		if time.Now().After(deadline) {
			w.wrong("not settled after %v: %s", patience, left)
			return false
		}
		time.Sleep(100 * time.Millisecond)
	}
	if len(w.tampered) == 0 {
		return true
	}
	var job struct {
		ID    string `json:"job_id"`
		State string `json:"state"`
	}
	got := w.pods[0].call(http.MethodPost, "/_miroir/anti-entropy/run", "", "")
	if err := json.Unmarshal(got.body, &job); err != nil || job.ID == "" {
		w.wrong("the copies are not compared: %d %s", got.status, got.body)
		return false
	}
	for time.Now().Before(deadline) {
		got := w.pods[0].call(http.MethodGet, "/_miroir/verify/"+job.ID, "", "")
		if err := json.Unmarshal(got.body, &job); err != nil {
			w.wrong("the comparison of copies: %d %s", got.status, got.body)
			return false
		}
		if job.State != "queued" && job.State != "running" {
			w.tracef("copies are compared: %s", got.body)
			if job.State != "succeeded" {
				w.wrong("the comparison of copies %s", job.State)
			}
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.wrong("the comparison of copies has not ended")
	return false
}
