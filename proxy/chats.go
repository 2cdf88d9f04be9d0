package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Bounds of what each pod keeps in memory of chat workspaces.
const (
	maxChatWorkspaces = 1000
	maxChatName       = 511 // bytes, as in Meilisearch
)

// chatRoute is a route of chats, by the name it has in the message that the feature is off.
func chatRoute(action string) gated {
	return gated{action, "chatCompletions", func(f meili.Features) bool { return f.ChatCompletions }, ""}
}

var chatSettings = chatRoute("using the /chats/settings route")

// chat serves a route of chats while the feature is on.
func chat(action string, h handler) handler {
	route := chatRoute(action)
	return func(w http.ResponseWriter, r *request) error {
		if err := route.check(r.View); err != nil {
			return err
		}
		return h(w, r)
	}
}

func (r *request) workspace() string { return r.Params.ByName("workspace") }

type chatWorkspaceView struct {
	UID string `json:"uid"`
}

func (s *Server) handleListChats(w http.ResponseWriter, r *request) error {
	page, refused := meili.DecodePage(r.URL.RawQuery, meili.CodeInvalidIndexOffset, meili.CodeInvalidIndexLimit)
	if refused != nil {
		return refused
	}
	if err := chatRoute("listing the chats").check(r.View); err != nil {
		return err
	}
	total := len(r.View.ChatWorkspaces)
	from := min(page.Offset, total)
	results := []chatWorkspaceView{}
	for _, workspace := range r.View.ChatWorkspaces[from:min(from+page.Limit, total)] {
		results = append(results, chatWorkspaceView{workspace.UID})
	}
	writeJSON(w, http.StatusOK, struct {
		Results []chatWorkspaceView `json:"results"`
		Offset  int                 `json:"offset"`
		Limit   int                 `json:"limit"`
		Total   int                 `json:"total"`
	}{results, page.Offset, page.Limit, total})
	return nil
}

func (s *Server) handleGetChat(w http.ResponseWriter, r *request) error {
	if refused := meili.CheckIndexUID(r.workspace()); refused != nil {
		return refused
	}
	if r.View.ChatWorkspace(r.workspace()) == nil {
		return chatGone(r.workspace())
	}
	writeJSON(w, http.StatusOK, chatWorkspaceView{r.workspace()})
	return nil
}

func (s *Server) handleDeleteChat(w http.ResponseWriter, r *request) error {
	_, err := fsm.Do(r.Context(), s.cluster, fsm.DeleteChatWorkspace{UID: r.workspace()})
	if errors.Is(err, fsm.ErrNotFound) {
		return chatGone(r.workspace())
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// chatGone is how the routes of a workspace itself, not of its settings, word that there is none.
func chatGone(workspace string) *meili.Error {
	return meili.Errorf(meili.CodeChatNotFound, "chat %s not found", workspace)
}

// chatSettingsOf are the settings of a workspace. Error: chat_not_found.
func chatSettingsOf(v *fsm.View, workspace string) (settings meili.ChatSettings, err error) {
	stored := v.ChatWorkspace(workspace)
	if stored == nil {
		return settings, meili.ChatNotFound(workspace)
	}
	if err := json.Unmarshal(stored.Settings, &settings); err != nil {
		return settings, fmt.Errorf("settings of chat workspace %s: %w", workspace, err)
	}
	return settings, nil
}

func (s *Server) handleGetChatSettings(w http.ResponseWriter, r *request) error {
	settings, err := chatSettingsOf(r.View, r.workspace())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, settings.Shown())
	return nil
}

func (s *Server) handlePatchChatSettings(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	patch, refused := meili.DecodeChatPatch(body)
	if refused != nil {
		return refused
	}
	if err := chatSettings.check(r.View); err != nil {
		return err
	}
	return s.changeChatSettings(w, r, func(old *meili.ChatSettings, defaults meili.ChatSettings) (meili.ChatSettings, error) {
		if old == nil {
			old = &defaults
		}
		settings, refused := patch.Apply(*old, defaults)
		if refused != nil {
			return settings, refused
		}
		return settings, nil
	})
}

func (s *Server) handleResetChatSettings(w http.ResponseWriter, r *request) error {
	return s.changeChatSettings(w, r, func(old *meili.ChatSettings, defaults meili.ChatSettings) (meili.ChatSettings, error) {
		if old == nil {
			return defaults, meili.ChatNotFound(r.workspace())
		}
		return defaults, nil
	})
}

// changeChatSettings commits what change makes of a workspace's settings, nil for none yet, and answers with it.
func (s *Server) changeChatSettings(w http.ResponseWriter, r *request, change func(old *meili.ChatSettings, defaults meili.ChatSettings) (meili.ChatSettings, error)) error {
	s.chats.Lock()
	defer s.chats.Unlock()
	var old *meili.ChatSettings
	view := s.cluster.View()
	if view.ChatWorkspace(r.workspace()) != nil {
		settings, err := chatSettingsOf(view, r.workspace())
		if err != nil {
			return err
		}
		old = &settings
	} else if len(view.ChatWorkspaces) >= maxChatWorkspaces {
		return miroirError(codeInvalidArgument, "There are %d chat workspaces, which is as many as there may be. Delete some first.", maxChatWorkspaces)
	} else if len(r.workspace()) > maxChatName {
		return miroirError(codeInvalidArgument, "The name of this chat workspace has %d bytes; at most %d are allowed.", len(r.workspace()), maxChatName)
	}
	defaults, err := s.chatDefaults(r)
	if err != nil {
		return err
	}
	settings, err := change(old, defaults)
	if err != nil {
		return err
	}
	stored, err := marshal(settings)
	if err != nil {
		return err
	}
	command := fsm.PutChatWorkspace{Workspace: fsm.ChatWorkspace{UID: r.workspace(), Settings: stored}}
	if _, err := fsm.Do(r.Context(), s.cluster, command); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, settings.Shown())
	return nil
}

// chatDefaults are the settings of a new workspace. Their prompts belong to the servers, so one of them is asked: what an
// empty change makes of a workspace that it does not have. Nodes know no other workspaces.
func (s *Server) chatDefaults(r *request) (settings meili.ChatSettings, err error) {
	const path = "/chats/miroir-defaults/settings"
	answer, err := s.askAnyNode(r, nil, node.Request{Method: http.MethodPatch, Path: path, Body: []byte("{}"), ContentType: "application/json"})
	if err != nil {
		return settings, err
	}
	if err := json.Unmarshal(answer.Body, &settings); err != nil {
		return settings, fmt.Errorf("default settings of chats: %w", err)
	}
	return settings, nil
}
