package tasks

import (
	"encoding/json"
	"math"

	"miroir/fsm"
	"miroir/meili"
)

// compaction are the details of a compaction: what the files of one copy of the index took before and after.
func (m *merger) compaction(status string) json.RawMessage {
	var details meili.TaskDetails
	if status == fsm.StatusSucceeded {
		details.PreCompactionSize = m.sumSizes("preCompactionSize")
		details.PostCompactionSize = m.sumSizes("postCompactionSize")
	}
	return details.JSON()
}

// sumSizes adds a size over the nodes that succeeded, what is there several times once; nil when none tells it.
func (m *merger) sumSizes(name string) *string {
	total, known := 0.0, false
	for i, r := range m.reports {
		if m.verdicts[i] != succeeded {
			continue
		}
		raw, _ := meili.Get(r.Task.Details, name)
		var text string
		if json.Unmarshal(raw, &text) != nil {
			continue
		}
		if size, ok := meili.ParseSize(text); ok {
			total, known = total+float64(size)*r.Part, true
		}
	}
	if !known {
		return nil
	}
	return new(meili.FormatSize(uint64(math.Round(total))))
}
