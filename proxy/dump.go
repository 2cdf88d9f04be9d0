package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
)

// handleCreateDump enqueues a dump that a plain Meilisearch can import.
func (s *Server) handleCreateDump(w http.ResponseWriter, r *request) error {
	details := meili.TaskDetails{DumpUID: meili.ResetTo[string]()}
	return s.enqueueJob(w, r, http.StatusAccepted, fsm.BeginWrite{Kind: string(meili.TaskDumpCreation), Details: details.JSON()})
}

// dump writes <dump uid>.dump into the dump directory of this pod. The file appears when it is whole.
func (j *job) dump(ctx context.Context) error {
	if err := j.settled(ctx); err != nil {
		return err
	}
	started := j.server.opts.Now().UTC()
	if j.task.StartedAt != nil {
		started = j.task.StartedAt.UTC()
	}
	dir, uid := j.server.opts.DumpDir, dumpUID(started)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, "*.partial"))
	if err != nil {
		return err
	}
	for _, leftover := range leftovers { // of a pod that ended in the middle: no other dump runs now
		os.Remove(leftover)
	}
	path := filepath.Join(dir, uid+".dump")
	if err := j.writeDump(ctx, path+".partial", started); err != nil {
		os.Remove(path + ".partial")
		return err
	}
	if err := os.Rename(path+".partial", path); err != nil {
		return err
	}
	j.details.DumpUID = meili.SetTo(uid)
	j.server.log.Info("dump written", "task_uid", j.task.UID, "path", path)
	return nil
}

// dumpUID names a dump by the time it was begun at, as Meilisearch does.
func dumpUID(at time.Time) string {
	return fmt.Sprintf("%s%03d", at.Format("20060102-150405"), at.Nanosecond()/1e6)
}

func (j *job) writeDump(ctx context.Context, path string, started time.Time) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer file.Close() // the error that matters is that of Sync
	archive := newDumpArchive(file, started)
	view := j.server.cluster.View()
	if err := archive.writeHead(view); err != nil {
		return err
	}
	for uid := range view.Names {
		ix := view.Index(uid)
		if ix == nil {
			continue
		}
		if err := j.dumpIndex(ctx, archive, uid, ix.ID, filepath.Dir(path)); err != nil {
			return fmt.Errorf("dump index %s: %w", uid, err)
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Sync()
}

// dumpIndex adds one index: documents first, for the rest is what it is once they are read. An index that was deleted
// meanwhile is left out.
func (j *job) dumpIndex(ctx context.Context, archive *dumpArchive, uid string, id fsm.IndexID, dir string) error {
	documents, err := os.CreateTemp(dir, "*.documents.partial")
	if err != nil {
		return err
	}
	defer os.Remove(documents.Name())
	defer documents.Close() // only read from
	ix, err := j.readQuietly(ctx, uid, id, documents)
	if err != nil || ix == nil {
		return err
	}
	return archive.writeIndex(uid, ix, documents)
}

// quietReads is how often documents are read while writes go on; after that the index's writes wait for the read.
const quietReads = 2

// readQuietly writes the documents of an index to a file, one a line, as they are at one moment: it reads again when
// a write came in between. It returns the index as of then, nil when it is gone.
func (j *job) readQuietly(ctx context.Context, uid string, id fsm.IndexID, file *os.File) (*fsm.Index, error) {
	for attempt := 0; ; attempt++ {
		unlock := func() {}
		if attempt >= quietReads {
			release, err := j.server.writer.locks.lock(ctx, uid)
			if err != nil {
				return nil, err
			}
			unlock = release
			if err := j.idle(ctx, id); err != nil {
				unlock()
				return nil, err
			}
		}
		ix, quiet, err := j.readOnce(ctx, id, file)
		unlock()
		if quiet || err != nil {
			return ix, err
		}
	}
}

// readOnce reads once and tells whether no write was open before or came since.
func (j *job) readOnce(ctx context.Context, id fsm.IndexID, file *os.File) (*fsm.Index, bool, error) {
	ix := j.server.cluster.View().Indexes[id]
	if ix == nil || !ix.Visible {
		return nil, true, nil
	}
	before, err := j.lastWrite(id, ix.UID)
	if err != nil {
		return nil, false, err
	}
	if err := writeDocuments(ctx, j.server, ix, nil, file); err != nil {
		if j.server.cluster.View().Indexes[id] == nil {
			return nil, true, nil
		}
		return nil, false, err
	}
	after, err := j.lastWrite(id, ix.UID)
	quiet := !before.open && before == after
	return j.server.cluster.View().Indexes[id], quiet, err
}

// indexMark is the newest task of an index, and whether one is open.
type indexMark struct {
	uid  int64 // -1 for none
	open bool
}

func (j *job) lastWrite(id fsm.IndexID, uid string) (indexMark, error) {
	mark := indexMark{uid: -1}
	open, err := j.server.cluster.Tasks().OpenTasks()
	if err != nil {
		return mark, err
	}
	mark.open = slices.ContainsFunc(open, func(t *fsm.Task) bool { return t.Index == id })
	list, err := j.server.cluster.Tasks().Tasks(fsm.TaskFilter{IndexUIDs: []string{uid}}, fsm.TaskPage{Limit: 1})
	if len(list.Tasks) > 0 {
		mark.uid = int64(list.Tasks[0].UID)
	}
	return mark, err
}

// idle waits until no task of an index is open. Call it with the index's writes held.
func (j *job) idle(ctx context.Context, id fsm.IndexID) error {
	for {
		mark, err := j.lastWrite(id, "")
		if err != nil || !mark.open {
			return err
		}
		if !sleep(ctx, jobPoll) {
			return ctx.Err()
		}
	}
}

// writeDocuments replaces what is in a file by the documents of an index, one a line.
func writeDocuments(ctx context.Context, s *Server, ix *fsm.Index, filter json.RawMessage, file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return err
	}
	lines := newLineWriter(file)
	stream := documentStream{server: s, ix: ix, filter: filter, emit: lines.write}
	if err := stream.run(ctx); err != nil {
		return err
	}
	return lines.flush()
}

// dumpIndexMetadata is indexes/<uid>/metadata.json.
type dumpIndexMetadata struct {
	UID        string  `json:"uid"`
	PrimaryKey *string `json:"primaryKey"`
	CreatedAt  string  `json:"createdAt"`
	UpdatedAt  string  `json:"updatedAt"`
}

// dumpKey is a line of keys.jsonl.
type dumpKey struct {
	Description *string  `json:"description,omitempty"`
	Name        *string  `json:"name,omitempty"`
	UID         string   `json:"uid"`
	Actions     []string `json:"actions"`
	Indexes     []string `json:"indexes"`
	ExpiresAt   *string  `json:"expires_at"`
	CreatedAt   string   `json:"created_at"`
	UpdatedAt   string   `json:"updated_at"`
}

func keyOfDump(k *fsm.Key) dumpKey {
	key := dumpKey{Description: k.Description, Name: k.Name, UID: k.UID, Actions: k.Actions, Indexes: k.Indexes,
		CreatedAt: formatTime(k.CreatedAt), UpdatedAt: formatTime(k.UpdatedAt)}
	if k.ExpiresAt != nil {
		key.ExpiresAt = new(formatTime(*k.ExpiresAt))
	}
	return key
}
