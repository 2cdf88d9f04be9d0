package proxy

import (
	"encoding/json"
	"net/http"
	"reflect"

	"miroir/meili"
)

// settingsPreview is what a change of settings would do to an index.
type settingsPreview struct {
	Diff             map[string]settingDiff `json:"diff"` // by the name of the setting
	FingerprintNow   string                 `json:"fingerprint_now"`
	FingerprintAfter string                 `json:"fingerprint_after"`
	Reindex          bool                   `json:"reindex"` // nodes would go through all documents
}

// settingDiff is one setting as GET /settings shows it, now and after the change.
type settingDiff struct {
	Now   json.RawMessage `json:"now"`
	After json.RawMessage `json:"after"`
}

// handlePreviewSettings answers what PATCH of the same body would change, on top of the changes that are accepted already, or the
// error it would end in. An index that does not exist is looked at as one that the change creates.
func (s *Server) handlePreviewSettings(w http.ResponseWriter, r *request) error {
	body, err := r.readBody()
	if err != nil {
		return err
	}
	delta, err := r.settingsIn(body, meili.DecodeSettings)
	if err != nil {
		return err
	}
	if err := r.checkUID(); err != nil {
		return err
	}
	var stored json.RawMessage
	if ix := r.View.Route(r.uid()); ix != nil {
		stored = ix.NextSettings
	}
	before, err := meili.LoadSettings(stored)
	if err != nil {
		return err
	}
	after, problem := before.Apply(delta)
	if problem != nil {
		return problem.WithPrefix("Index `" + r.uid() + "`: ")
	}
	preview, err := previewOf(before, after)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, preview)
	return nil
}

func previewOf(before, after *meili.Settings) (*settingsPreview, error) {
	preview := &settingsPreview{Diff: map[string]settingDiff{}, Reindex: meili.Reindexes(before, after)}
	now, err := membersOf(before.View(meili.AllFeatures()))
	if err != nil {
		return nil, err
	}
	then, err := membersOf(after.View(meili.AllFeatures()))
	if err != nil {
		return nil, err
	}
	for name := range then {
		if !sameValue(now[name], then[name]) {
			preview.Diff[name] = settingDiff{Now: now[name], After: then[name]}
		}
	}
	if preview.FingerprintNow, err = fingerprintOf(before); err != nil {
		return nil, err
	}
	preview.FingerprintAfter, err = fingerprintOf(after)
	return preview, err
}

// sameValue compares JSON values, not their texts.
func sameValue(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// fingerprintOf is the fingerprint of a node that has just these settings.
func fingerprintOf(settings *meili.Settings) (string, error) {
	text, err := marshal(settings)
	if err != nil {
		return "", err
	}
	check, err := compareSettings(text, true, nil)
	if err != nil {
		return "", err
	}
	return check.Want, nil
}
