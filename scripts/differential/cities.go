package main

import (
	"fmt"
	"maps"

	"miroir/conformance/generate"
)

// citiesFile is the data set of the demo.
const citiesFile = "testdata/cities/cities.ndjson.gz"

// citiesShape is real documents with sentences, names in many scripts, and points: every second city.
func citiesShape(path string) (*generate.Shape, error) {
	all, err := readDocuments(path)
	if err != nil {
		return nil, err
	}
	var documents []generate.Object
	for i := 0; i < len(all); i += 2 {
		documents = append(documents, all[i])
	}
	s := &generate.Shape{
		Name: "cities", PrimaryKey: "id", NumDocuments: [2]int{len(documents) - 200, len(documents)},
		Document:   func(_ *generate.Generator, i int) generate.Object { return maps.Clone(documents[i]) },
		Words:      wordsOf(documents, "name", "description", "other_names"),
		Filterable: []string{"country", "region", "continent", "kind", "languages", "currency", "timezone", "population", "elevation", "updated", "_geo"},
		Sortable:   []string{"population", "elevation", "name", "country", "updated"},
		Displayed:  []string{"name", "other_names", "country", "flag", "region", "continent", "languages", "kind", "population", "elevation", "description", "updated", "_geo"},
		Searchable: [][]string{{"name", "other_names", "country"}, {"description", "name"}, {"name"}},
		Distinct:   []string{"country", "timezone", "region", "kind"},
		Facets:     [][]string{{"country", "continent"}, {"languages"}, {"timezone", "currency"}, {"population"}, {"kind", "elevation"}, {"updated", "region"}},
		Crops:      []string{"*", "description:6", "description", "other_names:2"}, SearchOn: [][]string{{"name"}, {"description"}, {"other_names", "name"}},
		GeoPoint:  true,
		StopWords: []string{"the", "a", "of", "in", "is"},
		Synonyms:  generate.Object{"capital": []string{"main city"}, "sea": []string{"ocean", "water"}, "people": []string{"inhabitants"}},
		Conditions: []string{
			"_geoRadius(48.85, 2.35, 900000)", "_geoBoundingBox([60, 30], [35, -10])", "elevation EXISTS", "region IS EMPTY", "population 200000 TO 400000", "NOT elevation < 100",
		},
	}
	for i := 0; i < len(documents); i += 40 {
		d := documents[i]
		s.Conditions = append(s.Conditions,
			fmt.Sprintf("country = %q", d["country"]), fmt.Sprintf("timezone != %q", d["timezone"]), fmt.Sprintf("population > %.0f", d["population"]),
			fmt.Sprintf("elevation <= %.0f", d["elevation"]), fmt.Sprintf("continent = %q AND kind = %q", d["continent"], d["kind"]), fmt.Sprintf("updated < %q", d["updated"]))
	}
	return s, nil
}
