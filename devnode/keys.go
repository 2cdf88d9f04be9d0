package devnode

import (
	"encoding/json"
	"net/http"
	"slices"

	"miroir/meili"
)

// findKey returns the place of the key the path names by uid or by value. Call with the store's mutex held.
// Error: api_key_not_found.
func (q *request) findKey() (int, *meili.Error) {
	keys := q.store.keys
	key, err := meili.FindKey(keys, q.param("key"), q.node.options.MasterKey)
	if err != nil {
		return 0, err
	}
	return slices.IndexFunc(keys, func(k meili.Key) bool { return k.UID == key.UID }), nil
}

func listKeys(q *request) (answer, *meili.Error) {
	page, err := meili.DecodePage(q.URL.RawQuery, meili.CodeInvalidAPIKeyOffset, meili.CodeInvalidAPIKeyLimit)
	if err != nil {
		return answer{}, err
	}
	keys := slices.Clone(q.store.listKeys())
	meili.SortKeys(keys)
	results := []json.RawMessage{}
	for _, key := range paginate(keys, page.Offset, page.Limit) {
		results = append(results, key.View(q.node.options.MasterKey))
	}
	return respond(http.StatusOK, pageView(results, page.Offset, page.Limit, len(keys))), nil
}

func getKey(q *request) (answer, *meili.Error) {
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	i, err := q.findKey()
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, q.store.keys[i].View(q.node.options.MasterKey)), nil
}

func createKey(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	key, err := meili.DecodeKeyCreate(body, q.now)
	if err != nil {
		return answer{}, err
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	if slices.ContainsFunc(q.store.keys, func(k meili.Key) bool { return k.UID == key.UID }) {
		return answer{}, meili.KeyAlreadyExists(key.UID)
	}
	q.store.keys = append(slices.Clone(q.store.keys), *key)
	return respond(http.StatusCreated, key.View(q.node.options.MasterKey)), nil
}

func patchKey(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	patch, err := meili.DecodeKeyPatch(body)
	if err != nil {
		return answer{}, err
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	i, err := q.findKey()
	if err != nil {
		return answer{}, err
	}
	keys := slices.Clone(q.store.keys)
	keys[i] = patch.Apply(keys[i], q.now)
	q.store.keys = keys
	return respond(http.StatusOK, keys[i].View(q.node.options.MasterKey)), nil
}

func deleteKey(q *request) (answer, *meili.Error) {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	i, err := q.findKey()
	if err != nil {
		return answer{}, err
	}
	q.store.keys = slices.Delete(slices.Clone(q.store.keys), i, i+1)
	return empty(http.StatusNoContent), nil
}
