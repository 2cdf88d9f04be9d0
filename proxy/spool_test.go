package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"miroir/fsm"
)

func TestSpoolGivesEachReaderItsShards(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 1 << 20, "in a file": 0, "moves to a file on the way": 40} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newSpool(dir, memory, 3)
			var want [3]string
			numbers := newNumbering(40, 60)
			for i := range 60 {
				shard := fsm.ShardID(i % 3)
				document := fmt.Sprintf(`{"id":%d,"t":%q}`, i, strings.Repeat("x", i*7%50))
				if err := s.add(shard, []byte(document)); err != nil {
					t.Fatal(err)
				}
				want[shard] += string(numbers.appendField([]byte(document[:len(document)-1]), i)) + `,"_miroir_shard":"` + EncodeShard(shard) + `"}` + "\n"
			}
			if err := s.seal(); err != nil {
				t.Fatal(err)
			}
			var readers sync.WaitGroup
			for shard := range want {
				readers.Go(func() {
					got, err := io.ReadAll(s.reader([]fsm.ShardID{fsm.ShardID(shard)}, numbers))
					if err != nil || string(got) != want[shard] {
						t.Errorf("shard %d, error %v: got %s, want %s", shard, err, got, want[shard])
					}
					if n := s.bytesOf([]fsm.ShardID{fsm.ShardID(shard)}, numbers); n != int64(len(want[shard])) {
						t.Errorf("shard %d: announced %d bytes, gave %d", shard, n, len(want[shard]))
					}
				})
			}
			readers.Wait()
			all, _ := io.ReadAll(s.reader(nil, numbering{}))
			if int64(len(all)) != s.bytesOf(nil, numbering{}) || strings.Count(string(all), "\n") != 60 {
				t.Errorf("all shards: %d bytes, %d announced", len(all), s.bytesOf(nil, numbering{}))
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%d files have names, error %v", len(left), err)
			}
			if err := s.Close(); err != nil || s.Close() != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// TestSpoolListsWhatItHolds: a spool of ids gives each reader those of its shards as a JSON array.
func TestSpoolListsWhatItHolds(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 1 << 20, "in a file": 0} {
		t.Run(name, func(t *testing.T) {
			s := newSpool(t.TempDir(), memory, 3)
			defer s.Close()
			want := [3][]string{{}, {}, {}} // nothing in the last
			for i := range 50 {
				id := strings.Repeat("x", i*11%60) + strconv.Itoa(i)
				want[i%2] = append(want[i%2], id)
				if err := s.add(fsm.ShardID(i%2), []byte(id)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.seal(); err != nil {
				t.Fatal(err)
			}
			f := func(shards []fsm.ShardID, want []string) {
				t.Helper()
				text, err := io.ReadAll(s.list(shards))
				var got []string
				if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil {
					t.Fatalf("%v: %s", err, text)
				}
				if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) || got == nil {
					t.Errorf("shards %v list %v, want %v", shards, got, want)
				}
				if announced := s.listBytes(shards); announced != int64(len(text)) {
					t.Errorf("shards %v: announced %d bytes, gave %d", shards, announced, len(text))
				}
			}
			for shard := range want {
				f([]fsm.ShardID{fsm.ShardID(shard)}, want[shard])
			}
			f([]fsm.ShardID{0, 2}, want[0])
			f(nil, slices.Concat(want[0], want[1]))
		})
	}
}

func TestSpoolKeepsMemoryBounded(t *testing.T) {
	s := newSpool(t.TempDir(), 100, 1)
	defer s.Close()
	for range 50 {
		if err := s.add(0, []byte(`{"id":"0123456789"}`)); err != nil {
			t.Fatal(err)
		}
		if len(s.buffer) > 100 {
			t.Fatalf("%d bytes in memory, the limit is 100", len(s.buffer))
		}
	}
	if s.file == nil {
		t.Error("nothing went to a file")
	}
}
