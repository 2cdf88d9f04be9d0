package proxy

import (
	"encoding/json"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestShardOf(t *testing.T) {
	if ShardOf("ABC-def_9", 64) != ShardOf("abc-DEF_9", 64) {
		t.Error("ids that differ in case only must share a shard")
	}
	counts := make([]int, 8)
	for i := range 8000 {
		counts[ShardOf(json.Number(string(rune('a'+i%26))).String()+"-"+string(rune('a'+i/26%26))+string(rune('a'+i/676)), 8)]++
	}
	for s, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("shard %d holds %d of 8000", s, n)
		}
	}
	// Documents stay where they are: the function must never change.
	for id, want := range map[string]fsm.ShardID{"1": 24, "1000": 44, "sextractor": 47} {
		if got := ShardOf(id, 64); got != want {
			t.Errorf("ShardOf(%s) = %d, want %d", id, got, want)
		}
	}
}

func TestEncodeShard(t *testing.T) {
	seen := map[string]bool{}
	for s := range fsm.ShardID(1000) {
		seen[EncodeShard(s)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d values for 1000 shards", len(seen))
	}
	for s, want := range map[fsm.ShardID]string{0: "⸰", 3: "⸳", 4: "⸱⸰", 27: "⸱⸲⸳"} {
		if got := EncodeShard(s); got != want {
			t.Errorf("EncodeShard(%d) = %s, want %s", s, got, want)
		}
	}
}

func TestShardFilterParses(t *testing.T) {
	for _, shards := range [][]fsm.ShardID{{0}, {1, 2, 63}} {
		text, _ := json.Marshal(ShardFilter(shards))
		f, err := meili.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		if f.Field != shardField || len(f.Values) != len(shards) {
			t.Errorf("%s parses as %+v", text, f)
		}
	}
}
