package workers

import (
	"errors"
	"time"

	"miroir/tasks"
)

// ErrNotLeading says that this pod does not lead: the leader has what was asked for.
var ErrNotLeading = errors.New("this pod does not lead the cluster")

// AntiEntropy tells what the comparison of replicas found.
func (w *Workers) AntiEntropy() (tasks.AntiEntropyStatus, error) {
	if a := w.auditor.Load(); a != nil {
		return a.state(), nil
	}
	return tasks.AntiEntropyStatus{}, ErrNotLeading
}

// RunAntiEntropy compares replicas now, at the pace of anti-entropy, and returns the id of the audit.
func (w *Workers) RunAntiEntropy(request tasks.AuditRequest) (string, error) {
	if a := w.auditor.Load(); a != nil {
		return a.startPass(request)
	}
	return "", ErrNotLeading
}

// Verify compares replicas now, as fast as the nodes answer, and returns the id of the audit.
func (w *Workers) Verify(request tasks.AuditRequest) (string, error) {
	if a := w.auditor.Load(); a != nil {
		return a.startVerify(request)
	}
	return "", ErrNotLeading
}

// Audit returns a comparison by its id; known is false when it is not, or not any more.
func (w *Workers) Audit(id string) (audit tasks.Audit, known bool, err error) {
	a := w.auditor.Load()
	if a == nil {
		return audit, false, ErrNotLeading
	}
	audit, known = a.find(id)
	return audit, known, nil
}

// ForeignTasks lists the nodes that somebody wrote to directly in this term, if this pod leads.
func (w *Workers) ForeignTasks() []tasks.ForeignTasks {
	if f := w.foreign.Load(); f != nil {
		return f.list()
	}
	return nil
}

// registerAge registers the gauge that tells how long ago the last pass ended, -1 before the first.
func (w *Workers) registerAge() {
	w.opts.AntiEntropy.Metrics.GetOrCreateGauge("miroir_antientropy_last_scan_completed_seconds", func() float64 {
		a := w.auditor.Load()
		if a == nil || a.meter.lastPass.Load() == 0 {
			return -1
		}
		return w.opts.Now().Sub(time.Unix(a.meter.lastPass.Load(), 0)).Seconds()
	})
}
