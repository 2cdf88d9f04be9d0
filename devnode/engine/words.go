package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// wordID numbers the words of an index.
type wordID uint32

// fieldWord is one word of a document: where it stands in which field.
type fieldWord struct {
	word     wordID
	field    fieldID
	position uint16
}

// posting says which documents hold a word.
type posting struct {
	docs      *roaring.Bitmap // through fields and words open to typos
	exact     *roaring.Bitmap // through fields or words closed to typos; nil when none
	fields    []keyedDocs     // by field id, ascending
	positions []keyedDocs     // by bucketed position, ascending
}

// keyedDocs are the documents of one field or position.
type keyedDocs struct {
	key  uint16
	docs *roaring.Bitmap
}

// wordCount is a number of words in a field.
type wordCount struct {
	field fieldID
	count uint8
}

// maxCountedWords is the longest field whose number of words is kept.
const maxCountedWords = 30

// wordIndex is the inverted index. Only writers change it.
type wordIndex struct {
	ids      map[string]wordID
	words    []string
	postings []*posting // by word id; an entry without documents is kept, its word is no longer in the index
	counts   map[wordCount]*roaring.Bitmap
}

func newWordIndex() *wordIndex {
	return &wordIndex{ids: map[string]wordID{}, counts: map[wordCount]*roaring.Bitmap{}}
}

func (x *wordIndex) id(word string) wordID {
	if id, ok := x.ids[word]; ok {
		return id
	}
	id := wordID(len(x.words))
	x.ids[word] = id
	x.words = append(x.words, word)
	x.postings = append(x.postings, &posting{docs: roaring.New()})
	return id
}

// lookup is the posting of a word, nil when no document holds it.
func (x *wordIndex) lookup(word string) *posting {
	id, ok := x.ids[word]
	if !ok {
		return nil
	}
	p := x.postings[id]
	if p.docs.IsEmpty() && p.exact == nil {
		return nil
	}
	return p
}

// add indexes the words of a document; exact tells the words closed to typos.
func (x *wordIndex) add(doc uint32, words []fieldWord, exact func(fieldWord) bool) {
	for _, w := range words {
		p := x.postings[w.word]
		if exact(w) {
			if p.exact == nil {
				p.exact = roaring.New()
			}
			p.exact.Add(doc)
		} else {
			p.docs.Add(doc)
		}
		addKeyed(&p.fields, uint16(w.field), doc)
		addKeyed(&p.positions, bucketPosition(w.position), doc)
	}
	for field, n := range countWords(words) {
		key := wordCount{field, uint8(n)}
		if n > maxCountedWords {
			continue
		}
		if x.counts[key] == nil {
			x.counts[key] = roaring.New()
		}
		x.counts[key].Add(doc)
	}
}

// remove takes the words of a document out of the index.
func (x *wordIndex) remove(doc uint32, words []fieldWord) {
	for _, w := range words {
		p := x.postings[w.word]
		p.docs.Remove(doc)
		if p.exact != nil {
			p.exact.Remove(doc)
			if p.exact.IsEmpty() {
				p.exact = nil
			}
		}
		p.fields = removeKeyed(p.fields, doc)
		p.positions = removeKeyed(p.positions, doc)
	}
	for field, n := range countWords(words) {
		if bitmap := x.counts[wordCount{field, uint8(n)}]; bitmap != nil {
			bitmap.Remove(doc)
		}
	}
}

func countWords(words []fieldWord) map[fieldID]int {
	counts := map[fieldID]int{}
	for _, w := range words {
		counts[w.field]++
	}
	return counts
}

func addKeyed(list *[]keyedDocs, key uint16, doc uint32) {
	i, found := slices.BinarySearchFunc(*list, key, func(k keyedDocs, key uint16) int { return int(k.key) - int(key) })
	if !found {
		*list = slices.Insert(*list, i, keyedDocs{key, roaring.New()})
	}
	(*list)[i].docs.Add(doc)
}

func removeKeyed(list []keyedDocs, doc uint32) []keyedDocs {
	return slices.DeleteFunc(list, func(k keyedDocs) bool {
		k.docs.Remove(doc)
		return k.docs.IsEmpty()
	})
}

// findKeyed is the bitmap of a key, nil when absent.
func findKeyed(list []keyedDocs, key uint16) *roaring.Bitmap {
	i, found := slices.BinarySearchFunc(list, key, func(k keyedDocs, key uint16) int { return int(k.key) - int(key) })
	if !found {
		return nil
	}
	return list[i].docs
}

// bucketPosition keeps positions below 16 and rounds the rest up: to 24, then to powers of two.
func bucketPosition(position uint16) uint16 {
	if position < 16 {
		return position
	}
	if position < 24 {
		return 24
	}
	bucket := 32
	for bucket < int(position) {
		bucket *= 2
	}
	return uint16(min(bucket, 65535))
}
