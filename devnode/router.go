package devnode

import (
	"net/http"
	"net/url"
	"strings"

	"miroir/meili"
)

// route is one line of the route table: a method and path, the action a key must allow ("" = none), and who answers.
// A path segment ":name" matches any non-empty segment.
type route struct {
	method, path string
	action       meili.Action
	handle       handler
}

// resource is a path and the routes that share it.
type resource struct {
	segments []string
	routes   []*route
}

// router finds the route of a request. As in Meilisearch the first resource whose path matches decides, so that a method
// it lacks is refused even if a later path would match too.
type router []*resource

// newRouter groups the routes of a table by path, in the order of the table.
func newRouter(table []route) router {
	var r router
	byPath := map[string]*resource{}
	for i := range table {
		entry := &table[i]
		if byPath[entry.path] == nil {
			byPath[entry.path] = &resource{segments: strings.Split(entry.path, "/")}
			r = append(r, byPath[entry.path])
		}
		byPath[entry.path].routes = append(byPath[entry.path].routes, entry)
	}
	return r
}

// find returns the resource of an escaped path and its unescaped parameters; nil when there is none.
func (r router) find(path string) (*resource, map[string]string) {
	segments := strings.Split(path, "/")
	for _, candidate := range r {
		if params, ok := candidate.match(segments); ok {
			return candidate, params
		}
	}
	return nil, nil
}

func (s *resource) match(segments []string) (map[string]string, bool) {
	if len(segments) != len(s.segments) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range s.segments {
		switch {
		case strings.HasPrefix(want, ":") && segments[i] != "":
			params[want[1:]] = segments[i]
			if plain, err := url.PathUnescape(segments[i]); err == nil {
				params[want[1:]] = plain
			}
		case want != segments[i]:
			return nil, false
		}
	}
	return params, true
}

// route returns the resource's route of a method, nil when it has none.
func (s *resource) route(method string) *route {
	for _, entry := range s.routes {
		if entry.method == method {
			return entry
		}
	}
	return nil
}

// methods lists what the resource answers to.
func (s *resource) methods() string {
	names := make([]string, len(s.routes))
	for i, entry := range s.routes {
		names[i] = entry.method
	}
	return strings.Join(names, ", ")
}

// answer routes, authorizes and handles a request.
func (n *Node) answer(r *http.Request) answer {
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		return allowOrigin(r, preflight(r))
	}
	return allowOrigin(r, n.dispatch(r))
}

// dispatch answers 404 for paths and 405 for methods that no route takes, both without a body.
func (n *Node) dispatch(r *http.Request) answer {
	path := normalize(r.URL.EscapedPath())
	if strings.ContainsAny(r.URL.RawQuery, "<>\" ") {
		return empty(http.StatusBadRequest) // the HTTP parser of a real server refuses these unescaped
	}
	target, params := n.routes.find(path)
	if target == nil {
		return empty(http.StatusNotFound)
	}
	entry := target.route(r.Method)
	if entry == nil {
		a := empty(http.StatusMethodNotAllowed)
		a.header.Set("Allow", target.methods())
		return a
	}
	q := &request{Request: r, node: n, store: n.current(), params: params, now: n.now()}
	if err := q.authorize(entry.action); err != nil {
		return failure(err)
	}
	a, err := entry.handle(q)
	if err != nil {
		return failure(err)
	}
	return a
}

// normalize takes repeated slashes and those at the end out of a path.
func normalize(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// authorize checks the key of the request against the route's action and the index in the path.
func (q *request) authorize(action meili.Action) *meili.Error {
	if action == "" {
		return nil
	}
	values := q.Header.Values("Authorization")
	header := ""
	if len(values) > 0 {
		header = values[0]
	}
	var err *meili.Error
	q.grant, err = meili.Authorize(q.node.options.MasterKey, q.store.listKeys(), header, len(values) > 0, action, q.param("uid"), q.now)
	return err
}

// invalidKey refuses an index that the request's key does not cover.
func invalidKey() *meili.Error {
	return meili.Errorf(meili.CodeInvalidAPIKey, "The provided API key is invalid.")
}

// preflight answers a CORS preflight request.
func preflight(r *http.Request) answer {
	a := empty(http.StatusOK)
	a.header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, CONNECT, TRACE")
	a.header.Set("Access-Control-Max-Age", "86400")
	if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
		a.header.Set("Access-Control-Allow-Headers", names)
	}
	return a
}

// allowOrigin adds what browsers need to see an answer.
func allowOrigin(r *http.Request, a answer) answer {
	a.header.Set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if r.Header.Get("Origin") != "" {
		a.header.Set("Access-Control-Allow-Origin", "*")
	}
	return a
}
