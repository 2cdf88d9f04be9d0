package workers

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"

	"miroir/meili"
)

// digest is the content of a document in 128 bits. Nodes show the fields of a document in an order of their own, so it
// does not depend on that.
func digest(document []byte) xxh3.Uint128 {
	type field struct{ name, value []byte }
	var fields []field
	for name, value := range meili.Fields(document) {
		fields = append(fields, field{name, value})
	}
	slices.SortFunc(fields, func(a, b field) int { return bytes.Compare(a.name, b.name) })
	hash := xxh3.New()
	for _, f := range fields {
		hashBytes(hash, f.name)
		if string(f.name) == "_vectors" {
			f.value = givenVectors(f.value)
		}
		hashBytes(hash, f.value)
	}
	return hash.Sum128()
}

// givenVectors are the vectors of a document without those that each node computes for itself: models and remote
// embedders need not give every node the same numbers.
func givenVectors(vectors []byte) []byte {
	var names []string
	embedders := map[string][]byte{}
	for name, value := range meili.Fields(vectors) {
		if regenerate, _ := meili.Get(value, "regenerate"); string(regenerate) == "true" {
			value = []byte("computed")
		}
		names = append(names, string(name))
		embedders[string(name)] = value
	}
	slices.Sort(names)
	var given []byte
	for _, name := range names {
		given = append(append(append(given, name...), ':'), embedders[name]...)
	}
	return given
}

func hashBytes(hash *xxh3.Hasher, part []byte) {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(part)))
	_, _ = hash.Write(length[:]) // a hash takes everything
	_, _ = hash.Write(part)
}

// withoutEmptyVectors drops the empty object that a node shows as the vectors of a document that has none, which would
// become a field of the document if it were sent back.
func withoutEmptyVectors(document []byte) []byte {
	if vectors, has := meili.Get(document, "_vectors"); has && string(vectors) == "{}" {
		return meili.Strip(document, "_vectors")
	}
	return document
}
