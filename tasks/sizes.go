package tasks

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

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
		if size, ok := parseSize(text); ok {
			total, known = total+size*r.Part, true
		}
	}
	if !known {
		return nil
	}
	text := formatSize(total)
	return &text
}

var sizeUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// parseSize reads a size as Meilisearch prints it: "180 KiB".
func parseSize(text string) (float64, bool) {
	number, unit, _ := strings.Cut(text, " ")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, false
	}
	for i, name := range sizeUnits {
		if name == unit {
			return value * math.Pow(1024, float64(i)), true
		}
	}
	return 0, false
}

// formatSize prints bytes in the largest binary unit that fits, with at most two decimals.
func formatSize(size float64) string {
	unit := 0
	for size >= 1024 && unit < len(sizeUnits)-1 {
		size, unit = size/1024, unit+1
	}
	text := strconv.FormatFloat(size, 'f', 2, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".") + " " + sizeUnits[unit]
}
