package devnode

import (
	"net/http"
	"strings"

	"miroir/meili"
)

// routeTable lists every route of a node. Paths with a fixed last segment stand before those with a parameter there.
func routeTable() []route {
	table := []route{
		{"GET", "/", "", running},
		{"GET", "/health", "", health},
		{"GET", "/version", meili.ActionVersion, version},
		{"GET", "/stats", meili.ActionStatsGet, allStats},
		{"GET", "/metrics", meili.ActionMetricsGet, metrics},
		{"GET", "/experimental-features", meili.ActionExperimentalGet, getFeatures},
		{"PATCH", "/experimental-features", meili.ActionExperimentalUpdate, patchFeatures},
		{"POST", "/logs/stream", meili.ActionMetricsGet, logsRoute},
		{"DELETE", "/logs/stream", meili.ActionMetricsGet, logsRoute},
		{"POST", "/logs/stderr", meili.ActionMetricsGet, logsRoute},
		{"POST", "/dumps", meili.ActionDumpsCreate, createDump},
		{"POST", "/snapshots", meili.ActionSnapshotsCreate, createSnapshot},
		{"POST", "/export", meili.ActionExport, createExport},
		{"POST", "/swap-indexes", meili.ActionIndexesSwap, swapIndexes},
		{"GET", "/network", meili.ActionNetworkGet, getNetwork},
		{"PATCH", "/network", meili.ActionNetworkUpdate, patchNetwork},
		{"POST", "/network/control", meili.ActionNetworkUpdate, controlNetwork},
		{"POST", "/render-template", meili.ActionSettingsGet, renderTemplate},
		{"POST", "/multi-search", meili.ActionSearch, multiSearch},
		{"POST", "/dynamic-search-rules", meili.ActionDynamicSearchRulesGet, listSearchRules},
		{"DELETE", "/dynamic-search-rules", meili.ActionDynamicSearchRulesDelete, clearSearchRules},
		{"GET", "/dynamic-search-rules/:rule", meili.ActionDynamicSearchRulesGet, onRule(getSearchRule)},
		{"PATCH", "/dynamic-search-rules/:rule", meili.ActionDynamicSearchRulesUpdate, onRule(patchSearchRule)},
		{"DELETE", "/dynamic-search-rules/:rule", meili.ActionDynamicSearchRulesDelete, onRule(deleteSearchRule)},

		{"GET", "/keys", meili.ActionKeysGet, listKeys},
		{"POST", "/keys", meili.ActionKeysCreate, createKey},
		{"GET", "/keys/:key", meili.ActionKeysGet, getKey},
		{"PATCH", "/keys/:key", meili.ActionKeysUpdate, patchKey},
		{"DELETE", "/keys/:key", meili.ActionKeysDelete, deleteKey},

		{"GET", "/tasks", meili.ActionTasksGet, listTasks},
		{"DELETE", "/tasks", meili.ActionTasksDelete, deleteTasks},
		{"POST", "/tasks/cancel", meili.ActionTasksCancel, cancelTasks},
		{"POST", "/tasks/compact", meili.ActionTasksCompact, compactTasks},
		{"GET", "/tasks/:task", meili.ActionTasksGet, getTask},
		{"GET", "/tasks/:task/documents", meili.ActionTasksGet, getTaskDocuments},
		{"GET", "/batches", meili.ActionTasksGet, listBatches},
		{"GET", "/batches/:batch", meili.ActionTasksGet, getBatch},

		{"GET", "/webhooks", meili.ActionWebhooksGet, listWebhooks},
		{"POST", "/webhooks", meili.ActionWebhooksCreate, createWebhook},
		{"GET", "/webhooks/:uuid", meili.ActionWebhooksGet, getWebhook},
		{"PATCH", "/webhooks/:uuid", meili.ActionWebhooksUpdate, patchWebhook},
		{"DELETE", "/webhooks/:uuid", meili.ActionWebhooksDelete, deleteWebhook},

		{"GET", "/chats", meili.ActionChatsGet, listChats},
		{"GET", "/chats/:workspace", meili.ActionChatsGet, chatWorkspace},
		{"DELETE", "/chats/:workspace", meili.ActionChatsDelete, chatWorkspace},
		{"GET", "/chats/:workspace/settings", meili.ActionChatsSettingsGet, chatSettings},
		{"PATCH", "/chats/:workspace/settings", meili.ActionChatsSettingsUpdate, chatSettings},
		{"DELETE", "/chats/:workspace/settings", meili.ActionChatsSettingsUpdate, chatSettings},
		{"POST", "/chats/:workspace/chat/completions", meili.ActionChatCompletions, chatCompletions},

		{"GET", "/indexes", meili.ActionIndexesGet, listIndexes},
		{"POST", "/indexes", meili.ActionIndexesCreate, createIndex},
		{"GET", "/indexes/:uid", meili.ActionIndexesGet, getIndex},
		{"PATCH", "/indexes/:uid", meili.ActionIndexesUpdate, updateIndex},
		{"DELETE", "/indexes/:uid", meili.ActionIndexesDelete, deleteIndex},
		{"GET", "/indexes/:uid/stats", meili.ActionStatsGet, indexStats},
		{"POST", "/indexes/:uid/fields", meili.ActionFieldsPost, listFields},
		{"POST", "/indexes/:uid/compact", meili.ActionIndexesCompact, compactIndex},

		{"GET", "/indexes/:uid/documents", meili.ActionDocumentsGet, listDocuments},
		{"POST", "/indexes/:uid/documents", meili.ActionDocumentsAdd, addDocuments},
		{"PUT", "/indexes/:uid/documents", meili.ActionDocumentsAdd, addDocuments},
		{"DELETE", "/indexes/:uid/documents", meili.ActionDocumentsDelete, clearDocuments},
		{"POST", "/indexes/:uid/documents/fetch", meili.ActionDocumentsGet, fetchDocuments},
		{"POST", "/indexes/:uid/documents/delete-batch", meili.ActionDocumentsDelete, deleteBatch},
		{"POST", "/indexes/:uid/documents/delete", meili.ActionDocumentsDelete, deleteByFilter},
		{"POST", "/indexes/:uid/documents/edit", meili.ActionDocumentsAll, editDocuments},
		{"GET", "/indexes/:uid/documents/:id", meili.ActionDocumentsGet, getDocument},
		{"DELETE", "/indexes/:uid/documents/:id", meili.ActionDocumentsDelete, deleteDocument},

		{"GET", "/indexes/:uid/search", meili.ActionSearch, searchIndex},
		{"POST", "/indexes/:uid/search", meili.ActionSearch, searchIndex},
		{"POST", "/indexes/:uid/facet-search", meili.ActionSearch, facetSearch},
		{"GET", "/indexes/:uid/similar", meili.ActionSearch, similar},
		{"POST", "/indexes/:uid/similar", meili.ActionSearch, similar},

		{"GET", "/indexes/:uid/settings", meili.ActionSettingsGet, getSettings},
		{"PATCH", "/indexes/:uid/settings", meili.ActionSettingsUpdate, patchSettings},
		{"DELETE", "/indexes/:uid/settings", meili.ActionSettingsUpdate, resetSettings},
	}
	for _, setting := range meili.SettingRoutes {
		path := "/indexes/:uid/settings/" + setting.Name
		table = append(table,
			route{"GET", path, meili.ActionSettingsGet, getSetting(setting.Name)},
			route{setting.Method, path, meili.ActionSettingsUpdate, putSetting(setting.Name)},
			route{"DELETE", path, meili.ActionSettingsUpdate, resetSetting(setting.Name)})
	}
	return table
}

