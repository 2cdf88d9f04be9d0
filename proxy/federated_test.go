package proxy

import (
	"strings"
	"testing"

	"miroir/fsm"
)

// No node is asked when there are no queries; the times are shown nevertheless.
func TestFederationOfNothingShowsItsTimes(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	answer := c.call("POST", "/multi-search", `{"federation":{"showPerformanceDetails":true},"queries":[]}`)
	if !strings.Contains(answer.Body.String(), `"performanceDetails":{"search":"`) {
		t.Fatalf("answer: %s", answer.Body)
	}
}
