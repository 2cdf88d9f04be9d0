package meili

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Export is the body of POST /export.
type Export struct {
	URL         string                 `json:"url"`
	APIKey      *string                `json:"apiKey,omitempty"`
	PayloadSize *uint64                `json:"payloadSize,omitempty"` // bytes
	Indexes     map[string]ExportIndex `json:"indexes"`               // by index uid pattern
}

// ExportIndex says what of the indexes of a pattern is exported.
type ExportIndex struct {
	Filter           json.RawMessage `json:"filter,omitempty"`
	OverrideSettings bool            `json:"overrideSettings"`
}

// DecodeExport decodes the body of POST /export; without indexes it exports all of them. Errors: invalid_export_*, bad_request.
func DecodeExport(body []byte) (*Export, *Error) {
	e := &Export{}
	var indexes *map[string]ExportIndex
	err := DecodeBody(body, []Field{
		{Name: "url", Code: CodeInvalidExportURL, Decode: Into(&e.URL, ReadString)},
		{Name: "apiKey", Code: CodeInvalidExportAPIKey, Decode: IntoOptional(&e.APIKey, ReadString)},
		{Name: "payloadSize", Code: CodeInvalidExportPayloadSize, Decode: IntoOptional(&e.PayloadSize, readByteSize)},
		{Name: "indexes", Decode: IntoOptional(&indexes, readExportIndexes)},
	})
	if err != nil {
		return nil, err
	}
	e.Indexes = orDefault(indexes, map[string]ExportIndex{"*": {}})
	return e, nil
}

// readExportIndexes checks the key of each member first, as an index uid pattern.
func readExportIndexes(v *Value, at *Location) (map[string]ExportIndex, *Error) {
	if v.Kind != KindObject {
		return nil, at.WrongKind(v, KindObject)
	}
	indexes := make(map[string]ExportIndex, len(v.Members))
	for i := range v.Members {
		pattern := v.Members[i].Key
		if !isIndexUIDPattern(pattern) {
			return nil, at.Invalid("the key \"" + pattern + "\" could not be deserialized into the key type `meilisearch_types::index_uid_pattern::IndexUidPattern`")
		}
		index, err := readExportIndex(&v.Members[i].Value, at.Key(pattern))
		if err != nil {
			return nil, err
		}
		indexes[pattern] = index
	}
	return indexes, nil
}

func readExportIndex(v *Value, at *Location) (x ExportIndex, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "filter", Code: CodeInvalidExportIndexFilter, Decode: IntoRaw(&x.Filter)},
		{Name: "overrideSettings", Code: CodeInvalidExportIndexOverrideSettings, Decode: Into(&x.OverrideSettings, ReadBool)},
	})
	return x, err
}

// readByteSize accepts a number of bytes or a text like "24MiB".
func readByteSize(v *Value, at *Location) (uint64, *Error) {
	switch v.Kind {
	case KindUint:
		return v.Uint, nil
	case KindString:
		size, refused := parseByteSize(v.Text)
		if refused != "" {
			return 0, at.Invalid(refused)
		}
		return size, nil
	}
	return 0, at.WrongKind(v, KindUint, KindString)
}

// byteUnits maps a unit without its letter B and in upper case to bytes.
var byteUnits = map[string]float64{
	"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40, "PI": 1 << 50, "EI": 1 << 60,
}

// parseByteSize reads a size, or says why it is none.
func parseByteSize(text string) (size uint64, refused string) {
	text = strings.TrimSpace(text)
	end := 0
	for end < len(text) && (isDigit(text[end]) || text[end] == '.') {
		end++
	}
	if text == "" {
		return 0, "no value can be found"
	}
	if end == 0 {
		return 0, "the character '" + string([]rune(text)[0]) + "' is not a number"
	}
	number, err := strconv.ParseFloat(text[:end], 64)
	if err != nil {
		return 0, "the character '.' is not a number"
	}
	unit := strings.TrimSpace(text[end:])
	letter := strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "b"))
	factor, known := byteUnits[letter]
	if !known {
		return 0, "the character '" + string([]rune(unit)[0]) + "' is incorrect ('B', 'K', 'M', 'G', 'T', 'P', 'E' or no character is expected)"
	}
	if number*factor >= 1<<64 {
		return 0, "the value " + text[:end] + " exceeds the valid range"
	}
	return uint64(number * factor), ""
}
