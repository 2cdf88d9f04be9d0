package devnode

import (
	"encoding/json"
	"slices"
	"time"

	"miroir/meili"
)

// batch is a group of tasks processed together: here one task, and those a cancelation canceled. The store's mutex guards
// its members until it is finished; they do not change afterwards, except for tasks.
type batch struct {
	uid        uint32
	index      string   // of the task it was made for, "" for none
	tasks      []uint32 // ascending
	startedAt  time.Time
	finishedAt *time.Time
	strategy   string
	details    object // once finished
	stats      object // once finished
}

// close computes what a finished batch shows.
func (b *batch) close(j *job, tasks []*task) {
	b.details = sumDetails(tasks).withoutNulls()
	b.stats = append(countTasks(tasks), member{"progressTrace", object{
		{"processing tasks", b.finishedAt.Sub(b.startedAt).String()},
		{"writing tasks to disk", "0.00µs"},
	}})
	if j.indexed {
		b.stats = append(b.stats, member{"writeChannelCongestion", object{
			{"attempts", 1}, {"blocking_attempts", 0}, {"blocking_ratio", 0.0},
		}})
	}
	if j.resized {
		b.stats = append(b.stats, member{"internalDatabaseSizes", object{{"documents", "4 KiB (+4 KiB)"}}})
	}
}

// countTasks is the part of a batch's statistics that counts tasks.
func countTasks(tasks []*task) object {
	statuses, kinds, indexes := map[meili.TaskStatus]int{}, map[meili.TaskKind]int{}, map[string]int{}
	for _, t := range tasks {
		statuses[t.status]++
		kinds[t.kind]++
		if t.indexUID != nil {
			indexes[*t.indexUID]++
		}
	}
	return object{{"totalNbTasks", len(tasks)}, {"status", statuses}, {"types", kinds}, {"indexUids", indexes}}
}

// sumDetails merges the details of tasks: counts add up, of other values the first one counts.
func sumDetails(tasks []*task) object {
	sum := object{}
	for _, t := range tasks {
		for _, m := range t.details {
			sum = sum.set(m.name, addDetail(sum.get(m.name), m.value))
		}
	}
	return sum
}

func addDetail(a, b any) any {
	x, isCount := a.(int)
	y, alsoCount := b.(int)
	switch {
	case isCount && alsoCount:
		return x + y
	case a == nil:
		return b
	}
	return a
}

// withoutNulls leaves out what a stored batch forgets: members of null, unless they are settings.
func (o object) withoutNulls() object {
	forgotten := []string{
		"indexedDocuments", "editedDocuments", "primaryKey", "deletedDocuments", "canceledTasks", "deletedTasks",
		"originalFilter", "dumpUid", "context",
	}
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool {
		return isNull(m.value) && slices.Contains(forgotten, m.name)
	})
}

// isNull tells whether a value prints as null.
func isNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case *string:
		return v == nil
	case json.RawMessage:
		return v == nil || string(v) == "null"
	}
	return false
}

// view is the batch as the API shows it. Call with the store's mutex held.
func (b *batch) view(tasks []*task) object {
	details, stats := b.details, b.stats
	var progress any
	if b.finishedAt == nil {
		details, stats = sumDetails(tasks), countTasks(tasks)
		progress = object{{"steps", []object{}}, {"percentage", 0.0}}
	}
	view := object{{"uid", b.uid}, {"progress", progress}, {"details", details}, {"stats", stats}}
	if b.finishedAt == nil {
		view = append(view, member{"duration", nil}, member{"startedAt", meili.FormatTime(b.startedAt)}, member{"finishedAt", nil})
	} else {
		view = append(view,
			member{"duration", meili.FormatDuration(b.finishedAt.Sub(b.startedAt))},
			member{"startedAt", meili.FormatTime(b.startedAt)},
			member{"finishedAt", meili.FormatTime(*b.finishedAt)})
	}
	return append(view, member{"batchStrategy", b.strategy})
}
