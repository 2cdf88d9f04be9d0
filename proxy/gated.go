package proxy

import (
	"net/http"

	"miroir/fsm"
	"miroir/meili"
)

// gated is a route behind an experimental feature, which Miroir knows as far as its gate.
type gated struct {
	action  string // starts the message while the feature is off
	feature string // JSON name
	on      func(meili.Features) bool
	// why says what stands in the way once the feature is on.
	why string
}

// logsRoutes answer that their feature is off, and those with a body why they do nothing once it is on.
var logsRoutes = gated{"Modifying logs through the `/logs/*` routes", "logsRoute", func(f meili.Features) bool { return f.LogsRoute },
	"logs belong to one process, and behind this address there are several. Read them where Miroir and the Meilisearch servers run; Miroir's level is set by --log-level"}

// check is nil once the feature is on.
func (g gated) check(v *fsm.View) error {
	features, err := featuresOf(v)
	if err != nil {
		return err
	}
	if !g.on(features) {
		return meili.FeatureNotEnabled(g.action, g.feature)
	}
	return nil
}

func (g gated) unsupported() error {
	return miroirError(codeUnsupported, "This route does not work through Miroir: %s.", g.why)
}

// handleEndLogs ends no stream of logs: there is never one.
func (s *Server) handleEndLogs(w http.ResponseWriter, r *request) error {
	if err := logsRoutes.check(r.View); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// refuse answers a route by its gate. Its body is checked first.
func refuse(g gated, check func(body []byte) *meili.Error) handler {
	return func(_ http.ResponseWriter, r *request) error {
		body, err := r.readJSON()
		if err != nil {
			return err
		}
		if refused := check(body); refused != nil {
			return refused
		}
		if err := g.check(r.View); err != nil {
			return err
		}
		return g.unsupported()
	}
}

// readStruct is the body of a route that Meilisearch decodes in another way than most.
func (r *request) readStruct(as meili.SerdeStruct) ([]byte, error) {
	body, err := r.readJSON()
	if err != nil {
		return nil, err
	}
	if refused := as.Check(body); refused != nil {
		return nil, refused
	}
	return body, nil
}
