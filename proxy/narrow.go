package proxy

import (
	"encoding/json"
	"slices"
	"strconv"

	"miroir/fsm"
	"miroir/meili"
)

// narrow returns the shards that can hold a document which satisfies filter, ascending, or nil when that cannot be said:
// every shard must be asked then. An empty result means that no document can match.
// Errors in the filter are left to the nodes, whose message the client must see.
func narrow(filter json.RawMessage, ix *fsm.Index, c fsm.QueryPlanner) []fsm.ShardID {
	if c == (fsm.QueryPlanner{}) { // committed before it could be configured
		c = fsm.DefaultConfig().QueryPlanner
	}
	if !c.Enabled || ix.Whole() || ix.PrimaryKey == "" || len(filter) == 0 {
		return nil
	}
	parsed, err := meili.ParseFilter(filter)
	if err != nil || parsed == nil {
		return nil
	}
	n := narrower{primaryKey: ix.PrimaryKey, numShards: ix.Shards}
	shards, ok := n.shards(parsed)
	if !ok || n.numLiterals > c.MaxPKLiteralsNarrowable {
		return nil
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	if shards == nil {
		shards = []fsm.ShardID{}
	}
	return shards
}

// narrow is narrow, counted.
func (s *Server) narrow(filter json.RawMessage, ix *fsm.Index, view *fsm.View) []fsm.ShardID {
	shards := narrow(filter, ix, view.Config.QueryPlanner)
	s.meter.noteNarrowing(shards != nil)
	return atLeastOne(shards)
}

// atLeastOne is shards, or one of them when none can match: a node must still judge the request and shape the answer.
func atLeastOne(shards []fsm.ShardID) []fsm.ShardID {
	if shards != nil && len(shards) == 0 {
		return []fsm.ShardID{0}
	}
	return shards
}

// shardsOfIDs are the shards that hold documents of these ids, ascending.
func shardsOfIDs(ids []string, ix *fsm.Index) []fsm.ShardID {
	shards := make([]fsm.ShardID, 0, len(ids))
	for _, id := range ids {
		shards = append(shards, ShardOf(id, ix.Shards))
	}
	slices.Sort(shards)
	return slices.Compact(shards)
}

type narrower struct {
	primaryKey  string
	numShards   uint32
	numLiterals int
}

// shards are the shards f restricts matches to; false when it does not restrict them.
func (n *narrower) shards(f *meili.Filter) ([]fsm.ShardID, bool) {
	switch f.Op {
	case meili.FilterEqual, meili.FilterIn:
		return n.literals(f)
	case meili.FilterAnd:
		return n.intersection(f.Children)
	case meili.FilterOr:
		return n.union(f.Children)
	}
	return nil, false
}

func (n *narrower) literals(f *meili.Filter) ([]fsm.ShardID, bool) {
	if f.Field != n.primaryKey {
		return nil, false
	}
	shards := make([]fsm.ShardID, 0, len(f.Values))
	n.numLiterals += len(f.Values)
	for _, value := range f.Values {
		if !namesOneID(value.Text) {
			return nil, false
		}
		shards = append(shards, ShardOf(value.Text, n.numShards))
	}
	return shards, true
}

func (n *narrower) union(children []*meili.Filter) ([]fsm.ShardID, bool) {
	var all []fsm.ShardID
	for _, child := range children {
		shards, ok := n.shards(child)
		if !ok {
			return nil, false
		}
		all = append(all, shards...)
	}
	return all, true
}

func (n *narrower) intersection(children []*meili.Filter) ([]fsm.ShardID, bool) {
	var common []fsm.ShardID
	narrowed := false
	for _, child := range children {
		shards, ok := n.shards(child)
		switch {
		case !ok:
		case !narrowed:
			common, narrowed = shards, true
		default:
			common = slices.DeleteFunc(common, func(s fsm.ShardID) bool { return !slices.Contains(shards, s) })
		}
	}
	return common, narrowed
}

// namesOneID reports whether a filter literal matches the documents of one shard only. Meilisearch compares strings without
// regard to case and accents, and a literal that reads as a number also matches ids of that numeric value ("1.0", "01" and
// "1e0" find 1; large integers lose digits), so only the bytes of ids and plain integers of up to 15 digits are sure.
func namesOneID(text string) bool {
	if !meili.IsDocumentID(text) {
		return false
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		return err.(*strconv.NumError).Err == strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == text && n < 1e15 && n > -1e15
}
