package main

import (
	"fmt"
	"strings"
)

// describe says in sentences what the fields of r say, so that there is text to search and to highlight.
// near is the closest larger city, km away; empty for the largest of all.
func describe(r record, rank int, near string, km int) string {
	s := []string{r.Name + " is " + status(r) + "."}
	s = append(s, "About "+people(r.Population)+" people live there"+height(r.Elevation)+".")
	if rank <= 100 {
		s = append(s, "It is one of the hundred most populous cities of the world.")
	}
	if where := zone(r.Geo.Lat); where != "" {
		s = append(s, where)
	}
	switch {
	case near == "":
	case km < 30:
		s = append(s, fmt.Sprintf("It lies next to %s, %d km away.", near, max(km, 1)))
	case km > 500:
		s = append(s, fmt.Sprintf("One must travel %d km to find a larger city, %s.", km, near))
	default:
		s = append(s, fmt.Sprintf("The closest larger city is %s, %d km away.", near, km))
	}
	return strings.Join(s, " ")
}

func status(r record) string {
	switch {
	case r.Kind == "National capital" && r.Country == r.Name:
		return "a city that is its own country, in " + r.Continent
	case r.Kind == "National capital":
		return "the capital of " + r.Country + ", in " + r.Continent
	case r.Kind == "Regional capital" && r.Region == r.Name:
		return "a city in " + r.Country + " and a region of its own"
	case r.Kind == "Regional capital" && r.Region != "":
		return "the seat of government of " + r.Region + " in " + r.Country
	case r.Region != "" && r.Region != r.Name:
		return "a city in " + r.Region + ", " + r.Country
	default:
		return "a city in " + r.Country
	}
}

func people(n int) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%d million", (n+500_000)/1_000_000)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	case n >= 1000:
		return fmt.Sprintf("%d thousand", (n+500)/1000)
	default:
		return fmt.Sprint(n)
	}
}

func height(metres int) string {
	switch {
	case metres < 0:
		return fmt.Sprintf(", %d metres below the level of the sea", -metres)
	case metres >= 2500:
		return fmt.Sprintf(", high in the mountains at %d metres", metres)
	case metres >= 1000:
		return fmt.Sprintf(", on high ground at %d metres", metres)
	case metres <= 10:
		return ", barely above the level of the sea"
	default:
		return fmt.Sprintf(", %d metres above the sea", metres)
	}
}

func zone(lat float64) string {
	switch {
	case lat > 66.56:
		return "The midnight sun shines there: it is north of the Arctic Circle."
	case lat > 60:
		return "Summer nights are bright so far north."
	case lat < -50:
		return "It is one of the southernmost cities of the world."
	case lat > -1 && lat < 1:
		return "It lies almost on the equator."
	case lat > -23.44 && lat < 23.44:
		return "It lies in the tropics."
	}
	return ""
}
