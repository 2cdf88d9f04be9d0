package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// featuresOf returns the experimental features that clients have switched. What the nodes have on for Miroir's own
// use (network, for merging) is not among them.
func featuresOf(v *fsm.View) (meili.Features, error) {
	var features meili.Features
	if len(v.Features) == 0 {
		return features, nil
	}
	if err := json.Unmarshal(v.Features, &features); err != nil {
		return features, fmt.Errorf("experimental features of the replicated state: %w", err)
	}
	return features, nil
}

func (s *Server) handleGetFeatures(w http.ResponseWriter, r *request) error {
	features, err := featuresOf(r.View)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, features)
	return nil
}

func (s *Server) handlePatchFeatures(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	patch, problem := meili.DecodeFeaturesPatch(body)
	if problem != nil {
		return problem
	}
	if err := s.features.Acquire(r.Context(), 1); err != nil { // or a node that is prepared meanwhile would get the old ones last
		return err
	}
	defer s.features.Release(1)
	features, err := featuresOf(s.cluster.View())
	if err != nil {
		return err
	}
	features = features.With(patch)
	if err := s.setNodeFeatures(r, features); err != nil {
		return err
	}
	stored, err := json.Marshal(features)
	if err != nil {
		return err
	}
	if _, err := fsm.Do(r.Context(), s.cluster, fsm.SetFeatures{Features: stored}); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, features)
	return nil
}

// nodeFeatures is what a node must have on: what clients switched, and network, whose proxied searches tell the
// values that hidden attributes were ranked by. Miroir's own merge replaces the old search path, so that stays off.
// Nodes render what a conversation finds.
func nodeFeatures(features meili.Features) ([]byte, error) {
	features.Network, features.LegacySearch = true, false
	features.RenderRoute = features.RenderRoute || features.ChatCompletions
	return json.Marshal(features)
}

// PrepareNode brings a node's experimental features in line and notes its version. It is called on the leader when a
// node is first met or has returned.
func (s *Server) PrepareNode(ctx context.Context, n *fsm.Node) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.prepareFeatures(ctx, n); err != nil {
		return err
	}
	if s.leads() { // other pods may not know the latest rules
		if err := s.rules.prepare(ctx, n.ID); err != nil {
			return err
		}
	}
	return s.noteVersion(ctx, n)
}

func (s *Server) prepareFeatures(ctx context.Context, n *fsm.Node) error {
	if err := s.features.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.features.Release(1)
	features, err := featuresOf(s.cluster.View())
	if err != nil {
		return err
	}
	body, err := nodeFeatures(features)
	if err != nil {
		return err
	}
	return s.patchFeatures(ctx, n, body)
}

// noteVersion commits the version a node reports, if it is another than the known one.
func (s *Server) noteVersion(ctx context.Context, n *fsm.Node) error {
	answer, err := s.nodes.Get(n).Do(ctx, node.Request{Method: http.MethodGet, Path: "/version", Read: true})
	if err != nil {
		return err
	}
	var reported struct {
		Version string `json:"pkgVersion"`
	}
	if err := json.Unmarshal(answer.Body, &reported); err != nil || !answer.OK() {
		return fmt.Errorf("ask node %s for its version: status %d: %s", n.ID, answer.Status, answer.Body)
	}
	if reported.Version == n.Version {
		return nil
	}
	_, err = fsm.Do(ctx, s.cluster, fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, Version: reported.Version})
	return err
}

// patchFeatures sends the features to one node. An answer that is not a success is an error.
func (s *Server) patchFeatures(ctx context.Context, n *fsm.Node, body []byte) error {
	answer, err := s.nodes.Get(n).Do(ctx, node.Request{
		Method: http.MethodPatch, Path: "/experimental-features", Body: body, ContentType: "application/json",
	})
	if err != nil {
		return err
	}
	if err := answer.Refused(n.ID); err != nil {
		return err
	}
	if !answer.OK() {
		return fmt.Errorf("set experimental features of node %s: status %d: %s", n.ID, answer.Status, answer.Body)
	}
	return nil
}

// setNodeFeatures tells every node; one that is down gets them from PrepareNode when it returns.
func (s *Server) setNodeFeatures(r *request, features meili.Features) error {
	body, err := nodeFeatures(features)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opts.WriteTimeout)
	defer cancel()
	var tell errgroup.Group
	for _, n := range r.View.Nodes {
		tell.Go(func() error {
			err := s.patchFeatures(ctx, n, body)
			if node.OutcomeOf(err) == 0 {
				return err // done, or refused
			}
			s.log.Warn("a node will get the experimental features when it returns", "node_id", n.ID, "error", err)
			return nil
		})
	}
	return tell.Wait()
}
