package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// oldestNode is the first Meilisearch that keeps customMetadata with document writes.
var oldestNode = [2]int{1, 26}

// probe checks that a server can be a node: it answers, our key has all rights there, its version will do, it is none of the
// known nodes or of the earlier ones of the request, and it holds none of our indexes. It notes the version in n.
func (s *Server) probe(ctx context.Context, v *fsm.View, n *fsm.Node, earlier []fsm.Node) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	client := s.nodes.New(n)
	if err := s.reach(ctx, client); err != nil {
		return miroirError(codeInvalidArgument, "`address`: %s does not answer as a Meilisearch server: %s.", n.Address, err)
	}
	if err := checkNoPod(ctx, client, n.Address); err != nil {
		return err
	}
	if err := checkKey(ctx, client, s.keyOf(n)); err != nil {
		return err
	}
	var version struct {
		Version string `json:"pkgVersion"`
	}
	if err := askNode(ctx, client, "/version", &version); err != nil {
		return miroirError(codeInvalidArgument, "`address`: %s does not tell its version: %s.", n.Address, err)
	}
	if err := checkVersion(v, version.Version); err != nil {
		return err
	}
	n.Version = version.Version
	if err := s.checkTwins(ctx, v, n, earlier); err != nil {
		return err
	}
	return checkForeign(ctx, v, client, n.Address)
}

// checkTwins refuses a server that is a node already, under another address.
func (s *Server) checkTwins(ctx context.Context, v *fsm.View, n *fsm.Node, earlier []fsm.Node) error {
	others := slices.Collect(maps.Values(v.Nodes))
	for i := range earlier {
		others = append(others, &earlier[i])
	}
	err := s.nodes.CheckTwins(ctx, []*fsm.Node{n}, others)
	var twins *node.Twins
	switch {
	case errors.As(err, &twins):
		return miroirError(codeTopologyConflict, "`address`: %s leads to the server of node `%s`, which is at %s. Each node needs a server of its own.",
			n.Address, twins.Other.ID, twins.Other.Address)
	case err != nil:
		return miroirError(codeInvalidArgument, "`address`: it cannot be told whether %s is a node already: %s.", n.Address, err)
	}
	return nil
}

// checkNoPod refuses a pod of Miroir, which answers as a Meilisearch server does and would be asked for its own answers. A server
// has no such route.
func checkNoPod(ctx context.Context, c *node.Client, address string) error {
	answer, err := c.Do(ctx, node.Request{Method: http.MethodGet, Path: "/_miroir/ready", Read: true})
	if err == nil && (answer.OK() || answer.Status == http.StatusServiceUnavailable) {
		return miroirError(codeTopologyConflict, "`address`: %s is a pod of Miroir. A node is a Meilisearch server.", address)
	}
	return nil
}

func (s *Server) keyOf(n *fsm.Node) string {
	if n.Key != "" {
		return n.Key
	}
	return s.opts.NodeKey
}

// reach asks for a sign of life.
func (s *Server) reach(ctx context.Context, c *node.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return askNode(ctx, c, "/health", &struct{}{})
}

// askNode reads a JSON answer. Errors: *node.Error, *meili.Error.
func askNode(ctx context.Context, c *node.Client, path string, into any) error {
	response, err := c.Do(ctx, node.Request{Method: http.MethodGet, Path: path, Read: true})
	if err != nil {
		return err
	}
	if !response.OK() {
		return refusalOf(response)
	}
	return json.Unmarshal(response.Body, into)
}

// nodeKey is an API key as a node lists it.
type nodeKey struct {
	UID       string   `json:"uid"`
	Key       string   `json:"key"`
	Actions   []string `json:"actions"`
	Indexes   []string `json:"indexes"`
	ExpiresAt *string  `json:"expiresAt"`
}

// checkKey makes sure that the key may do everything: it is the master key, or one for all actions on all indexes that
// does not expire. A server without a master key lets everybody do everything.
func checkKey(ctx context.Context, c *node.Client, key string) error {
	refuse := func(reason string) error {
		return miroirError(codeInvalidArgument, "`key` must have all rights on the node: %s.", strings.TrimSuffix(reason, "."))
	}
	var list struct{ Results []nodeKey }
	err := askNode(ctx, c, "/keys?limit=1", &list)
	if isCode(err, "missing_master_key") {
		return nil
	}
	if err != nil {
		return refuse(err.Error())
	}
	if key == "" {
		return nil
	}
	var own nodeKey
	err = askNode(ctx, c, "/keys/"+url.PathEscape(key), &own)
	switch {
	case isCode(err, "api_key_not_found"):
		return nil // it may list keys and is none of them: the master key
	case err != nil:
		return refuse(err.Error())
	case !slices.Contains(own.Actions, "*") || !slices.Contains(own.Indexes, "*"):
		return refuse("it is limited to some actions or indexes")
	case own.ExpiresAt != nil:
		return refuse("it expires at " + *own.ExpiresAt)
	}
	return nil
}

