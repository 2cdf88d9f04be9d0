package direct

import (
	"context"
	"errors"
	"os"
	"time"
)

// watchAfter is how long a request may take before its client is watched: most are answered earlier.
const watchAfter = 50 * time.Millisecond

// watch notices a client that hangs up while its request takes long: it reads from the connection from watchAfter on.
type watch struct {
	timer  *time.Timer
	cancel context.CancelFunc // of the request
	ended  chan struct{}      // receives once for each time that the timer fired
	gone   bool
	one    [1]byte
	early  bool // one is the first byte of the next request
}

func (w *watch) begin(c *conn, cancel context.CancelFunc) {
	w.cancel, w.gone, w.early = cancel, false, false
	if w.timer == nil {
		w.ended = make(chan struct{}, 1)
		w.timer = time.AfterFunc(watchAfter, func() { w.look(c) })
		return
	}
	w.timer.Reset(watchAfter)
}

func (w *watch) look(c *conn) {
	n, err := c.Conn.Read(w.one[:])
	w.early = n > 0
	if w.gone = err != nil && !errors.Is(err, os.ErrDeadlineExceeded); w.gone {
		w.cancel()
	}
	w.ended <- struct{}{}
}

// end stops watching. It reports whether the client has gone.
func (w *watch) end(c *conn) (gone bool) {
	if w.timer.Stop() {
		return false
	}
	c.wake()
	<-w.ended
	if w.early {
		c.buffer = append(c.buffer, w.one[0]) // behind this request
	}
	return w.gone
}
