package proxy

import (
	"io"
	"net/http"

	"miroir/config"
	"miroir/fsm"
)

// maxPatchBytes bounds a change of the configuration.
const maxPatchBytes = 1 << 20

// handleConfig shows every key of the configuration with its effective value.
func (s *Server) handleConfig(w http.ResponseWriter, r *request) error {
	writeJSON(w, http.StatusOK, s.opts.Config.Show(r.View.ShownConfig()))
	return nil
}

// handleAPI serves the client route below /_miroir/api with all rights: who has the admin key needs no other.
func (s *Server) handleAPI(w http.ResponseWriter, r *request) error {
	inner := r.Request.Clone(r.Context())
	inner.URL.Path = r.Params.ByName("path")
	inner.URL.RawPath = ""
	inner.Header.Del("X-Admin-Key")
	inner.Header.Set("Authorization", "Bearer "+s.opts.MasterKey)
	s.router.ServeHTTP(w, inner)
	return nil
}

// handlePatchConfig changes keys of scope cluster and answers with all keys. A bad key or value changes nothing.
func (s *Server) handlePatchConfig(w http.ResponseWriter, r *request) error {
	patch, err := io.ReadAll(io.LimitReader(r.Body, maxPatchBytes))
	if err != nil {
		return err
	}
	s.configuring.Lock() // a change is made of what is committed
	defer s.configuring.Unlock()
	changed, err := config.Change(s.cluster.View().Config, patch)
	if err != nil {
		return miroirError(codeInvalidArgument, "Configuration: %s.", err)
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.SetConfig{Config: changed}); err != nil {
		return err
	}
	s.log.Info("configuration changed", "patch", string(patch))
	writeJSON(w, http.StatusOK, s.opts.Config.Show(s.cluster.View().ShownConfig()))
	return nil
}
