package proxy

import (
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"miroir/meili"
)

// serveUI serves the pages below /ui. The search page's public configuration is the only part that is not static.
func (s *Server) serveUI(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
	if log := requestLog(r.Context()); log != nil {
		log.template = "/ui/*"
	}
	rest, ok := strings.CutPrefix(params.ByName("path"), "/search/")
	if index, isConfig := strings.CutSuffix(rest, "/config.json"); ok && isConfig {
		params = httprouter.Params{{Key: "uid", Value: index}}
		s.open("/ui/search/{index}/config.json", s.handlePageConfig)(w, r, params)
		return
	}
	s.opts.UI.ServeHTTP(w, r)
}

// pageConfig is what the search page may know about its index without a key.
type pageConfig struct {
	PrimaryKeyField    string   `json:"primary_key_field,omitempty"`
	SortableAttributes []string `json:"sortable_attributes"`
	MaxTotalHits       int      `json:"max_total_hits"`
}

func (s *Server) handlePageConfig(w http.ResponseWriter, r *request) error {
	if err := meili.CheckIndexUID(r.uid()); err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.Errorf(meili.CodeIndexNotFound, "Index `%s` not found.", r.uid())
	}
	settings := settingsOf(ix)
	config := pageConfig{PrimaryKeyField: ix.PrimaryKey, SortableAttributes: []string{}, MaxTotalHits: settings.MaxTotalHits()}
	for _, attribute := range settings.SortableAttributes.Value {
		if settings.IsDisplayed(attribute) {
			config.SortableAttributes = append(config.SortableAttributes, attribute)
		}
	}
	writeJSON(w, http.StatusOK, config)
	return nil
}
