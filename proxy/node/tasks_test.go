package node

import (
	"net/http"
	"testing"
	"time"
)

// The clock of a node may be hours behind. Red when a task that seems older than the write ends the search at once.
func TestFindWriteDoesNotTrustTheClockOfANode(t *testing.T) {
	c := New("n", "http://node", "", roundTrip(func(*http.Request) (*http.Response, error) {
		return answer(200, `{"results":[{"uid":8,"customMetadata":"other","enqueuedAt":"2024-01-01T00:00:01Z"},
			{"uid":7,"customMetadata":"miroir-1","enqueuedAt":"2024-01-01T00:00:00Z"}],"next":null}`), nil
	}))
	task, err := c.FindWrite(t.Context(), "m", "miroir-1", time.Date(2024, 1, 1, 5, 0, 0, 0, time.UTC))
	if err != nil || task == nil || task.UID != 7 {
		t.Errorf("found %+v, %v", task, err)
	}
}
