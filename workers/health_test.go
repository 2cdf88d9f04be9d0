package workers

import (
	"testing"

	"miroir/fsm"
)

func TestNodeStateFollowsRunsOfChecks(t *testing.T) {
	for name, test := range map[string]struct {
		state  fsm.NodeState
		checks string // + good, - missed
		want   fsm.NodeState
	}{
		"one miss degrades":              {fsm.NodeActive, "-", fsm.NodeDegraded},
		"two misses are not a failure":   {fsm.NodeActive, "--", fsm.NodeDegraded},
		"three misses are":               {fsm.NodeActive, "---", fsm.NodeFailed},
		"misses must come in a row":      {fsm.NodeActive, "--+--", fsm.NodeDegraded},
		"one good check is not enough":   {fsm.NodeFailed, "+", fsm.NodeFailed},
		"two good checks are":            {fsm.NodeFailed, "++", fsm.NodeActive},
		"good checks must come in a row": {fsm.NodeFailed, "+-+", fsm.NodeFailed},
		"a degraded node recovers":       {fsm.NodeActive, "-++", fsm.NodeActive},
		"a draining node is left alone":  {fsm.NodeDraining, "----++", fsm.NodeDraining},
	} {
		t.Run(name, func(t *testing.T) {
			options := Options{}.withDefaults()
			state, run := test.state, checkRun{}
			for _, check := range test.checks {
				var next fsm.NodeState
				if run, next = options.next(run, state, check == '+'); next != "" {
					state = next
				}
			}
			if state != test.want {
				t.Errorf("got %s, want %s", state, test.want)
			}
		})
	}
}
