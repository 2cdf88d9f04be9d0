package conformance

import (
	"encoding/json"
	"testing"
)

func decode(t *testing.T, s string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValuesAreCompared(t *testing.T) {
	step := &Step{Mask: []string{"secret"}, Unordered: []string{"bag"}}
	f := func(want, got string, differences int) {
		t.Helper()
		c := newComparison(step)
		c.values(decode(t, want), decode(t, got), "$")
		if len(c.found) != differences {
			t.Errorf("%s against %s: %q, want %d differences", want, got, c.found, differences)
		}
	}
	f(`{"a":1}`, `{"a":1}`, 0)
	f(`{"a":1}`, `{"a":1.0000001}`, 0)
	f(`{"a":1000000}`, `{"a":1000000.5}`, 0)
	f(`{"a":1}`, `{"a":1.001}`, 1)
	f(`{"a":1}`, `{"a":"1"}`, 1)
	f(`{"a":1}`, `{"a":true}`, 1)
	f(`{"a":{}}`, `{"a":[]}`, 1)
	f(`{"a":null}`, `{"a":null}`, 0)
	f(`{"a":1}`, `{"b":1}`, 2)
	f(`[1,2]`, `[2,1]`, 2)
	f(`[1,2]`, `[1]`, 1)
	f(`{"bag":[1,2]}`, `{"bag":[2,1]}`, 0)
	f(`{"secret":"x","duration":"x"}`, `{"secret":"y","duration":"y"}`, 0)
	f(`{"secret":"x","duration":null}`, `{"secret":null,"duration":"y"}`, 2)
	f(`{"secret":"x"}`, `{}`, 1)
}

func TestHitsOfEqualRankMayStandInAnyOrder(t *testing.T) {
	step := &Step{IDField: "id"}
	if err := json.Unmarshal([]byte(`[[0,2,[1,2,9]],[2,1,[3]],[3,1,null]]`), &step.Expect.Ranks); err != nil {
		t.Fatal(err)
	}
	want := decode(t, `{"hits":[{"id":1,"t":"a"},{"id":2,"t":"b"},{"id":3,"t":"c"},{"id":4,"t":"d"}],"total":4}`).(map[string]any)
	f := func(got string, differences int) {
		t.Helper()
		c := newComparison(step)
		c.rankedAnswer(want, decode(t, got), step)
		if len(c.found) != differences {
			t.Errorf("%s: %q, want %d differences", got, c.found, differences)
		}
	}
	f(`{"hits":[{"id":1,"t":"a"},{"id":2,"t":"b"},{"id":3,"t":"c"},{"id":4,"t":"d"}],"total":4}`, 0)
	f(`{"hits":[{"id":9},{"id":1,"t":"a"},{"id":3,"t":"c"},{"id":77}],"total":4}`, 0)
	f(`{"hits":[{"id":3,"t":"c"},{"id":2,"t":"b"},{"id":1,"t":"a"},{"id":4,"t":"d"}],"total":4}`, 2)
	f(`{"hits":[{"id":1,"t":"a"},{"id":1,"t":"a"},{"id":3,"t":"c"},{"id":4,"t":"d"}],"total":4}`, 1)
	f(`{"hits":[{"id":1,"t":"x"},{"id":2,"t":"b"},{"id":3,"t":"c"},{"id":4,"t":"d"}],"total":5}`, 2)
	f(`{"hits":[{"id":1,"t":"a"}],"total":4}`, 1)
	f(`{"message":"no"}`, 1)
}
