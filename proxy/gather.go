package proxy

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// errorOf reads an error body of a node, nil when it is none.
func errorOf(status int, body []byte) *meili.Error {
	known := &meili.Error{Status: status}
	if json.Unmarshal(body, known) != nil || known.Code == "" {
		return nil
	}
	return known
}

// What is around the name of an index in a node's error about a request, and in what nodes and connections say of their failures.
var (
	aroundNames  = [][2]string{{"`", "`"}, {"`", ".rankingRules"}, {".", "`"}, {".", ":"}}
	aroundFailed = [][2]string{{`"`, `"`}, {"'", "'"}, {"/indexes/", "/"}, {"/indexes/", " "}, {"/indexes/", ":"}, {"/indexes/", "?"}}
)

// clientNames puts the clients' names of indexes in place of those that nodes have for them.
func clientNames(text string, around [][2]string, indexes iter.Seq[*fsm.Index]) string {
	var names []string // all at once: swapped indexes have each other's
	for ix := range indexes {
		if ix == nil || ix.NodeUID == ix.UID {
			continue
		}
		for _, around := range around {
			names = append(names, around[0]+ix.NodeUID+around[1], around[0]+ix.UID+around[1])
		}
	}
	return tasks.WithoutHidden(strings.NewReplacer(names...).Replace(text))
}

// clientError is a node's error about a request as the client may see it: with the index's own name and without the hidden
// names. One about nodes that fail is so already.
func clientError(err *meili.Error, indexes ...*fsm.Index) *meili.Error {
	if err.Status >= http.StatusInternalServerError {
		return err
	}
	shown := *err
	shown.Message = clientNames(shown.Message, aroundNames, slices.Values(indexes))
	return &shown
}

// failureText is what a failure of nodes says to clients; nil is that there was no node. It may name any index: nodes are asked for several at once.
func failureText(view *fsm.View, failure error) string {
	if failure == nil {
		return "no node could be asked"
	}
	return clientNames(failure.Error(), slices.Concat(aroundNames, aroundFailed), maps.Values(view.Indexes))
}

func joinShards(shards []fsm.ShardID) string {
	texts := make([]string, len(shards))
	for i, shard := range shards {
		texts[i] = strconv.Itoa(int(shard))
	}
	return strings.Join(texts, ",")
}

// markMissing adds the shards nobody could answer to the answer's headers. uid is empty when the request reads one index;
// with several each shard is written uid/3.
func markMissing(header http.Header, uid string, missing []fsm.ShardID) {
	if len(missing) == 0 {
		return
	}
	list := joinShards(missing)
	if uid != "" {
		list = uid + "/" + strings.ReplaceAll(list, ",", ","+uid+"/")
	}
	markDegraded(header, "shards", list)
}

// markDegraded adds values to one part of X-Miroir-Degraded, keeping the other parts.
func markDegraded(header http.Header, part, values string) {
	const name = "X-Miroir-Degraded"
	parts := strings.Split(header.Get(name), ";")
	for i, existing := range parts {
		if strings.HasPrefix(existing, part+"=") {
			parts[i] = existing + "," + values
			header.Set(name, strings.Join(parts, ";"))
			return
		}
	}
	if parts[0] == "" {
		parts = nil
	}
	header.Set(name, strings.Join(append(parts, fmt.Sprintf("%s=%s", part, values)), ";"))
}
