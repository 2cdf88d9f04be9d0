package meili

import (
	"maps"
	"slices"
)

// Network is what a server knows of others, as answers show it.
type Network struct {
	Self    *string           `json:"self"`
	Remotes map[string]Remote `json:"remotes"`
	Shards  map[string]Shard  `json:"shards"`
	Leader  *string           `json:"leader"` // never set: that takes the Enterprise Edition
	Version string            `json:"version"`
}

// Remote is another server.
type Remote struct {
	URL          string  `json:"url"`
	SearchAPIKey *string `json:"searchApiKey"`
	WriteAPIKey  *string `json:"writeApiKey"`
	Status       string  `json:"status"`
}

// Shard names the remotes that own a part of the documents; without a leader nothing goes by it.
type Shard struct {
	Remotes []string `json:"remotes"` // sorted
}

// NewNetwork is the network of a server that was told of none.
func NewNetwork() Network {
	return Network{Remotes: map[string]Remote{}, Shards: map[string]Shard{}, Version: nilUUID}
}

// NetworkPatch is the body of PATCH /network. A remote or shard given as null is removed.
type NetworkPatch struct {
	Self, Leader    Setting[string]
	Remotes         Setting[map[string]*RemotePatch]
	Shards          Setting[map[string]*shardPatch]
	previousRemotes bool
}

// RemotePatch changes one remote.
type RemotePatch struct {
	URL, SearchAPIKey, WriteAPIKey Setting[string]
}

type shardPatch struct {
	remotes, add, remove *[]string
}

// DecodeNetworkPatch decodes the body of PATCH /network. Errors: the invalid_network_* codes, bad_request.
func DecodeNetworkPatch(body []byte) (*NetworkPatch, *Error) {
	p := &NetworkPatch{}
	var previousShards Setting[map[string]*shardPatch]
	var previousRemotes Setting[map[string]*RemotePatch]
	err := DecodeBody(body, []Field{
		{Name: "remotes", Code: CodeInvalidNetworkRemotes, Decode: intoResettable(&p.Remotes, ReadMap(nullable(readRemotePatch)))},
		{Name: "shards", Code: CodeInvalidNetworkShards, Decode: intoResettable(&p.Shards, ReadMap(nullable(readShardPatch)))},
		{Name: "previousShards", Code: CodeInvalidNetworkShards, Decode: intoResettable(&previousShards, ReadMap(nullable(readShardPatch)))},
		{Name: "self", Code: CodeInvalidNetworkSelf, Decode: intoResettable(&p.Self, ReadString)},
		{Name: "leader", Code: CodeInvalidNetworkLeader, Decode: intoResettable(&p.Leader, ReadString)},
		{Name: "previousRemotes", Code: CodeInvalidNetworkRemotes, Decode: intoResettable(&previousRemotes, ReadMap(nullable(readRemotePatch)))},
	})
	if err != nil {
		return nil, err
	}
	p.previousRemotes = !previousRemotes.IsZero()
	return p, nil
}

func readRemotePatch(v *Value, at *Location) (p RemotePatch, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "url", Code: CodeInvalidNetworkURL, Decode: intoResettable(&p.URL, ReadString)},
		{Name: "searchApiKey", Code: CodeInvalidNetworkSearchAPIKey, Decode: intoResettable(&p.SearchAPIKey, ReadString)},
		{Name: "writeApiKey", Code: CodeInvalidNetworkWriteAPIKey, Decode: intoResettable(&p.WriteAPIKey, ReadString)},
	})
	return p, err
}

func readShardPatch(v *Value, at *Location) (p shardPatch, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "remotes", Code: CodeInvalidNetworkRemotes, Decode: IntoOptional(&p.remotes, ReadStrings)},
		{Name: "addRemotes", Code: CodeInvalidNetworkRemotes, Decode: IntoOptional(&p.add, ReadStrings)},
		{Name: "removeRemotes", Code: CodeInvalidNetworkRemotes, Decode: IntoOptional(&p.remove, ReadStrings)},
	})
	return p, err
}

