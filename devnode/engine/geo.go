package engine

import (
	"math"
	"strconv"
)

// geoPoint is a place in degrees.
type geoPoint struct{ lat, lng float64 }

// earthRadius is the mean radius in metres that haversine distances use.
const earthRadius = 6371000.0

// distance is the haversine distance in metres, rounded to millimetres.
func (p geoPoint) distance(q geoPoint) float64 {
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	hav := func(theta float64) float64 { return (1 - math.Cos(theta)) / 2 }
	phi1, phi2 := rad(p.lat), rad(q.lat)
	h := hav(phi2-phi1) + math.Cos(phi1)*math.Cos(phi2)*hav(rad(q.lng)-rad(p.lng))
	return math.Round(2*earthRadius*math.Asin(math.Sqrt(h))*1000) / 1000
}

// parseGeo reads a _geo object whose members are numbers or texts of numbers.
func parseGeo(v *jsonValue) (geoPoint, bool) {
	lat, ok1 := geoNumber(v.get("lat"))
	lng, ok2 := geoNumber(v.get("lng"))
	return geoPoint{lat, lng}, ok1 && ok2
}

func geoNumber(v *jsonValue) (float64, bool) {
	if v == nil || v.kind != jsonNumber && v.kind != jsonString {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}
