package proxy

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/julienschmidt/httprouter"

	"miroir/fsm"
	"miroir/meili"
)

// request is one client request on its way: who is asking, for what, and the view it is answered from.
type request struct {
	*http.Request
	Params httprouter.Params
	// Grant says which indexes the caller may touch and which tenant rules apply. Nil on /_miroir and open routes.
	Grant *meili.Grant
	// View is loaded once and used to the request's end.
	View    *fsm.View
	session string // that the client named, "" for none
	// Template is the route's pattern, for logs and metrics.
	Template string
	room     *bodyRoom
	held     int64 // of room
}

// uid is the index the path names.
func (r *request) uid() string { return r.Params.ByName("uid") }

// handler answers one route. A returned error is written in Meilisearch's shape; nothing may have been written before.
type handler func(w http.ResponseWriter, r *request) error

// route is one line of the API: the action is what an API key must hold for it.
type route struct {
	method, path string
	action       meili.Action
	handle       handler
}

// clientRoutes is Meilisearch's API, in the order of its reference.
func (s *Server) clientRoutes() []route {
	return []route{
		{"GET", "/version", meili.ActionVersion, s.handleVersion},
		{"GET", "/stats", meili.ActionStatsGet, s.handleStats},
		{"GET", "/experimental-features", meili.ActionExperimentalGet, s.handleGetFeatures},
		{"PATCH", "/experimental-features", meili.ActionExperimentalUpdate, s.handlePatchFeatures},
		{"GET", "/metrics", meili.ActionMetricsGet, s.handleClientMetrics},
		{"POST", "/logs/stream", meili.ActionMetricsGet, refuse(logsRoutes, meili.CheckLogStream)},
		{"DELETE", "/logs/stream", meili.ActionMetricsGet, s.handleEndLogs},
		{"POST", "/logs/stderr", meili.ActionMetricsGet, refuse(logsRoutes, meili.CheckLogTarget)},
		{"POST", "/dumps", meili.ActionDumpsCreate, s.handleCreateDump},
		{"POST", "/snapshots", meili.ActionSnapshotsCreate, s.handleCreateSnapshot},
		{"POST", "/export", meili.ActionExport, s.handleExport},
		{"GET", "/network", meili.ActionNetworkGet, s.handleGetNetwork},
		{"PATCH", "/network", meili.ActionNetworkUpdate, s.handlePatchNetwork},
		{"POST", "/network/control", meili.ActionNetworkUpdate, s.handleNetworkControl},
		{"POST", "/render-template", meili.ActionSettingsGet, s.handleRenderTemplate},

		{"GET", "/keys", meili.ActionKeysGet, s.handleListKeys},
		{"POST", "/keys", meili.ActionKeysCreate, s.handleCreateKey},
		{"GET", "/keys/:key", meili.ActionKeysGet, s.handleGetKey},
		{"PATCH", "/keys/:key", meili.ActionKeysUpdate, s.handlePatchKey},
		{"DELETE", "/keys/:key", meili.ActionKeysDelete, s.handleDeleteKey},

		{"GET", "/tasks", meili.ActionTasksGet, s.handleListTasks},
		{"GET", "/tasks/:task", meili.ActionTasksGet, s.handleGetTask},
		{"GET", "/tasks/:task/documents", meili.ActionTasksGet, s.handleTaskDocuments},
		{"POST", "/tasks/cancel", meili.ActionTasksCancel, s.handleCancelTasks},
		{"POST", "/tasks/compact", meili.ActionTasksCompact, s.handleCompactTasks},
		{"DELETE", "/tasks", meili.ActionTasksDelete, s.handleDeleteTasks},
		{"GET", "/batches", meili.ActionTasksGet, s.handleListBatches},
		{"GET", "/batches/:batch", meili.ActionTasksGet, s.handleGetBatch},

		{"GET", "/webhooks", meili.ActionWebhooksGet, s.handleListWebhooks},
		{"POST", "/webhooks", meili.ActionWebhooksCreate, s.handleCreateWebhook},
		{"GET", "/webhooks/:uuid", meili.ActionWebhooksGet, s.handleGetWebhook},
		{"PATCH", "/webhooks/:uuid", meili.ActionWebhooksUpdate, s.handlePatchWebhook},
		{"DELETE", "/webhooks/:uuid", meili.ActionWebhooksDelete, s.handleDeleteWebhook},

		{"GET", "/chats", meili.ActionChatsGet, s.handleListChats},
		{"GET", "/chats/:workspace", meili.ActionChatsGet, chat("displaying a chat", s.handleGetChat)},
		{"DELETE", "/chats/:workspace", meili.ActionChatsDelete, chat("deleting a chat", s.handleDeleteChat)},
		{"GET", "/chats/:workspace/settings", meili.ActionChatsSettingsGet, chat(chatSettings.action, s.handleGetChatSettings)},
		{"PATCH", "/chats/:workspace/settings", meili.ActionChatsSettingsUpdate, s.handlePatchChatSettings},
		{"DELETE", "/chats/:workspace/settings", meili.ActionChatsSettingsUpdate, chat(chatSettings.action, s.handleResetChatSettings)},
		{"POST", "/chats/:workspace/chat/completions", meili.ActionChatCompletions, s.handleChatCompletion},

		{"POST", rulesPath, meili.ActionDynamicSearchRulesGet, s.handleListSearchRules},
		{"DELETE", rulesPath, meili.ActionDynamicSearchRulesDelete, s.handleClearSearchRules},
		{"GET", rulesPath + "/:rule", meili.ActionDynamicSearchRulesGet, s.handleGetSearchRule},
		{"PATCH", rulesPath + "/:rule", meili.ActionDynamicSearchRulesUpdate, s.handlePatchSearchRule},
		{"DELETE", rulesPath + "/:rule", meili.ActionDynamicSearchRulesDelete, s.handleDeleteSearchRule},

		{"GET", "/indexes", meili.ActionIndexesGet, s.handleListIndexes},
		{"POST", "/indexes", meili.ActionIndexesCreate, s.handleCreateIndex},
		{"GET", "/indexes/:uid", meili.ActionIndexesGet, s.handleGetIndex},
		{"PATCH", "/indexes/:uid", meili.ActionIndexesUpdate, s.handleUpdateIndex},
		{"DELETE", "/indexes/:uid", meili.ActionIndexesDelete, s.handleDeleteIndex},
		{"GET", "/indexes/:uid/stats", meili.ActionStatsGet, s.handleIndexStats},
		{"POST", fieldsPath, meili.ActionFieldsPost, s.handleFields},
		{"POST", "/indexes/:uid/compact", meili.ActionIndexesCompact, s.handleCompactIndex},
		{"POST", "/swap-indexes", meili.ActionIndexesSwap, s.handleSwapIndexes},

		{"GET", "/indexes/:uid/documents", meili.ActionDocumentsGet, s.handleListDocuments},
		{"POST", "/indexes/:uid/documents/fetch", meili.ActionDocumentsGet, s.handleFetchDocuments},
		{"GET", "/indexes/:uid/documents/:id", meili.ActionDocumentsGet, s.handleGetDocument},
		{"POST", "/indexes/:uid/documents", meili.ActionDocumentsAdd, s.handleAddDocuments},
		{"PUT", "/indexes/:uid/documents", meili.ActionDocumentsAdd, s.handleUpdateDocuments},
		{"DELETE", "/indexes/:uid/documents", meili.ActionDocumentsDelete, s.handleClearDocuments},
		{"DELETE", "/indexes/:uid/documents/:id", meili.ActionDocumentsDelete, s.handleDeleteDocument},
		{"POST", "/indexes/:uid/documents/delete-batch", meili.ActionDocumentsDelete, s.handleDeleteBatch},
		{"POST", "/indexes/:uid/documents/delete", meili.ActionDocumentsDelete, parametersFirst(s.handleDeleteByFilter)},
		{"POST", "/indexes/:uid/documents/edit", meili.ActionDocumentsAll, parametersFirst(s.handleEditDocuments)},

		{"GET", "/indexes/:uid/settings", meili.ActionSettingsGet, s.handleGetSettings},
		{"PATCH", "/indexes/:uid/settings", meili.ActionSettingsUpdate, s.handlePatchSettings},
		{"DELETE", "/indexes/:uid/settings", meili.ActionSettingsUpdate, s.handleResetSettings},

		{"GET", "/indexes/:uid/search", meili.ActionSearch, s.handleSearch},
		{"POST", "/indexes/:uid/search", meili.ActionSearch, s.handleSearch},
		{"POST", "/indexes/:uid/facet-search", meili.ActionSearch, s.handleFacetSearch},
		{"GET", "/indexes/:uid/similar", meili.ActionSearch, s.handleSimilar},
		{"POST", "/indexes/:uid/similar", meili.ActionSearch, s.handleSimilar},
		{"POST", "/multi-search", meili.ActionSearch, s.handleMultiSearch},
	}
}

