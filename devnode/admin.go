package devnode

import (
	"net/http"

	"miroir/meili"
)

// createDump enqueues a dump. There is no file: the task succeeds and names one, as far as clients can see.
func createDump(q *request) (answer, *meili.Error) {
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskDumpCreation, details: object{{"dumpUid", nil}},
		work: func(j *job) (object, *meili.Error) {
			uid := j.store.options.now().Format("20060102-150405.000")
			return object{{"dumpUid", uid[:15] + uid[16:]}}, nil
		},
	})
}

// createSnapshot enqueues a snapshot, which succeeds without a file.
func createSnapshot(q *request) (answer, *meili.Error) {
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskSnapshotCreation,
		work: func(*job) (object, *meili.Error) { return nil, nil },
	})
}

// createExport enqueues an export. It succeeds when there is nothing to send, and fails otherwise: the node calls nobody.
func createExport(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	export, err := meili.DecodeExport(body)
	if err != nil {
		return answer{}, err
	}
	indexes := object{}
	for _, pattern := range sortedNames(export.Indexes) {
		settings := export.Indexes[pattern]
		indexes = append(indexes, member{pattern, object{{"filter", settings.Filter}, {"overrideSettings", settings.OverrideSettings}}})
	}
	details := object{{"url", export.URL}}
	if export.APIKey != nil {
		details = append(details, member{"apiKey", meili.HideSecret(*export.APIKey)})
	}
	if export.PayloadSize != nil {
		details = append(details, member{"payloadSize", meili.FormatSize(*export.PayloadSize)})
	}
	return q.enqueue(http.StatusOK, &task{
		kind: meili.TaskExport, details: append(details, member{"indexes", indexes}),
		work: func(j *job) (object, *meili.Error) {
			matching := j.store.indexUIDs(func(uid string) bool {
				for pattern := range export.Indexes {
					if meili.IndexPatternMatches(pattern, uid) {
						return true
					}
				}
				return false
			})
			if len(matching) > 0 {
				return nil, unsupported("exports")
			}
			return append(details, member{"indexes", object{}}), nil
		},
	})
}
