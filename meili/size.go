package meili

import (
	"math"
	"strconv"
	"strings"
)

// sizeUnit is a unit that sizes are told in, binary and decimal ones.
type sizeUnit struct {
	name  string
	bytes float64
}

// sizeUnits are listed from the largest to the smallest.
var sizeUnits = []sizeUnit{
	{"EiB", 1 << 60}, {"EB", 1e18}, {"PiB", 1 << 50}, {"PB", 1e15}, {"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// FormatSize prints bytes as tasks do: in the largest unit, binary or decimal, that is not larger, with all digits.
func FormatSize(bytes uint64) string {
	size := float64(bytes)
	for _, unit := range sizeUnits {
		if size >= unit.bytes {
			return rustFloat(size/unit.bytes) + " " + unit.name
		}
	}
	return "0 B"
}

// ParseSize is the reverse of FormatSize.
func ParseSize(text string) (bytes uint64, ok bool) {
	number, name, _ := strings.Cut(text, " ")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !(value >= 0) {
		return 0, false
	}
	for _, unit := range sizeUnits {
		if unit.name == name && value*unit.bytes < 1<<63 {
			return uint64(math.Round(value * unit.bytes)), true
		}
	}
	return 0, false
}
