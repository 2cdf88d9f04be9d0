package main

import (
	"context"

	"miroir/conformance/generate"
)

// Searches of one profile of a battery.
const (
	batterySearches      = 75
	batteryFacetSearches = 6
)

// runBattery asks searches profile by profile; each profile is a kind of its own in the report, and searches whose words are
// dropped by their frequency are another.
func (t *trial) runBattery(ctx context.Context) error {
	create := step{kind: "load", method: "POST", path: "/indexes", body: generate.Object{"uid": t.uid, "primaryKey": t.shape.PrimaryKey}, wait: true}
	if err := t.step(ctx, create); err != nil {
		return err
	}
	for i, p := range generate.Profiles(t.shape) {
		t.corpus.Settings = p.Changes
		steps := []step{{kind: "load", method: "PATCH", path: t.path("/settings"), body: p.Changes, wait: true}}
		if i == 0 {
			steps = append(steps, step{kind: "load", method: "POST", path: t.path("/documents"), body: t.corpus.Documents, wait: true})
		}
		for range batterySearches {
			q := t.g.BatterySearch(t.corpus)
			kind := p.Name
			if q["matchingStrategy"] == "frequency" {
				kind = "frequency"
			}
			steps = append(steps, step{kind: kind, method: "POST", path: t.path("/search"), body: q, search: q})
		}
		for range batteryFacetSearches {
			steps = append(steps, step{kind: p.Name + "-facet", method: "POST", path: t.path("/facet-search"), body: t.g.BatteryFacetSearch(t.corpus)})
		}
		for _, q := range steps {
			if err := t.step(ctx, q); err != nil {
				return err
			}
		}
	}
	return t.step(ctx, step{kind: "load", method: "DELETE", path: "/indexes/" + t.uid, wait: true})
}
