// Package engine is an in-memory search engine that ranks documents with the rules of Meilisearch v1.50 (crate milli) and
// reports the same score details. It knows nothing of HTTP, tasks, keys or other indexes: the embedded node adds those.
//
// One Index holds documents, settings and every derived structure. Writers replace the structures they touch under a lock;
// any number of searches run between two writes.
package engine

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// Index is one search index. The zero value is not usable; see New. Safe for concurrent use.
type Index struct {
	mu    sync.RWMutex
	state *state // guarded by mu: changed only by writers
}

// New is an empty index with default settings and no primary key.
func New() *Index { return &Index{state: newState()} }

// Document is a document to store: its canonical id (meili.DocumentID) and its JSON object.
// The index copies nothing: JSON must not change afterwards.
type Document struct {
	ID   string
	JSON []byte
}

// SearchContext is what a search needs to know that its body does not say.
type SearchContext struct {
	IndexUID string // names the index in messages; empty leaves the "Index `uid`: " prefix out
	Features meili.Features
	Weight   *float64 // federationOptions.weight, nil means 1
	// Pins returns what is pinned for a search of these words, most important first; nil for nothing.
	Pins  func(words []string) []Pin
	Extra []string // fields that Hit.Extra must hold when the hit does not show them (federated distinct and facets)
}

// Hit is one answered document. Its parts are JSON, nil when not asked for.
type Hit struct {
	DocID          uint32          // internal number, equal for the same document in two searches without a write in between
	ID             string          // canonical document id
	Document       json.RawMessage // the fields to return, with _vectors and _geoDistance
	Formatted      json.RawMessage // _formatted
	Matches        json.RawMessage // _matchesPosition
	Score          float64         // global ranking score, not weighted
	ShowScore      bool            // Score was asked for
	Details        json.RawMessage // _rankingScoreDetails
	Pin            *int            // the position at which the document is pinned
	WeightedValues []WeightedValue // what federated hits are merged by, best rule first
	Extra          json.RawMessage // fields of SearchContext.Extra that Document does not hold
}

// Object is the hit as answers show it: the document, _federation unless nil, then _formatted and the rest as asked for.
func (h *Hit) Object(federation json.RawMessage) json.RawMessage {
	out := append([]byte{}, h.Document[:len(h.Document)-1]...)
	member := func(name string, value json.RawMessage) {
		if value == nil {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendJSONString(out, name), ':'), value...)
	}
	member("_federation", federation)
	member("_formatted", h.Formatted)
	member("_matchesPosition", h.Matches)
	if h.ShowScore {
		member("_rankingScore", []byte(formatFloat(h.Score)))
	}
	member("_rankingScoreDetails", h.Details)
	return append(out, '}')
}

// Result is the answer of one search.
type Result struct {
	Hits              []Hit
	Query             string
	QueryVector       json.RawMessage // only with retrieveVectors
	Paged             bool            // Page… are set rather than Limit, Offset
	Limit, Offset     int
	Page, HitsPerPage int
	TotalHits         int             // estimatedTotalHits, or totalHits when Paged
	TotalPages        int             // when Paged
	FacetDistribution json.RawMessage // nil unless facets were asked for
	FacetStats        json.RawMessage
	SemanticHitCount  *int // set for semantic and hybrid searches
	Degraded          bool // searchCutoffMs cut the ranking short

	candidates *roaring.Bitmap // every document that matches
}

// FacetHits is the answer of a facet search.
type FacetHits struct {
	Hits []FacetHit
}

// FacetHit is one facet value and the number of candidates that have it.
type FacetHit struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// DocumentPage is one page of stored documents, in internal order unless sorted.
type DocumentPage struct {
	Documents []json.RawMessage
	Total     int
}

// PrimaryKey is the primary key, empty when unknown.
func (ix *Index) PrimaryKey() string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.primaryKey
}

// SetPrimaryKey sets the primary key. The caller checks that the index may change it.
func (ix *Index) SetPrimaryKey(name string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.state.primaryKey = name
}

// Settings are the settings last applied, never nil.
func (ix *Index) Settings() *meili.Settings {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.settings
}

// Apply makes settings (complete, not a delta: the value meili.Settings.Apply returns) the settings of the index and indexes
// every document again where they ask for it.
func (ix *Index) Apply(settings *meili.Settings) *meili.Error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.apply(settings)
}

// PutDocuments stores documents, replacing those of the same id. Nothing is stored when a document is refused.
// With skipCreation documents whose id is not stored yet are ignored. It returns the number of distinct ids written.
func (ix *Index) PutDocuments(documents []Document, skipCreation bool) (int, *meili.Error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.write(documents, false, skipCreation)
}

// UpdateDocuments is PutDocuments for partial documents: top-level fields replace those of the stored document.
func (ix *Index) UpdateDocuments(documents []Document, skipCreation bool) (int, *meili.Error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.write(documents, true, skipCreation)
}

// DeleteDocuments removes documents by canonical id and returns how many there were.
func (ix *Index) DeleteDocuments(ids []string) int {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.delete(ids)
}

// DeleteByFilter removes the documents that satisfy filter (as in a search body) and returns how many there were.
func (ix *Index) DeleteByFilter(ctx SearchContext, filter json.RawMessage) (int, *meili.Error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.deleteByFilter(ctx, filter)
}

// Clear removes every document and returns how many there were.
func (ix *Index) Clear() int {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.state.clear()
}

// Document is the stored document of a canonical id as GET /documents/{id} shows it.
func (ix *Index) Document(id string, query *meili.DocumentQuery) (json.RawMessage, bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.document(id, query)
}

// Documents is a page of stored documents as GET /documents and POST /documents/fetch show it.
func (ix *Index) Documents(ctx SearchContext, query *meili.DocumentsQuery) (*DocumentPage, *meili.Error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.documentPage(ctx, query)
}

// Each calls visit for every stored document, in internal order, until it returns false. The JSON is as stored, with
// _vectors; it must not be changed.
func (ix *Index) Each(visit func(id string, document json.RawMessage) bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	ix.state.each(visit)
}

// NumDocuments is the number of stored documents.
func (ix *Index) NumDocuments() int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.numDocuments()
}

// DocumentBytes is the size of all stored documents in bytes.
func (ix *Index) DocumentBytes() int64 {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.documentBytes
}

// Embeddings counts stored vectors and the documents that have at least one.
func (ix *Index) Embeddings() (numVectors, numDocuments int) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.countEmbeddings()
}

// FieldDistribution is the number of documents that have each field; nested fields count under their full dotted name.
func (ix *Index) FieldDistribution() map[string]int {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.fieldDistribution()
}

// FacetFields are the fields that patterns of facets name, nested ones included.
func (ix *Index) FacetFields(patterns []string) []string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.facetFields(patterns)
}

// Fields are the names of all fields the index ever had but that of vectors, those inside others included, sorted.
func (ix *Index) Fields() []string {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	names := slices.Sorted(slices.Values(ix.state.fields.names))
	return slices.DeleteFunc(names, func(name string) bool { return name == vectorsField })
}

// Search answers a search.
func (ix *Index) Search(ctx SearchContext, query *meili.SearchQuery) (*Result, *meili.Error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.search(ctx, query)
}

// FacetSearch answers a search for facet values.
func (ix *Index) FacetSearch(ctx SearchContext, query *meili.FacetSearch) (*FacetHits, *meili.Error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.facetSearch(ctx, query)
}

// Similar answers a search for documents near a stored one. The result's hits, limit, offset and total are set.
func (ix *Index) Similar(ctx SearchContext, query *meili.Similar) (*Result, *meili.Error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.state.similar(ctx, query)
}
