package tasks

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Report is what is known of one node's share of a task.
type Report struct {
	fsm.NodeTask
	// Task is what the node says of it, nil while it has not been asked or has not answered.
	Task *node.Task
	// Missing: the node answered and does not know the task any more.
	Missing bool
	// InSync: the node's replicas of the shards touched are read, apart from Unsynced. Others do not decide and are not waited for.
	InSync   bool
	Unsynced []fsm.ShardID
	// Down: the cluster has given the node up.
	Down bool
	// Inherited: each shard of the share has an in-sync replica on a node without a share, which came in sync after the
	// write and so has what it did.
	Inherited bool
	// Part is which part of what the node keeps of the index counts where each shard is counted once: 1 for the only copy,
	// ½ for one of two.
	Part float64
}

// Result is what the reports make of a client task.
type Result struct {
	Status      string // "" while it is not decided
	Started     bool   // some node has begun
	Details     json.RawMessage
	Error       json.RawMessage
	StartedAt   *time.Time
	FinishedAt  *time.Time
	FailedNodes []fsm.NodeID // did not do what others did
	// Behind are nodes of which that is certain already, while others still work on the task.
	Behind      []fsm.NodeID
	NodeTasks   []fsm.NodeTask
	IndexExists bool
	// Undo are the nodes that made a change which the task as a whole did not.
	Undo []fsm.NodeID
}

// verdict is what one node's share came to.
type verdict uint8

const (
	waiting verdict = iota
	succeeded
	failed
	canceled
	lost // nobody can say: the node is down or has forgotten the task
)

// Merge folds the nodes' reports into the client task. indexUID and nodeUID are the index's names for clients and on
// nodes. A task has succeeded when every in-sync replica's share has. For documents, a share that fails while another
// replica's succeeds makes its node one of FailedNodes and the task succeeds; for settings and indexes one refusal
// fails the task, and those that made the change must undo it. The deletion of an index has happened once one node did it.
func Merge(task *fsm.Task, reports []Report, nodeUID string) Result {
	m := merger{task: task, reports: reports, nodeUID: nodeUID, verdicts: make([]verdict, len(reports))}
	for i := range reports {
		m.verdicts[i] = m.judge(&reports[i])
	}
	result := Result{Started: m.started()}
	if m.oneSuffices() && m.task.Kind != string(meili.TaskIndexDeletion) {
		result.Behind = m.behind()
	}
	if !m.decided() {
		return result
	}
	m.decide(&result)
	m.describe(&result)
	return result
}

type merger struct {
	task     *fsm.Task
	reports  []Report
	nodeUID  string
	verdicts []verdict
}

func (m *merger) judge(r *Report) verdict {
	switch {
	case r.Missing, r.Task == nil && r.Down:
		return lost
	case r.Task == nil || !r.Task.Finished():
		if r.Down {
			return lost
		}
		return waiting
	case r.Task.Status == fsm.StatusCanceled:
		return canceled
	case r.Task.Status == fsm.StatusFailed && !m.harmless(r.Task):
		return failed
	}
	return succeeded
}

// harmless reports a failure that leaves the node as the task wanted it: an index to be deleted was not there.
func (m *merger) harmless(t *node.Task) bool {
	var e meili.Error
	return m.task.Kind == string(meili.TaskIndexDeletion) && json.Unmarshal(t.Error, &e) == nil && e.Code == meili.CodeIndexNotFound
}

func (m *merger) started() bool {
	return slices.ContainsFunc(m.reports, func(r Report) bool { return r.Task != nil && r.Task.Status != fsm.StatusEnqueued })
}

// decided reports whether every share that counts has an end. A lost share waits as long as no other replica can vouch
// for its shards.
func (m *merger) decided() bool {
	for i, r := range m.reports {
		switch {
		case m.verdicts[i] == waiting && r.InSync:
			return false
		case m.verdicts[i] == lost && r.InSync && !r.Missing && !m.vouched(i) && !m.inherited(i) && !m.deleted():
			return false
		}
	}
	return m.any(func(v verdict) bool { return v != waiting })
}

// vouched reports whether each shard of report i has an in-sync replica with a definite end elsewhere; to be canceled is one.
func (m *merger) vouched(i int) bool {
	return m.covers(i, func(j int) bool {
		return j != i && m.verdicts[j] != waiting && m.verdicts[j] != lost
	})
}

