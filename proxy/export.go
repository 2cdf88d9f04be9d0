package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// Bounds of what is sent to the server that an export goes to.
const (
	exportPayloadBytes = 20 << 20 // documents in one request, before compression, unless the client says
	exportTimeout      = time.Minute
	exportAnswerBytes  = 1 << 20
)

// exportPauses are the waits before a request is sent again that was not answered, or with a status of 500 and above.
var exportPauses = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}

// handleExport enqueues an export. As in Meilisearch the status of the answer is 200.
func (s *Server) handleExport(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	export, refused := meili.DecodeExport(body)
	if refused != nil {
		return refused
	}
	request, err := marshal(export)
	if err != nil {
		return err
	}
	details := meili.TaskDetails{URL: &export.URL, Indexes: exportDetails(export.Indexes, nil)}
	if export.APIKey != nil {
		details.APIKey = new(meili.HideSecret(*export.APIKey))
	}
	if export.PayloadSize != nil {
		details.PayloadSize = new(meili.FormatSize(*export.PayloadSize))
	}
	note := tasks.Note{Export: request} // with the key in clear, until the task is finished
	return s.enqueueJob(w, r, http.StatusOK, fsm.BeginWrite{Kind: string(meili.TaskExport), Details: tasks.WithNote(details.JSON(), note)})
}

// exportedIndex is an index, or before the end a pattern, in the details of an export.
type exportedIndex struct {
	Filter           json.RawMessage `json:"filter"`
	OverrideSettings bool            `json:"overrideSettings"`
	MatchedDocuments *uint64         `json:"matchedDocuments,omitempty"`
}

func exportDetails(indexes map[string]meili.ExportIndex, matched map[string]uint64) json.RawMessage {
	view := map[string]exportedIndex{}
	for name, ix := range indexes {
		entry := exportedIndex{Filter: ix.Filter, OverrideSettings: ix.OverrideSettings}
		if n, has := matched[name]; has {
			entry.MatchedDocuments = &n
		}
		view[name] = entry
	}
	text, _ := marshal(view) // raw JSON that was decoded before
	return text
}

// export sends every index that a pattern names: the index if it is missing there, settings, documents.
func (j *job) export(ctx context.Context) error {
	if err := j.settled(ctx); err != nil {
		return err
	}
	_, note := tasks.ReadNote(j.task.Details)
	var export meili.Export
	if err := json.Unmarshal(note.Export, &export); err != nil {
		return fmt.Errorf("read the export's request: %w", err)
	}
	remote := &exportTarget{base: strings.TrimRight(export.URL, "/"), key: deref(export.APIKey), client: &http.Client{Timeout: exportTimeout}}
	defer remote.client.CloseIdleConnections()
	sent, matched := map[string]meili.ExportIndex{}, map[string]uint64{}
	view := j.server.cluster.View()
	for _, uid := range slices.Sorted(maps.Keys(view.Names)) {
		settings, named := exportOf(export.Indexes, uid)
		if !named || view.Index(uid) == nil {
			continue
		}
		x := &indexExport{job: j, remote: remote, uid: uid, ix: view.Index(uid), options: settings, limit: exportPayloadBytes}
		if export.PayloadSize != nil {
			x.limit = int(min(*export.PayloadSize, 1<<30))
		}
		if err := x.run(ctx); err != nil {
			return err
		}
		sent[uid], matched[uid] = settings, x.documents
	}
	j.details.Indexes = exportDetails(sent, matched)
	return nil
}

// exportOf is what an export says of an index: by the first pattern, in order, that matches.
func exportOf(indexes map[string]meili.ExportIndex, uid string) (meili.ExportIndex, bool) {
	for _, pattern := range slices.Sorted(maps.Keys(indexes)) {
		if meili.IndexPatternMatches(pattern, uid) {
			return indexes[pattern], true
		}
	}
	return meili.ExportIndex{}, false
}

// indexExport sends one index.
type indexExport struct {
	job     *job
	remote  *exportTarget
	uid     string
	ix      *fsm.Index
	options meili.ExportIndex
	limit   int // bytes

	documents uint64
	payload   bytes.Buffer
}

