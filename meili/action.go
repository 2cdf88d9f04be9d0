package meili

import (
	"slices"
	"strings"
)

// Action is something a key may allow, as spelled in its actions.
type Action string

// The actions of Meilisearch v1.50.
const (
	ActionAll                      Action = "*"
	ActionSearch                   Action = "search"
	ActionDocumentsAll             Action = "documents.*"
	ActionDocumentsAdd             Action = "documents.add"
	ActionDocumentsGet             Action = "documents.get"
	ActionDocumentsDelete          Action = "documents.delete"
	ActionIndexesAll               Action = "indexes.*"
	ActionIndexesCreate            Action = "indexes.create"
	ActionIndexesGet               Action = "indexes.get"
	ActionIndexesUpdate            Action = "indexes.update"
	ActionIndexesDelete            Action = "indexes.delete"
	ActionIndexesSwap              Action = "indexes.swap"
	ActionTasksAll                 Action = "tasks.*"
	ActionTasksCancel              Action = "tasks.cancel"
	ActionTasksDelete              Action = "tasks.delete"
	ActionTasksGet                 Action = "tasks.get"
	ActionSettingsAll              Action = "settings.*"
	ActionSettingsGet              Action = "settings.get"
	ActionSettingsUpdate           Action = "settings.update"
	ActionStatsAll                 Action = "stats.*"
	ActionStatsGet                 Action = "stats.get"
	ActionMetricsAll               Action = "metrics.*"
	ActionMetricsGet               Action = "metrics.get"
	ActionDumpsAll                 Action = "dumps.*"
	ActionDumpsCreate              Action = "dumps.create"
	ActionSnapshotsAll             Action = "snapshots.*"
	ActionSnapshotsCreate          Action = "snapshots.create"
	ActionVersion                  Action = "version"
	ActionKeysCreate               Action = "keys.create"
	ActionKeysGet                  Action = "keys.get"
	ActionKeysUpdate               Action = "keys.update"
	ActionKeysDelete               Action = "keys.delete"
	ActionExperimentalGet          Action = "experimental.get"
	ActionExperimentalUpdate       Action = "experimental.update"
	ActionExport                   Action = "export"
	ActionNetworkGet               Action = "network.get"
	ActionNetworkUpdate            Action = "network.update"
	ActionChatCompletions          Action = "chatCompletions"
	ActionChatsAll                 Action = "chats.*"
	ActionChatsGet                 Action = "chats.get"
	ActionChatsDelete              Action = "chats.delete"
	ActionChatsSettingsAll         Action = "chatsSettings.*"
	ActionChatsSettingsGet         Action = "chatsSettings.get"
	ActionChatsSettingsUpdate      Action = "chatsSettings.update"
	ActionAllGet                   Action = "*.get"
	ActionWebhooksGet              Action = "webhooks.get"
	ActionWebhooksUpdate           Action = "webhooks.update"
	ActionWebhooksDelete           Action = "webhooks.delete"
	ActionWebhooksCreate           Action = "webhooks.create"
	ActionWebhooksAll              Action = "webhooks.*"
	ActionIndexesCompact           Action = "indexes.compact"
	ActionFieldsPost               Action = "fields.post"
	ActionTasksCompact             Action = "tasks.compact"
	ActionDynamicSearchRulesGet    Action = "dynamicSearchRules.get"
	ActionDynamicSearchRulesCreate Action = "dynamicSearchRules.create"
	ActionDynamicSearchRulesUpdate Action = "dynamicSearchRules.update"
	ActionDynamicSearchRulesDelete Action = "dynamicSearchRules.delete"
	ActionDynamicSearchRulesAll    Action = "dynamicSearchRules.*"
)

// actionScope says how an action goes with keys restricted to some indexes.
type actionScope uint8

const (
	scopeIndex  actionScope = iota // needs an index that is allowed
	scopeRoute                     // also on routes without an index, which look at the grant themselves
	scopeGlobal                    // never, and refused when such a key is made
	scopeMany                      // stands for several actions
)

// actionFacts is one action with its scope and whether *.get covers it.
type actionFacts struct {
	action Action
	scope  actionScope
	read   bool
}

