package devnode

import (
	"encoding/json"
	"net/http"

	"miroir/meili"
)

func getSettings(q *request) (answer, *meili.Error) {
	ix, err := q.index()
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, json.RawMessage(ix.Settings().View(q.store.currentFeatures()))), nil
}

func patchSettings(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	delta, err := meili.DecodeSettings(body, q.store.currentFeatures())
	return q.changeDecoded(delta, err)
}

func resetSettings(q *request) (answer, *meili.Error) {
	return q.changeSettings(meili.ResetSettings())
}

// getSetting answers with one setting.
func getSetting(name string) handler {
	return func(q *request) (answer, *meili.Error) {
		ix, err := q.index()
		if err != nil {
			return answer{}, err
		}
		view, err := ix.Settings().ViewOf(name)
		if err != nil {
			return answer{}, err
		}
		return respond(http.StatusOK, json.RawMessage(view)), nil
	}
}

// putSetting changes one setting; a body of null resets it.
func putSetting(name string) handler {
	return func(q *request) (answer, *meili.Error) {
		body, err := q.jsonBody()
		if err != nil {
			return answer{}, err
		}
		delta, err := meili.DecodeSetting(name, body, q.store.currentFeatures())
		return q.changeDecoded(delta, err)
	}
}

func resetSetting(name string) handler {
	return func(q *request) (answer, *meili.Error) {
		delta, failed := meili.ResetSetting(name)
		if failed != nil {
			return empty(http.StatusNotFound), nil
		}
		return q.changeSettings(delta)
	}
}

// changeDecoded is changeSettings with what a body was decoded to. An error beside settings comes after that of the name.
func (q *request) changeDecoded(delta *meili.Settings, err *meili.Error) (answer, *meili.Error) {
	if err != nil && delta != nil {
		if _, bad := q.indexUID(); bad != nil {
			return answer{}, bad
		}
	}
	if err != nil {
		return answer{}, err
	}
	return q.changeSettings(delta)
}

// changeSettings enqueues a change of settings. Resets never create the index.
func (q *request) changeSettings(delta *meili.Settings) (answer, *meili.Error) {
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	mayCreate := q.Method != http.MethodDelete && q.grant.CanCreateIndex(uid)
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskSettingsUpdate, indexUID: &uid, details: settingsDetails(delta),
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.writableIndex(mayCreate)
			if err != nil {
				return nil, err
			}
			settings, err := ix.Settings().Apply(delta)
			if err != nil {
				return nil, inIndex(j.index, err)
			}
			if err := ix.Index.Apply(settings); err != nil {
				return nil, inIndex(j.index, err)
			}
			j.wrote(ix, ix.NumDocuments() > 0, 0)
			return nil, nil
		},
	})
}

// settingsDetails are the details of a settings task: the members of the delta.
func settingsDetails(delta *meili.Settings) object {
	parsed, failed := meili.ParseJSON(delta.Details())
	if failed != nil {
		panic(failed) // our own encoding
	}
	details := object{}
	for i := range parsed.Members {
		details = append(details, member{parsed.Members[i].Key, json.RawMessage(parsed.Members[i].Value.Raw())})
	}
	return details
}
