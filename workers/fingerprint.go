package workers

import (
	"context"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
	"miroir/meili"
)

// numBuckets is how many buckets the documents of a copy are sorted into by the hash of their id.
const numBuckets = 256

// fingerprint tells copies of a shard apart in 4 KiB, whatever their size. Each bucket is the sum of its documents'
// digests, so that the order in which a node lists them does not matter.
type fingerprint struct {
	documents int64
	buckets   [numBuckets]xxh3.Uint128
}

func bucketOf(id string) int { return int(xxh3.HashString(id) % numBuckets) }

func (f *fingerprint) add(id string, content xxh3.Uint128) {
	f.documents++
	bucket := &f.buckets[bucketOf(id)]
	sum := xxh3.HashString128Seed(id, content.Lo)
	bucket.Lo += sum.Lo ^ content.Lo
	bucket.Hi += sum.Hi ^ content.Hi
}

// root is the digest of all buckets.
func (f *fingerprint) root() xxh3.Uint128 {
	hash := xxh3.New()
	for _, bucket := range f.buckets {
		sum := bucket.Bytes()
		_, _ = hash.Write(sum[:]) // a hash takes everything
	}
	return hash.Sum128()
}

// text is a digest as operators see it.
func digestText(d xxh3.Uint128) string { return fmt.Sprintf("%016x%016x", d.Hi, d.Lo) }

// bucketSet marks buckets.
type bucketSet [numBuckets]bool

// differing marks the buckets that are not the same in all fingerprints; none reports that all are equal.
func differing(prints []*fingerprint) (bad bucketSet, none bool) {
	none = true
	for i := range bad {
		for _, p := range prints[1:] {
			if p.buckets[i] != prints[0].buckets[i] {
				bad[i], none = true, false
			}
		}
	}
	return bad, none
}

// reader reads copies page by page, at most a share of each node's time.
type copyReader struct {
	pace     *pacer
	pageSize int
}

// scan calls visit for every document that matches a filter, "" for all. Documents that are written meanwhile may be
// missed or seen twice.
func (r *copyReader) scan(ctx context.Context, n copyNode, primaryKey, filter string, visit func(id string, content xxh3.Uint128)) error {
	if primaryKey == "" {
		return nil // an index without a primary key has no documents
	}
	for offset := int64(0); ; offset += int64(r.pageSize) {
		var page *documentsPage
		err := r.pace.do(ctx, n.client.ID(), func() (err error) {
			page, err = n.documents(ctx, documentsQuery{Filter: filter, Offset: offset, Limit: int64(r.pageSize), RetrieveVectors: true}, 0)
			return err
		})
		if err != nil {
			return err
		}
		for _, document := range page.Results {
			id, problem := meili.DocumentID(document, primaryKey)
			if problem != nil {
				return problem
			}
			visit(id, digest(withoutEmptyVectors(document)))
		}
		if len(page.Results) < r.pageSize {
			return nil
		}
	}
}

// print is the fingerprint of a copy.
func (r *copyReader) print(ctx context.Context, n copyNode, primaryKey, filter string) (*fingerprint, error) {
	f := &fingerprint{}
	return f, r.scan(ctx, n, primaryKey, filter, f.add)
}

// contents are the digests of the documents in the marked buckets, by id.
func (r *copyReader) contents(ctx context.Context, n copyNode, primaryKey, filter string, marked bucketSet) (map[string]xxh3.Uint128, error) {
	found := map[string]xxh3.Uint128{}
	return found, r.scan(ctx, n, primaryKey, filter, func(id string, content xxh3.Uint128) {
		if marked[bucketOf(id)] {
			found[id] = content
		}
	})
}

// fetch are the digests of documents by id; those that the node does not have are missing. Documents of a shard that
// lack the shard field are found too.
func (r *copyReader) fetch(ctx context.Context, n copyNode, primaryKey string, ids []string) (map[string]xxh3.Uint128, error) {
	found := make(map[string]xxh3.Uint128, len(ids))
	for len(ids) > 0 {
		part := ids[:min(len(ids), r.pageSize)]
		ids = ids[len(part):]
		err := r.pace.do(ctx, n.client.ID(), func() error {
			documents, err := n.fetch(ctx, primaryKey, part)
			for id, document := range documents {
				found[id] = digest(document)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// pacer bounds what reading costs the nodes: how many requests run at once, and how much of each node's clock they take.
type pacer struct {
	percent float64 // of a node's time; 0 or 100: all of it
	slots   chan struct{}
	lanes   map[fsm.NodeID]*pacerLane // of every node that may be read
}

// pacerLane lets one request at a time to a node.
type pacerLane struct {
	turn      chan struct{} // one token: taken while a request runs or its pause lasts
	notBefore time.Time     // guarded by turn
}

func newPacer(nodes []fsm.NodeID, concurrency int, percent float64) *pacer {
	p := &pacer{percent: percent, slots: make(chan struct{}, max(concurrency, 1)), lanes: map[fsm.NodeID]*pacerLane{}}
	for _, id := range nodes {
		p.lanes[id] = &pacerLane{turn: make(chan struct{}, 1)}
	}
	return p
}

// do makes a request to a node when its turn has come. A node that is not known is not read.
func (p *pacer) do(ctx context.Context, id fsm.NodeID, request func() error) error {
	lane := p.lanes[id]
	if lane == nil {
		return fmt.Errorf("node %s joined meanwhile", id)
	}
	select {
	case lane.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-lane.turn }()
	if pause := time.Until(lane.notBefore); pause > 0 && !sleep(ctx, pause) {
		return ctx.Err()
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	began := time.Now()
	err := request()
	if took := time.Since(began); p.percent > 0 && p.percent < 100 {
		lane.notBefore = time.Now().Add(time.Duration(float64(took) * (100/p.percent - 1)))
	}
	return err
}
