package proxy

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"miroir/fsm"
)

// TestNumbersSortAsDocumentsCame: the bytes of numbers compare as (task, place) do, whatever the lengths of both.
func TestNumbersSortAsDocumentsCame(t *testing.T) {
	type placed struct {
		task   uint32
		place  int
		number string
	}
	var all []placed
	for _, task := range []uint32{0, 1, 31, 32, 1023, 1024, 70_000, 1<<32 - 1} {
		for _, size := range []int{1, 31, 32, 1000, 40_000} {
			numbers := newNumbering(task, size)
			for _, place := range []int{0, 1, size / 2, size - 1} {
				field := numbers.appendField(nil, place)
				if len(field) != numbers.fieldBytes() {
					t.Fatalf("task %d place %d: %d bytes, announced %d", task, place, len(field), numbers.fieldBytes())
				}
				var document map[string]string
				if err := json.Unmarshal(append([]byte(`{"id":"x"`), append(field, '}')...), &document); err != nil {
					t.Fatal(err)
				}
				if strings.ContainsFunc(document[orderField], func(r rune) bool { return !isDigit(r) }) {
					t.Errorf("%q holds other characters than the reserved ones", document[orderField])
				}
				all = append(all, placed{task, place, document[orderField]})
			}
		}
	}
	for _, size := range []int{1, 33, 5000} { // one task has one payload
		numbers := newNumbering(9, size)
		before := ""
		for place := range size {
			number := string(numbers.appendField(nil, place))
			if number <= before {
				t.Fatalf("place %d of %d: %q is not behind %q", place, size, number, before)
			}
			before = number
		}
	}
	for _, a := range all {
		for _, b := range all {
			if a.task < b.task && a.number >= b.number {
				t.Errorf("task %d has %q, task %d has %q", a.task, a.number, b.task, b.number)
			}
		}
	}
}

// TestNumbersTellInsertionAndLastWrite: a document that is written again stands where it was inserted, and names its last writer.
func TestNumbersTellInsertionAndLastWrite(t *testing.T) {
	value := func(n numbering, place int) string {
		return text([]byte(strings.TrimPrefix(string(n.appendField(nil, place)), `,"`+orderField+`":`)))
	}
	for _, task := range []uint32{1, 31, 32, 70_000, 1<<32 - 2} {
		for _, size := range []int{1, 33, 5000} {
			first := newNumbering(task, size)
			for _, place := range []int{0, size / 2, size - 1} {
				insertion, writer := readNumber([]byte(`"` + value(first, place) + `"`))
				if insertion != first.insertion(place) || writer != task {
					t.Fatalf("task %d place %d of %d is read as %q of task %d", task, place, size, insertion, writer)
				}
				again := newNumbering(task+1, 4)
				again.keep(2, 7, insertion)
				number := value(again, 2)
				if kept, writer := readNumber([]byte(`"` + number + `"`)); kept != insertion || writer != task+1 {
					t.Errorf("%q, written again by task %d, is read as %q of task %d", insertion, task+1, kept, writer)
				}
				if number < insertion || place+1 < size && number >= value(first, place+1) || number >= value(again, 0) {
					t.Errorf("%q has left its place behind %q", number, insertion)
				}
				if got, want := again.bytesOf(7, 1), int64(len(again.appendField(nil, 2))); got != want {
					t.Errorf("%d bytes announced, want %d", got, want)
				}
			}
		}
	}
	for _, odd := range []string{"", "1", `""`, `"x"`, `"⸰"`, `"⸵⸱"`} { // not ours
		readNumber([]byte(odd))
	}
}

// TestSettledOrderKeepsPages: a list that is longer begins with what a shorter one has.
func TestSettledOrderKeepsPages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	list := func(n int) []hit {
		random = rand.New(rand.NewPCG(1, 1))
		hits := make([]hit, n)
		for i := range hits {
			hits[i] = hit{score: score{{value: 1 / float64(1+i/20)}}, order: []byte{byte(i)}}
			if random.IntN(5) == 0 {
				hits[i].order = []byte{byte(200 + random.IntN(50))} // written again
			}
		}
		return hits
	}
	long := settleOrder(list(100), 96)
	for reach := range 90 {
		short := settleOrder(list(withLookahead(reach)), reach)
		if len(short) != reach {
			t.Fatalf("%d hits of %d", len(short), reach)
		}
		for i := range short {
			if string(short[i].order) != string(long[i].order) {
				t.Fatalf("hit %d of %d has %v, of 96 %v", i, reach, short[i].order, long[i].order)
			}
		}
	}
	rising := slices.IsSortedFunc(long[:20], func(a, b hit) int { return int(a.order[0]) - int(b.order[0]) })
	if !rising {
		t.Error("single documents that were written again still stand in the way of the next")
	}
}

// TestDocumentPagesMeet: pages of any length make up one list, the first documents of which are merged.
func TestDocumentPagesMeet(t *testing.T) {
	const head = 10
	lists, totals := make([][]hit, 3), []int{9, 2, 17}
	for i, total := range totals {
		for place := range min(total, head) {
			lists[i] = append(lists[i], hit{order: []byte{byte(place*3 + i)}})
		}
	}
	for limit := 1; limit < 30; limit++ {
		taken := make([]int, len(lists))
		var all []int
		for offset := 0; offset < 28; offset += limit {
			sources, spans := documentSpans(lists, totals, min(offset+limit, head), offset, limit)
			for i, span := range spans {
				if span.count > 0 && span.from != taken[i] {
					t.Fatalf("limit %d offset %d: list %d from %d, want %d", limit, offset, i, span.from, taken[i])
				}
				taken[i] += span.count
			}
			all = append(all, sources...)
		}
		if !slices.Equal(taken, totals) || len(all) != 28 {
			t.Fatalf("limit %d: %v documents of %v", limit, taken, totals)
		}
		if want := []int{0, 1, 2, 0, 1, 2, 0, 2, 0, 2, 0, 0}; !slices.Equal(all[:len(want)], want) {
			t.Fatalf("limit %d: order %v, want %v", limit, all[:len(want)], want)
		}
	}
}

// A document that comes twice in one payload stands where it came first, as on one server. Topology: two nodes, every shard once.
func TestRepeatedDocumentsKeepTheirPlace(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=id", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":2,"t":"x"},{"id":5},{"id":6},{"id":1,"t":"x"},{"id":2,"t":"y"}]`))
	numbers := map[string]string{}
	for _, node := range []string{"n0-0", "n0-1"} {
		for _, hit := range c.on(node, "POST", "/indexes/m/documents/fetch", `{}`)["results"].([]any) {
			document := hit.(map[string]any)
			numbers[fmt.Sprint(document["id"])] = document[orderField].(string)
		}
	}
	ids := slices.SortedFunc(maps.Keys(numbers), func(a, b string) int { return strings.Compare(numbers[a], numbers[b]) })
	if want := []string{"1", "2", "3", "4", "5", "6"}; !slices.Equal(ids, want) {
		t.Errorf("documents are numbered in the order %v, want %v", ids, want)
	}
}
