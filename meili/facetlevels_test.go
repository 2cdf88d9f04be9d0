package meili

import (
	"slices"
	"testing"
)

func TestFacetLevels(t *testing.T) {
	for _, test := range []struct {
		values, regroups int
		sizes            []int
	}{
		{19, 0, []int{19}},
		{20, 0, []int{20, 5}},
		{1000, 0, []int{1000, 250}}, // few values get one level at first
		{1001, 0, []int{1001, 251, 63, 16}},
		{1001, 5, []int{1001, 251, 63, 16}}, // many are grouped alike each time
	} {
		var sizes []int
		for _, level := range FacetLevels(test.values, test.regroups) {
			sizes = append(sizes, len(level.First))
		}
		if !slices.Equal(sizes, test.sizes) {
			t.Errorf("%d values, %d regroups: %v, want %v", test.values, test.regroups, sizes, test.sizes)
		}
	}
}
