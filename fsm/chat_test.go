package fsm

import (
	"encoding/json"
	"testing"
)

func TestChatWorkspaces(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	put := func(uid, settings string) PutChatWorkspace {
		return PutChatWorkspace{ChatWorkspace{UID: uid, Settings: json.RawMessage(settings)}}
	}
	do(m, put("b", `{"source":"openAi"}`))
	do(m, put("a", `{}`))
	do(m, put("b", `{"source":"mistral"}`))
	m.refused(put("", `{}`), ErrInvalid)
	do(m, DeleteChatWorkspace{"a"})
	m.refused(DeleteChatWorkspace{"a"}, ErrNotFound)
	m.reopen()
	v := m.fsm.View()
	if len(v.ChatWorkspaces) != 1 || string(v.ChatWorkspace("b").Settings) != `{"source":"mistral"}` || v.ChatWorkspace("a") != nil {
		t.Fatalf("workspaces %s", v.ChatWorkspaces)
	}
}
