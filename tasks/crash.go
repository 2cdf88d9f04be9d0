package tasks

import (
	"encoding/json"
	"fmt"
	"strings"

	"miroir/fsm"
	"miroir/meili"
)

// codeWriteStopped is the code of a write that was stopped because nodes died of it.
const codeWriteStopped meili.Code = "miroir_write_stopped"

// CrashError is what a write fails with that was stopped because nodes died while they processed it.
func CrashError(dead []fsm.NodeID) json.RawMessage {
	names := make([]string, len(dead))
	for i, id := range dead {
		names[i] = string(id)
	}
	text, _ := json.Marshal(meili.Error{
		Message: fmt.Sprintf("The write was stopped: nodes %s died one after another while they processed it. No replica of the shards concerned has it. Look at their logs before sending it again.", strings.Join(names, ", ")),
		Code:    codeWriteStopped, Type: "system", Link: "docs/errors.md#" + string(codeWriteStopped),
	}) // strings always marshal
	return text
}

// IsCrashError tells a CrashError from other errors.
func IsCrashError(raw json.RawMessage) bool {
	var e meili.Error
	return len(raw) > 0 && json.Unmarshal(raw, &e) == nil && e.Code == codeWriteStopped
}
