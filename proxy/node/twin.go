package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"miroir/fsm"
)

// twinTimeout bounds one question to one server when it is looked whether two addresses lead to the same one.
const twinTimeout = 2 * time.Second

// Twins is the error of two nodes, known or to be added, that are one server.
type Twins struct{ Node, Other *fsm.Node }

// Error names both.
func (t *Twins) Error() string {
	return fmt.Sprintf("node `%s` at %s is the server of node `%s`, which is at %s: each node needs a server of its own",
		t.Node.ID, t.Node.Address, t.Other.ID, t.Other.Address)
}

// StrayError is why nothing is sent to a node: its address leads to the server of another one. As a transport it sends nothing.
type StrayError struct{ LeadsTo fsm.NodeID }

// Error names the other node.
func (e StrayError) Error() string {
	return fmt.Sprintf("its address leads to the server of node `%s`", e.LeadsTo)
}

// RoundTrip fails before anything is sent.
func (e StrayError) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: e}
}

// mark is a task that no other server has: a cancelation of the tasks of an index whose name nobody uses.
type mark struct {
	uid  uint32
	name string
}

// CheckTwins returns a *Twins when a fresh node is the server of another fresh one, or of one of others. A server tells nothing
// of itself by which it could be known under another address: its keys are those of every copy of its disk, and an empty one
// has no history. So each fresh node is given a task that does nothing, and all are asked for these tasks. Nodes that do not
// answer are taken for other servers; a fresh one that does not take its task is an error beside that.
func (s *Set) CheckTwins(ctx context.Context, fresh, others []*fsm.Node) error {
	all := slices.Concat(others, fresh)
	for i, n := range all {
		if j := slices.IndexFunc(all[:i], func(other *fsm.Node) bool { return other.Address == n.Address }); j >= 0 && i >= len(others) {
			return &Twins{n, all[j]}
		}
	}
	if len(fresh) == 0 || len(all) < 2 {
		return nil
	}
	marks, failures := make([]*mark, len(fresh)), make([]error, len(fresh))
	each(fresh, func(i int, n *fsm.Node) { marks[i], failures[i] = s.New(n).leaveMark(ctx) })
	found := make([][]bool, len(all))
	each(all, func(i int, n *fsm.Node) {
		if at := i - len(others); at < 0 || failures[at] == nil {
			found[i] = s.New(n).findMarks(ctx, marks)
		}
	})
	for i, n := range all {
		for at, has := range found[i] {
			if has && fresh[at] != n {
				return &Twins{fresh[at], n}
			}
		}
	}
	return errors.Join(failures...)
}

// each does something with all nodes at once.
func each(nodes []*fsm.Node, do func(int, *fsm.Node)) {
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { do(i, n) })
	}
	all.Wait()
}

func (c *Client) leaveMark(ctx context.Context) (*mark, error) {
	ctx, cancel := context.WithTimeout(ctx, twinTimeout)
	defer cancel()
	m := mark{name: "miroir-mark-" + uuid.NewString()}
	response, err := c.Do(ctx, Request{Method: http.MethodPost, Path: "/tasks/cancel", Query: url.Values{"indexUids": {m.name}}})
	if err != nil {
		return nil, err
	}
	if err := response.Refused(c.id); err != nil {
		return nil, err
	}
	var summary struct {
		TaskUID *uint32 `json:"taskUid"`
	}
	if !response.OK() || json.Unmarshal(response.Body, &summary) != nil || summary.TaskUID == nil {
		return nil, fmt.Errorf("node %s takes no task: status %d: %.200s", c.id, response.Status, response.Body)
	}
	m.uid = *summary.TaskUID
	return &m, nil
}

// findMarks reports for each mark, some of which are nil, whether the node has it.
func (c *Client) findMarks(ctx context.Context, marks []*mark) []bool {
	ctx, cancel := context.WithTimeout(ctx, twinTimeout)
	defer cancel()
	var uids []uint32
	for _, m := range marks {
		if m != nil {
			uids = append(uids, m.uid)
		}
	}
	list, err := c.Tasks(ctx, uids)
	if err != nil {
		return nil
	}
	has := make([]bool, len(marks))
	for _, task := range list {
		var details struct{ OriginalFilter string }
		if json.Unmarshal(task.Details, &details) != nil {
			continue // a task without details
		}
		for i, m := range marks {
			has[i] = has[i] || m != nil && m.uid == task.UID && strings.Contains(details.OriginalFilter, m.name)
		}
	}
	return has
}
