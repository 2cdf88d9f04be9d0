package devnode

import (
	"maps"
	"net/http"
	"slices"

	"miroir/meili"
)

// Chat workspaces and dynamic search rules are known only as far as their experimental features: what lies behind them
// needs services that an embedded node does not have.

func listChats(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().ChatCompletions, "listing the chats", "chatCompletions"); err != nil {
		return answer{}, err
	}
	page, err := meili.DecodePage(q.URL.RawQuery, meili.CodeInvalidIndexOffset, meili.CodeInvalidIndexLimit)
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, pageView([]object{}, page.Offset, page.Limit, 0)), nil
}

func chatWorkspace(q *request) (answer, *meili.Error) {
	action := "displaying a chat"
	if q.Method == http.MethodDelete {
		action = "deleting a chat"
	}
	if err := needs(q.store.currentFeatures().ChatCompletions, action, "chatCompletions"); err != nil {
		return answer{}, err
	}
	return answer{}, meili.Errorf(meili.CodeChatNotFound, "Chat `%s` not found", q.param("workspace"))
}

func chatSettings(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().ChatCompletions, "using the /chats/settings route", "chatCompletions"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("chat settings")
}

func chatCompletions(q *request) (answer, *meili.Error) {
	on := q.store.currentFeatures().ChatCompletions
	if err := needs(on, "using the /chats chat completions route", "chatCompletions"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("chat completions")
}

// anyRuleRoute is what most routes of dynamic search rules call themselves.
const anyRuleRoute = "Using the `/dynamic-search-rules` routes"

// searchRules refuses a route of dynamic search rules.
func searchRules(action string) handler {
	return func(q *request) (answer, *meili.Error) {
		if err := needs(q.store.currentFeatures().DynamicSearchRules, action, "dynamicSearchRules"); err != nil {
			return answer{}, err
		}
		return answer{}, unsupported("dynamic search rules")
	}
}

func renderTemplate(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().RenderRoute, "calling the /render-template route", "renderRoute"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("rendering templates")
}

// sortedNames lists the keys of a map in order.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
