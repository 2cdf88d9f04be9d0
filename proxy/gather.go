package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
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

// clientError is a node's error as the client may see it: with the index's own name and without the hidden names.
func clientError(err *meili.Error, indexes ...*fsm.Index) *meili.Error {
	shown := *err
	var names []string // all at once: swapped indexes have each other's
	for _, ix := range indexes {
		if ix == nil || ix.NodeUID == ix.UID {
			continue
		}
		for _, around := range [][2]string{{"`", "`"}, {"`", ".rankingRules"}, {".", "`"}, {".", ":"}} {
			names = append(names, around[0]+ix.NodeUID+around[1], around[0]+ix.UID+around[1])
		}
	}
	shown.Message = tasks.WithoutHidden(strings.NewReplacer(names...).Replace(shown.Message))
	return &shown
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
