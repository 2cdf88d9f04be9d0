package fsm

import (
	"encoding/json"
	"testing"
)

func TestRebaseSettings(t *testing.T) {
	tests := []struct{ name, base, after, other, want string }{
		{"nothing before", ``, `{"a":1}`, ``, `{"a":1}`},
		{"earlier change kept its place", `{"a":1}`, `{"a":1,"b":2}`, `{"a":1}`, `{"a":1,"b":2}`},
		{"earlier change is gone", `{"a":1}`, `{"a":1,"b":2}`, ``, `{"b":2}`},
		{"earlier change is gone, same member", `{"a":1}`, `{"a":2}`, ``, `{"a":2}`},
		{"no change of its own", `{"a":1}`, `{"a":1}`, `{"c":3}`, `{"c":3}`},
		{"reset stays a reset", `{"a":1,"b":1}`, `{"b":1}`, `{"a":1}`, `{}`},
		{"null is a value", `{"a":1}`, `{"a":null}`, `{"a":1,"b":2}`, `{"a":null,"b":2}`},
		{"inside objects", `{"t":{"x":1,"y":1}}`, `{"t":{"x":1,"y":2}}`, `{"t":{"x":0,"y":0}}`, `{"t":{"x":0,"y":2}}`},
		{"arrays are values", `{"s":[1]}`, `{"s":[1,2]}`, `{"s":[9]}`, `{"s":[1,2]}`},
		{"object over value", `{"t":1}`, `{"t":{"x":1}}`, `{"t":2}`, `{"t":{"x":1}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := rebaseSettings(json.RawMessage(test.base), json.RawMessage(test.after), json.RawMessage(test.other))
			if string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
