package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Dynamic search rules are applied by the nodes: which of them hold for a search depends on how an index cuts the query
// into words, and what a pinned document shows on what its node found in it. So each node has all rules, and a merge only
// has to put the pins of several nodes in their places, see pins.go.

const rulesPath = "/dynamic-search-rules"

// How often the leader looks whether nodes lack rules, and how often it reads them back.
const (
	ruleInterval = time.Second
	ruleReadback = time.Minute
)

// ruleSync brings the rules of the nodes in line with the replicated state. It works on the leader.
type ruleSync struct {
	server *Server

	mu   sync.Mutex
	told map[fsm.NodeID]*toldRules // guarded by mu
}

// toldRules is what one node surely has.
type toldRules struct {
	mu   sync.Mutex        // held while the node is told, as long as it takes the node to carry that out
	has  map[string]string // the body of a change by rule uid, nil when the node is to be asked; guarded by mu
	view *fsm.View         // whose rules these are; guarded by mu
}

// run keeps nodes in line until ctx ends: the names that rules use can move to other indexes, and a node may have been
// away for a moment.
func (rs *ruleSync) run(ctx context.Context) {
	for readBack := time.Now(); ; {
		if time.Since(readBack) >= ruleReadback {
			readBack = time.Now()
			rs.forget()
		}
		if err := rs.sync(ctx); err != nil && ctx.Err() == nil {
			rs.server.log.Warn("search rules of nodes not in line", "error", err)
		}
		if !sleep(ctx, ruleInterval) {
			return
		}
	}
}

// forget makes the next sync ask the nodes what they have.
func (rs *ruleSync) forget() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.told = nil
}

// of is what is known of a node. With fresh it is forgotten first.
func (rs *ruleSync) of(id fsm.NodeID, fresh bool) *toldRules {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.told == nil {
		rs.told = map[fsm.NodeID]*toldRules{}
	}
	if rs.told[id] == nil || fresh {
		rs.told[id] = &toldRules{}
	}
	return rs.told[id]
}

// sync tells every node what it lacks and returns when it has it. A node that is down is passed over: it is prepared when
// it returns. Error: that of a node that refuses a rule, or does not carry it out.
func (rs *ruleSync) sync(ctx context.Context) error {
	view := rs.server.cluster.View()
	var telling errgroup.Group
	for id := range view.Nodes {
		if !rs.server.alive(view, id) {
			continue
		}
		telling.Go(func() error { return rs.tell(ctx, view, id, rs.of(id, false)) })
	}
	return telling.Wait()
}

// prepare is sync for one node that has appeared. One that is too busy to take rules now gets them by the way.
func (rs *ruleSync) prepare(ctx context.Context, id fsm.NodeID) error {
	return rs.tell(ctx, rs.server.cluster.View(), id, rs.of(id, true))
}

func (rs *ruleSync) tell(ctx context.Context, view *fsm.View, id fsm.NodeID, t *toldRules) error {
	features, err := featuresOf(view)
	if err != nil || !features.DynamicSearchRules {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	client := rs.server.nodes.Client(view, id)
	if client == nil || t.view != nil && sameRules(t.view, view) {
		return nil
	}
	want, err := nodeRules(view)
	if err != nil {
		return err
	}
	had := t.has
	t.has, t.view = nil, nil // not sure until it is told
	err = rs.tellNode(ctx, client, had, want)
	if node.OutcomeOf(err) != 0 {
		rs.server.log.Warn("a node will get the search rules later", "node_id", id, "error", err)
		return nil
	}
	if err == nil {
		t.has, t.view = want.bodies, view
	}
	return err
}

// sameRules reports whether nodes have the same rules under two views.
func sameRules(a, b *fsm.View) bool {
	return a.RulesAt == b.RulesAt && (len(b.SearchRules) == 0 || maps.Equal(a.Names, b.Names))
}

// tellNode sends one node what it lacks, and waits until it has it; had is nil when that is not known.
func (rs *ruleSync) tellNode(ctx context.Context, c *node.Client, had map[string]string, want *wantedRules) (err error) {
	if had == nil {
		if had, err = rs.rulesOfNode(ctx, c); err != nil {
			return err
		}
	}
	var uids []uint32
	send := func(method, uid, body string) error {
		request := node.Request{Method: method, Path: rulesPath + "/" + uid}
		if body != "" {
			request.Body, request.ContentType = []byte(body), "application/json"
		}
		task, err := rs.enqueue(ctx, c, request)
		uids = append(uids, task)
		return err
	}
	for _, uid := range slices.Sorted(maps.Keys(had)) {
		if _, wanted := want.bodies[uid]; !wanted {
			if err := send(http.MethodDelete, uid, ""); err != nil {
				return err
			}
		}
	}
	for _, uid := range want.order {
		if had[uid] != want.bodies[uid] {
			if err := send(http.MethodPatch, uid, want.bodies[uid]); err != nil {
				return err
			}
		}
	}
	return rs.await(ctx, c, uids)
}

// enqueue sends a node a request that enqueues a task, and returns the task's uid there.
func (rs *ruleSync) enqueue(ctx context.Context, c *node.Client, r node.Request) (uint32, error) {
	answer, err := rs.server.askNode(ctx, c, r)
	if err != nil {
		return 0, err
	}
	var summary struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer.Body, &summary); err != nil {
		return 0, fmt.Errorf("node %s: %w", c.ID(), err)
	}
	return summary.TaskUID, nil
}