func (x *indexExport) run(ctx context.Context) error {
	if err := x.checkFilter(); err != nil {
		return err
	}
	path := "/indexes/" + url.PathEscape(x.uid)
	exists, err := x.remote.has(ctx, path)
	if err != nil {
		return err
	}
	primaryKey := map[string]any{"primaryKey": nil}
	if x.ix.PrimaryKey != "" {
		primaryKey["primaryKey"] = x.ix.PrimaryKey
	}
	switch {
	case !exists:
		primaryKey["uid"] = x.uid
		err = x.remote.sendJSON(ctx, http.MethodPost, "/indexes", primaryKey)
	case x.options.OverrideSettings:
		err = x.remote.sendJSON(ctx, http.MethodPatch, path, primaryKey)
	}
	if err == nil && (!exists || x.options.OverrideSettings) {
		var settings map[string]json.RawMessage
		if settings, err = wholeSettings(x.ix.Settings); err == nil {
			err = x.remote.sendJSON(ctx, http.MethodPatch, path+"/settings", settings)
		}
	}
	if err != nil {
		return err
	}
	stream := documentStream{server: x.job.server, ix: x.ix, filter: x.options.Filter, emit: func(document []byte) error {
		x.documents++
		return x.add(ctx, path, document)
	}}
	if err := stream.run(ctx); err != nil {
		return err
	}
	return x.flush(ctx, path)
}

// checkFilter refuses a bad filter before anything is sent.
func (x *indexExport) checkFilter() error {
	filter, err := localFilter(x.job.server.cluster.View(), x.options.Filter)
	var known *meili.Error
	if errors.As(err, &known) {
		return meili.InIndex(x.uid, known)
	}
	if err != nil || filter == nil {
		return err
	}
	if problem := checkFilterable(filter, x.ix, x.uid); problem != nil {
		return problem
	}
	return nil
}

// wholeSettings are the settings with those reset that have their defaults: what is sent replaces what was there.
func wholeSettings(stored json.RawMessage) (map[string]json.RawMessage, error) {
	reset, err := json.Marshal(meili.ResetSettings())
	if err != nil {
		return nil, err
	}
	settings, err := membersOf(reset)
	if err != nil {
		return nil, err
	}
	for _, gated := range []string{"chat", "foreignKeys"} {
		delete(settings, gated) // refused by a server that has not enabled them
	}
	set, err := membersOf(stored)
	maps.Copy(settings, set)
	return settings, err
}

// add puts a document into the payload and sends it when it is full.
func (x *indexExport) add(ctx context.Context, path string, document []byte) error {
	if x.payload.Len() > 0 && x.payload.Len()+len(document) > x.limit {
		if err := x.flush(ctx, path); err != nil {
			return err
		}
	}
	x.payload.Write(document)
	x.payload.WriteByte('\n')
	return nil
}

func (x *indexExport) flush(ctx context.Context, path string) error {
	if x.payload.Len() == 0 {
		return nil
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if _, err := x.payload.WriteTo(zip); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	_, err := x.remote.send(ctx, http.MethodPost, path+"/documents", body.Bytes(), "application/x-ndjson", "gzip")
	return err
}

// exportTarget is the server that an export goes to.
type exportTarget struct {
	base, key string
	client    *http.Client
}

// has reports whether the target has an index.
func (t *exportTarget) has(ctx context.Context, path string) (bool, error) {
	_, err := t.send(ctx, http.MethodGet, path, nil, "", "")
	if known, ok := err.(*remoteRefusal); ok && known.said.Code == meili.CodeIndexNotFound {
		return false, nil
	}
	return err == nil, err
}

func (t *exportTarget) sendJSON(ctx context.Context, method, path string, value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	_, err = t.send(ctx, method, path, body, "application/json", "")
	return err
}

// remoteRefusal is an error that the target answered with.
type remoteRefusal struct{ said *meili.Error }

func (e *remoteRefusal) Error() string {
	return fmt.Sprintf("Failed to export documents to remote server %s (%s): %s <%s>", e.said.Code, e.said.Type, e.said.Message, e.said.Link)
}

// send sends a request, again when it fails in a way that may pass. Errors: *remoteRefusal, or that of the connection.
func (t *exportTarget) send(ctx context.Context, method, path string, body []byte, contentType, encoding string) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		status, answer, err := t.once(ctx, method, path, body, contentType, encoding)
		again := err != nil || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
		if again && attempt < len(exportPauses) && sleep(ctx, exportPauses[attempt]) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if status < 200 || status > 299 {
			return nil, refusalFrom(status, answer)
		}
		return answer, nil
	}
}

func refusalFrom(status int, answer []byte) error {
	refused := &meili.Error{Status: status}
	if json.Unmarshal(answer, refused) != nil || refused.Code == "" {
		return fmt.Errorf("the remote server answered status %d: %.200s", status, answer)
	}
	return &remoteRefusal{refused}
}

func (t *exportTarget) once(ctx context.Context, method, path string, body []byte, contentType, encoding string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, t.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range map[string]string{"Content-Type": contentType, "Content-Encoding": encoding} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	if t.key != "" {
		request.Header.Set("Authorization", "Bearer "+t.key)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, exportAnswerBytes))
	return response.StatusCode, answer, err
}
