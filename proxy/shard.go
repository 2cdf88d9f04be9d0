package proxy

import (
	"encoding/json"
	"strings"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// shardField is the hidden field that names a stored document's shard on its nodes.
const shardField = tasks.ShardField

// hiddenFields are those of nodes' documents and settings that clients neither see nor set.
var hiddenFields = [...]string{shardField, orderField, tasks.NoField}

// isHidden reports whether a field is one of the hiddenFields.
func isHidden(field string) bool {
	return field == shardField || field == orderField || field == tasks.NoField
}

// shardDigits are the base 4 digits of the hidden field's value. Meilisearch's tokenizer takes them for separators, so
// the value matches no query, while equality filters on it work.
var shardDigits = [4]string{"⸰", "⸱", "⸲", "⸳"}

// ShardOf is the shard of a document among shards: xxh3 of its canonical id (the decimal text of an integer id). ASCII
// letters count as lower case because a filter on the primary key ignores case and must still name one shard.
func ShardOf(id string, shards uint32) fsm.ShardID {
	if shards <= 1 {
		return 0
	}
	return fsm.ShardID(xxh3.HashString(lowerASCII(id)) % uint64(shards))
}

// lowerASCII lower-cases the letters A to Z and nothing else.
func lowerASCII(s string) string {
	first := strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if first < 0 {
		return s
	}
	lower := []byte(s)
	for i := first; i < len(lower); i++ {
		if 'A' <= lower[i] && lower[i] <= 'Z' {
			lower[i] += 'a' - 'A'
		}
	}
	return string(lower)
}

// EncodeShard is the value of the hidden field: the shard number in base 4, without leading zeros.
func EncodeShard(id fsm.ShardID) string {
	var digits [16]string
	at := len(digits)
	for {
		at--
		digits[at] = shardDigits[id&3]
		if id >>= 2; id == 0 {
			return strings.Join(digits[at:], "")
		}
	}
}

// ShardFilter is the filter expression that keeps the documents of shards. It holds no character that a filter, a JSON
// string or a query string would have to escape but spaces and quotes of its own.
func ShardFilter(shards []fsm.ShardID) string {
	var b strings.Builder
	b.WriteString(shardField)
	if len(shards) == 1 {
		b.WriteString(` = "`)
		b.WriteString(EncodeShard(shards[0]))
		b.WriteByte('"')
		return b.String()
	}
	b.WriteString(` IN [`)
	for i, shard := range shards {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('"')
		b.WriteString(EncodeShard(shard))
		b.WriteByte('"')
	}
	b.WriteByte(']')
	return b.String()
}

// withShards is "in one of shards" AND filter; nil shards leave filter as it is. The shards come first: Meilisearch looks at
// no more than 100 of the ways to satisfy a filter when it matches dynamic search rules, and goes through those of what
// comes later first.
func withShards(filter json.RawMessage, shards []fsm.ShardID) json.RawMessage {
	if shards == nil {
		return filter
	}
	text, _ := json.Marshal(ShardFilter(shards)) // a string always encodes
	return meili.AndFilter(text, filter)
}
