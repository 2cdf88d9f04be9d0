package fsm

import (
	"encoding/json"
	"slices"
)

// kindIndexSwap is the kind of tasks whose details name indexes, and which are found under none: they belong to several.
const kindIndexSwap = "indexSwap"

// kindIndexUpdate is the kind of tasks that may give their index another name.
const kindIndexUpdate = "indexUpdate"

// narrowIndexes keeps the tasks that are about one of the names, swaps only where they are wanted.
func (r *taskReader) narrowIndexes(set uidSet, names []string, swaps bool) {
	if names == nil {
		return
	}
	r.narrow(set, dimIndex, names)
	if !swaps {
		set.subtract(readSet(r.tx, dimKind, kindIndexSwap))
	}
}

// narrowEnqueued keeps the tasks that were enqueued for one of the names. Tasks go by the names that their indexes have now,
// batches by those that they had.
func (r *taskReader) narrowEnqueued(set uidSet, names []string, swaps bool) error {
	if names == nil {
		return nil
	}
	connected, lastFlip := slices.Clone(names), uint32(0)
	for again := true; again; {
		again = false
		for _, f := range r.flips {
			a, b := slices.Contains(connected, f.A), slices.Contains(connected, f.B)
			if a || b {
				lastFlip = max(lastFlip, f.Task)
			}
			if a != b {
				connected, again = append(connected, f.A, f.B), true
			}
		}
	}
	r.narrowIndexes(set, connected, swaps)
	named, kept, err := r.union(dimIndex, names), uidSet{}, error(nil)
	set.each(true, func(uid uint32) bool {
		is := named.has(uid)
		if uid < lastFlip { // names have changed since
			task := &Task{}
			if err = json.Unmarshal(r.tx.Bucket(bucketTasks).Get(be32(uid)), task); err != nil {
				return false
			}
			is = slices.ContainsFunc(task.indexNames(), func(name string) bool { return slices.Contains(names, name) })
		}
		if is {
			kept.add(uid)
		}
		return true
	})
	set.intersect(kept)
	return err
}

// showNames gives a task's names as later flips have changed them. A batch keeps those in its details.
func (r *taskReader) showNames(task *Task) error {
	if task.IndexUID != nil {
		task.EnqueuedAs = *task.IndexUID
		name := shownName(r.flips, task.UID, task.EnqueuedAs)
		task.IndexUID = &name
	}
	if task.Kind == kindIndexUpdate && len(task.Details) > 0 {
		var details struct {
			NewIndexUID string `json:"newIndexUid"`
		}
		if err := json.Unmarshal(task.Details, &details); err != nil {
			return err
		}
		if details.NewIndexUID != "" {
			task.RenamedTo = shownName(r.flips, task.UID, details.NewIndexUID)
		}
	}
	if r.ofBatches || task.Kind != kindIndexSwap || len(task.Details) == 0 || !slices.ContainsFunc(r.flips, func(f flip) bool { return f.Task > task.UID }) {
		return nil
	}
	var details swapDetails
	if err := json.Unmarshal(task.Details, &details); err != nil {
		return err
	}
	for i := range details.Swaps {
		for j, name := range details.Swaps[i].Indexes {
			details.Swaps[i].Indexes[j] = shownName(r.flips, task.UID, name)
		}
	}
	text, err := json.Marshal(details)
	if err == nil {
		task.Details = text
	}
	return err
}

// swapDetails are the details of a task that swaps indexes.
type swapDetails struct {
	Swaps []shownSwap `json:"swaps"`
}

type shownSwap struct {
	Indexes [2]string `json:"indexes"`
	Rename  bool      `json:"rename"`
}