func isCode(err error, code meili.Code) bool {
	known, ok := err.(*meili.Error)
	return ok && known.Code == code
}

// checkVersion refuses servers that are too old, or of another minor version than the other nodes: their answers could
// differ.
func checkVersion(v *fsm.View, version string) error {
	major, minor, ok := majorMinor(version)
	if !ok || major < oldestNode[0] || major == oldestNode[0] && minor < oldestNode[1] {
		return miroirError(codeTopologyConflict, "The server is Meilisearch %s; nodes need %d.%d or newer.", version, oldestNode[0], oldestNode[1])
	}
	for _, n := range v.Nodes {
		if a, b, ok := majorMinor(n.Version); ok && (a != major || b != minor) {
			return miroirError(codeTopologyConflict, "The server is Meilisearch %s and node `%s` is %s: nodes must be of one minor version.", version, n.ID, n.Version)
		}
	}
	return nil
}

func majorMinor(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return major, minor, err == nil && err2 == nil
}

// checkForeign refuses a server that has an index under a name of ours.
func checkForeign(ctx context.Context, v *fsm.View, c *node.Client, address string) error {
	ours := map[string]string{}
	for _, ix := range v.Indexes {
		ours[ix.NodeUID] = ix.UID
	}
	const limit = 1000
	for offset := 0; ; offset += limit {
		var list struct {
			Results []struct{ UID string }
			Total   int
		}
		if err := askNode(ctx, c, fmt.Sprintf("/indexes?limit=%d&offset=%d", limit, offset), &list); err != nil {
			return miroirError(codeInvalidArgument, "`address`: %s does not list its indexes: %s.", address, err)
		}
		for _, index := range list.Results {
			if uid, taken := ours[index.UID]; taken {
				return miroirError(codeTopologyConflict, "The server at %s has an index `%s` already, which the cluster would put there for `%s`. Delete it or take an empty server.",
					address, index.UID, uid)
			}
		}
		if offset+limit >= list.Total {
			return nil
		}
	}
}

// handleRotateNodeKey gives Miroir another key on a node: the one in the body, or one that is made there. A key made by an
// earlier rotation is revoked.
func (s *Server) handleRotateNodeKey(w http.ResponseWriter, r *request) error {
	var body struct {
		Key string `json:"key"`
	}
	if err := decodeAdmin(r, &body); err != nil {
		return err
	}
	_, n, err := s.pathNode(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.opts.WriteTimeout)
	defer cancel()
	old := s.nodes.Get(n)
	if body.Key == "" {
		if body.Key, err = makeNodeKey(ctx, old); err != nil {
			return miroirError(codeTopologyConflict, "Node `%s` does not make a key: %s.", n.ID, err)
		}
	}
	next := *n
	next.Key = body.Key
	fresh := s.nodes.New(&next)
	if err := checkKey(ctx, fresh, next.Key); err != nil {
		return err
	}
	if err := s.change(ctx, fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, Key: next.Key, Error: n.Error}); err != nil {
		return err
	}
	revoked := false
	if n.Key != "" && n.Key != next.Key {
		response, err := fresh.Do(ctx, node.Request{Method: http.MethodDelete, Path: "/keys/" + url.PathEscape(n.Key)})
		if revoked = err == nil && response.OK(); !revoked {
			s.log.Warn("the old key of a node is not revoked", "node_id", n.ID, "error", err)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": n.ID, "rotated": true, "old_key_revoked": revoked})
	return nil
}

// makeNodeKey makes a key with all rights on a node.
func makeNodeKey(ctx context.Context, c *node.Client) (string, error) {
	response, err := c.Do(ctx, jsonRequest(http.MethodPost, "/keys",
		[]byte(`{"name":"miroir","description":"Used by Miroir on this node","actions":["*"],"indexes":["*"],"expiresAt":null}`)))
	if err != nil {
		return "", err
	}
	if !response.OK() {
		return "", refusalOf(response)
	}
	var made nodeKey
	err = json.Unmarshal(response.Body, &made)
	return made.Key, err
}
