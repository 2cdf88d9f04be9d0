package devnode

import (
	"maps"
	"net/http"
	"slices"

	"miroir/meili"
)

// The embedded node keeps the settings of chat workspaces and talks to no language model: it has no sockets.

// defaultChat are the settings of a new workspace. The prompts are shorter than a real server's and in other words.
var defaultChat = meili.ChatSettings{Source: meili.ChatOpenAI, Prompts: meili.ChatPrompts{
	System:              "Answer from what the search finds, and search more than once.",
	SearchDescription:   "Searches the documents of one index.",
	SearchQParam:        "The words to search for.",
	SearchFilterParam:   "A Meilisearch filter expression, or nothing. These attributes can be filtered on: ",
	SearchIndexUIDParam: "The index to search in.",
}}

func listChats(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().ChatCompletions, "listing the chats", "chatCompletions"); err != nil {
		return answer{}, err
	}
	page, err := meili.DecodePage(q.URL.RawQuery, meili.CodeInvalidIndexOffset, meili.CodeInvalidIndexLimit)
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	names := sortedNames(q.store.chats)
	from := min(page.Offset, len(names))
	results := []object{}
	for _, name := range names[from:min(from+page.Limit, len(names))] {
		results = append(results, object{{"uid", name}})
	}
	return respond(http.StatusOK, pageView(results, page.Offset, page.Limit, len(names))), nil
}

func chatWorkspace(q *request) (answer, *meili.Error) {
	action := "displaying a chat"
	if q.Method == http.MethodDelete {
		action = "deleting a chat"
	}
	if err := needs(q.store.currentFeatures().ChatCompletions, action, "chatCompletions"); err != nil {
		return answer{}, err
	}
	name := q.param("workspace")
	if q.Method == http.MethodGet {
		if err := meili.CheckIndexUID(name); err != nil {
			return answer{}, err
		}
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	if _, known := q.store.chats[name]; !known {
		return answer{}, meili.Errorf(meili.CodeChatNotFound, "chat %s not found", name)
	}
	if q.Method == http.MethodGet {
		return respond(http.StatusOK, object{{"uid", name}}), nil
	}
	delete(q.store.chats, name)
	return empty(http.StatusNoContent), nil
}

func chatSettings(q *request) (answer, *meili.Error) {
	var patch *meili.ChatPatch
	if q.Method == http.MethodPatch {
		body, err := q.jsonBody()
		if err != nil {
			return answer{}, err
		}
		if patch, err = meili.DecodeChatPatch(body); err != nil {
			return answer{}, err
		}
	}
	if err := needs(q.store.currentFeatures().ChatCompletions, "using the /chats/settings route", "chatCompletions"); err != nil {
		return answer{}, err
	}
	name := q.param("workspace")
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	settings, known := q.store.chats[name]
	switch {
	case patch != nil:
		if !known {
			settings = defaultChat
		}
		var err *meili.Error
		if settings, err = patch.Apply(settings, defaultChat); err != nil {
			return answer{}, err
		}
	case !known:
		return answer{}, meili.ChatNotFound(name)
	case q.Method == http.MethodDelete:
		settings = defaultChat
	}
	q.store.chats[name] = settings
	return respond(http.StatusOK, settings.Shown()), nil
}

func chatCompletions(q *request) (answer, *meili.Error) {
	on := q.store.currentFeatures().ChatCompletions
	if err := needs(on, "using the /chats chat completions route", "chatCompletions"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("chat completions")
}

func renderTemplate(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().RenderRoute, "calling the /render-template route", "renderRoute"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("rendering templates")
}

// sortedNames lists the keys of a map in order.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
