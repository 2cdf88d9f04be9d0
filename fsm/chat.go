package fsm

import (
	"cmp"
	"encoding/json"
	"slices"
)

// ChatWorkspace is what the conversations of one workspace go by. Its settings are opaque here, and complete: defaults
// are filled in. They hold the key of a language model.
type ChatWorkspace struct {
	UID      string          `json:"uid"`
	Settings json.RawMessage `json:"settings"`
}

// PutChatWorkspace creates or replaces a chat workspace.
type PutChatWorkspace struct {
	Workspace ChatWorkspace `json:"workspace"`
}

// DeleteChatWorkspace deletes a chat workspace.
type DeleteChatWorkspace struct {
	UID string `json:"uid"`
}

func (PutChatWorkspace) Result() (r None)    { return }
func (DeleteChatWorkspace) Result() (r None) { return }

// ChatWorkspace returns the chat workspace with a uid, nil if there is none.
func (v *View) ChatWorkspace(uid string) *ChatWorkspace {
	if i, found := v.chatWorkspaceAt(uid); found {
		return &v.ChatWorkspaces[i]
	}
	return nil
}

func (v *View) chatWorkspaceAt(uid string) (int, bool) {
	return slices.BinarySearchFunc(v.ChatWorkspaces, uid, func(w ChatWorkspace, uid string) int { return cmp.Compare(w.UID, uid) })
}

func (c PutChatWorkspace) apply(t *txn) (any, error) {
	if c.Workspace.UID == "" || len(c.Workspace.Settings) == 0 {
		return nil, refuse(CodeInvalid, "a chat workspace needs a uid and settings")
	}
	i, exists := t.view.chatWorkspaceAt(c.Workspace.UID)
	workspaces := slices.Clone(t.view.ChatWorkspaces)
	if exists {
		workspaces[i] = c.Workspace
	} else {
		workspaces = slices.Insert(workspaces, i, c.Workspace)
	}
	t.setChatWorkspaces(workspaces)
	return None{}, nil
}

func (c DeleteChatWorkspace) apply(t *txn) (any, error) {
	i, exists := t.view.chatWorkspaceAt(c.UID)
	if !exists {
		return nil, refuse(CodeNotFound, "chat workspace %s does not exist", c.UID)
	}
	t.setChatWorkspaces(slices.Delete(slices.Clone(t.view.ChatWorkspaces), i, i+1))
	return None{}, nil
}

func (t *txn) setChatWorkspaces(workspaces []ChatWorkspace) {
	t.view.ChatWorkspaces = workspaces
	t.put(bucketMeta, rowChats, workspaces)
}
