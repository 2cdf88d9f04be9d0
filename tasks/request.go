package tasks

import (
	"encoding/json"
	"net/http"

	"miroir/fsm"
	"miroir/proxy/node"
)

// Request is what a write asks of each of its nodes, documents apart. It is kept in the write's intent, so that
// whoever finds the intent open can send it again: every part of it may be sent twice without harm.
type Request struct {
	// Create is done by a write that finds no index.
	Create *Create `json:"create,omitempty"`
	// Shards are those the write has documents for, where the intent does not say it because the write creates the
	// index and so goes to every node.
	Shards []fsm.ShardID `json:"shards,omitempty"`
	// Settings is the body of a settings change as nodes get it, and Before that of one they are to finish before it.
	Settings json.RawMessage `json:"settings,omitempty"`
	Before   json.RawMessage `json:"before,omitempty"`
	// PrimaryKey is a new primary key for the index.
	PrimaryKey *string `json:"primaryKey,omitempty"`
	// Delete drops the index.
	Delete bool `json:"delete,omitempty"`
	// Compact has nodes rewrite the index's file without its gaps.
	Compact bool `json:"compact,omitempty"`
}

// Create makes an index on a node.
type Create struct {
	PrimaryKey string          `json:"primaryKey,omitempty"`
	Settings   json.RawMessage `json:"settings"` // what Miroir needs of every index
}

// JSON is the request as the intent keeps it.
func (r Request) JSON() json.RawMessage {
	text, _ := json.Marshal(r) // every member marshals
	return text
}

// ReadRequest is the reverse of JSON; an intent without a request gives an empty one.
func ReadRequest(text json.RawMessage) (Request, error) {
	var r Request
	if len(text) == 0 {
		return r, nil
	}
	err := json.Unmarshal(text, &r)
	return r, err
}

// NodeRequests are the requests a node gets, in order; each enqueues a task there. created tells whether the write
// found no index.
func (r Request) NodeRequests(nodeUID string, created bool) []node.Request {
	var requests []node.Request
	index := "/indexes/" + nodeUID
	if created && r.Create != nil {
		requests = append(requests,
			jsonRequest(http.MethodPost, "/indexes", createBody(nodeUID, r.Create.PrimaryKey)),
			jsonRequest(http.MethodPatch, index+"/settings", r.Create.Settings))
	}
	if r.Before != nil { // an update of nothing keeps a node from making one change of both
		requests = append(requests, jsonRequest(http.MethodPatch, index+"/settings", r.Before), jsonRequest(http.MethodPatch, index, []byte("{}")))
	}
	if r.Settings != nil {
		requests = append(requests, jsonRequest(http.MethodPatch, index+"/settings", r.Settings))
	}
	if r.PrimaryKey != nil {
		body, _ := json.Marshal(map[string]string{"primaryKey": *r.PrimaryKey}) // strings always marshal
		requests = append(requests, jsonRequest(http.MethodPatch, index, body))
	}
	if r.Compact {
		requests = append(requests, node.Request{Method: http.MethodPost, Path: index + "/compact"})
	}
	if r.Delete {
		requests = append(requests, node.Request{Method: http.MethodDelete, Path: index})
	}
	return requests
}

func createBody(nodeUID, primaryKey string) []byte {
	create := map[string]string{"uid": nodeUID}
	if primaryKey != "" {
		create["primaryKey"] = primaryKey
	}
	body, _ := json.Marshal(create) // strings always marshal
	return body
}

func jsonRequest(method, path string, body []byte) node.Request {
	return node.Request{Method: method, Path: path, Body: body, ContentType: "application/json"}
}