// nullable reads null as nil.
func nullable[T any](read Read[T]) Read[*T] {
	return func(v *Value, at *Location) (*T, *Error) {
		if v.Kind == KindNull {
			return nil, nil
		}
		value, err := read(v, at)
		return &value, err
	}
}

// Apply is the network after the patch, under the new version, as the community edition makes it (routes/network/mod.rs).
// Errors: requires_enterprise_edition, unexpected_network_previous_remotes, missing_network_url, invalid_network_url.
func (p *NetworkPatch) Apply(old Network, version string) (Network, *Error) {
	switch {
	case p.Leader.Set:
		return old, newError(CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to set `network.leader`")
	case p.previousRemotes:
		return old, newError(CodeUnexpectedNetworkPreviousRemotes, "Unexpected `previousRemotes` in network call.\n  - Note: `previousRemote` is reserved for internal use.")
	}
	n := Network{Self: patchedValue(p.Self, old.Self), Remotes: map[string]Remote{}, Shards: map[string]Shard{}, Version: version}
	if !p.Remotes.Reset {
		maps.Copy(n.Remotes, old.Remotes)
	}
	if !p.Shards.Reset {
		maps.Copy(n.Shards, old.Shards)
	}
	for name, patch := range p.Shards.Value {
		if patch == nil {
			delete(n.Shards, name)
			continue
		}
		n.Shards[name] = patch.apply(n.Shards[name])
	}
	var gone []string
	for _, name := range sortedKeys(p.Remotes.Value) {
		patch := p.Remotes.Value[name]
		if patch == nil {
			delete(n.Remotes, name)
			gone = append(gone, name)
			continue
		}
		before, known := n.Remotes[name]
		remote, refused := patch.apply(name, before, known)
		if refused != nil {
			return old, refused
		}
		n.Remotes[name] = remote
	}
	for name, shard := range n.Shards {
		shard.Remotes = slices.DeleteFunc(slices.Clone(shard.Remotes), func(remote string) bool { return slices.Contains(gone, remote) })
		n.Shards[name] = shard
	}
	maps.DeleteFunc(n.Shards, func(_ string, shard Shard) bool { return len(shard.Remotes) == 0 })
	return n, nil
}

func (p *RemotePatch) apply(name string, old Remote, known bool) (Remote, *Error) {
	switch {
	case !known && !p.URL.Set:
		return old, newError(CodeMissingNetworkURL, "Missing field `.remotes."+name+".url`")
	case p.URL.Reset:
		return old, newError(CodeInvalidNetworkURL, "Field `.remotes."+name+".url` cannot be set to `null`")
	}
	if p.URL.Set {
		if problem := urlProblem(p.URL.Value); problem != "" {
			return old, newError(CodeInvalidNetworkURL, "Invalid `.remotes."+name+".url` (`"+p.URL.Value+"`): "+problem)
		}
	}
	return Remote{
		URL:          p.URL.Or(old.URL),
		SearchAPIKey: patchedValue(p.SearchAPIKey, old.SearchAPIKey),
		WriteAPIKey:  patchedValue(p.WriteAPIKey, old.WriteAPIKey),
		Status:       "available",
	}, nil
}

func (p *shardPatch) apply(old Shard) Shard {
	remotes := slices.Clone(old.Remotes)
	if p.remotes != nil {
		remotes = slices.Clone(*p.remotes)
	}
	if p.add != nil {
		remotes = append(remotes, *p.add...)
	}
	if p.remove != nil {
		remotes = slices.DeleteFunc(remotes, func(remote string) bool { return slices.Contains(*p.remove, remote) })
	}
	slices.Sort(remotes)
	return Shard{Remotes: slices.Compact(remotes)}
}

// patchedValue is an optional value after a change.
func patchedValue[T any](set Setting[T], old *T) *T {
	switch {
	case set.Set:
		return &set.Value
	case set.Reset:
		return nil
	}
	return old
}
