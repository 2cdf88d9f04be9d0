package tasks

import (
	"regexp"
	"strings"
)

// Names that Miroir adds to the nodes' documents and settings and that clients never see.
const (
	// ShardField names a document's shard.
	ShardField = "_miroir_shard"
	// OrderField numbers documents, where the index is cut up or may be, in the order they came.
	OrderField = "_miroir_order"
	// NoField is filterable on all nodes and in no document. A search that is distinct by it removes no duplicates, whatever
	// the index's distinctAttribute.
	NoField = "_miroir_none"
)

// hiddenMember is a hidden field in a document.
var hiddenMember = regexp.MustCompile(`,"_miroir_(?:shard|order)":"[^"]*"|"_miroir_(?:shard|order)":"[^"]*",?`)

// WithoutHidden removes the hidden names and fields from a node's message.
func WithoutHidden(message string) string {
	if !strings.Contains(message, "_miroir_") {
		return message
	}
	for _, field := range []string{ShardField, OrderField, NoField} {
		for _, form := range []string{", `" + field + "`", "`" + field + "`, ", ", " + field, field + ", "} {
			message = strings.ReplaceAll(message, form, "")
		}
	}
	const none = "This index does not have configured filterable attributes."
	for _, list := range []string{"attribute patterns", "attributes patterns"} {
		for _, field := range []string{ShardField, OrderField, NoField} {
			message = strings.Replace(message, "Available filterable "+list+" are: `"+field+"`.", none, 1)
		}
	}
	message = hiddenMember.ReplaceAllString(message, "")
	return strings.NewReplacer(ShardField, "", OrderField, "", NoField, "").Replace(message)
}
