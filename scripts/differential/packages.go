package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"miroir/conformance/generate"
)

// packagesFile is the data set that the recorded searches are about.
const packagesFile = "testdata/conformance/datasets/packages.ndjson.gz"

// readDocuments reads a gzipped data set, one document a line.
func readDocuments(path string) ([]generate.Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: run this in the root of the repository", err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var documents []generate.Object
	for decoder := json.NewDecoder(unzipped); decoder.More(); {
		var d generate.Object
		if err := decoder.Decode(&d); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		documents = append(documents, d)
	}
	return documents, nil
}

// packagesShape is real documents with a large vocabulary: 3,000 Debian packages.
func packagesShape(path string) (*generate.Shape, error) {
	documents, err := readDocuments(path)
	if err != nil {
		return nil, err
	}
	s := &generate.Shape{
		Name: "packages", PrimaryKey: "id", NumDocuments: [2]int{len(documents) - 1, len(documents)},
		Document:   func(_ *generate.Generator, i int) generate.Object { return maps.Clone(documents[i]) },
		Words:      wordsOf(documents, "name", "summary"),
		Filterable: []string{"dependencyCount", "depends", "maintainer", "priority", "section", "size.download", "size.installed", "source", "tags"},
		Sortable:   []string{"dependencyCount", "section", "size.download", "size.installed"},
		Displayed:  []string{"name", "summary", "section", "priority", "maintainer", "version", "tags", "depends", "size", "dependencyCount", "homepage", "source"},
		Searchable: [][]string{{"name", "summary", "tags"}, {"summary", "name"}, {"tags", "name"}},
		Distinct:   []string{"source", "maintainer", "section"},
		Facets:     [][]string{{"section", "priority"}, {"maintainer", "tags"}, {"depends"}, {"dependencyCount", "size.installed"}, {"size.download"}, {"source"}},
		Crops:      []string{"*", "summary:5", "summary"}, SearchOn: [][]string{{"name"}, {"tags"}, {"summary"}},
		StopWords: []string{"the", "a", "of", "for"},
		Synonyms:  generate.Object{"small": []string{"tiny", "little"}, "tool": []string{"utility"}},
	}
	for i := 0; i < len(documents); i += 50 {
		s.Conditions = append(s.Conditions, conditionsOf(documents[i])...)
	}
	return s, nil
}

// wordsOf are the words of some fields, as often as they are there and in their order.
func wordsOf(documents []generate.Object, fields ...string) []string {
	var words []string
	for _, d := range documents {
		for _, field := range fields {
			words = append(words, strings.FieldsFunc(fmt.Sprint(d[field]), func(r rune) bool { return strings.ContainsRune(" -,()/:;.\"'[]", r) })...)
		}
	}
	return words
}

// conditionsOf are filters that a document satisfies, or just does not.
func conditionsOf(d generate.Object) []string {
	conditions := []string{
		fmt.Sprintf("section = %q", d["section"]), fmt.Sprintf("NOT priority = %q", d["priority"]),
		fmt.Sprintf("maintainer != %q", d["maintainer"]), fmt.Sprintf("dependencyCount > %v", d["dependencyCount"]),
	}
	if size, ok := d["size"].(generate.Object); ok {
		conditions = append(conditions, fmt.Sprintf("size.installed <= %.0f", size["installed"]), fmt.Sprintf("size.download %.0f TO 900000", size["download"]))
	}
	for _, field := range []string{"tags", "depends"} {
		if list, ok := d[field].([]any); ok && len(list) > 0 {
			conditions = append(conditions, fmt.Sprintf("%s = %q", field, list[0]), fmt.Sprintf("%s NOT IN [%q, perl]", field, list[len(list)-1]), field+" EXISTS")
		}
	}
	return slices.Clip(conditions)
}
