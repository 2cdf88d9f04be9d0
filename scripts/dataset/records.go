package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// record is one document of the data set; the primary key comes first.
type record struct {
	ID          int      `json:"id"` // GeoNames id
	Name        string   `json:"name"`
	Country     string   `json:"country"`
	Flag        string   `json:"flag"`
	Region      string   `json:"region,omitempty"`
	Continent   string   `json:"continent"`
	Kind        string   `json:"kind"`
	Languages   []string `json:"languages,omitempty"`
	Currency    string   `json:"currency,omitempty"`
	Timezone    string   `json:"timezone"`
	Population  int      `json:"population"`
	Elevation   int      `json:"elevation"` // metres above the sea
	Description string   `json:"description"`
	OtherNames  []string `json:"other_names,omitempty"`
	Updated     string   `json:"updated"` // date of the last change in GeoNames
	Geo         point    `json:"_geo"`
}

type point struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}

// kinds names the GeoNames feature codes that count as a city; sections of cities and abandoned places are left out.
var kinds = map[string]string{
	"PPLC": "National capital", "PPLA": "Regional capital", "PPLA2": "District seat", "PPLA3": "City", "PPLA4": "City",
	"PPLG": "City", "PPL": "City",
}

// makeRecords keeps cities of at least that population and every capital, largest first.
func makeRecords(src *source, population int) []record {
	var kept []place
	for _, p := range src.places {
		if kinds[p.feature] != "" && (p.population >= population || p.feature == "PPLC") {
			kept = append(kept, p)
		}
	}
	slices.SortFunc(kept, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.population, a.population), cmp.Compare(a.id, b.id))
	})
	records := make([]record, len(kept))
	for rank, p := range kept {
		records[rank] = src.record(p, kept[:rank], rank+1)
	}
	return records
}

// record makes the document of p; larger holds every city with more people, rank is its place in the order by population.
func (src *source) record(p place, larger []place, rank int) record {
	c := src.countries[p.country]
	r := record{
		ID: p.id, Name: p.name, Country: c.Name, Flag: flagOf(p.country), Region: src.regions[p.country+"."+p.region],
		Continent: src.continents[c.Continent], Kind: kinds[p.feature], Timezone: p.timezone, Population: p.population,
		Elevation: p.elevation, Updated: p.modified, OtherNames: otherNames(p, rank), Geo: point{p.lat, p.lng},
	}
	for _, code := range c.Languages {
		if l, ok := src.languages[code]; ok {
			r.Languages = append(r.Languages, l.Name)
		}
	}
	if len(c.Currency) > 0 {
		r.Currency = src.currencies[c.Currency[0]].Name
	}
	near, km := nearest(p, larger)
	r.Description = describe(r, rank, near, km)
	return r
}

// flagOf spells a two-letter country code with regional indicator symbols, which fonts draw as that country's flag.
func flagOf(code string) string {
	var b strings.Builder
	for _, letter := range code {
		b.WriteRune(0x1F1E6 + letter - 'A')
	}
	return b.String()
}

// nearest returns the name of the closest of others and its great-circle distance in kilometres.
func nearest(p place, others []place) (name string, km int) {
	best := math.Inf(1)
	for _, o := range others {
		if d := distance(p, o); d < best {
			best, name = d, o.name
		}
	}
	return name, int(math.Round(best))
}

// distance is the haversine formula on a sphere of 6371 km.
func distance(a, b place) float64 {
	rad := math.Pi / 180
	dLat, dLng := (b.lat-a.lat)*rad, (b.lng-a.lng)*rad
	h := math.Pow(math.Sin(dLat/2), 2) + math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*math.Pow(math.Sin(dLng/2), 2)
	return 2 * 6371 * math.Asin(math.Min(1, math.Sqrt(h)))
}