// actionTable lists the actions in the order error messages do (crates/meilisearch-types/src/keys.rs of Meilisearch v1.50).
var actionTable = []actionFacts{
	{ActionAll, scopeMany, false}, {ActionSearch, scopeRoute, true},
	{ActionDocumentsAll, scopeMany, false}, {ActionDocumentsAdd, scopeIndex, false}, {ActionDocumentsGet, scopeRoute, true}, {ActionDocumentsDelete, scopeIndex, false},
	{ActionIndexesAll, scopeMany, false}, {ActionIndexesCreate, scopeRoute, false}, {ActionIndexesGet, scopeRoute, true}, {ActionIndexesUpdate, scopeIndex, false},
	{ActionIndexesDelete, scopeIndex, false}, {ActionIndexesSwap, scopeRoute, false},
	{ActionTasksAll, scopeMany, false}, {ActionTasksCancel, scopeRoute, false}, {ActionTasksDelete, scopeRoute, false}, {ActionTasksGet, scopeRoute, true},
	{ActionSettingsAll, scopeMany, false}, {ActionSettingsGet, scopeRoute, true}, {ActionSettingsUpdate, scopeIndex, false},
	{ActionStatsAll, scopeRoute, false}, {ActionStatsGet, scopeRoute, true},
	{ActionMetricsAll, scopeGlobal, false}, {ActionMetricsGet, scopeGlobal, true},
	{ActionDumpsAll, scopeGlobal, false}, {ActionDumpsCreate, scopeGlobal, false},
	{ActionSnapshotsAll, scopeGlobal, false}, {ActionSnapshotsCreate, scopeGlobal, false},
	{ActionVersion, scopeGlobal, true},
	{ActionKeysCreate, scopeGlobal, false}, {ActionKeysGet, scopeGlobal, false}, {ActionKeysUpdate, scopeGlobal, false}, {ActionKeysDelete, scopeGlobal, false},
	{ActionExperimentalGet, scopeGlobal, true}, {ActionExperimentalUpdate, scopeGlobal, false},
	{ActionExport, scopeGlobal, true},
	{ActionNetworkGet, scopeGlobal, true}, {ActionNetworkUpdate, scopeGlobal, false},
	{ActionChatCompletions, scopeRoute, false},
	{ActionChatsAll, scopeGlobal, false}, {ActionChatsGet, scopeGlobal, true}, {ActionChatsDelete, scopeGlobal, false},
	{ActionChatsSettingsAll, scopeGlobal, false}, {ActionChatsSettingsGet, scopeGlobal, true}, {ActionChatsSettingsUpdate, scopeGlobal, false},
	{ActionAllGet, scopeMany, false},
	{ActionWebhooksGet, scopeGlobal, true}, {ActionWebhooksUpdate, scopeGlobal, false}, {ActionWebhooksDelete, scopeGlobal, false},
	{ActionWebhooksCreate, scopeGlobal, false}, {ActionWebhooksAll, scopeGlobal, false},
	{ActionIndexesCompact, scopeIndex, false}, {ActionFieldsPost, scopeIndex, true}, {ActionTasksCompact, scopeGlobal, false},
	{ActionDynamicSearchRulesGet, scopeGlobal, true}, {ActionDynamicSearchRulesCreate, scopeGlobal, false}, {ActionDynamicSearchRulesUpdate, scopeGlobal, false},
	{ActionDynamicSearchRulesDelete, scopeGlobal, false}, {ActionDynamicSearchRulesAll, scopeGlobal, false},
}

func (a Action) facts() actionFacts {
	i := slices.IndexFunc(actionTable, func(f actionFacts) bool { return f.action == a })
	if i < 0 {
		return actionFacts{action: a, scope: scopeGlobal}
	}
	return actionTable[i]
}

func actionNames() []string {
	names := make([]string, len(actionTable))
	for i, f := range actionTable {
		names[i] = string(f.action)
	}
	return names
}

// covers reports whether a key that lists a may do b. A family such as documents.* covers its members but, as in
// Meilisearch, not the request for the family itself, which only * covers.
func (a Action) covers(b Action) bool {
	switch a {
	case ActionAll:
		return b != ActionAllGet
	case ActionAllGet:
		return b.facts().read
	case b:
		return !strings.HasSuffix(string(a), ".*")
	}
	family, ok := strings.CutSuffix(string(a), "*")
	return ok && strings.HasPrefix(string(b), family) && !strings.HasSuffix(string(b), "*")
}