// inherited reports that a share is lost and others have what it did to documents. Nobody can say any more how it ended there;
// what was acknowledged was checked before, and has happened.
func (m *merger) inherited(i int) bool {
	return m.verdicts[i] == lost && m.reports[i].Inherited && m.oneSuffices()
}

// deleted reports that a node in sync has deleted the index. Nobody brings back what it had, so the others are to follow,
// also where they hold other shards.
func (m *merger) deleted() bool {
	return m.task.Kind == string(meili.TaskIndexDeletion) && m.any(func(v verdict) bool { return v == succeeded })
}

// covers reports whether the chosen nodes together have every shard in sync that node i of report i has.
func (m *merger) covers(i int, chosen func(j int) bool) bool {
	if m.reports[i].Shards == nil {
		for j, r := range m.reports {
			if r.InSync && r.Shards == nil && chosen(j) {
				return true
			}
		}
		return false
	}
	for _, shard := range m.reports[i].Shards {
		found := !m.reports[i].synced(shard)
		for j := range m.reports {
			found = found || m.reports[j].synced(shard) && chosen(j)
		}
		if !found {
			return false
		}
	}
	return true
}

// synced reports whether the node's replica of a shard is read.
func (r *Report) synced(shard fsm.ShardID) bool {
	return r.InSync && (r.Shards == nil || slices.Contains(r.Shards, shard)) && !slices.Contains(r.Unsynced, shard)
}

func (m *merger) any(is func(verdict) bool) bool {
	for i, v := range m.verdicts {
		if m.reports[i].InSync && is(v) {
			return true
		}
	}
	// Without any in-sync replica left, those that were written decide.
	if slices.ContainsFunc(m.reports, func(r Report) bool { return r.InSync }) {
		return false
	}
	return slices.ContainsFunc(m.verdicts, is)
}

func (m *merger) decide(result *Result) {
	switch {
	case m.oneSuffices():
		m.decideDocuments(result)
	case m.any(func(v verdict) bool { return v == failed || v == canceled }):
		m.decideRefused(result)
	default:
		result.Status = fsm.StatusSucceeded
	}
	result.FailedNodes = append(result.FailedNodes, m.nodesWith(lost)...)
	if m.deleted() { // whoever has not done it is asked again, out of sync or not
		result.FailedNodes = m.nodesWhere(func(v verdict) bool { return v != succeeded })
	}
	slices.Sort(result.FailedNodes)
	result.FailedNodes = slices.Compact(result.FailedNodes)
	if _, note := ReadNote(m.task.Details); note.Error != nil && result.Status == fsm.StatusSucceeded {
		result.Status, result.Error, result.IndexExists = fsm.StatusFailed, note.Error, true
	}
	result.IndexExists = result.IndexExists || result.Status == fsm.StatusFailed && m.onlyCreated()
}

// onlyCreated reports whether all that a failed task did is to create its index, before what it was for. One server keeps it.
func (m *merger) onlyCreated() bool {
	kind := meili.TaskKind(m.task.Kind)
	return m.task.Effect.CreateIndex && kind != meili.TaskIndexCreation && !slices.ContainsFunc(m.reports, func(r Report) bool {
		return r.Task == nil || r.Task.Type == string(kind) && r.Task.Status == fsm.StatusSucceeded
	})
}

// oneSuffices tells tasks that have happened once one replica of each shard did them: those of documents, and the
// deletion of an index, which cannot be undone.
func (m *merger) oneSuffices() bool {
	switch meili.TaskKind(m.task.Kind) {
	case meili.TaskDocumentAdditionOrUpdate, meili.TaskDocumentDeletion, meili.TaskDocumentEdition, meili.TaskIndexDeletion:
		return true
	}
	return false
}

// behind are nodes that failed what another replica in sync of one of their shards has done: that has happened, whatever
// comes of the rest.
func (m *merger) behind() (nodes []fsm.NodeID) {
	for i, v := range m.verdicts {
		if v == failed && m.reports[i].InSync && m.sharesWith(i, succeeded) {
			nodes = append(nodes, m.reports[i].Node)
		}
	}
	return nodes
}