// await waits until a node has carried out all of some tasks, as long as it answers.
func (rs *ruleSync) await(ctx context.Context, c *node.Client, uids []uint32) error {
	for len(uids) > 0 {
		asking, cancel := context.WithTimeout(ctx, rs.server.opts.WriteTimeout)
		list, err := c.Tasks(asking, uids)
		cancel()
		if err != nil {
			return err
		}
		for _, task := range list {
			if task.Failed() {
				return fmt.Errorf("node %s: its task %d ended %s: %s", c.ID(), task.UID, task.Status, task.Error)
			}
			if task.Finished() {
				uids = slices.DeleteFunc(uids, func(uid uint32) bool { return uid == task.UID })
			}
		}
		if len(uids) > 0 && !sleep(ctx, nodeTaskPoll) {
			return &node.Error{Node: c.ID(), Outcome: node.Unknown, Err: ctx.Err()}
		}
	}
	return nil
}

// nodeTaskPoll is how often a node is asked for tasks that are waited for.
const nodeTaskPoll = 10 * time.Millisecond

// rulesOfNode reads the rules of a node as bodies of changes.
func (rs *ruleSync) rulesOfNode(ctx context.Context, c *node.Client) (map[string]string, error) {
	body, err := marshal(meili.RuleList{Limit: 2 * maxSearchRules})
	if err != nil {
		return nil, err
	}
	answer, err := rs.server.askNode(ctx, c, node.Request{Method: http.MethodPost, Path: rulesPath, Body: body, ContentType: "application/json", Read: true})
	if err != nil {
		return nil, err
	}
	var page struct {
		Results []meili.SearchRule `json:"results"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return nil, fmt.Errorf("search rules of node %s: %w", c.ID(), err)
	}
	has := make(map[string]string, len(page.Results))
	for i := range page.Results {
		if has[page.Results[i].UID], err = ruleBody(&page.Results[i]); err != nil {
			return nil, err
		}
	}
	return has, nil
}

// wantedRules are the rules as nodes are to have them.
type wantedRules struct {
	bodies map[string]string // of a change that sets all of a rule, by uid
	order  []string          // those changed last come last, so that nodes list them as one server would
}

func nodeRules(v *fsm.View) (*wantedRules, error) {
	want := &wantedRules{bodies: make(map[string]string, len(v.SearchRules))}
	updated := make(map[string]string, len(v.SearchRules))
	taken := map[string]bool{} // names under which nodes have an index that clients know by another
	for name, id := range v.Names {
		if ix := v.Indexes[id]; ix != nil && ix.NodeUID != name {
			taken[ix.NodeUID] = true
		}
	}
	for uid, stored := range v.SearchRules {
		rule, err := decodeRule(stored)
		if err != nil {
			return nil, err
		}
		updated[uid] = rule.LastUpdatedAt
		rule.Precedence = new(nodePrecedence(rule.Precedence, stored.Seq))
		rule.Actions = nodeActions(v, rule.Actions, taken)
		if want.bodies[uid], err = ruleBody(&rule); err != nil {
			return nil, err
		}
		want.order = append(want.order, uid)
	}
	slices.SortFunc(want.order, func(a, b string) int { return strings.Compare(updated[a]+a, updated[b]+b) })
	return want, nil
}

// nodePrecedence gives each rule a precedence of its own, since nodes order equal ones by when they got them. Meilisearch
// compares precedences as floating-point numbers: 31 bits of the client's, none being the highest, and 22 of the sequence
// number are told apart. Higher ones of the client's count as equal.
func nodePrecedence(precedence *uint64, seq uint32) uint64 {
	const none = 1<<31 - 1
	high := uint64(none)
	if precedence != nil {
		high = min(*precedence, none-1)
	}
	return high<<22 | uint64(seq)
}

// nodeActions are a rule's actions under the names that indexes have on nodes. One for a name that no index has, and that
// is another's on nodes, is left out.
func nodeActions(v *fsm.View, actions []meili.RuleAction, taken map[string]bool) []meili.RuleAction {
	renamed := []meili.RuleAction{}
	for _, action := range actions {
		if uid := action.Selector.IndexUID; uid != nil {
			if ix := v.Index(*uid); ix != nil {
				action.Selector.IndexUID = &ix.NodeUID
			} else if taken[*uid] {
				continue
			}
		}
		renamed = append(renamed, action)
	}
	return renamed
}

// ruleBody is the body of a change that sets all of a rule.
func ruleBody(rule *meili.SearchRule) (string, error) {
	text, err := marshal(meili.SearchRulePatch{
		Description: settingOf(rule.Description), Precedence: settingOf(rule.Precedence), Active: meili.SetTo(rule.Active),
		Conditions: meili.SetTo(rule.Conditions), Actions: meili.SetTo(rule.Actions),
	})
	return string(text), err
}

func settingOf[T any](value *T) meili.Setting[T] {
	if value == nil {
		return meili.ResetTo[T]()
	}
	return meili.SetTo(*value)
}
