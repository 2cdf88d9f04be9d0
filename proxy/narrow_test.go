package proxy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestNarrow(t *testing.T) {
	_, ix := testView(64, false, testPlacement{0: {0: "a"}})
	of := func(ids ...string) []fsm.ShardID { return shardsOfIDs(ids, ix) }
	for filter, want := range map[string][]fsm.ShardID{
		`"id = 1"`:                            of("1"),
		`"id = \"1\""`:                        of("1"),
		`"id IN [1, abc]"`:                    of("1", "abc"),
		`"id = ABC"`:                          of("abc"),
		`["id = 1", "color = red"]`:           of("1"),
		`[["id = 1", "id = 2"]]`:              of("1", "2"),
		`[["id = 1", "color = red"]]`:         nil,
		`"id = 1 OR id = 2 AND x > 1"`:        of("1", "2"),
		`"id IN [1, 2] AND id IN [2, 3]"`:     of("2"),
		`"id = 1 AND id = 2"`:                 {},
		`"NOT id = 1"`:                        nil,
		`"id != 1"`:                           nil,
		`"id > 1"`:                            nil,
		`"id = 1.0"`:                          nil,
		`"id = 01"`:                           nil,
		`"id = 1e3"`:                          nil,
		`"id = inf"`:                          nil,
		`"id = 9007199254740993"`:             nil,
		`"id = é"`:                            nil,
		`"id = \" 1\""`:                       nil,
		`"other = 1"`:                         nil,
		`"id = "`:                             nil,
		`5`:                                   nil,
		``:                                    nil,
		`null`:                                nil,
		`"id NOT IN [1]"`:                     nil,
		`"id IN []"`:                          {},
		`"id EXISTS"`:                         nil,
		`"id IN [` + manyIDs(129) + `]"`:      nil,
		`"id IN [` + manyIDs(3) + `]"`:        of("0", "1", "2"),
		`"(id = 1 OR id = 2) AND NOT id = 1"`: of("1", "2"),
	} {
		got := narrow(json.RawMessage(filter), ix, fsm.DefaultConfig().QueryPlanner)
		if (got == nil) != (want == nil) || !slices.Equal(got, want) {
			t.Errorf("narrow(%s) = %v, want %v", filter, got, want)
		}
	}
}

func manyIDs(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return strings.Join(ids, ", ")
}

// TestNarrowKeepsEveryMatch draws filters on ids and checks that a matching document's shard is never left out.
func TestNarrowKeepsEveryMatch(t *testing.T) {
	_, ix := testView(64, false, testPlacement{0: {0: "a"}})
	r := rand.New(rand.NewPCG(3, 4))
	ids := []string{"1", "2", "10", "a", "B", "ab", "x-1", "Z_"}
	var draw func(depth int) (string, func(id string) bool)
	draw = func(depth int) (string, func(string) bool) {
		switch kind := r.IntN(6); {
		case depth > 3 || kind == 0:
			literal := ids[r.IntN(len(ids))]
			return "id = " + literal, func(id string) bool { return strings.EqualFold(id, literal) }
		case kind == 1:
			a, b := ids[r.IntN(len(ids))], ids[r.IntN(len(ids))]
			return fmt.Sprintf("id IN [%s, '%s']", a, b), func(id string) bool { return strings.EqualFold(id, a) || strings.EqualFold(id, b) }
		case kind == 2:
			return "color = red", func(string) bool { return true } // may match any document
		case kind == 3:
			text, match := draw(depth + 1)
			if strings.Contains(text, "color") {
				return text, match
			}
			return "NOT (" + text + ")", func(id string) bool { return !match(id) }
		}
		a, matchA := draw(depth + 1)
		b, matchB := draw(depth + 1)
		if r.IntN(2) == 0 {
			return "(" + a + " AND " + b + ")", func(id string) bool { return matchA(id) && matchB(id) }
		}
		return "(" + a + " OR " + b + ")", func(id string) bool { return matchA(id) || matchB(id) }
	}
	for range 5000 {
		text, match := draw(0)
		filter, _ := json.Marshal(text)
		if _, err := meili.ParseFilter(filter); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		shards := narrow(filter, ix, fsm.DefaultConfig().QueryPlanner)
		if shards == nil {
			continue
		}
		for _, id := range ids {
			if match(id) && !slices.Contains(shards, ShardOf(id, 64)) {
				t.Fatalf("%s matches %s, whose shard %d is not in %v", text, id, ShardOf(id, 64), shards)
			}
		}
	}
}

// FuzzShardFilter checks that no client filter escapes the shard filter it is joined with: whatever parses is a
// conjunction one of whose parts is the shard filter.
func FuzzShardFilter(f *testing.F) {
	f.Add(`"a = 1 OR b = 2"`)
	f.Add(`[["a = 1"], "b = 2"]`)
	f.Add(`"a = 1) OR (b = 2"`)
	f.Add(`"_miroir_shard EXISTS OR a = 1"`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, client string) {
		joined := withShards(json.RawMessage(client), []fsm.ShardID{5})
		parsed, err := meili.ParseFilter(joined)
		if err != nil {
			return
		}
		isShards := func(g *meili.Filter) bool {
			return g.Op == meili.FilterEqual && g.Field == shardField && g.Values[0].Text == EncodeShard(5)
		}
		if parsed == nil || !isShards(parsed) && !(parsed.Op == meili.FilterAnd && slices.ContainsFunc(parsed.Children, isShards)) {
			t.Fatalf("%s joined as %s loses the shard filter", client, joined)
		}
	})
}

// TestNarrowingIsConfigured: it is switched off, and bounded, by the cluster's configuration.
func TestNarrowingIsConfigured(t *testing.T) {
	_, ix := testView(64, false, testPlacement{0: {0: "a"}})
	filter := json.RawMessage(`"id IN [1, 2, 3]"`)
	for name, test := range map[string]struct {
		config fsm.QueryPlanner
		want   bool
	}{
		"default": {fsm.DefaultConfig().QueryPlanner, true}, "none yet": {fsm.QueryPlanner{}, true}, "off": {fsm.QueryPlanner{MaxPKLiteralsNarrowable: 128}, false},
		"three ids": {fsm.QueryPlanner{Enabled: true, MaxPKLiteralsNarrowable: 3}, true}, "two ids": {fsm.QueryPlanner{Enabled: true, MaxPKLiteralsNarrowable: 2}, false},
	} {
		if narrowed := narrow(filter, ix, test.config) != nil; narrowed != test.want {
			t.Errorf("%s: narrowed %t", name, narrowed)
		}
	}
}
