package node

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMeasureFollowsANode: half-lives decide how fast old answers are forgotten, and long silence makes a node unknown.
func TestMeasureFollowsANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const halfLife = 5 * time.Second
		c := New("n", "http://n", "", nil)
		answerFor := func(d, took time.Duration, failed bool) {
			for range d / (100 * time.Millisecond) {
				time.Sleep(100 * time.Millisecond)
				c.Observe(took, failed, halfLife)
			}
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if got < want/bucketGrowth || got > want*bucketGrowth {
				t.Errorf("%s is %.3f, want about %.3f", what, got, want)
			}
		}
		if c.Measure(time.Now(), halfLife).Known() {
			t.Error("something is known of a node that was never asked")
		}
		answerFor(30*time.Second, 10*time.Millisecond, false)
		m := c.Measure(time.Now(), halfLife)
		near("p95 in ms", m.P95.Seconds()*1000, 10)
		near("weight", m.Weight, 10*5/0.693)
		answerFor(5*time.Second, 200*time.Millisecond, true)
		m = c.Measure(time.Now(), halfLife)
		near("p95 in ms", m.P95.Seconds()*1000, 200)
		near("error rate after a half-life", m.ErrorRate, 0.5)
		answerFor(25*time.Second, 10*time.Millisecond, false)
		m = c.Measure(time.Now(), halfLife)
		near("p95 in ms", m.P95.Seconds()*1000, 10)
		time.Sleep(time.Minute)
		if m := c.Measure(time.Now(), halfLife); m.Known() {
			t.Errorf("after a minute of silence %+v is known", m)
		}
	})
}
