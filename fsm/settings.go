package fsm

import (
	"bytes"
	"encoding/json"
)

// rebaseSettings carries the change from base to after over to other: members that the change left alone are taken from
// other, members that it changed from after; objects are compared member by member. It is what a settings change becomes
// when an earlier one, which it was made on top of, has failed. nil stands for no settings.
func rebaseSettings(base, after, other json.RawMessage) json.RawMessage {
	if sameJSON(base, other) {
		return after
	}
	if sameJSON(base, after) {
		return other
	}
	baseObj, otherObj := object(base), object(other)
	afterObj := object(after)
	if afterObj == nil || (baseObj == nil && len(base) > 0) || (otherObj == nil && len(other) > 0) {
		return after
	}
	merged := map[string]json.RawMessage{}
	for name := range union(baseObj, afterObj, otherObj) {
		if value := rebaseSettings(baseObj[name], afterObj[name], otherObj[name]); value != nil {
			merged[name] = value
		}
	}
	return marshal(merged)
}

// object returns the members of a JSON object, nil for anything else.
func object(raw json.RawMessage) map[string]json.RawMessage {
	if !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		return nil
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

func union(objects ...map[string]json.RawMessage) map[string]struct{} {
	names := map[string]struct{}{}
	for _, o := range objects {
		for name := range o {
			names[name] = struct{}{}
		}
	}
	return names
}

func sameJSON(a, b json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(a), bytes.TrimSpace(b)) }
