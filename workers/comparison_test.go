package workers

import "testing"

// What a comparison holds in memory is bounded, however many documents two copies differ by.
func TestComparisonsHoldFewDocuments(t *testing.T) {
	f := func(documents int64, bad, want int) {
		t.Helper()
		c := &comparison{}
		for range 2 {
			c.copies = append(c.copies, &comparedCopy{print: &fingerprint{documents: documents}})
		}
		var marked bucketSet
		for i := range bad {
			marked[i] = true
		}
		got := 0
		for _, looked := range c.some(marked) {
			if looked {
				got++
			}
		}
		if got != want {
			t.Errorf("%d documents, %d bad buckets: %d are looked at, want %d", documents, bad, got, want)
		}
	}
	f(0, numBuckets, numBuckets)
	f(1000, numBuckets, numBuckets)
	f(100_000, numBuckets, numBuckets)
	f(1_000_000, numBuckets, 25)
	f(1_000_000, 3, 3)
	f(1_000_000_000, numBuckets, 1)
}
