package devnode

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/uuid"

	"miroir/meili"
)

// networkState is what a node knows of other nodes. It is replaced as a whole.
type networkState struct {
	self    *string
	remotes object // by name: values are remote
	shards  object // by name: values are JSON
	version string
}

// remote is another node.
type remote struct {
	URL          string  `json:"url"`
	SearchAPIKey *string `json:"searchApiKey"`
	WriteAPIKey  *string `json:"writeApiKey"`
	Status       string  `json:"status"`
}

func newNetwork() networkState {
	return networkState{remotes: object{}, shards: object{}, version: uuid.Nil.String()}
}

func (n networkState) view() object {
	return object{{"self", n.self}, {"remotes", n.remotes}, {"shards", n.shards}, {"leader", nil}, {"version", n.version}}
}

// without returns the object without a member.
func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == name })
}

func getNetwork(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().Network, "Using the /network route", "network"); err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	return respond(http.StatusOK, q.store.network.view()), nil
}

func controlNetwork(q *request) (answer, *meili.Error) {
	if err := needs(q.store.currentFeatures().Network, "Using the /network/control route", "network"); err != nil {
		return answer{}, err
	}
	return answer{}, meili.Errorf(meili.CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to call this route")
}

// networkPatch is the body of PATCH /network: members not given are zero, null resets.
type networkPatch struct {
	self, leader             meili.Setting[string]
	remotes                  meili.Setting[map[string]*remotePatch]
	shards                   meili.Setting[map[string]*json.RawMessage]
	previousRemotes, ignored json.RawMessage
}

type remotePatch struct {
	url, searchKey, writeKey meili.Setting[string]
}

// into decodes a value into a setting; null resets it.
func into[T any](dst *meili.Setting[T], read meili.Read[T]) meili.Decode {
	return func(v *meili.Value, at *meili.Location) *meili.Error {
		if v.Kind == meili.KindNull {
			*dst = meili.ResetTo[T]()
			return nil
		}
		value, err := read(v, at)
		*dst = meili.SetTo(value)
		return err
	}
}

// orNull reads null as nil.
func orNull[T any](read meili.Read[T]) meili.Read[*T] {
	return func(v *meili.Value, at *meili.Location) (*T, *meili.Error) {
		if v.Kind == meili.KindNull {
			return nil, nil
		}
		value, err := read(v, at)
		return &value, err
	}
}

func decodeNetwork(body []byte) (*networkPatch, *meili.Error) {
	p := &networkPatch{}
	err := meili.DecodeBody(body, []meili.Field{
		{Name: "remotes", Code: meili.CodeInvalidNetworkRemotes, Decode: into(&p.remotes, meili.ReadMap(orNull(readRemote)))},
		{Name: "shards", Code: meili.CodeInvalidNetworkShards, Decode: into(&p.shards, meili.ReadMap(orNull(meili.ReadRaw)))},
		{Name: "previousShards", Code: meili.CodeInvalidNetworkShards, Decode: meili.IntoRaw(&p.ignored)},
		{Name: "self", Code: meili.CodeInvalidNetworkSelf, Decode: into(&p.self, meili.ReadString)},
		{Name: "leader", Code: meili.CodeInvalidNetworkLeader, Decode: into(&p.leader, meili.ReadString)},
		{Name: "previousRemotes", Code: meili.CodeInvalidNetworkRemotes, Decode: meili.IntoRaw(&p.previousRemotes)},
	})
	return p, err
}

func readRemote(v *meili.Value, at *meili.Location) (p remotePatch, err *meili.Error) {
	err = meili.DecodeObject(v, at, []meili.Field{
		{Name: "url", Code: meili.CodeInvalidNetworkURL, Decode: into(&p.url, meili.ReadString)},
		{Name: "searchApiKey", Code: meili.CodeInvalidNetworkSearchAPIKey, Decode: into(&p.searchKey, meili.ReadString)},
		{Name: "writeApiKey", Code: meili.CodeInvalidNetworkWriteAPIKey, Decode: into(&p.writeKey, meili.ReadString)},
	})
	return p, err
}

// patchNetwork registers remotes, as the community edition does.
func patchNetwork(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	patch, err := decodeNetwork(body)
	if err != nil {
		return answer{}, err
	}
	if err := needs(q.store.currentFeatures().Network, "Using the /network route", "network"); err != nil {
		return answer{}, err
	}
	if patch.leader.Set {
		return answer{}, meili.Errorf(meili.CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to set `network.leader`")
	}
	if patch.previousRemotes != nil {
		return answer{}, meili.Errorf(meili.CodeUnexpectedNetworkPreviousRemotes, "Unexpected `previousRemotes` in network call.\n  - Note: `previousRemote` is reserved for internal use.")
	}
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	network, err := q.store.network.apply(patch)
	if err != nil {
		return answer{}, err
	}
	q.store.network = network
	return respond(http.StatusOK, network.view()), nil
}

// apply returns the network with a patch applied. Errors: missing_network_url, invalid_network_url.
func (n networkState) apply(p *networkPatch) (networkState, *meili.Error) {
	n.version = requestUID()
	switch {
	case p.self.Set:
		n.self = &p.self.Value
	case p.self.Reset:
		n.self = nil
	}
	if p.remotes.Reset {
		n.remotes = object{}
	}
	if p.shards.Reset {
		n.shards = object{}
	}
	for _, name := range sortedNames(p.remotes.Value) {
		if p.remotes.Value[name] == nil {
			n.remotes = n.remotes.without(name)
			continue
		}
		old, _ := n.remotes.get(name).(remote)
		changed, err := old.apply(name, p.remotes.Value[name])
		if err != nil {
			return n, err
		}
		n.remotes = n.remotes.set(name, changed).sorted()
	}
	for _, name := range sortedNames(p.shards.Value) {
		if p.shards.Value[name] == nil {
			n.shards = n.shards.without(name)
			continue
		}
		n.shards = n.shards.set(name, *p.shards.Value[name]).sorted()
	}
	return n, nil
}

func (r remote) apply(name string, p *remotePatch) (remote, *meili.Error) {
	switch {
	case p.url.Reset && r.URL != "":
		return r, meili.Errorf(meili.CodeInvalidNetworkURL, "Field `.remotes.%s.url` cannot be set to `null`", name)
	case p.url.Set:
		r.URL = p.url.Value
	case r.URL == "":
		return r, meili.Errorf(meili.CodeMissingNetworkURL, "Missing field `.remotes.%s.url`", name)
	}
	if address, failed := url.Parse(r.URL); failed != nil || address.Scheme == "" {
		return r, meili.Errorf(meili.CodeInvalidNetworkURL,
			"Invalid `.remotes.%s.url` (`%s`): relative URL without a base", name, r.URL)
	}
	r.SearchAPIKey = change(r.SearchAPIKey, p.searchKey)
	r.WriteAPIKey = change(r.WriteAPIKey, p.writeKey)
	r.Status = "available"
	return r, nil
}

// change returns an optional value after a change.
func change(old *string, by meili.Setting[string]) *string {
	switch {
	case by.Set:
		return &by.Value
	case by.Reset:
		return nil
	}
	return old
}
