package meili

import "strings"

// maxIndexUIDBytes is what Meilisearch checks; its message speaks of 512.
const maxIndexUIDBytes = 400

// CheckIndexUID reports whether uid can name an index: 1 to 400 of the bytes A-Z a-z 0-9 - _. Error: invalid_index_uid.
func CheckIndexUID(uid string) *Error {
	if isIndexUID(uid) {
		return nil
	}
	return newError(CodeInvalidIndexUID, indexUIDMessage(uid))
}

func indexUIDMessage(uid string) string {
	return "`" + uid + "` is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric characters, hyphens (-) and underscores (_), and can not be more than 512 bytes."
}

func isIndexUID(uid string) bool {
	if uid == "" || len(uid) > maxIndexUIDBytes {
		return false
	}
	for i := range len(uid) {
		c := uid[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// isIndexUIDPattern reports whether p is an index uid that may end with a star, or a star alone.
func isIndexUIDPattern(p string) bool {
	stem, starred := strings.CutSuffix(p, "*")
	return isIndexUID(stem) || starred && stem == ""
}

// IndexPatternMatches reports whether uid is covered by pattern: the uid itself, a prefix followed by a star, or a star.
func IndexPatternMatches(pattern, uid string) bool {
	if stem, starred := strings.CutSuffix(pattern, "*"); starred {
		return strings.HasPrefix(uid, stem)
	}
	return pattern == uid
}

// readIndexUID reads the uid of an index from a body.
func readIndexUID(v *Value, at *Location) (string, *Error) {
	uid, err := ReadString(v, at)
	if err == nil && !isIndexUID(uid) {
		return "", at.Invalid(indexUIDMessage(uid))
	}
	return uid, err
}