// settingRoutes are the sub-routes of /settings, three for each setting; names are Meilisearch's.
func (s *Server) settingRoutes() []route {
	var routes []route
	for _, setting := range meili.SettingRoutes {
		path := "/indexes/:uid/settings/" + setting.Name
		routes = append(routes,
			route{"GET", path, meili.ActionSettingsGet, s.handleGetSetting(setting.Name)},
			route{setting.Method, path, meili.ActionSettingsUpdate, s.handlePutSetting(setting.Name)},
			route{"DELETE", path, meili.ActionSettingsUpdate, s.handleResetSetting(setting.Name)})
	}
	return routes
}

func (s *Server) routes() http.Handler {
	router := httprouter.New()
	router.RedirectTrailingSlash, router.RedirectFixedPath = false, false
	router.NotFound = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	router.HandleOPTIONS = false

	router.GET("/", s.open("/", s.handleRoot))
	router.GET("/health", s.open("/health", s.handleHealth))
	table := append(s.clientRoutes(), s.settingRoutes()...)
	for _, r := range table {
		router.Handle(r.method, r.path, s.client(r))
	}
	known := newResources(append([]route{{method: "GET", path: "/"}, {method: "GET", path: "/health"}}, table...))
	router.MethodNotAllowed = http.HandlerFunc(known.refuseMethod)
	s.openAdminRoutes(router)
	if !s.opts.AdminOnMetricsPortOnly {
		s.adminRoutes(router)
	}
	if s.opts.UI != nil && s.opts.SearchPage {
		router.GET("/ui/*path", func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
			s.serveUI(w, r, params)
		})
	}
	return known.guard(router)
}

