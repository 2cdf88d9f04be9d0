package proxy

import (
	"bytes"
	"math/bits"
	"slices"

	"miroir/fsm"
	"miroir/tasks"
)

// orderField is the hidden field of a spread index's documents that numbers them in the order they came: by the task
// that wrote them, then by their place in its payload. One server lists documents of equal rank in the order of ids it
// gave them when they were inserted; across nodes the numbers stand in for those. Documents of whole indexes have none.
//
// What is exact: documents that were inserted once and never written again come in one server's order. What is not: a
// document that is replaced or updated gets a newer number, while one server leaves it in its place, and after deletions
// one server gives the ids that became free to new documents. A node does the same with its own ids, so the order of its
// list is believed and numbers decide between lists only (see settleOrder).
const orderField = tasks.OrderField

// The characters of a number are 32 digits from firstOrderDigit on. Like those of the shard field, which are among
// them, Meilisearch takes them for separators, so they match no query. Their bytes sort as the digits do.
const (
	firstOrderDigit = '\u2E30'
	orderDigitBits  = 5
	orderDigitBytes = 3
	lastOrderDigit  = firstOrderDigit + 1<<orderDigitBits - 1
)

// isDigit reports whether a character may stand in a hidden field.
func isDigit(r rune) bool { return firstOrderDigit <= r && r <= lastOrderDigit }

// numbering gives the documents of one write their numbers. The zero value gives none.
type numbering struct {
	head  []byte // of the task, so that a number of an earlier task is less
	width int    // digits of a place in the payload
}

// newNumbering numbers the documents of a task's payload.
func newNumbering(task uint32, numDocuments int) numbering {
	width := digitsOf(uint64(task))
	head := appendDigits(nil, uint64(width), 1)
	return numbering{head: appendDigits(head, uint64(task), width), width: digitsOf(uint64(numDocuments))}
}

func digitsOf(n uint64) int { return max(1, (bits.Len64(n)+orderDigitBits-1)/orderDigitBits) }

func appendDigits(out []byte, n uint64, width int) []byte {
	for shift := (width - 1) * orderDigitBits; shift >= 0; shift -= orderDigitBits {
		digit := n >> shift & (1<<orderDigitBits - 1)
		out = append(out, string(rune(firstOrderDigit+digit))...)
	}
	return out
}

const orderMember = `,"` + orderField + `":"`

// appendField appends the member for the document at a place in the payload, with a comma before it.
func (n numbering) appendField(out []byte, place int) []byte {
	if n.width == 0 {
		return out
	}
	out = append(append(out, orderMember...), n.head...)
	return append(appendDigits(out, uint64(place), n.width), '"')
}

// fieldBytes is the length of what appendField appends, the same for all documents.
func (n numbering) fieldBytes() int {
	if n.width == 0 {
		return 0
	}
	return len(orderMember) + len(n.head) + n.width*orderDigitBytes + len(`"`)
}

// orderOf is the number of a document or hit as it stands there, nil when it has none.
func orderOf(document []byte) []byte { return memberOf(document, orderField) }

// taskOf is the task that a document's number names, 0 when there is none.
func taskOf(number []byte) (task uint32) {
	digits := []rune(text(number))
	if len(digits) == 0 || slices.ContainsFunc(digits, func(r rune) bool { return !isDigit(r) }) {
		return 0
	}
	width := int(digits[0] - firstOrderDigit)
	for _, digit := range digits[1:min(len(digits), 1+width)] {
		task = task<<orderDigitBits | uint32(digit-firstOrderDigit)
	}
	return task
}

// orderLookahead is how many hits behind those that are merged are asked of each node, for settleOrder.
const orderLookahead = 4

// withLookahead is the number of hits to ask of a node for a list of reach.
func withLookahead(reach int) int {
	if reach == 0 {
		return 0
	}
	return reach + orderLookahead
}

// settleOrder makes the numbers of a node's hits agree with their order where hits tie: a document that was written again
// has too great a number and takes that of one of the next. It looks ahead a fixed way, so that a longer list begins with
// what a shorter one has and pages neither repeat nor skip. It returns the first reach hits.
func settleOrder(hits []hit, reach int) []hit {
	given := make([][]byte, len(hits))
	for i := range hits {
		given[i] = hits[i].order
	}
	for i := range hits {
		for next := i + 1; next < len(hits) && next <= i+orderLookahead && byScore(&hits[i], &hits[next]) == 0; next++ {
			if bytes.Compare(given[next], hits[i].order) < 0 {
				hits[i].order = given[next]
			}
		}
	}
	return hits[:min(len(hits), reach)]
}

// retrieveOrder is a list of attributes to retrieve with the hidden number, nil for all.
func retrieveOrder(attributes *[]string) *[]string {
	if attributes == nil || retrieves(*attributes, orderField) {
		return attributes
	}
	added := append((*attributes)[:len(*attributes):len(*attributes)], orderField)
	return &added
}

// numberingOf numbers the documents that a task writes to an index, if it is spread.
func numberingOf(ix *fsm.Index, task uint32, numDocuments int) numbering {
	if ix.Whole() {
		return numbering{}
	}
	return newNumbering(task, numDocuments)
}
