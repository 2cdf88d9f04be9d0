package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// resource is a path of the API and the methods it answers to, in the order of the route table.
type resource struct {
	segments []string // ":name" matches any non-empty segment
	methods  []string
}

// resources answer what the router cannot: which methods a path takes. As in Meilisearch they are known to anybody, key
// or not.
type resources struct {
	list []resource
	// fixed are the last segments that stand where other paths have a parameter: GET /tasks/cancel is not task `cancel`.
	fixed map[string]bool
}

func newResources(table []route) *resources {
	r := &resources{fixed: map[string]bool{}}
	at := map[string]int{}
	for _, entry := range table {
		i, known := at[entry.path]
		if !known {
			i = len(r.list)
			at[entry.path] = i
			r.list = append(r.list, resource{segments: strings.Split(entry.path, "/")})
		}
		r.list[i].methods = append(r.list[i].methods, entry.method)
	}
	// Paths without parameters decide before those with one in the same place.
	slices.SortStableFunc(r.list, func(a, b resource) int {
		return strings.Count(strings.Join(a.segments, "/"), ":") - strings.Count(strings.Join(b.segments, "/"), ":")
	})
	for _, a := range r.list {
		last := a.segments[len(a.segments)-1]
		if r.shadows(a) {
			r.fixed[last] = true
		}
	}
	return r
}

// shadows reports that another path has a parameter where a ends.
func (r *resources) shadows(a resource) bool {
	end := len(a.segments) - 1
	return !strings.HasPrefix(a.segments[end], ":") && slices.ContainsFunc(r.list, func(b resource) bool {
		return len(b.segments) == len(a.segments) && strings.HasPrefix(b.segments[end], ":") && slices.Equal(a.segments[:end], b.segments[:end])
	})
}

// find returns the methods of a path, nil when it is unknown.
func (r *resources) find(path string) []string {
	segments := strings.Split(path, "/")
	for _, known := range r.list {
		if known.matches(segments) {
			return known.methods
		}
	}
	return nil
}

func (r *resource) matches(segments []string) bool {
	return slices.EqualFunc(r.segments, segments, func(want, got string) bool {
		return want == got || strings.HasPrefix(want, ":") && got != ""
	})
}

// guard answers requests to a fixed path by a method it lacks, before next takes its last segment for a parameter.
func (r *resources) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		last := q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:]
		if r.fixed[last] {
			if methods := r.find(q.URL.Path); methods != nil && !slices.Contains(methods, q.Method) {
				r.refuseMethod(w, q)
				return
			}
		}
		next.ServeHTTP(w, q)
	})
}

// refuseMethod answers 405 and names the methods that the path takes.
func (r *resources) refuseMethod(w http.ResponseWriter, q *http.Request) {
	if methods := r.find(q.URL.Path); methods != nil {
		w.Header().Set("Allow", strings.Join(methods, ", "))
	}
	w.WriteHeader(http.StatusMethodNotAllowed)
}
