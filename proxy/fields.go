package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/meili"
)

// fieldsPath is the one route that does not check the form of the index uid in its path.
const fieldsPath = "/indexes/:uid/fields"

// fieldNames is what counts in a node's answer.
type fieldNames struct {
	Results []struct {
		Name string `json:"name"`
	} `json:"results"`
}

// handleFields answers POST /indexes/{uid}/fields: the names are those any node has documents for, the rest is settings.
func (s *Server) handleFields(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	query, refused := meili.DecodeFields(body)
	if refused != nil {
		return refused
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	settings, err := meili.LoadSettings(ix.Settings)
	if err != nil {
		return err
	}
	known, err := askNodes[fieldNames](r.Context(), s, r.View, ix.Nodes(), jsonRequest(http.MethodPost, indexPath(ix.NodeUID)+"/fields", []byte(`{"limit":1000000}`)))
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, list := range known {
		for _, field := range list.Results {
			if root, _, _ := strings.Cut(field.Name, "."); !isHidden(root) {
				names[field.Name] = true
			}
		}
	}
	results := []meili.FieldView{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if f := meili.ViewField(name, settings); f.Passes(query.Filter) {
			results = append(results, f)
		}
	}
	from, to := meili.Page{Offset: query.Offset, Limit: query.Limit}.Of(len(results))
	writeJSON(w, http.StatusOK, struct {
		Results []meili.FieldView `json:"results"`
		Offset  int               `json:"offset"`
		Limit   int               `json:"limit"`
		Total   int               `json:"total"`
	}{results[from:to], query.Offset, query.Limit, len(results)})
	return nil
}
