package proxy

import (
	"net/http"
	"strings"
	"testing"

	"miroir/fsm"
)

// Nodes lose what makes the hidden field filterable, and refuse to be asked for some of their shards: the answer lacks these and says
// so. Red when the refusal is taken for one of the client's request, which named no such field.
func TestANodeThatDoesNotFilterByShardIsAtFault(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 64, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 40)
	for _, n := range c.nodes {
		if !n.LoseSetting(c.state.View().Index("m").NodeUID, "filterable-attributes") {
			t.Fatal("nothing is lost")
		}
	}
	for path, body := range map[string]string{"/indexes/m/search": `{"q":"1"}`, "/indexes/m/documents/fetch": `{}`} {
		answer := c.call("POST", path, body)
		if degraded := answer.Header().Get("X-Miroir-Degraded"); answer.Code != http.StatusOK || !strings.HasPrefix(degraded, "shards=") {
			t.Errorf("%s: status %d %s: %.300s", path, answer.Code, degraded, answer.Body)
		}
	}
}
