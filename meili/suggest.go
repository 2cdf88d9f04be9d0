package meili

// didYouMean proposes the accepted name nearest to what was received, "" when none is near. The budget of edits grows
// with the length of the received name in bytes (deserr 0.6, errors/helpers.rs).
func didYouMean(received string, accepted []string) string {
	budget := suggestBudget(len(received))
	best := ""
	for _, name := range accepted {
		if distance := damerauLevenshtein([]rune(received), []rune(name)); distance <= budget && (best == "" || distance < budget) {
			best, budget = name, distance
		}
	}
	if best == "" || len(received) <= 3 {
		return ""
	}
	return "did you mean `" + best + "`? "
}

func suggestBudget(numBytes int) int {
	switch {
	case numBytes <= 3:
		return 0
	case numBytes <= 7:
		return 1
	case numBytes <= 12:
		return 2
	case numBytes <= 17:
		return 3
	case numBytes <= 24:
		return 4
	}
	return 5
}

// damerauLevenshtein counts insertions, deletions, substitutions and transpositions between a and b; a transposed pair
// may be edited again (the unrestricted distance).
func damerauLevenshtein(a, b []rune) int {
	width := len(b) + 2
	d := make([]int, (len(a)+2)*width)
	at := func(i, j int) *int { return &d[i*width+j] }
	far := len(a) + len(b)
	*at(0, 0) = far
	for i := 0; i <= len(a); i++ {
		*at(i+1, 0), *at(i+1, 1) = far, i
	}
	for j := 0; j <= len(b); j++ {
		*at(0, j+1), *at(1, j+1) = far, j
	}
	lastRow := map[rune]int{}
	for i := 1; i <= len(a); i++ {
		lastColumn := 0
		for j := 1; j <= len(b); j++ {
			row, column, cost := lastRow[b[j-1]], lastColumn, 1
			if a[i-1] == b[j-1] {
				cost, lastColumn = 0, j
			}
			*at(i+1, j+1) = min(*at(i, j)+cost, *at(i+1, j)+1, *at(i, j+1)+1,
				*at(row, column)+(i-row-1)+1+(j-column-1))
		}
		lastRow[a[i-1]] = i
	}
	return *at(len(a)+1, len(b)+1)
}
