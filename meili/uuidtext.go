package meili

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// ParseUUID brings a UUID into lower case with hyphens. It may be sent with hyphens, without, in braces or as a URN.
// problem says what is wrong in the words of the Rust crate uuid 1.23, "" when nothing is.
func ParseUUID(text string) (uid, problem string) {
	hyphenated := text
	switch {
	case len(text) == 32:
		if parsed, err := uuid.Parse(text); err == nil {
			return parsed.String(), ""
		}
		return "", uuidProblem(text)
	case len(text) == 38 && text[0] == '{' && text[37] == '}':
		hyphenated = text[1:37]
	case len(text) == 45 && strings.HasPrefix(text, "urn:uuid:"):
		hyphenated = text[9:]
	}
	if parsed, err := uuid.Parse(hyphenated); err == nil && len(hyphenated) == 36 {
		return parsed.String(), ""
	}
	return "", uuidProblem(text)
}

func uuidProblem(text string) string {
	if text == "" || len(text) > 45 {
		return fmt.Sprintf("invalid length: found %d", len(text))
	}
	body, start := text, 0
	wrapped := true
	switch {
	case strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") && len(text) > 1:
		body, start = text[1:max(1, len(text)-3)], 1
	case strings.HasPrefix(text, "urn:uuid:"):
		body, start = text[9:max(9, len(text)-9)], 9
	default:
		wrapped = false
	}
	var hyphens []int
	for i, r := range body {
		switch {
		case r == '-':
			hyphens = append(hyphens, i)
		case r >= utf8.RuneSelf || !isHex(byte(r)):
			return fmt.Sprintf("invalid character: found `%c` at %d", r, i+start)
		}
	}
	switch {
	case !wrapped && len(hyphens) == 0:
		return fmt.Sprintf("invalid length: found %d", len(text))
	case len(hyphens) != 4:
		return fmt.Sprintf("invalid group count: expected 5, found %d", len(hyphens)+1)
	}
	return uuidGroupProblem(text, hyphens)
}

// uuidGroupProblem names the first of five groups that has a wrong length.
func uuidGroupProblem(text string, hyphens []int) string {
	lengths, starts := [...]int{8, 4, 4, 4, 12}, [...]int{0, 9, 14, 19, 24}
	for i, hyphen := range hyphens {
		if hyphen != starts[i+1]-1 {
			return fmt.Sprintf("invalid group length in group %d: expected %d, found %d", i, lengths[i], hyphen-starts[i])
		}
	}
	return fmt.Sprintf("invalid group length in group 4: expected 12, found %d", len(text)-starts[4])
}
