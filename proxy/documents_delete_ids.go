package proxy

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// deletion is a documents write that names the ids of what is to go. Each target gets those of its shards.
type deletion struct {
	writer   *writer
	uid      string
	metadata *string
	provided uint64
	hasEmpty bool     // one of them is the empty text, which fails all
	shards   uint32   // that ids are sorted by
	ids      *spool   // those that a document can have
	few      []string // the first maxAskedIDs of them
}

func (s *Server) handleDeleteDocument(w http.ResponseWriter, r *request) error {
	return s.deleteDocuments(w, r, func(visit func(string) error) error { return visit(r.Params.ByName("id")) })
}

func (s *Server) handleDeleteBatch(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	return s.deleteDocuments(w, r, func(visit func(string) error) error { return meili.EachDeletedID(body, visit) })
}

func (s *Server) deleteDocuments(w http.ResponseWriter, r *request, each func(visit func(id string) error) error) error {
	metadata, problem := meili.DecodeCustomMetadata(r.URL.RawQuery)
	if problem != nil {
		if err := each(func(string) error { return nil }); err != nil { // Meilisearch reads the body first
			return err
		}
		return problem
	}
	d := &deletion{writer: s.writer, uid: r.uid(), metadata: metadata}
	// As with additions, the ids are sorted before the index is locked, and again should it have other shards by then.
	shards := uint32(1)
	if ix := r.View.Route(d.uid); ix != nil {
		shards = ix.Shards
	}
	if err := d.sort(shards, each); err != nil {
		return err
	}
	defer func() { d.ids.Close() }()
	done, err := s.writer.submit(r.Context(), d.propose, d.uid)
	if err != nil {
		return err
	}
	done.answer(w, http.StatusAccepted)
	return nil
}

// sort spools the ids by their shards. What cannot be the id of a document is counted and nothing else.
func (d *deletion) sort(shards uint32, each func(visit func(id string) error) error) error {
	d.shards, d.provided, d.hasEmpty, d.few = shards, 0, false, nil
	d.ids = newSpool(d.writer.server.opts.TempDir, d.writer.server.opts.BodyMemoryBytes, shards)
	err := each(func(id string) error {
		d.provided++
		d.hasEmpty = d.hasEmpty || id == ""
		if !meili.IsDocumentID(id) {
			return nil
		}
		if d.ids.numDocuments < maxAskedIDs {
			d.few = append(d.few, id)
		}
		return d.ids.add(ShardOf(id, shards), []byte(id))
	})
	if err == nil {
		err = d.ids.seal()
	}
	if err != nil {
		d.ids.Close()
	}
	return err
}

// sortAgain sorts the ids for an index that has other shards than was thought.
func (d *deletion) sortAgain(shards uint32) error {
	before, provided, hasEmpty := d.ids, d.provided, d.hasEmpty
	defer before.Close()
	err := d.sort(shards, func(visit func(string) error) error {
		return before.each(func(id []byte) error { return visit(string(id)) })
	})
	d.provided, d.hasEmpty = provided, hasEmpty
	return err
}

func (d *deletion) propose(_ *fsm.View, ix *fsm.Index) (*proposal, error) {
	begin := fsm.BeginWrite{Kind: string(meili.TaskDocumentDeletion), IndexUID: &d.uid, CustomMetadata: d.metadata, Details: d.details(meili.NotCounted())}
	if ix == nil {
		return failed(begin, meili.IndexNotFound(d.uid), d.details(meili.CountOf(0))), nil
	}
	if d.hasEmpty {
		return failed(begin, meili.Errorf(meili.CodeInternal, "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size"), d.details(meili.CountOf(0))), nil
	}
	if ix.Shards != d.shards {
		if err := d.sortAgain(ix.Shards); err != nil {
			return nil, err
		}
	}
	if begin.Shards = d.ids.touched(); begin.Shards == nil {
		begin.Outcome = &fsm.Outcome{Status: fsm.StatusSucceeded, Details: d.details(meili.CountOf(0))}
		return &proposal{begin: begin}, nil
	}
	return &proposal{begin: begin, begun: func(begun *fsm.BeginWriteResult) { d.writer.insertions.noteDeleted(begun, d.few) }, touched: d.touched, steps: func(begun *fsm.BeginWriteResult, t fsm.Target, write fsm.WriteID) []step {
		return []step{{marked: true, request: node.Request{
			Method: http.MethodPost, Path: indexPath(begun.Index.NodeUID) + "/documents/delete-batch", Query: url.Values{"customMetadata": {string(write)}},
			ContentType: "application/json", BodyBytes: d.ids.listBytes(t.Shards),
			GetBody: func() (io.ReadCloser, error) { return d.ids.list(t.Shards), nil },
		}}}
	}}, nil
}

func (d *deletion) details(count meili.Setting[uint64]) json.RawMessage {
	details := meili.TaskDetails{ProvidedIDs: &d.provided, DeletedDocuments: count, OriginalFilter: meili.ResetTo[string]()}
	return details.JSON()
}

// touched notes the documents that are named.
func (d *deletion) touched(watch *tasks.WriteWatch) error {
	return d.ids.each(func(id []byte) error {
		watch.NoteID(string(id))
		return nil
	})
}

// list gives the spooled ids of the given shards (nil: all) as one JSON array. Ids need no escaping.
func (s *spool) list(shards []fsm.ShardID) io.ReadCloser {
	return &listReader{in: s.raw(), wanted: s.wanted(shards), ready: []byte{'['}}
}

// listBytes is the length of what list gives.
func (s *spool) listBytes(shards []fsm.ShardID) int64 {
	total := int64(1) // two brackets and, for each id but one, a comma
	for _, shard := range s.shardsOrAll(shards) {
		total += s.shardBytes[shard] + int64(len(`"",`)*s.shardDocuments[shard])
	}
	return max(total, int64(len("[]")))
}

type listReader struct {
	in     *bufio.Reader
	wanted []bool
	ready  []byte // to be given next
	begun  bool   // an id was given
	ended  bool
}

func (r *listReader) Close() error { return nil }

// Read implements io.Reader.
func (r *listReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// next makes the next id of a wanted shard ready, or the end.
func (r *listReader) next() error {
	shard, length, err := readFrame(r.in)
	switch {
	case err == io.EOF:
		r.ready, r.ended = []byte{']'}, true
		return nil
	case err != nil:
		return err
	case !r.wanted[shard]:
		_, err := r.in.Discard(length)
		return err
	}
	r.ready = make([]byte, 0, length+len(`,""`))
	if r.begun {
		r.ready = append(r.ready, ',')
	}
	r.ready = append(r.ready, '"')
	id := r.ready[len(r.ready) : len(r.ready)+length]
	if _, err := io.ReadFull(r.in, id); err != nil {
		return err
	}
	r.ready, r.begun = append(r.ready[:len(r.ready)+length], '"'), true
	return nil
}
