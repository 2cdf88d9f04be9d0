package proxy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"miroir/fsm"
	"miroir/meili"
)

var networkRoute = gated{"Using the /network route", "network", func(f meili.Features) bool { return f.Network }, ""}

// networkOf is what clients have registered of other servers. The nodes know nothing of it: their own network settings
// are Miroir's.
func networkOf(v *fsm.View) (meili.Network, error) {
	network := meili.NewNetwork()
	if len(v.Network) == 0 {
		return network, nil
	}
	if err := json.Unmarshal(v.Network, &network); err != nil {
		return network, fmt.Errorf("network of the replicated state: %w", err)
	}
	return network, nil
}

func (s *Server) handleGetNetwork(w http.ResponseWriter, r *request) error {
	if err := networkRoute.check(r.View); err != nil {
		return err
	}
	network, err := networkOf(r.View)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, network)
	return nil
}

func (s *Server) handlePatchNetwork(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	patch, refused := meili.DecodeNetworkPatch(body)
	if refused != nil {
		return refused
	}
	if err := networkRoute.check(r.View); err != nil {
		return err
	}
	s.network.Lock()
	defer s.network.Unlock()
	old, err := networkOf(s.cluster.View())
	if err != nil {
		return err
	}
	version, err := uuid.NewV7()
	if err != nil {
		return err
	}
	network, refused := patch.Apply(old, version.String())
	if refused != nil {
		return refused
	}
	if len(network.Remotes) > maxRemotes {
		return miroirError(codeInvalidArgument, "A network of %d remotes is too large; at most %d are allowed.", len(network.Remotes), maxRemotes)
	}
	stored, err := marshal(network)
	if err != nil {
		return err
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.SetNetwork{Network: stored}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, network)
	return nil
}

// maxRemotes bounds the remotes that are kept.
const maxRemotes = 1000

// networkChange is what the body of a message between servers is to Meilisearch.
var networkChange = meili.SerdeStruct{Name: "NetworkChange", NumFields: 2, Fields: []meili.SerdeField{
	{Name: "origin", Required: true, Expected: "struct Origin", Kinds: []meili.Kind{meili.KindObject}},
	{Name: "message", Required: true, Expected: "adjacently tagged enum Message", Kinds: []meili.Kind{meili.KindObject, meili.KindString}},
}}

// handleNetworkControl answers as the community edition does.
func (s *Server) handleNetworkControl(_ http.ResponseWriter, r *request) error {
	if _, err := r.readStruct(networkChange); err != nil {
		return err
	}
	route := networkRoute
	route.action = "Using the /network/control route"
	if err := route.check(r.View); err != nil {
		return err
	}
	return meili.Errorf(meili.CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to call this route")
}

// place looks where a query of a federated search is to run. Only what clients call this server is served. Errors:
// feature_not_enabled, invalid_multi_search_remote, miroir_unsupported.
func (f *federated) place(options *meili.FederationOptions) *meili.Error {
	if options == nil || options.Remote == nil && options.QueryPosition == nil {
		return nil
	}
	features, err := featuresOf(f.view)
	switch on := err == nil && features.Network; {
	case options.QueryPosition != nil && !on:
		return meili.FeatureNotEnabled("Using `federationOptions.queryPosition`", "network")
	case options.Remote == nil:
		return nil
	case !on:
		return meili.FeatureNotEnabled("Performing a remote federated search", "network")
	}
	network, err := networkOf(f.view)
	if err != nil {
		return meili.Errorf(meili.CodeInternal, "%s", err)
	}
	name := *options.Remote
	if network.Self != nil && *network.Self == name {
		f.self = network.Self
		return nil
	}
	if _, known := network.Remotes[name]; !known {
		return meili.Errorf(meili.CodeInvalidMultiSearchRemote, "Invalid `.federation_options.remote`: remote `%s` is not registered", name)
	}
	return unsupportedRemote(name)
}

func unsupportedRemote(name string) *meili.Error {
	return miroirError(codeUnsupported, "Miroir asks its own nodes only, and not the remote `%s`. Ask that server itself.", name)
}

// refuseOthers refuses to search the whole network unless this server is all of it.
func refuseOthers(v *fsm.View) *meili.Error {
	network, err := networkOf(v)
	if err != nil {
		return meili.Errorf(meili.CodeInternal, "%s", err)
	}
	for _, name := range slices.Sorted(maps.Keys(network.Remotes)) {
		if network.Self == nil || *network.Self != name {
			return unsupportedRemote(name)
		}
	}
	return nil
}
