package tasks

import (
	"encoding/json"

	"miroir/fsm"
	"miroir/meili"
)

// View is a task as clients see it.
func View(t *fsm.Task) meili.TaskView {
	details, _ := ReadNote(t.Details)
	kind := meili.TaskKind(t.Kind)
	view := meili.TaskView{
		UID: t.UID, BatchUID: t.BatchUID, IndexUID: kind.ShownIndex(t.IndexUID), Status: meili.TaskStatus(t.Status), Kind: kind,
		CanceledBy: t.CanceledBy, Details: details, EnqueuedAt: t.EnqueuedAt, StartedAt: t.StartedAt, FinishedAt: t.FinishedAt,
		CustomMetadata: t.CustomMetadata,
	}
	if len(t.Error) > 0 && string(t.Error) != "null" {
		view.Error = &meili.Error{}
		if err := json.Unmarshal(t.Error, view.Error); err != nil {
			view.Error = meili.Errorf(meili.CodeInternal, "%s", t.Error)
		}
	}
	return view
}
