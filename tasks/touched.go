package tasks

import (
	"maps"
	"sync"
)

// Touched is what writes touched of one index.
type Touched struct {
	IDs map[string]struct{} // documents that were written or deleted by id
	// Deletions: documents were deleted that nobody can name (by filter, or all of them).
	Deletions bool
	// Everything: any document may have changed.
	Everything bool
}

// maxTouchedIDs bounds what one watch remembers; beyond it everything counts as touched.
const maxTouchedIDs = 500_000

// WriteWatch notes what the writes to one index touch. The writer notes, whoever copies the index takes. Safe for
// concurrent use.
type WriteWatch struct {
	mu      sync.Mutex
	touched Touched // guarded by mu

	closing func(*WriteWatch)
}

// NewWriteWatch is an empty watch; closing is what Close calls.
func NewWriteWatch(closing func(*WriteWatch)) *WriteWatch { return &WriteWatch{closing: closing} }

// Close ends the watch.
func (w *WriteWatch) Close() { w.closing(w) }

// NoteID notes that a document was written or deleted.
func (w *WriteWatch) NoteID(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched.add(id)
}

func (t *Touched) add(id string) {
	if t.Everything {
		return
	}
	if t.IDs == nil {
		t.IDs = map[string]struct{}{}
	}
	if t.IDs[id] = struct{}{}; len(t.IDs) > maxTouchedIDs {
		t.IDs, t.Everything = nil, true
	}
}

// NoteDeletions notes that documents were deleted that nobody can name.
func (w *WriteWatch) NoteDeletions() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched.Deletions = true
}

// NoteEverything notes that any document may have changed.
func (w *WriteWatch) NoteEverything() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched.IDs, w.touched.Everything = nil, true
}

// Take returns what was noted and forgets it.
func (w *WriteWatch) Take() Touched {
	w.mu.Lock()
	defer w.mu.Unlock()
	touched := w.touched
	w.touched = Touched{}
	return touched
}

// Return notes again what was taken and not dealt with.
func (w *WriteWatch) Return(touched Touched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched.Deletions = w.touched.Deletions || touched.Deletions
	if touched.Everything {
		w.touched.IDs, w.touched.Everything = nil, true
	}
	for id := range maps.Keys(touched.IDs) {
		w.touched.add(id)
	}
}

// Touches reports whether a document may have changed, or may be gone.
func (w *WriteWatch) Touches(id string) (changed, gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, noted := w.touched.IDs[id]
	changed = noted || w.touched.Everything
	return changed, changed || w.touched.Deletions
}

// Pending is how many documents are noted, and whether everything is.
func (w *WriteWatch) Pending() (ids int, everything bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.touched.IDs), w.touched.Everything
}
