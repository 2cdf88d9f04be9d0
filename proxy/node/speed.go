package node

import (
	"math"
	"sync/atomic"
	"time"
)

// speed remembers how a node answered of late: counts by time slot in a ring, weighted by age when they are read, so that
// each count's weight halves once per half-life. All fields are atomics: reads of every request end here. Two requests that
// open a slot at once may lose a count between them, which is harmless.
type speed struct{ ring [numSlots]slot }

const (
	numSlots      = 32
	slotsPerHalf  = 5 // slots in a half-life: the ring spans 6.4 of them
	numBuckets    = 64
	firstBucketMs = 0.25
	bucketGrowth  = 1.2 // the last bucket ends at 24 s
)

// slot counts what ended within one stretch of time.
type slot struct {
	number   atomic.Int64 // of the stretch since the epoch of time
	answers  [numBuckets]atomic.Uint32
	requests atomic.Uint32
	failures atomic.Uint32
	inFlight atomic.Uint64 // sum over requests of those in flight with it
}

// Measure is what a client knows of its node's recent answers. The zero value knows nothing.
type Measure struct {
	// Weight is the number of requests behind it, old ones counting less; below minWeight nothing is known.
	Weight    float64
	P95       time.Duration
	InFlight  float64 // mean
	ErrorRate float64 // 0 to 1
}

// minWeight is what is left of one request after five half-lives.
const minWeight = 1.0 / 32

// Known reports whether there is anything to go by.
func (m Measure) Known() bool { return m.Weight >= minWeight }

// Observe notes the end of a read: how long it took, and whether the node failed it.
func (c *Client) Observe(took time.Duration, failed bool, halfLife time.Duration) {
	s := c.speed.slotAt(time.Now(), halfLife)
	s.answers[bucketOf(took)].Add(1)
	s.requests.Add(1)
	s.inFlight.Add(uint64(max(0, c.active.Load())))
	if failed {
		s.failures.Add(1)
	}
}

// Measure sums up what Observe was told, weighted by age.
func (c *Client) Measure(now time.Time, halfLife time.Duration) Measure {
	var buckets [numBuckets]float64
	var m Measure
	var inFlight, failures float64
	current := slotNumber(now, halfLife)
	for i := range c.speed.ring {
		s := &c.speed.ring[i]
		age := current - s.number.Load()
		if age < 0 || age >= numSlots || s.requests.Load() == 0 {
			continue
		}
		weight := math.Exp2(-float64(age) / slotsPerHalf)
		m.Weight += weight * float64(s.requests.Load())
		inFlight += weight * float64(s.inFlight.Load())
		failures += weight * float64(s.failures.Load())
		for b := range s.answers {
			buckets[b] += weight * float64(s.answers[b].Load())
		}
	}
	if !m.Known() {
		return Measure{}
	}
	m.InFlight, m.ErrorRate = inFlight/m.Weight, failures/m.Weight
	m.P95 = quantile(&buckets, 0.95)
	return m
}

func slotNumber(now time.Time, halfLife time.Duration) int64 {
	return now.UnixNano() / int64(max(halfLife/slotsPerHalf, time.Millisecond))
}

// slotAt is the slot of the present, emptied when it still holds an older stretch.
func (s *speed) slotAt(now time.Time, halfLife time.Duration) *slot {
	number := slotNumber(now, halfLife)
	at := &s.ring[number%numSlots]
	if old := at.number.Load(); old != number && at.number.CompareAndSwap(old, number) {
		for b := range at.answers {
			at.answers[b].Store(0)
		}
		at.requests.Store(0)
		at.failures.Store(0)
		at.inFlight.Store(0)
	}
	return at
}

// bucketOf is the bucket of a time: bucket b ends at firstBucketMs × bucketGrowth^b.
func bucketOf(took time.Duration) int {
	ms := float64(took) / float64(time.Millisecond)
	if ms <= firstBucketMs {
		return 0
	}
	return min(numBuckets-1, int(math.Ceil(math.Log(ms/firstBucketMs)/math.Log(bucketGrowth))))
}

// quantile is the time that a share q of the answers did not exceed, to the width of a bucket.
func quantile(buckets *[numBuckets]float64, q float64) time.Duration {
	total := 0.0
	for _, weight := range buckets {
		total += weight
	}
	below := 0.0
	for b, weight := range buckets {
		if below+weight >= q*total && weight > 0 {
			end := firstBucketMs * math.Pow(bucketGrowth, float64(b))
			start := end / bucketGrowth
			if b == 0 {
				start = 0
			}
			ms := start + (end-start)*(q*total-below)/weight
			return time.Duration(ms * float64(time.Millisecond))
		}
		below += weight
	}
	return 0
}
