package devnode

import (
	"net/http"

	"miroir/meili"
)

// indexView is an index as the API shows it. Call with the store's mutex held.
func indexView(uid string, ix *index) object {
	var primaryKey any
	if name := ix.PrimaryKey(); name != "" {
		primaryKey = name
	}
	return object{
		{"uid", uid}, {"createdAt", meili.FormatTime(ix.createdAt)}, {"updatedAt", meili.FormatTime(ix.updatedAt)}, {"primaryKey", primaryKey},
	}
}

func listIndexes(q *request) (answer, *meili.Error) {
	page, err := meili.DecodePage(q.URL.RawQuery, meili.CodeInvalidIndexOffset, meili.CodeInvalidIndexLimit)
	if err != nil {
		return answer{}, err
	}
	uids := q.store.indexUIDs(q.authorized)
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	results := []object{}
	for _, uid := range paginate(uids, page.Offset, page.Limit) {
		if ix := q.store.indexes[uid]; ix != nil {
			results = append(results, indexView(uid, ix))
		}
	}
	return respond(http.StatusOK, pageView(results, page.Offset, page.Limit, len(uids))), nil
}

// paginate returns the part of a list that a page shows.
func paginate[T any](list []T, offset, limit int) []T {
	offset = min(offset, len(list))
	return list[offset : offset+min(limit, len(list)-offset)]
}

// pageView is one page of a list as the API shows it.
func pageView(results any, offset, limit, total int) object {
	return object{{"results", results}, {"offset", offset}, {"limit", limit}, {"total", total}}
}

func getIndex(q *request) (answer, *meili.Error) {
	ix, err := q.index()
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	return respond(http.StatusOK, indexView(q.param("uid"), ix)), nil
}

func createIndex(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	create, err := meili.DecodeIndexCreate(body)
	if err != nil {
		return answer{}, err
	}
	if !q.authorized(create.UID) {
		return answer{}, invalidKey()
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskIndexCreation, indexUID: &create.UID,
		details: object{{"primaryKey", create.PrimaryKey}},
		work: func(j *job) (object, *meili.Error) {
			if _, err := j.store.index(j.index); err == nil {
				return nil, indexAlreadyExists(j.index)
			}
			ix := j.store.createIndex(j.index)
			if create.PrimaryKey != nil {
				ix.SetPrimaryKey(*create.PrimaryKey)
				j.store.touch(ix)
			}
			return nil, nil
		},
	})
}

func indexAlreadyExists(uid string) *meili.Error {
	return meili.Errorf(meili.CodeIndexAlreadyExists, "Index `%s` already exists.", uid)
}

func updateIndex(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	update, err := meili.DecodeIndexUpdate(body)
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	details := object{{"primaryKey", update.PrimaryKey}}
	if update.UID != nil {
		details = append(details, member{"oldIndexUid", uid}, member{"newIndexUid", *update.UID})
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskIndexUpdate, indexUID: &uid, details: details,
		work: func(j *job) (object, *meili.Error) { return nil, j.updateIndex(update.PrimaryKey, update.UID) },
	})
}

// updateIndex renames an index and then sets its primary key. As in Meilisearch the name stays changed when the key is refused.
func (j *job) updateIndex(primaryKey, newUID *string) *meili.Error {
	ix, err := j.store.index(j.index)
	if err != nil {
		return err
	}
	uid := j.index
	if newUID != nil && *newUID != uid {
		if _, err := j.store.index(*newUID); err == nil {
			return indexAlreadyExists(*newUID)
		}
		uid = *newUID
		j.exchange(j.index, uid)
		j.store.touch(ix)
	}
	if primaryKey == nil {
		return nil
	}
	if ix.PrimaryKey() != *primaryKey && ix.NumDocuments() > 0 {
		return primaryKeyExists(uid, ix.PrimaryKey())
	}
	ix.SetPrimaryKey(*primaryKey)
	j.store.touch(ix)
	return nil
}

// primaryKeyExists is the error of a task that would change the primary key of an index that has documents.
func primaryKeyExists(uid, primaryKey string) *meili.Error {
	return meili.Errorf(meili.CodeIndexPrimaryKeyAlreadyExists, "Index `%s`: Index already has a primary key: `%s`.", uid, primaryKey)
}

func deleteIndex(q *request) (answer, *meili.Error) {
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskIndexDeletion, indexUID: &uid, details: object{{"deletedDocuments", nil}},
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.store.index(j.index)
			if err != nil {
				return nil, err
			}
			j.store.mu.Lock()
			defer j.store.mu.Unlock()
			delete(j.store.indexes, j.index)
			return object{{"deletedDocuments", ix.NumDocuments()}}, nil
		},
	})
}

func compactIndex(q *request) (answer, *meili.Error) {
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskIndexCompaction, indexUID: &uid, details: object{},
		work: func(j *job) (object, *meili.Error) {
			ix, err := j.store.index(j.index)
			if err != nil {
				return nil, err
			}
			size := humanBytes(ix.storedBytes())
			return object{{"preCompactionSize", size}, {"postCompactionSize", size}}, nil
		},
	})
}

func swapIndexes(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	swaps, err := meili.DecodeSwap(body)
	if err != nil {
		return answer{}, err
	}
	for _, swap := range swaps {
		for _, uid := range swap.Indexes {
			if !q.authorized(uid) {
				return answer{}, invalidKey()
			}
		}
	}
	if err := meili.CheckSwaps(swaps); err != nil {
		return answer{}, err
	}
	shown := []object{}
	for _, swap := range swaps {
		shown = append(shown, object{{"indexes", swap.Indexes}, {"rename", swap.Rename}})
	}
	return q.enqueue(http.StatusAccepted, &task{
		kind: meili.TaskIndexSwap, details: object{{"swaps", shown}},
		work: func(j *job) (object, *meili.Error) { return nil, j.swap(swaps) },
	})
}

// swap exchanges the indexes of every pair, or none.
func (j *job) swap(swaps []meili.Swap) *meili.Error {
	var missing []string
	var taken [][2]string
	for _, swap := range swaps {
		_, leftMissing := j.store.index(swap.Indexes[0])
		_, rightMissing := j.store.index(swap.Indexes[1])
		if leftMissing != nil {
			missing = append(missing, swap.Indexes[0])
		}
		switch {
		case rightMissing != nil && !swap.Rename:
			missing = append(missing, swap.Indexes[1])
		case rightMissing == nil && swap.Rename:
			taken = append(taken, swap.Indexes)
		}
	}
	if err := meili.SwapsNotFound(missing); err != nil {
		return err
	}
	if err := meili.SwapsFound(taken); err != nil {
		return err
	}
	for _, swap := range swaps {
		j.exchange(swap.Indexes[0], swap.Indexes[1])
	}
	return nil
}

// exchange swaps two names, one of which may be free, and the names of the tasks that came before this one.
func (j *job) exchange(a, b string) {
	s := j.store
	s.mu.Lock()
	defer s.mu.Unlock()
	left, right := s.indexes[a], s.indexes[b]
	delete(s.indexes, a)
	delete(s.indexes, b)
	if left != nil {
		s.indexes[b] = left
	}
	if right != nil {
		s.indexes[a] = right
	}
	for _, t := range s.tasks {
		if t.uid >= j.uid || t.indexUID == nil || t.kind.IsGlobal() {
			continue
		}
		switch *t.indexUID {
		case a:
			t.indexUID = &b
		case b:
			t.indexUID = &a
		}
	}
}
