package engine

import (
	"maps"
	"slices"

	"miroir/meili"
)

// takeVectors moves the vectors of configured embedders out of a parsed document. Embedders it does not mention keep the
// vectors of old, the document it replaces (nil for none), unless those are to be made again. Errors:
// invalid_vector_dimensions, invalid_vectors_type, vector_embedding_error.
func (st *state) takeVectors(d, old *storedDocument, parsed *jsonValue) *meili.Error {
	field := parsed.get(vectorsField)
	if field != nil && field.kind != jsonObject {
		return notAMap(field)
	}
	d.vectors = map[string]documentVectors{}
	for name, e := range st.cfg.embedders {
		given := field.get(name)
		if given != nil {
			vectors, err := e.parseVectors(d.id, given)
			if err != nil {
				return err
			}
			d.vectors[name] = vectors
			field.remove(name)
			continue
		}
		if old != nil {
			if kept, ok := old.vectors[name]; ok && !kept.regenerate {
				d.vectors[name] = kept
				continue
			}
		}
		if e.manual {
			return e.noVectors(d.id)
		}
	}
	if field != nil {
		tidyVectors(parsed, field)
	}
	return nil
}

// notAMap is the error serde_json gives for a _vectors field of another type.
func notAMap(v *jsonValue) *meili.Error {
	if v.kind == jsonNull {
		return meili.Errorf(meili.CodeInternal, "invalid type: null, expected a map at line 1 column 4")
	}
	return meili.Errorf(meili.CodeInternal, "invalid type: sequence, expected a map at line 1 column 0")
}

// noVectors is the error of a document that lacks vectors nobody else can make.
func (e *embedder) noVectors(id string) *meili.Error {
	return meili.Errorf(meili.CodeVectorEmbeddingError, "While embedding documents for embedder `%[1]s`: no vectors provided for document `%[2]s`\n"+
		"- Note: `%[1]s` has `source: userProvided`, so documents must provide embeddings as an array in `_vectors.%[1]s`.\n"+
		"- Hint: opt-out for a document with `_vectors.%[1]s: null`", e.name, id)
}

// tidyVectors stores what is left of a _vectors field, in the shape in which it is shown.
func tidyVectors(parsed, field *jsonValue) {
	if len(field.keys) == 0 {
		parsed.remove(vectorsField)
		return
	}
	for i, v := range field.items {
		if v.kind == jsonNull {
			field.items[i] = &jsonValue{kind: jsonArray}
		} else if v.kind == jsonObject && v.get("embeddings") == nil {
			v.set("embeddings", nullValue)
		}
	}
	parsed.set(vectorsField, field)
}

// parseVectors reads one member of _vectors: a vector, a list of vectors, null, or an object with regenerate and embeddings.
func (e *embedder) parseVectors(id string, v *jsonValue) (documentVectors, *meili.Error) {
	var out documentVectors
	if v.kind == jsonObject {
		regenerate := v.get("regenerate")
		if regenerate == nil {
			return out, badVectors(id, "Missing field `._vectors.%[1]s.regenerate`\n  - note: `._vectors.%[1]s` must be an array of floats, an array of arrays of floats, or an object with field `regenerate`", e.name)
		}
		out.regenerate = regenerate.text == "true"
		if v = v.get("embeddings"); v == nil {
			return out, nil
		}
	}
	switch {
	case v.kind == jsonNull:
		return out, nil
	case v.kind != jsonArray:
		return out, badVectors(id, "Expected `._vectors.%s` to be an array of floats, an array of arrays of floats, or an object with at least the field `regenerate`, but got `%s`", e.name, v.bytes())
	case len(v.items) == 0:
		return out, nil
	}
	lists := []*jsonValue{v}
	if v.items[0].kind == jsonArray {
		lists = v.items
	}
	for n, list := range lists {
		vector := make([]float32, len(list.items))
		for i, item := range list.items {
			if item.kind != jsonNumber {
				return out, badVectors(id, "Invalid value type at `._vectors.%s[%d]`: expected a number, but found `%s`", e.name, i, item.bytes())
			}
			vector[i] = float32(item.number())
		}
		if e.dimensions > 0 && len(vector) != e.dimensions {
			return out, e.wrongSize(id, n, len(vector))
		}
		out.list = append(out.list, vector)
	}
	return out, nil
}

func (e *embedder) wrongSize(id string, n, size int) *meili.Error {
	return meili.Errorf(meili.CodeInvalidVectorDimensions, "Invalid vector dimensions in document with id `%[1]s` in `._vectors.%[2]s`.\n"+
		"  - note: embedding #%[3]d has dimensions %[4]d\n  - note: embedder `%[2]s` requires %[5]d", id, e.name, n, size, e.dimensions)
}

func badVectors(id, format string, args ...any) *meili.Error {
	err := meili.Errorf(meili.CodeInvalidVectorsType, format, args...)
	return err.WithPrefix("Bad embedder configuration in the document with id: `" + id + "`. ")
}

// checkVectors checks the stored documents against the embedders of a new configuration. Errors: those of takeVectors.
func (st *state) checkVectors() *meili.Error {
	if len(st.cfg.embedders) == 0 {
		return nil
	}
	for _, d := range st.docs {
		if d == nil {
			continue
		}
		field := parseJSON(d.json).get(vectorsField)
		for name, e := range st.cfg.embedders {
			if stored, ok := d.vectors[name]; ok {
				for n, vector := range stored.list {
					if e.dimensions > 0 && len(vector) != e.dimensions {
						return e.wrongSize(d.id, n, len(vector))
					}
				}
				continue
			}
			given := field.get(name)
			if given == nil && e.manual {
				return e.noVectors(d.id)
			}
			if given != nil {
				if _, err := e.parseVectors(d.id, given); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// moveVectors brings a stored document in line with the embedders: vectors of new ones leave its JSON, those of removed ones
// return there.
func (st *state) moveVectors(d *storedDocument, parsed *jsonValue) {
	field := parsed.get(vectorsField)
	if field == nil {
		field = &jsonValue{kind: jsonObject}
	}
	changed := false
	d.vectors = maps.Clone(d.vectors)
	for _, name := range slices.Sorted(maps.Keys(d.vectors)) {
		if st.cfg.embedders[name] != nil {
			continue
		}
		if vectors := d.vectors[name]; !vectors.regenerate && len(vectors.list) > 0 {
			field.set(name, vectors.value())
		}
		delete(d.vectors, name)
		changed = true
	}
	for _, name := range slices.Clone(field.keys) {
		e := st.cfg.embedders[name]
		if e == nil {
			continue
		}
		if vectors, err := e.parseVectors(d.id, field.get(name)); err == nil {
			if d.vectors == nil {
				d.vectors = map[string]documentVectors{}
			}
			d.vectors[name] = vectors
			field.remove(name)
			changed = true
		}
	}
	if changed {
		parsed.set(vectorsField, field)
		tidyVectors(parsed, field)
		d.json = parsed.bytes()
	}
}