// open serves a route that checks nothing of the caller.
func (s *Server) open(template string, h handler) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		s.run(w, &request{Request: r, Params: params, View: s.cluster.View(), Template: template}, h)
	}
}

// client serves a route of Meilisearch's API for callers whose key holds its action.
func (s *Server) client(rt route) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		for i := range params {
			params[i].Value = strings.ReplaceAll(params[i].Value, escapedSlash, "/")
		}
		req := &request{Request: r, Params: params, View: s.cluster.View(), Template: rt.path}
		answer := func(w http.ResponseWriter) {
			s.run(w, req, func(w http.ResponseWriter, req *request) error {
				switch {
				case !rt.changes():
					return s.read(w, req, s.authorized(rt))
				case s.away(r):
					return s.blameDisk(s.passOn(w, req, s.authorized(rt)))
				}
				return s.blameDisk(s.authorized(rt)(w, req))
			})
		}
		if rereadable(rt.action) {
			ctx, cancel := withTime(r.Context(), s.opts.RequestTimeout)
			defer cancel()
			req.Request = r.WithContext(ctx)
			s.settled(w, req, answer)
			return
		}
		answer(w)
	}
}

// authorized is a route's handler for callers whose key holds its action.
func (s *Server) authorized(rt route) handler {
	return func(w http.ResponseWriter, r *request) error {
		grant, err := s.authorize(r, rt.action)
		if err != nil {
			return err
		}
		r.Grant = grant
		if err := s.joinSession(w, r, !rt.changes()); err != nil {
			return err
		}
		if uid := r.uid(); uid != "" && !rt.changes() {
			if err := s.holdFloor(w, r, uid); err != nil {
				return err
			}
		}
		err = rt.handle(w, r)
		if refused, ok := err.(*meili.Error); ok && lookedUpLate(refused.Code, r.Method) && rt.path != fieldsPath {
			// What is wrong with the rest of a request comes before what is wrong with the name of the index.
			if bad := r.checkUID(); bad != nil {
				return bad
			}
		}
		return err
	}
}

// lookedUpLate tells the errors that one server finds after it has looked at the name of the index.
func lookedUpLate(code meili.Code, method string) bool {
	switch code {
	case meili.CodeIndexNotFound, meili.CodeMissingSearchHybrid:
		return true
	case meili.CodeInvalidSearchHybridQuery: // of a body it is found while it is read
		return method == http.MethodGet
	}
	return false
}

// checkUID refuses a path that names what cannot be an index. Handlers that find no such index need not call it.
func (r *request) checkUID() error {
	if uid := r.uid(); uid != "" {
		if refused := meili.CheckIndexUID(uid); refused != nil {
			return refused
		}
	}
	return nil
}

// run calls h and answers its error.
func (s *Server) run(w http.ResponseWriter, r *request, h handler) {
	if log := requestLog(r.Context()); log != nil {
		log.template = r.Template
		log.index = r.uid()
	}
	r.room = s.bodies
	defer r.forgetBody()
	err := h(w, r)
	if err == nil {
		return
	}
	answer := asError(err)
	if log := requestLog(r.Context()); log != nil {
		log.code = string(answer.Code)
		log.err = err
	}
	writeError(w, answer)
}

// escapedSlash stands for an escaped slash in a path while it is routed: it is part of a segment, as in Meilisearch.
const escapedSlash = "\ufdd0"

// routedPath is the path of u with escapedSlash where it has escaped slashes.
func routedPath(u *url.URL) string {
	if !strings.Contains(strings.ToUpper(u.RawPath), "%2F") {
		return u.Path
	}
	path, err := url.PathUnescape(strings.NewReplacer("%2F", url.PathEscape(escapedSlash), "%2f", url.PathEscape(escapedSlash)).Replace(u.RawPath))
	if err != nil {
		return u.Path
	}
	return path
}

// normalPath drops a trailing slash and makes one of several in a row, as Meilisearch does before routing.
func normalPath(path string) string {
	if strings.Contains(path, "//") {
		path = repeatedSlashes.ReplaceAllString(path, "/")
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

var repeatedSlashes = regexp.MustCompile("/{2,}")
