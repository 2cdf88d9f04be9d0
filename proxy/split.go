package proxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
	"miroir/meili"
)

// splitPlan says how the documents of a batch are read and routed.
type splitPlan struct {
	indexUID   string
	primaryKey string // "": inferred from the first document
	emptyKey   bool   // the primary key has the empty name, so that no document has it
	// nodesJudge leaves faults of single documents to the node that has the whole index: it passes over documents that are new.
	nodesJudge bool
	shards     uint32
	settings   json.RawMessage // as the batch will find them; nil: defaults
}

// batch is the payload of one documents write, checked and spooled.
type batch struct {
	docs *spool
	plan splitPlan
	// primaryKey is what the documents were routed by: the plan's or the inferred one, "" when there is none.
	primaryKey string
	received   int
	// ids are the documents' by place, none when there are more than maxAskedIDs.
	ids []string
	// distinct counts the different ids, by a 64-bit hash.
	distinct int
	// vectorless says that a document brings no vectors for an embedder whose vectors documents must bring.
	vectorless bool
	// failure is the error that a single server's task would fail with; no node may see the batch then.
	failure *meili.Error
}

// splitter reads documents into a batch. Whatever fails the batch is noted and reading goes on: bad syntax further
// down answers at once and comes first, and the documents are needed again should the plan turn out to be outdated.
type splitter struct {
	batch    *batch
	settings *meili.Settings
	// unreadable and late are failures that a server notices only after all ids are known to be good, in this order.
	unreadable, late *meili.Error

	ids       []placedID
	embedders []string // whose vectors documents must bring
}

// placedID is a document's id, by a hash, and its place in the batch.
type placedID struct {
	hash  uint64
	place uint32
}

// splitPayload reads a payload to its end. Errors: *meili.Error for what is answered at once (malformed payload,
// reserved field), or of reading and spooling. The caller closes the batch.
func (wr *writer) splitPayload(kind meili.PayloadKind, delimiter byte, body io.Reader, plan splitPlan) (*batch, error) {
	s, err := wr.newSplitter(plan)
	if err != nil {
		return nil, err
	}
	_, err = meili.SplitPayload(kind, delimiter, body, s.add)
	return s.finish(err)
}

// resplit is splitPayload over the documents of an earlier batch, which it closes.
func (wr *writer) resplit(b *batch, plan splitPlan) (*batch, error) {
	defer b.close()
	s, err := wr.newSplitter(plan)
	if err != nil {
		return nil, err
	}
	return s.finish(b.docs.each(s.add))
}

func (wr *writer) newSplitter(plan splitPlan) (*splitter, error) {
	settings, err := meili.LoadSettings(plan.settings)
	if err != nil {
		return nil, err
	}
	docs := newSpool(wr.server.opts.TempDir, wr.server.opts.BodyMemoryBytes, plan.shards)
	return &splitter{batch: &batch{docs: docs, plan: plan, primaryKey: plan.primaryKey}, settings: settings, embedders: settings.ManualEmbedders()}, nil
}

func (s *splitter) finish(err error) (*batch, error) {
	if err == nil {
		err = s.batch.docs.seal()
	}
	if err != nil {
		s.batch.close()
		return nil, err
	}
	if s.batch.failure == nil && !s.batch.plan.nodesJudge {
		s.batch.failure = cmp.Or(s.unreadable, s.late)
	}
	s.batch.docs.repeats = s.repeats()
	s.batch.distinct = len(s.ids) - len(s.batch.docs.repeats)
	return s.batch, nil
}

// repeats are the documents whose ids came before. One server leaves them at the place of the first.
func (s *splitter) repeats() []repeat {
	slices.SortFunc(s.ids, func(a, b placedID) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.place, b.place))
	})
	var repeats []repeat
	first := 0
	for i, id := range s.ids {
		if s.ids[first].hash != id.hash {
			first = i
		}
		if first < i {
			repeats = append(repeats, repeat{place: id.place, first: s.ids[first].place})
		}
	}
	slices.SortFunc(repeats, func(a, b repeat) int { return cmp.Compare(a.place, b.place) })
	return repeats
}

// add routes one document. It is valid until add returns.
func (s *splitter) add(document []byte) error {
	for _, field := range hiddenFields {
		if hasField(document, field) {
			return miroirError(codeReservedField, "Documents must not have a field `%s`: Miroir keeps it for itself.", field)
		}
	}
	s.batch.received++
	id, failure := s.identify(document)
	if failure != nil {
		s.batch.failure = failure
	}
	if s.batch.failure != nil {
		return s.batch.docs.add(0, document)
	}
	if s.unreadable == nil {
		s.unreadable = meili.CheckValues(document, s.batch.plan.indexUID)
	}
	if s.late == nil {
		s.late = meili.CheckDocument(document, id, s.batch.plan.indexUID, s.settings)
	}
	if len(s.embedders) > 0 && !s.batch.vectorless {
		vectors := meili.Vectors(document)
		s.batch.vectorless = slices.ContainsFunc(s.embedders, func(embedder string) bool { return !meili.BringsVectors(vectors, embedder) })
	}
	s.noteID(id)
	s.ids = append(s.ids, placedID{xxh3.HashString(id), uint32(s.batch.docs.numDocuments)})
	return s.batch.docs.add(ShardOf(id, s.batch.plan.shards), document)
}

// noteID keeps the ids of a batch of few documents.
func (s *splitter) noteID(id string) {
	switch n := s.batch.docs.numDocuments; {
	case n < maxAskedIDs:
		s.batch.ids = append(s.batch.ids, id)
	case n == maxAskedIDs:
		s.batch.ids = nil
	}
}

// identify finds the document's id, and before the first one the primary key, until something fails the batch.
func (s *splitter) identify(document []byte) (string, *meili.Error) {
	b := s.batch
	if b.failure != nil {
		return "", nil
	}
	if b.primaryKey == "" && !b.plan.emptyKey {
		key, err := meili.InferPrimaryKey(document)
		if err != nil {
			return "", err
		}
		b.primaryKey = key
	}
	id, err := meili.DocumentID(document, b.primaryKey)
	if err != nil {
		return "", err
	}
	return id, nil
}

// hasField reports whether a document has the top-level field. Names may be written with escapes.
func hasField(document []byte, field string) bool {
	if !bytes.Contains(document, []byte(field)) && !bytes.ContainsRune(document, '\\') {
		return false
	}
	_, has := meili.Get(document, field)
	return has
}

// fits reports whether the batch was split as plan demands, so that its shards and ids are the right ones.
func (b *batch) fits(plan splitPlan) bool {
	if b.plan.shards != plan.shards || b.plan.emptyKey != plan.emptyKey || b.plan.nodesJudge != plan.nodesJudge || !bytes.Equal(b.plan.settings, plan.settings) {
		return false
	}
	return b.plan.primaryKey == plan.primaryKey || b.failure == nil && b.primaryKey == plan.primaryKey
}

// shards are the shards a write of the batch touches, never nil.
func (b *batch) shards() []fsm.ShardID { return append([]fsm.ShardID{}, b.docs.touched()...) }

// close forgets the documents; b may be nil.
func (b *batch) close() {
	if b != nil {
		b.docs.Close()
	}
}
