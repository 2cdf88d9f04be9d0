package devnode

import (
	"net/http"

	"miroir/meili"
)

func getNetwork(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().Network, "Using the /network route", "network"); err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	return respond(http.StatusOK, q.store.network), nil
}

func controlNetwork(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().Network, "Using the /network/control route", "network"); err != nil {
		return answer{}, err
	}
	return answer{}, meili.Errorf(meili.CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to call this route")
}

// patchNetwork registers remotes, as the community edition does.
func patchNetwork(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	patch, err := meili.DecodeNetworkPatch(body)
	if err != nil {
		return answer{}, err
	}
	if err := needs(q.store.currentFeatures().Network, "Using the /network route", "network"); err != nil {
		return answer{}, err
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	network, err := patch.Apply(q.store.network, requestUID())
	if err != nil {
		return answer{}, err
	}
	q.store.network = network
	return respond(http.StatusOK, network), nil
}
