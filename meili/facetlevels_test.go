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

// TestFacetLevelsOf: groups as tasks leave them that write some of the values.
func TestFacetLevelsOf(t *testing.T) {
	upTo := func(n, step int) (values []int) {
		for i := 0; i < n; i += step {
			values = append(values, i)
		}
		return values
	}
	for _, test := range []struct {
		name    string
		batches [][]int
		first   []int // of the groups of level 1
	}{
		{"a value within a group cuts it", [][]int{upTo(40, 2), {9}}, []int{0, 8, 10, 16, 24, 32}},
		{"a value behind all goes to the last group, which is not cut", [][]int{upTo(40, 2), {39}}, []int{0, 8, 16, 24, 32}},
		{"a value before all begins the first group", [][]int{{2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40}, {1}}, []int{1, 4, 10, 18, 26, 34}},
		{"values before all, and others in the group that was the first, leave it where it began", [][]int{upTo(80, 2)[10:], {1, 3, 21}}, []int{1, 20, 22, 28, 36, 44, 52, 60, 68, 76}},
		{"no values change nothing", [][]int{upTo(40, 2), {}}, []int{0, 8, 16, 24, 32}},
		{"values that are there already cut their groups", [][]int{upTo(40, 2), {8, 26}}, []int{0, 8, 12, 16, 24, 28, 32}},
	} {
		if first := FacetLevelsOf(test.batches)[1].First; !slices.Equal(first, test.first) {
			t.Errorf("%s: %v, want %v", test.name, first, test.first)
		}
	}
}