// decideDocuments: what one replica in sync of every shard did has happened, and the others are behind.
func (m *merger) decideDocuments(result *Result) {
	for i, v := range m.verdicts {
		if v != failed && v != canceled {
			continue
		}
		if m.sharesWith(i, succeeded) {
			result.FailedNodes = append(result.FailedNodes, m.reports[i].Node)
		}
	}
	whole := true
	for i := range m.reports {
		whole = whole && (!m.reports[i].InSync || m.inherited(i) || m.covers(i, func(j int) bool { return m.verdicts[j] == succeeded }))
	}
	switch {
	case m.deleted():
		result.Status = fsm.StatusSucceeded
	case whole && (m.anyInherited() || m.any(func(v verdict) bool { return v == succeeded })):
		result.Status = fsm.StatusSucceeded
	case m.any(func(v verdict) bool { return v == failed }):
		result.Status, result.Error = fsm.StatusFailed, m.firstError()
	case m.any(func(v verdict) bool { return v == canceled }):
		result.Status = fsm.StatusCanceled
	default:
		result.Status, result.Error = fsm.StatusFailed, lostError()
	}
}

// sharesWith reports whether another node with verdict v has a shard of report i in sync.
func (m *merger) sharesWith(i int, v verdict) bool {
	for j := range m.reports {
		if j == i || m.verdicts[j] != v || !m.reports[j].InSync {
			continue
		}
		if a := m.reports[i].Shards; a == nil || m.reports[j].Shards == nil || slices.ContainsFunc(a, m.reports[j].synced) {
			return true
		}
	}
	return false
}

// decideRefused: all or none. Those that made the change undo it.
func (m *merger) decideRefused(result *Result) {
	result.Status, result.Error = fsm.StatusFailed, m.firstError()
	if !m.any(func(v verdict) bool { return v == failed }) {
		result.Status, result.Error = fsm.StatusCanceled, nil
	}
	result.Undo = m.nodesWith(succeeded)
}

func (m *merger) nodesWith(v verdict) []fsm.NodeID {
	return m.nodesWhere(func(is verdict) bool { return is == v })
}

func (m *merger) nodesWhere(is func(verdict) bool) []fsm.NodeID {
	var nodes []fsm.NodeID
	for i := range m.reports {
		if is(m.verdicts[i]) {
			nodes = append(nodes, m.reports[i].Node)
		}
	}
	return nodes
}

// firstError is the error of a node that failed, of one in sync if there is one: others may lack what the task is about.
func (m *merger) firstError() (first json.RawMessage) {
	for i := range m.reports {
		switch {
		case m.verdicts[i] != failed:
		case m.reports[i].InSync:
			return m.clientError(m.reports[i].Task.Error)
		case first == nil:
			first = m.clientError(m.reports[i].Task.Error)
		}
	}
	return first
}

// clientError is a node's error without what clients must not see: the node-side name and hidden fields.
func (m *merger) clientError(raw json.RawMessage) json.RawMessage {
	var e meili.Error
	if json.Unmarshal(raw, &e) != nil {
		return raw
	}
	if m.task.IndexUID != nil && m.nodeUID != *m.task.IndexUID {
		e.Message = strings.ReplaceAll(e.Message, "`"+m.nodeUID+"`", "`"+*m.task.IndexUID+"`")
	}
	if _, note := ReadNote(m.task.Details); note.FunctionAt > 0 {
		e.Message = atClientPositions(e.Message, note.FunctionAt)
	}
	e.Message = WithoutHidden(e.Message)
	text, err := json.Marshal(e)
	if err != nil {
		return raw
	}
	return text
}

var firstLine = regexp.MustCompile(`\(line 1, position (\d+)\)`)

// atClientPositions puts the positions that a message names in the first line of a function to where the client has them.
func atClientPositions(message string, before int) string {
	return firstLine.ReplaceAllStringFunc(message, func(place string) string {
		position, err := strconv.Atoi(firstLine.FindStringSubmatch(place)[1])
		if err != nil || position <= before {
			return place
		}
		return fmt.Sprintf("(line 1, position %d)", position-before)
	})
}

func lostError() json.RawMessage {
	text, _ := json.Marshal(meili.Errorf("internal", "No node knows the task any more.")) // strings always marshal
	return text
}

// describe fills in details, times and the nodes' shares.
func (m *merger) describe(result *Result) {
	result.Details = m.details(result.Status)
	for i, r := range m.reports {
		share := r.NodeTask
		share.Done = m.verdicts[i] != waiting && m.verdicts[i] != lost
		if t := r.Task; t != nil {
			share.Status = t.Status
			if string(t.Error) != "null" {
				share.Error = t.Error
			}
			result.StartedAt = earliest(result.StartedAt, t.StartedAt)
			result.FinishedAt = latest(result.FinishedAt, t.FinishedAt)
		}
		result.NodeTasks = append(result.NodeTasks, share)
	}
}

func earliest(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

func latest(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
