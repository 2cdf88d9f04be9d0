// Package testdata holds the data sets that the demo, the tests and the benchmark load. Where each comes from and under
// which licence it may be used is written in its directory's README.md.
package testdata

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"io"
)

//go:embed cities/cities.ndjson.gz
var cities []byte

//go:embed cities/settings.json
var citiesSettings []byte

//go:embed cities/page.json
var citiesPage []byte

// Dataset is documents with everything needed to make a good index of them.
type Dataset struct {
	// Name is also the uid of the index the demo makes.
	Name        string
	Title       string
	Description string
	PrimaryKey  string
	// Documents is how many Open yields.
	Documents int
	// Settings is a body for PATCH /indexes/{uid}/settings.
	Settings json.RawMessage
	// Page is the search page's configuration: a body for POST /_miroir/ui/search/{index}/config.
	Page json.RawMessage
	// Queries are search bodies that show something: typo tolerance, filters, facets, sorting by distance.
	Queries []Query

	packed []byte
}

// Query is a search worth trying: Body is for POST /indexes/{uid}/search.
type Query struct {
	Says string
	Body json.RawMessage
}

// Datasets lists what is embedded; the first is the default.
var Datasets = []Dataset{{
	Name:        "cities",
	Title:       "Cities of the world",
	Description: "4,789 cities from GeoNames: every one with at least 100,000 inhabitants and every capital",
	PrimaryKey:  "id",
	Documents:   4789,
	Settings:    citiesSettings,
	Page:        citiesPage,
	Queries: []Query{
		{"typing badly", json.RawMessage(`{"q":"reykavik","limit":3}`)},
		{"a name of other days", json.RawMessage(`{"q":"constantinople","limit":3}`)},
		{"another script", json.RawMessage(`{"q":"東京","limit":3}`)},
		{"capitals high up, highest first", json.RawMessage(`{"filter":"kind = 'National capital' AND elevation > 2000","sort":["elevation:desc"],"limit":5}`)},
		{"large cities by continent", json.RawMessage(`{"filter":"population > 1000000","facets":["continent"],"limit":0}`)},
		{"closest to the north cape", json.RawMessage(`{"sort":["_geoPoint(71.17, 25.78):asc"],"limit":5}`)},
	},
	packed: cities,
}}

// Find returns the data set of that name, or false.
func Find(name string) (Dataset, bool) {
	for _, d := range Datasets {
		if d.Name == name {
			return d, true
		}
	}
	return Dataset{}, false
}

// Open returns the documents as NDJSON, for a POST to /indexes/{uid}/documents with content type application/x-ndjson.
func (d Dataset) Open() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(d.packed))
}
