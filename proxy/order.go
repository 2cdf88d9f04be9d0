package proxy

import (
	"bytes"
	"math/bits"
	"slices"

	"miroir/fsm"
	"miroir/tasks"
)

// orderField is the hidden field of documents that numbers them in the order they came, see isNumbered: by the task
// that inserted them, then by their place in its payload; behind that, where they were written again, by the task that did so
// last. One server lists documents of equal rank in the order of ids it gave them when they were inserted; across nodes the
// numbers stand in for those.
//
// A document that is written again keeps its number as it keeps its id on one server: see insertions for how that is looked up,
// and for when it is not. A node does the same with its own ids, so the order of its list is believed and numbers decide
// between lists only (see settleOrder).
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
//
// A number is the width of the task and the task, so that one of an earlier task is less; the width of a place in the payload
// and the place; and, of a document that was there before, width and task of the write. Each width is one digit.
type numbering struct {
	head  []byte // up to the place
	again []byte // what ends the number of a document that was there before
	width int    // of a place
	// kept are the members of documents that were there before, by place; longer says how much longer than others these are, by shard.
	kept   map[int][]byte
	longer map[fsm.ShardID]int64
}

// newNumbering numbers the documents of a task's payload.
func newNumbering(task uint32, numDocuments int) numbering {
	width := digitsOf(uint64(task))
	again := appendDigits(appendDigits(nil, uint64(width), 1), uint64(task), width)
	width = digitsOf(uint64(numDocuments))
	return numbering{head: appendDigits(again[:len(again):len(again)], uint64(width), 1), again: again, width: width}
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
	if kept, ok := n.kept[place]; ok {
		return append(out, kept...)
	}
	out = append(append(out, orderMember...), n.head...)
	return append(appendDigits(out, uint64(place), n.width), '"')
}

// insertion is the number of a document that comes first at a place.
func (n numbering) insertion(place int) string {
	return string(appendDigits(n.head[:len(n.head):len(n.head)], uint64(place), n.width))
}

// keep gives the document at a place, which is of a shard, the number of its insertion. "" is that of one without.
func (n *numbering) keep(place int, shard fsm.ShardID, insertion string) {
	if n.width == 0 {
		return
	}
	if n.kept == nil {
		n.kept, n.longer = map[int][]byte{}, map[fsm.ShardID]int64{}
	}
	var field []byte
	if insertion != "" {
		field = append(append(append(field, orderMember...), insertion...), n.again...)
		field = append(field, '"')
	}
	n.longer[shard] += int64(len(field) - n.fieldBytes())
	n.kept[place] = field
}

// bytesOf is how long the members of the documents of a shard are, which are so many.
func (n numbering) bytesOf(shard fsm.ShardID, numDocuments int) int64 {
	return int64(numDocuments*n.fieldBytes()) + n.longer[shard]
}

// fieldBytes is the length of what appendField appends for documents that come first.
func (n numbering) fieldBytes() int {
	if n.width == 0 {
		return 0
	}
	return len(orderMember) + len(n.head) + n.width*orderDigitBytes + len(`"`)
}

// orderOf is the number of a document or hit as it stands there, nil when it has none.
func orderOf(document []byte) []byte { return memberOf(document, orderField) }

// readNumber takes a number apart: that of the insertion, and the task that wrote the document last. "" and 0 when there is none.
func readNumber(number []byte) (insertion string, task uint32) {
	digits := []rune(text(number))
	if slices.ContainsFunc(digits, func(r rune) bool { return !isDigit(r) }) {
		return "", 0
	}
	inserted, behindTask := readDigits(digits, 0)
	_, end := readDigits(digits, behindTask)
	if task, _ = readDigits(digits, end); task == 0 {
		task = inserted
	}
	return string(digits[:end]), task
}

// readDigits reads digits with their width before them, 0 where there are none, and returns the position behind.
func readDigits(digits []rune, at int) (n uint32, end int) {
	if at == len(digits) {
		return 0, at
	}
	end = min(at+1+int(digits[at]-firstOrderDigit), len(digits))
	for _, digit := range digits[at+1 : end] {
		n = n<<orderDigitBits | uint32(digit-firstOrderDigit)
	}
	return n, end
}

// taskOf is the task that wrote a document last, by its number, 0 when there is none.
func taskOf(number []byte) (task uint32) {
	_, task = readNumber(number)
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

// isNumbered reports that documents of an index have numbers: it is cut up, or will be once it has grown.
func isNumbered(ix *fsm.Index) bool {
	return !ix.Whole() || ix.Shards > 1 && ix.Spread == fsm.SpreadAuto
}

// numberingOf numbers the documents that a task writes to an index.
func numberingOf(ix *fsm.Index, task uint32, numDocuments int) numbering {
	if !isNumbered(ix) {
		return numbering{}
	}
	return newNumbering(task, numDocuments)
}