// running answers what the root path shows.
func running(*request) (answer, *meili.Error) {
	return respond(http.StatusOK, object{{"status", "Meilisearch is running"}}), nil
}

func health(*request) (answer, *meili.Error) {
	return respond(http.StatusOK, object{{"status", "available"}}), nil
}

func version(*request) (answer, *meili.Error) {
	return respond(http.StatusOK, object{
		{"commitSha", "unknown"}, {"commitDate", "unknown"}, {"pkgVersion", Version},
	}), nil
}

// needs refuses a request unless an experimental feature is on. The feature is named as in its JSON.
func needs(enabled bool, action, feature string) *meili.Error {
	if enabled {
		return nil
	}
	return meili.FeatureNotEnabled(action, feature)
}

func getFeatures(q *request) (answer, *meili.Error) {
	return respond(http.StatusOK, q.store.currentFeatures()), nil
}

func patchFeatures(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	patch, err := meili.DecodeFeaturesPatch(body)
	if err != nil {
		return answer{}, err
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	q.store.features = q.store.features.With(patch)
	return respond(http.StatusOK, q.store.features), nil
}

// metrics answers a few of Meilisearch's Prometheus metrics.
func metrics(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().Metrics, "Getting metrics", "metrics"); err != nil {
		return answer{}, err
	}
	var text strings.Builder
	q.store.writeMetrics(&text)
	a := empty(http.StatusOK)
	a.header.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	a.body = []byte(text.String())
	return a, nil
}

func logsRoute(q *request) (answer, *meili.Error) {
	action := "Modifying logs through the `/logs/*` routes"
	if err := needs(q.store.currentFeatures().LogsRoute, action, "logsRoute"); err != nil {
		return answer{}, err
	}
	if q.Method == http.MethodPost {
		return answer{}, unsupported("logs")
	}
	return empty(http.StatusNoContent), nil
}

// unsupported is the answer for what a real server does and this one cannot.
func unsupported(what string) *meili.Error {
	return meili.Errorf(meili.CodeBadRequest, "The embedded node does not support %s. Use a Meilisearch server.", what)
}
