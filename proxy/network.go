package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"

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

// handleNetworkControl answers as the community edition does.
func (s *Server) handleNetworkControl(_ http.ResponseWriter, r *request) error {
	if _, err := r.readWith("origin"); err != nil {
		return err
	}
	route := networkRoute
	route.action = "Using the /network/control route"
	if err := route.check(r.View); err != nil {
		return err
	}
	return meili.Errorf(meili.CodeRequiresEnterpriseEdition, "Meilisearch Enterprise Edition is required to call this route")
}
