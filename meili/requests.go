package meili

import (
	"fmt"
	"slices"
	"strings"
)

// IndexCreate is the body of POST /indexes.
type IndexCreate struct {
	UID        string  `json:"uid"`
	PrimaryKey *string `json:"primaryKey,omitempty"`
}

// DecodeIndexCreate decodes the body of POST /indexes. Errors: missing_index_uid, invalid_index_uid,
// invalid_index_primary_key, bad_request.
func DecodeIndexCreate(body []byte) (*IndexCreate, *Error) {
	c := &IndexCreate{}
	err := DecodeBody(body, []Field{
		{Name: "uid", Code: CodeInvalidIndexUID, Required: true, Missing: CodeMissingIndexUID, Decode: Into(&c.UID, readIndexUID)},
		{Name: "primaryKey", Code: CodeInvalidIndexPrimaryKey, Decode: IntoOptional(&c.PrimaryKey, ReadString)},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// IndexUpdate is the body of PATCH /indexes/{uid}; UID renames the index.
type IndexUpdate struct {
	PrimaryKey *string `json:"primaryKey,omitempty"`
	UID        *string `json:"uid,omitempty"`
}

// DecodeIndexUpdate decodes the body of PATCH /indexes/{uid}. Errors: invalid_index_uid, invalid_index_primary_key,
// immutable_index_created_at, immutable_index_updated_at, bad_request.
func DecodeIndexUpdate(body []byte) (*IndexUpdate, *Error) {
	u := &IndexUpdate{}
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	fields := []Field{
		{Name: "primaryKey", Code: CodeInvalidIndexPrimaryKey, Decode: IntoOptional(&u.PrimaryKey, ReadString)},
		{Name: "uid", Code: CodeInvalidIndexUID, Decode: IntoOptional(&u.UID, ReadString)},
	}
	immutable := map[string]Code{"createdAt": CodeImmutableIndexCreatedAt, "updatedAt": CodeImmutableIndexUpdatedAt}
	if err := DecodeObjectWith(&v, BodyRoot(CodeBadRequest), fields, immutableOr(immutable, fields)); err != nil {
		return nil, err
	}
	if u.UID != nil {
		if err := CheckIndexUID(*u.UID); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// immutableOr refuses members of a body that exist but cannot be changed, and unknown ones.
func immutableOr(immutable map[string]Code, fields []Field) func(key string) *Error {
	return func(key string) *Error {
		accepted := FieldNames(fields)
		if code, known := immutable[key]; known {
			return newError(code, "Immutable field `"+key+"`: "+expectedOneOf(accepted))
		}
		return BodyRoot(CodeBadRequest).UnknownField(key, accepted)
	}
}

// Page is a part of a list.
type Page struct{ Offset, Limit int }

// DecodePage decodes the query string of a list; the codes are those of the two parameters.
// Errors: these codes, bad_request.
func DecodePage(rawQuery string, codeOffset, codeLimit Code) (Page, *Error) {
	p := Page{Limit: defaultPageLimit}
	err := DecodeParams(rawQuery, []Field{
		{Name: "offset", Code: codeOffset, Decode: Into(&p.Offset, ReadParamInt)},
		{Name: "limit", Code: codeLimit, Decode: Into(&p.Limit, ReadParamInt)},
	})
	return p, err
}

// Of is the part of a list of n elements the page shows, as a half-open range.
func (p Page) Of(n int) (from, to int) {
	from = min(p.Offset, n)
	return from, min(from+min(p.Limit, FarEnd), n)
}

// Swap is one pair of POST /swap-indexes.
type Swap struct {
	Indexes [2]string `json:"indexes"`
	Rename  bool      `json:"rename"`
}

// DecodeSwap decodes the body of POST /swap-indexes. Errors: invalid_swap_indexes, invalid_swap_rename,
// missing_swap_indexes, bad_request. See CheckSwaps for what Meilisearch checks after authorization.
func DecodeSwap(body []byte) ([]Swap, *Error) {
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	given, err := ReadList(readSwap)(&v, BodyRoot(CodeBadRequest))
	if err != nil {
		return nil, err
	}
	swaps := make([]Swap, len(given))
	for i, g := range given {
		if len(g.indexes) != 2 {
			return nil, newError(CodeInvalidSwapIndexes, fmt.Sprintf("Two indexes must be given for each swap. The list `%s` contains %d indexes.", rustList(g.indexes), len(g.indexes)))
		}
		swaps[i] = Swap{Indexes: [2]string{g.indexes[0], g.indexes[1]}, Rename: g.rename}
	}
	return swaps, nil
}

type givenSwap struct {
	indexes []string
	rename  bool
}

func readSwap(v *Value, at *Location) (s givenSwap, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "indexes", Code: CodeInvalidSwapIndexes, Required: true, Missing: CodeMissingSwapIndexes, Decode: Into(&s.indexes, ReadList(readIndexUID))},
		{Name: "rename", Code: CodeInvalidSwapRename, Decode: Into(&s.rename, ReadBool)},
	})
	return s, err
}

// CheckSwaps refuses an index that is named twice. Error: invalid_swap_duplicate_index_found.
func CheckSwaps(swaps []Swap) *Error {
	seen, twice := map[string]bool{}, []string{}
	for _, swap := range swaps {
		for _, uid := range swap.Indexes {
			if seen[uid] && !slices.Contains(twice, uid) {
				twice = append(twice, uid)
			}
			seen[uid] = true
		}
	}
	slices.Sort(twice)
	const start = "Indexes must be declared only once during a swap. `"
	switch len(twice) {
	case 0:
		return nil
	case 1:
		return newError(CodeInvalidSwapDuplicateIndexFound, start+twice[0]+"` was specified several times.")
	}
	return newError(CodeInvalidSwapDuplicateIndexFound, start+strings.Join(twice, "`, `")+"` were specified several times.")
}

// SwapsNotFound is the error a swap task fails with when indexes do not exist, nil for none.
func SwapsNotFound(uids []string) *Error {
	switch len(uids) {
	case 0:
		return nil
	case 1:
		return IndexNotFound(uids[0])
	}
	return newError(CodeIndexNotFound, "Indexes `"+strings.Join(slices.Sorted(slices.Values(uids)), "`, `")+"` not found.")
}

// SwapsFound is the error a swap task fails with when renames meet indexes that exist, nil for none. Each pair is the
// index to be renamed and the name that is taken.
func SwapsFound(renames [][2]string) *Error {
	if len(renames) == 1 {
		from, to := renames[0][0], renames[0][1]
		return newError(CodeIndexAlreadyExists, "Cannot rename `"+from+"` to `"+to+"` as the index already exists. Hint: You can remove `"+to+"` first and then do your remove.")
	}
	if len(renames) == 0 {
		return nil
	}
	// One server keeps the pairs in order and names where they would go.
	sorted := slices.SortedFunc(slices.Values(renames), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var names []string
	for _, rename := range sorted {
		names = append(names, "`"+rename[1]+"`")
	}
	return newError(CodeIndexAlreadyExists, "The following indexes are being renamed but cannot because their new name conflicts with an already existing index: "+strings.Join(names, ", ")+". Renaming doesn't overwrite the other index name.")
}

// FieldsQuery is the body of POST /indexes/{uid}/fields.
type FieldsQuery struct {
	Offset int           `json:"offset"`
	Limit  int           `json:"limit"`
	Filter *FieldsFilter `json:"filter,omitempty"`
}

// FieldsFilter keeps the fields that have all given properties.
type FieldsFilter struct {
	AttributePatterns *[]string `json:"attributePatterns,omitempty"`
	Displayed         *bool     `json:"displayed,omitempty"`
	Searchable        *bool     `json:"searchable,omitempty"`
	Sortable          *bool     `json:"sortable,omitempty"`
	Distinct          *bool     `json:"distinct,omitempty"`
	RankingRule       *bool     `json:"rankingRule,omitempty"`
	Filterable        *bool     `json:"filterable,omitempty"`
}

// DecodeFields decodes the body of POST /indexes/{uid}/fields. Errors: invalid_index_offset, invalid_index_limit,
// invalid_index_fields_filter*, bad_request.
func DecodeFields(body []byte) (*FieldsQuery, *Error) {
	q := &FieldsQuery{Limit: defaultPageLimit}
	err := DecodeBody(body, []Field{
		{Name: "offset", Code: CodeInvalidIndexOffset, Decode: Into(&q.Offset, ReadInt)},
		{Name: "limit", Code: CodeInvalidIndexLimit, Decode: Into(&q.Limit, ReadInt)},
		{Name: "filter", Code: CodeInvalidIndexFieldsFilter, Decode: IntoOptional(&q.Filter, readFieldsFilter)},
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

func readFieldsFilter(v *Value, at *Location) (f FieldsFilter, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "attributePatterns", Code: CodeInvalidIndexFieldsFilterAttributePatterns, Decode: IntoOptional(&f.AttributePatterns, ReadStrings)},
		{Name: "displayed", Code: CodeInvalidIndexFieldsFilterDisplayed, Decode: IntoOptional(&f.Displayed, ReadBool)},
		{Name: "searchable", Code: CodeInvalidIndexFieldsFilterSearchable, Decode: IntoOptional(&f.Searchable, ReadBool)},
		{Name: "sortable", Code: CodeInvalidIndexFieldsFilterSortable, Decode: IntoOptional(&f.Sortable, ReadBool)},
		{Name: "distinct", Code: CodeInvalidIndexFieldsFilterDistinct, Decode: IntoOptional(&f.Distinct, ReadBool)},
		{Name: "rankingRule", Code: CodeInvalidIndexFieldsFilterRankingRule, Decode: IntoOptional(&f.RankingRule, ReadBool)},
		{Name: "filterable", Code: CodeInvalidIndexFieldsFilterFilterable, Decode: IntoOptional(&f.Filterable, ReadBool)},
	})
	return f, err
}

// StatsQuery is the query string of the stats routes.
type StatsQuery struct {
	ShowInternalDatabaseSizes bool
	Human                     bool // sizes as text with a unit
}

// DecodeStatsParams decodes the query string of the stats routes. Errors: invalid_stats_*, bad_request.
func DecodeStatsParams(rawQuery string) (*StatsQuery, *Error) {
	q := &StatsQuery{}
	var format string
	err := DecodeParams(rawQuery, []Field{
		{Name: "showInternalDatabaseSizes", Code: CodeInvalidStatsShowInternalDatabaseSizes, Decode: Into(&q.ShowInternalDatabaseSizes, ReadParamBool)},
		{Name: "sizeFormat", Code: CodeInvalidStatsSizeFormat, Decode: Into(&format, ReadEnum("human", "raw"))},
	})
	if err != nil {
		return nil, err
	}
	q.Human = format == "human"
	return q, nil
}
