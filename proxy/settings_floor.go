package proxy

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"miroir/fsm"
)

const (
	settingsVersionHeader      = "X-Miroir-Settings-Version"
	minSettingsVersionHeader   = "X-Miroir-Min-Settings-Version"
	settingsInconsistentHeader = "X-Miroir-Settings-Inconsistent"
)

// holdFloor keeps a read from indexes whose settings are older than the client demands, and says in the answer what settings
// it is made with. A pod that may be behind asks the leader first. r.View may be a newer one then. Replicas that are read
// have at least the committed settings, so that is what is compared.
func (s *Server) holdFloor(w http.ResponseWriter, r *request, uids ...string) error {
	floor, err := settingsFloor(r.Header)
	if err != nil {
		return err
	}
	if below(r.View, uids, floor) != nil && s.peers != nil {
		ctx, cancel := context.WithTimeout(r.Context(), sessionWait(r.View))
		defer cancel()
		if err := s.peers.Synced(ctx); err != nil {
			w.Header().Set("X-Miroir-Degraded", "no-leader")
		}
		r.View = s.cluster.View()
	}
	if ix := below(r.View, uids, floor); ix != nil {
		return miroirError(codeSettingsVersionStale, "The settings of index `%s` are at version %d, and %s demands %d. Wait for the task of the change, or ask for less.",
			ix.UID, ix.SettingsVersion, minSettingsVersionHeader, floor)
	}
	if len(uids) == 1 {
		if ix := r.View.Index(uids[0]); ix != nil {
			w.Header().Set(settingsVersionHeader, strconv.FormatUint(ix.SettingsVersion, 10))
		}
	}
	if slices.ContainsFunc(uids, func(uid string) bool { return tornBySettings(r.View.Index(uid)) }) {
		w.Header().Set(settingsInconsistentHeader, "true")
	}
	return nil
}

// settingsFloor is the lowest settings version that a client accepts, 0 for any.
func settingsFloor(header http.Header) (uint64, error) {
	values := header[minSettingsVersionHeader]
	if len(values) == 0 {
		return 0, nil
	}
	floor, err := strconv.ParseUint(values[0], 10, 64)
	if err != nil || len(values) > 1 {
		return 0, miroirError(codeInvalidArgument, "%s is one whole number, 0 or more.", minSettingsVersionHeader)
	}
	return floor, nil
}

// below finds an index whose committed settings are older than a version.
func below(v *fsm.View, uids []string, version uint64) *fsm.Index {
	for _, uid := range uids {
		if ix := v.Index(uid); ix != nil && ix.SettingsVersion < version {
			return ix
		}
	}
	return nil
}

// tornBySettings reports whether several nodes answer for an index while a change of its settings is on its way to them.
func tornBySettings(ix *fsm.Index) bool {
	return ix != nil && !heldByOne(ix) && slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.Settings != nil })
}
