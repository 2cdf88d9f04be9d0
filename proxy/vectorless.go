package proxy

import (
	"context"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
)

// A server notices only while it indexes that a document is new and brings no vectors for a userProvided embedder, and fails the
// whole payload. Of an index that is cut up only the nodes of such documents would, and the others write the rest. So nodes are
// asked which of them they have before they get any.

const (
	// indexedTogether is how many documents a server looks at at once: an error tells of those that are missing vectors among them.
	indexedTogether = 100
	// vectorlessLot is how many documents are asked for at once.
	vectorlessLot = 10 * indexedTogether
)

// vectorless looks for documents of one payload that must bring vectors and do not.
type vectorless struct {
	s         *Server
	ix        *fsm.Index
	batch     *batch
	replace   bool // documents take the place of earlier ones, they do not complete them
	settings  *meili.Settings
	embedders []string
}

// checkVectors fails the batch if a single server would for vectors that are missing. Earlier writes that may have brought
// documents are waited for. What cannot be found out is left to the nodes.
func (a *addition) checkVectors(ctx context.Context) error {
	last, deadline := ^uint32(0), time.Now().Add(earlierWritesWait)
	for {
		view, ix, open, err := a.writer.server.unfinished(a.uid, last)
		if err != nil {
			return err
		}
		if plan := a.plan(view, ix); !a.batch.fits(plan) {
			if a.batch, err = a.writer.resplit(a.batch, plan); err != nil {
				return err
			}
		}
		if ix == nil || !ix.Divided() || !a.batch.vectorless || a.batch.failure != nil || a.params.SkipCreation {
			return nil
		}
		settings, err := meili.LoadSettings(ix.NextSettings)
		if err != nil {
			return err
		}
		v := &vectorless{s: a.writer.server, ix: ix, batch: a.batch, replace: a.method == "POST", settings: settings, embedders: settings.ManualEmbedders()}
		failure, err := v.find(ctx, view)
		switch {
		case open == nil && err == nil && failure != nil:
			a.batch.failure = meili.InIndex(a.uid, failure)
			return nil
		case open == nil || err == nil && failure == nil:
			return nil
		}
		last = min(last, *open)
		if !sleepUntil(ctx, firstSessionPause, deadline) {
			return ctx.Err()
		}
	}
}

// unvectored is a document that brings no vectors for an embedder.
type unvectored struct {
	position int
	id       string
}

// find is the error for the first documents that no node has and that bring no vectors, without the name of the index.
func (v *vectorless) find(ctx context.Context, view *fsm.View) (*meili.Error, error) {
	for _, embedder := range v.embedders {
		var lot, missing []unvectored
		position := 0
		ask := func() error {
			unknown, err := v.unknown(ctx, view, lot)
			missing, lot = append(missing, unknown...), nil
			return err
		}
		err := v.batch.docs.each(func(document []byte) error {
			if position%indexedTogether == 0 && len(lot) >= vectorlessLot && len(missing) == 0 {
				if err := ask(); err != nil {
					return err
				}
			}
			if len(missing) == 0 && !meili.BringsVectors(meili.Vectors(document), embedder) {
				id, problem := meili.DocumentID(document, v.batch.primaryKey)
				if problem != nil {
					return problem
				}
				lot = append(lot, unvectored{position, id})
			}
			position++
			return nil
		})
		if err == nil && len(missing) == 0 {
			err = ask()
		}
		if err != nil {
			return nil, err
		}
		if failure, err := v.failure(embedder, missing); failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
}

// unknown are those of some documents that no node has.
func (v *vectorless) unknown(ctx context.Context, view *fsm.View, lot []unvectored) (unknown []unvectored, err error) {
	for some := range slices.Chunk(lot, vectorlessLot) {
		ids := make([]string, len(some))
		for i, b := range some {
			ids[i] = b.id
		}
		list, err := v.s.foreignList(ctx, view, v.ix, &meili.DocumentsQuery{IDs: &ids, Limit: len(ids), Fields: &[]string{v.batch.primaryKey}})
		if err != nil {
			return nil, err
		}
		known := map[string]bool{}
		for _, document := range list {
			known[documentID(document, v.batch.primaryKey)] = true
		}
		for _, b := range some {
			if !known[b.id] {
				unknown = append(unknown, b)
			}
		}
	}
	return unknown, nil
}

// failure is the error for the first of some documents that a server looks at together, unless other versions of them in the
// payload bring the vectors.
func (v *vectorless) failure(embedder string, missing []unvectored) (*meili.Error, error) {
	bringing := map[string]bool{}
	for _, b := range missing {
		bringing[b.id] = false
	}
	err := v.batch.docs.each(func(document []byte) error {
		id, problem := meili.DocumentID(document, v.batch.primaryKey)
		if problem != nil {
			return problem
		}
		vectors := meili.Vectors(document)
		if _, asked := bringing[id]; asked && (v.replace || vectors != nil) {
			bringing[id] = meili.BringsVectors(vectors, embedder)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	missing = slices.DeleteFunc(missing, func(b unvectored) bool { return bringing[b.id] })
	if len(missing) == 0 {
		return nil, nil
	}
	lot := missing[0].position / indexedTogether
	var ids []string
	for _, b := range missing {
		if b.position/indexedTogether == lot && !slices.Contains(ids, b.id) {
			ids = append(ids, b.id)
		}
	}
	hints, err := v.hints(lot)
	return meili.MissingVectors(embedder, ids, hints), err
}

// hints are what the payload suggests may have been meant.
func (v *vectorless) hints(lot int) (*meili.VectorHints, error) {
	hints := &meili.VectorHints{Settings: v.settings}
	position := 0
	err := v.batch.docs.each(func(document []byte) error {
		hints.NoteFields(document)
		if position/indexedTogether == lot {
			hints.NoteEmbedders(meili.Vectors(document))
		}
		position++
		return nil
	})
	return hints, err
}
