package engine

import (
	"slices"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
)

// Prefixes of up to maxPrefixBytes bytes that begin at least minPrefixWords words are resolved as a whole.
const (
	maxPrefixBytes = 4
	minPrefixWords = 100
)

// dictionary is what searches derive from the word index between two writes: it is computed when first asked for.
// Safe for concurrent use.
type dictionary struct {
	words *wordIndex
	docs  func(doc uint32) []fieldWord // the words of a document

	sortOnce sync.Once
	all      []string // every word of the index, sorted
	tolerant []string // words open to typos, sorted

	mu       sync.Mutex
	prefixes map[string]*prefixPosting
	pairs    map[wordID]map[wordID]*wordPair
	numPairs int
}

// prefixPosting is the union of the postings of all words that begin with a prefix.
type prefixPosting struct {
	docs, exact       *roaring.Bitmap // nil when empty
	fields, positions []keyedDocs
}

// wordPair holds the documents in which a word follows another, by distance: near[0] side by side, near[2] two words between.
type wordPair struct{ near [maxProximity]*roaring.Bitmap }

// maxProximity is the greatest distance between two words that counts.
const maxProximity = 3

func newDictionary(words *wordIndex, docs func(uint32) []fieldWord) *dictionary {
	return &dictionary{words: words, docs: docs, prefixes: map[string]*prefixPosting{}, pairs: map[wordID]map[wordID]*wordPair{}}
}

func (d *dictionary) sort() {
	d.sortOnce.Do(func() {
		for id, p := range d.words.postings {
			if p.exact != nil || !p.docs.IsEmpty() {
				d.all = append(d.all, d.words.words[id])
			}
			if !p.docs.IsEmpty() {
				d.tolerant = append(d.tolerant, d.words.words[id])
			}
		}
		slices.Sort(d.all)
		slices.Sort(d.tolerant)
	})
}

// allWords are the words of the index in order.
func (d *dictionary) allWords() []string { d.sort(); return d.all }

// tolerantWords are the words that typos may lead to, in order.
func (d *dictionary) tolerantWords() []string { d.sort(); return d.tolerant }

// withPrefix is the part of a sorted list whose words begin with prefix.
func withPrefix(words []string, prefix string) []string {
	i, _ := slices.BinarySearch(words, prefix)
	return words[i : i+skipPrefix(words[i:], prefix)]
}

// prefix is the joint posting of a short and frequent prefix, nil for any other.
func (d *dictionary) prefix(prefix string) *prefixPosting {
	if len(prefix) > maxPrefixBytes || len(withPrefix(d.tolerantWords(), prefix)) < minPrefixWords {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.prefixes[prefix]; p != nil {
		return p
	}
	p := &prefixPosting{}
	fields, positions := map[uint16]*roaring.Bitmap{}, map[uint16]*roaring.Bitmap{}
	for _, word := range withPrefix(d.all, prefix) {
		posting := d.words.lookup(word)
		p.docs = unionInto(p.docs, posting.docs)
		p.exact = unionInto(p.exact, posting.exact)
		for _, k := range posting.fields {
			fields[k.key] = unionInto(fields[k.key], k.docs)
		}
		for _, k := range posting.positions {
			positions[k.key] = unionInto(positions[k.key], k.docs)
		}
	}
	p.fields, p.positions = sortedKeyed(fields), sortedKeyed(positions)
	d.prefixes[prefix] = p
	return p
}

func unionInto(target, add *roaring.Bitmap) *roaring.Bitmap {
	if add == nil || add.IsEmpty() {
		return target
	}
	if target == nil {
		return add.Clone()
	}
	target.Or(add)
	return target
}

func sortedKeyed(m map[uint16]*roaring.Bitmap) []keyedDocs {
	list := make([]keyedDocs, 0, len(m))
	for key, docs := range m {
		list = append(list, keyedDocs{key, docs})
	}
	slices.SortFunc(list, func(a, b keyedDocs) int { return int(a.key) - int(b.key) })
	return list
}

// maxCachedPairs bounds the memory of the pairs that are kept.
const maxCachedPairs = 1 << 20

// followers are the words that come up to maxProximity places after a word in the same field. A document counts at the
// smallest distance of each pair only.
func (d *dictionary) followers(left wordID) map[wordID]*wordPair {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.pairs[left]; ok {
		return m
	}
	m := map[wordID]*wordPair{}
	p := d.words.postings[left]
	best := map[wordID]uint16{}
	visit := func(doc uint32) bool {
		clear(best)
		nearWords(d.docs(doc), left, best)
		for right, distance := range best {
			pair := m[right]
			if pair == nil {
				pair = &wordPair{}
				m[right] = pair
			}
			if pair.near[distance-1] == nil {
				pair.near[distance-1] = roaring.New()
			}
			pair.near[distance-1].Add(doc)
		}
		return true
	}
	docs := p.docs
	if p.exact != nil {
		docs = roaring.Or(docs, p.exact)
	}
	docs.Iterate(visit)
	if d.numPairs += len(m); d.numPairs > maxCachedPairs {
		d.pairs, d.numPairs = map[wordID]map[wordID]*wordPair{}, len(m)
	}
	d.pairs[left] = m
	return m
}

// nearWords puts into best the smallest distance of each word that follows left in words.
func nearWords(words []fieldWord, left wordID, best map[wordID]uint16) {
	for i, w := range words {
		if w.word != left {
			continue
		}
		for _, next := range words[i+1:] {
			if next.field != w.field || next.position < w.position || next.position-w.position > maxProximity {
				break
			}
			distance := next.position - w.position
			if distance == 0 {
				continue
			}
			if old, ok := best[next.word]; !ok || distance < old {
				best[next.word] = distance
			}
		}
	}
}

// pair is the documents in which right follows left at a distance (1 to maxProximity), nil when there are none.
func (d *dictionary) pair(left, right string, distance int) *roaring.Bitmap {
	l, ok := d.words.ids[left]
	if !ok || distance < 1 || distance > maxProximity {
		return nil
	}
	r, ok := d.words.ids[right]
	if !ok {
		return nil
	}
	if pair := d.followers(l)[r]; pair != nil {
		return pair.near[distance-1]
	}
	return nil
}

// prefixPair is the documents in which any word that begins with prefix follows left at a distance.
func (d *dictionary) prefixPair(left, prefix string, distance int) *roaring.Bitmap {
	out := roaring.New()
	l, ok := d.words.ids[left]
	if !ok || distance < 1 || distance > maxProximity {
		return out
	}
	for right, pair := range d.followers(l) {
		if near := pair.near[distance-1]; near != nil && strings.HasPrefix(d.words.words[right], prefix) {
			out.Or(near)
		}
	}
	return out
}
