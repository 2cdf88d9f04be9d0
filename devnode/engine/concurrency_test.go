package engine

import (
	"fmt"
	"sync"
	"testing"
)

// TestSearchWhileWriting runs searches of every kind beside a writer; the race detector does the checking, and no search may
// see half a batch.
func TestSearchWhileWriting(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["n"], "sortableAttributes": ["n"]}`)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := search(t, ix, `{"q": "quick brwn fo", "facets": ["n"], "sort": ["n:desc"], "limit": 100, "attributesToHighlight": ["*"]}`)
				if len(r.Hits)%10 != 0 {
					t.Errorf("%d hits: half a batch", len(r.Hits))
					return
				}
			}
		})
	}
	for batch := range 8 {
		var documents []string
		for i := range 10 {
			documents = append(documents, fmt.Sprintf(`{"id": %d, "t": "quick brown fox number%d", "n": %d}`, batch*10+i, i, i))
		}
		put(t, ix, documents...)
	}
	close(stop)
	wg.Wait()
}
