package sim

import (
	"fmt"
	"math/rand/v2"
)

// newOperation makes up a write.
func newOperation(r *rand.Rand, h *history, marker string) *operation {
	if h.busy {
		return newBusyOperation(r, h, marker)
	}
	op := &operation{marker: marker, index: h.indexes[r.IntN(len(h.indexes))]}
	n := r.IntN(100)
	if h.renaming && n%3 > 0 {
		n = 92 + n%8
	}
	switch {
	case n < 38:
		op.kind = opAdd
		for range 1 + r.IntN(4) {
			op.documents = append(op.documents, document{ID: 1 + r.IntN(h.ids), N: 1 + r.IntN(9), G: []string{"red", "tan", "sky"}[r.IntN(3)], V: marker})
		}
	case n < 57:
		op.kind = opUpdate
		for range 1 + r.IntN(3) {
			d := document{ID: 1 + r.IntN(h.ids), U: marker}
			if r.IntN(2) == 0 {
				d.N = 1 + r.IntN(9)
			}
			op.documents = append(op.documents, d)
		}
	case n < 69:
		op.kind = opDelete
		for range 1 + r.IntN(3) {
			op.ids = append(op.ids, 1+r.IntN(h.ids))
		}
	case n < 76:
		op.kind, op.below = opDeleteFilter, 1+r.IntN(6)
	case n < 81:
		op.kind, op.below = opEdit, 1+r.IntN(9)
	case n < 84:
		op.kind = opClear
	case n < 92:
		op.kind, op.stopWord = opSettings, "x"+fmt.Sprint(r.IntN(1000))
	case n < 94:
		op.kind = opCreate
	case n < 96:
		op.kind = opDrop
	default:
		op.kind = opSwap
		op.other = h.indexes[r.IntN(len(h.indexes))]
		if op.other == op.index {
			op.kind = opClear
		}
	}
	return op
}

// newBusyOperation is a write to one of a few documents. The order of such writes shows in what is there in the end.
func newBusyOperation(r *rand.Rand, h *history, marker string) *operation {
	op := &operation{marker: marker, index: h.indexes[0]}
	switch n := r.IntN(100); {
	case n < 45:
		op.kind, op.documents = opUpdate, []document{{ID: 1 + r.IntN(h.ids), U: marker, N: 1 + r.IntN(9)}}
	case n < 75:
		op.kind, op.documents = opAdd, []document{{ID: 1 + r.IntN(h.ids), V: marker, N: 1 + r.IntN(9)}}
	case n < 88:
		op.kind, op.ids = opDelete, []int{1 + r.IntN(h.ids)}
	case n < 93:
		op.kind, op.below = opEdit, 2+r.IntN(6)
	default:
		op.kind, op.below = opDeleteFilter, 1+r.IntN(4)
	}
	return op
}

// stands reports that what a write makes of its documents does not depend on what they were.
func (op *operation) stands() bool { return op.kind == opAdd || op.kind == opDelete }

// touches reports that a write is about a document.
func (op *operation) touches(id int) bool {
	switch op.kind {
	case opAdd, opUpdate:
		for _, d := range op.documents {
			if d.ID == id {
				return true
			}
		}
		return false
	case opDelete:
		for _, deleted := range op.ids {
			if deleted == id {
				return true
			}
		}
		return false
	case opSettings, opCreate:
		return false
	}
	return true
}
