package devnode

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"miroir/devnode/engine"
	"miroir/meili"
)

// store is everything a node remembers: what a real server keeps on its disk. Only the worker changes indexes and the
// outcome of tasks; requests add tasks and change keys, features, webhooks and the network. Rules of searches are changed by tasks.
type store struct {
	options *Options

	mu        sync.RWMutex
	indexes   map[string]*index             // guarded by mu, by uid
	tasks     []*task                       // guarded by mu, by ascending uid; a task's members too
	pending   []*task                       // guarded by mu: the enqueued tasks, oldest first
	batches   []*batch                      // guarded by mu, by ascending uid
	nextTask  uint32                        // guarded by mu
	nextBatch uint32                        // guarded by mu
	keys      []meili.Key                   // guarded by mu, oldest first; replaced as a whole
	features  meili.Features                // guarded by mu
	webhooks  map[string]*meili.Webhook     // guarded by mu, by uuid; replaced as a whole
	network   meili.Network                 // guarded by mu; replaced as a whole
	chats     map[string]meili.ChatSettings // guarded by mu, by workspace uid
	rules     map[string]*searchRule        // guarded by mu, by uid; replaced as a whole
}

// index is one index: the engine's and its dates, which the store's mutex guards.
type index struct {
	*engine.Index
	createdAt, updatedAt time.Time
}

// newStore returns an empty store with the default keys.
func newStore(o *Options) *store {
	return &store{
		options:  o,
		indexes:  map[string]*index{},
		webhooks: map[string]*meili.Webhook{},
		chats:    map[string]meili.ChatSettings{},
		rules:    map[string]*searchRule{},
		keys:     meili.DefaultKeys(o.now(), o.NewUID),
		network:  meili.NewNetwork(),
	}
}

// index returns an index. Error: index_not_found.
func (s *store) index(uid string) (*index, *meili.Error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if ix := s.indexes[uid]; ix != nil {
		return ix, nil
	}
	return nil, meili.IndexNotFound(uid)
}

// indexUIDs lists the indexes that pass a test, sorted.
func (s *store) indexUIDs(allowed func(uid string) bool) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	uids := []string{}
	for uid := range s.indexes {
		if allowed(uid) {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return uids
}

// createIndex returns an index, creating it first when there is none. Worker only.
func (s *store) createIndex(uid string) *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.indexes[uid] == nil {
		now := s.options.now()
		s.indexes[uid] = &index{Index: engine.New(), createdAt: now, updatedAt: now}
	}
	return s.indexes[uid]
}

// touch records that an index changed. Worker only.
func (s *store) touch(ix *index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ix.updatedAt = s.options.now()
}

// listKeys returns the API keys, oldest first. The caller must not change them.
func (s *store) listKeys() []meili.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys
}

// currentFeatures returns the experimental features that are on.
func (s *store) currentFeatures() meili.Features {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.features
}

// clone returns a copy that shares nothing that changes. A task in progress is enqueued again in the copy.
func (s *store) clone() *store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := &store{
		options:   s.options,
		indexes:   make(map[string]*index, len(s.indexes)),
		tasks:     make([]*task, len(s.tasks)),
		nextTask:  s.nextTask,
		nextBatch: s.nextBatch,
		keys:      slices.Clone(s.keys),
		features:  s.features,
		webhooks:  maps.Clone(s.webhooks),
		network:   s.network,
		chats:     maps.Clone(s.chats),
		rules:     s.rules,
	}
	for uid, ix := range s.indexes {
		c.indexes[uid] = ix.clone()
	}
	for i, t := range s.tasks {
		c.tasks[i] = t.clone()
		if c.tasks[i].status == meili.TaskEnqueued {
			c.pending = append(c.pending, c.tasks[i])
		}
	}
	for _, b := range s.batches {
		if b.finishedAt != nil {
			c.batches = append(c.batches, b)
		}
	}
	return c
}

// clone builds the index again from its documents and settings.
func (ix *index) clone() *index {
	c := &index{Index: engine.New(), createdAt: ix.createdAt, updatedAt: ix.updatedAt}
	c.SetPrimaryKey(ix.PrimaryKey())
	if err := c.Apply(ix.Settings()); err != nil {
		panic(err) // settings that were applied once
	}
	var documents []engine.Document
	ix.Each(func(id string, document json.RawMessage) bool {
		documents = append(documents, engine.Document{ID: id, JSON: document})
		return true
	})
	if _, err := c.PutDocuments(documents, false); err != nil {
		panic(err) // documents that were accepted once
	}
	return c
}
