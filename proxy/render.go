package proxy

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// renderRequest is the body of POST /render-template as far as Miroir has to look into it.
type renderRequest struct {
	Template map[string]json.RawMessage `json:"template"`
	Input    map[string]json.RawMessage `json:"input,omitempty"`
}

// handleRenderTemplate has a node render: one that knows the template's index, or any. A document named by its id is
// read here, where its shard is known and the hidden field is not, and sent along.
func (s *Server) handleRenderTemplate(w http.ResponseWriter, r *request) error {
	if _, err := s.authorize(r, meili.ActionDocumentsGet); err != nil {
		return err
	}
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	render, refused := decodeRender(body)
	if refused != nil {
		return s.refusedRender(r, body, refused)
	}
	route := gated{"calling the /render-template route", "renderRoute", func(f meili.Features) bool { return f.RenderRoute }, ""}
	if err := route.check(r.View); err != nil {
		return s.refusedRender(r, body, err) // a node looks at the rest of the body first
	}
	for _, part := range []map[string]json.RawMessage{render.Template, render.Input} {
		if uid := textOf(part["indexUid"]); uid != "" && !r.Grant.IndexAllowed(uid) {
			return indexForbidden()
		}
	}
	ix, err := s.prepareRender(r, render)
	if known, ok := err.(*meili.Error); ok && known.Code == meili.CodeIndexNotFound && !hasNodeUID(r.View, textOf(render.Template["indexUid"])) {
		return s.refusedRender(r, body, err) // what the template may not have is noticed before
	}
	if err != nil {
		return err
	}
	if body, err = marshal(render); err != nil {
		return err
	}
	send := node.Request{Method: "POST", Path: "/render-template", Body: body, ContentType: "application/json"}
	answer, err := s.askAnyNode(r, ix, send)
	if err != nil {
		if ix != nil {
			err = shownError(err, ix)
		}
		return err
	}
	body = answer.Body
	if ix != nil && textOf(render.Template["kind"]) == "documentTemplate" {
		settings, err := meili.LoadSettings(ix.Settings)
		if err != nil {
			return err
		}
		body = withClientTemplate(body, settings.Embedder(textOf(render.Template["embedder"])))
	}
	writeRawJSON(w, http.StatusOK, body)
	return nil
}

// refusedRender is the error of a node that gets a body which Miroir refuses: it reads more of it. otherwise is what it is
// when no node refuses.
func (s *Server) refusedRender(r *request, body []byte, otherwise error) error {
	_, err := s.askAnyNode(r, nil, node.Request{Method: "POST", Path: "/render-template", Body: body, ContentType: "application/json"})
	if known, ok := err.(*meili.Error); ok && known.Status < 500 {
		return known
	}
	return otherwise
}

// hasNodeUID reports that nodes have an index under the name, whatever clients call it.
func hasNodeUID(view *fsm.View, uid string) bool {
	for _, ix := range view.Indexes {
		if ix.NodeUID == uid {
			return true
		}
	}
	return false
}

func decodeRender(body []byte) (*renderRequest, *meili.Error) {
	var ignored json.RawMessage
	err := meili.DecodeBody(body, []meili.Field{
		{Name: "template", Code: meili.CodeInvalidRenderTemplate, Required: true, Decode: meili.IntoRaw(&ignored)},
		{Name: "input", Code: meili.CodeInvalidRenderInput, Decode: meili.IntoRaw(&ignored)},
	})
	if err != nil {
		return nil, err
	}
	render := &renderRequest{}
	if json.Unmarshal(body, render) != nil {
		return nil, meili.Errorf(meili.CodeInvalidRenderTemplate, "Invalid value at `.template`: `template` and `input` are objects")
	}
	return render, nil
}

// textOf is a JSON string's value, "" for anything else.
func textOf(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// prepareRender puts node-side names and documents into the request. It returns the template's index, nil for none.
func (s *Server) prepareRender(r *request, render *renderRequest) (*fsm.Index, error) {
	var ix *fsm.Index
	if uid := textOf(render.Template["indexUid"]); uid != "" {
		if ix = r.View.Index(uid); ix == nil {
			return nil, meili.Errorf(meili.CodeIndexNotFound, "error while fetching template: cannot open index `%s`: Index `%s` not found.", uid, uid)
		}
		render.Template["indexUid"], _ = marshal(ix.NodeUID) // strings always marshal
	}
	uid, id := textOf(render.Input["indexUid"]), textOf(render.Input["id"])
	if textOf(render.Input["kind"]) != "indexDocument" || uid == "" || id == "" {
		return ix, nil
	}
	from := r.View.Index(uid)
	if from == nil {
		return nil, meili.Errorf(meili.CodeIndexNotFound, "Cannot open index `%s`: Index `%s` not found.", uid, uid)
	}
	document, err := s.readDocument(r, from, id)
	var known *meili.Error
	if errors.As(err, &known) && known.Code == meili.CodeDocumentNotFound {
		return nil, meili.Errorf(meili.CodeRenderDocumentNotFound, "error while fetching input: document `%s` not found in `%s`", id, uid)
	}
	render.Input = map[string]json.RawMessage{"kind": json.RawMessage(`"inlineDocument"`), "inline": document}
	return ix, err
}

// readDocument is a document of an index without the hidden field.
func (s *Server) readDocument(r *request, ix *fsm.Index, id string) ([]byte, error) {
	plan := s.planRequest(r.View, ix, []fsm.ShardID{ShardOf(id, ix.Shards)}, seedOf(ix.UID, id))
	got, err := scatter(r.Context(), s, plan, s.forward(node.Request{Method: "GET", Path: indexPath(ix.NodeUID) + "/documents/" + url.PathEscape(id)}))
	if err != nil {
		return nil, shownError(err, ix)
	}
	return strip(got.Answers[0].Value, documentShape), nil
}

// askAnyNode sends a read to one node that holds ix, or to any when ix is nil; to the next one when it fails.
func (s *Server) askAnyNode(r *request, ix *fsm.Index, send node.Request) (*node.Response, error) {
	ids := slices.Sorted(maps.Keys(r.View.Nodes))
	if ix != nil {
		ids = ix.Nodes(fsm.Active)
	}
	slices.SortStableFunc(ids, func(a, b fsm.NodeID) int {
		return cmp.Compare(rank(s.alive(r.View, a)), rank(s.alive(r.View, b)))
	})
	var failure error
	for _, id := range ids {
		answer, err := s.exchange(r.Context(), s.nodes.Client(r.View, id), send)
		var refused *meili.Error
		if err == nil || errors.As(err, &refused) {
			return answer, err
		}
		failure = err
	}
	return nil, miroirError(codeShardUnavailable, "No node could answer: %s.", failureText(r.View, failure))
}

// rank orders true before false.
func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}
