package meili

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// TaskQuery says which tasks a request is about. A nil list or time does not restrict, an empty list matches nothing;
// lists are ORed inside and ANDed with each other. Time bounds are exclusive.
type TaskQuery struct {
	Limit   uint32  // of GET only; 20 by default
	From    *uint32 // of GET only: where the page starts, inclusive
	Reverse bool    // of GET only: oldest first

	UIDs, BatchUIDs, CanceledBy       []uint32
	Statuses                          []TaskStatus
	Types                             []TaskKind
	IndexUIDs                         []string
	AfterEnqueuedAt, BeforeEnqueuedAt *time.Time
	AfterStartedAt, BeforeStartedAt   *time.Time
	AfterFinishedAt, BeforeFinishedAt *time.Time
}

// The two verbs of requests that take a filter of tasks, as their error messages spell them.
const (
	TaskFilterCancel = "cancel"
	TaskFilterDelete = "delete"
)

// DecodeTaskQuery decodes the query string of GET /tasks and GET /batches.
// Errors: invalid_task_*, invalid_batch_uids, invalid_index_uid, bad_request.
func DecodeTaskQuery(rawQuery string) (*TaskQuery, *Error) {
	q := &TaskQuery{Limit: 20}
	reverse := false
	fields := append([]Field{
		{Name: "limit", Code: CodeInvalidTaskLimit, Decode: Into(&q.Limit, readParamUint32)},
		{Name: "from", Code: CodeInvalidTaskFrom, Decode: IntoPresent(&q.From, readParamUint32)},
		{Name: "reverse", Code: CodeInvalidTaskReverse, Decode: Into(&reverse, ReadParamBool)},
		{Name: "batchUids", Code: CodeInvalidBatchUIDs, Decode: intoUint32s(&q.BatchUIDs)},
		{Name: "uids", Code: CodeInvalidTaskUIDs, Decode: intoUint32s(&q.UIDs)},
	}, q.filterFields()...)
	if err := DecodeParams(rawQuery, fields); err != nil {
		return nil, err
	}
	q.Reverse = reverse
	return q, nil
}

// DecodeTaskFilter decodes the query string of POST /tasks/cancel and DELETE /tasks; verb is TaskFilterCancel or
// TaskFilterDelete. A star counts as a filter that matches everything. Errors: those of DecodeTaskQuery, missing_task_filters.
func DecodeTaskFilter(rawQuery, verb string) (*TaskQuery, *Error) {
	q := &TaskQuery{}
	given := 0
	fields := append([]Field{
		{Name: "uids", Code: CodeInvalidTaskUIDs, Decode: intoUint32s(&q.UIDs)},
		{Name: "batchUids", Code: CodeInvalidBatchUIDs, Decode: intoUint32s(&q.BatchUIDs)},
	}, q.filterFields()...)
	for i := range fields {
		decode := fields[i].Decode
		fields[i].Decode = func(v *Value, at *Location) *Error {
			given++
			return decode(v, at)
		}
	}
	if err := DecodeParams(rawQuery, fields); err != nil {
		return nil, err
	}
	if given == 0 {
		return nil, newError(CodeMissingTaskFilters, "Query parameters to filter the tasks to "+verb+" are missing. Available query parameters are: "+
			"`uids`, `indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`, `afterEnqueuedAt`, `beforeStartedAt`, `afterStartedAt`, "+
			"`beforeFinishedAt`, `afterFinishedAt`.")
	}
	return q, nil
}

// OriginalFilter is what the details of a cancelation or deletion say about its filter.
func OriginalFilter(rawQuery string) string { return "?" + rawQuery }

// filterFields are the parameters every route about tasks shares, in Meilisearch's order.
func (q *TaskQuery) filterFields() []Field {
	return []Field{
		{Name: "canceledBy", Code: CodeInvalidTaskCanceledBy, Decode: intoUint32s(&q.CanceledBy)},
		{Name: "types", Code: CodeInvalidTaskTypes, Decode: intoStarList(&q.Types, readTaskKind)},
		{Name: "statuses", Code: CodeInvalidTaskStatuses, Decode: intoStarList(&q.Statuses, readTaskStatus)},
		{Name: "indexUids", Code: CodeInvalidIndexUID, Decode: intoStarList(&q.IndexUIDs, readListedIndexUID)},
		{Name: "afterEnqueuedAt", Code: CodeInvalidTaskAfterEnqueuedAt, Decode: intoTaskDate(&q.AfterEnqueuedAt, true)},
		{Name: "beforeEnqueuedAt", Code: CodeInvalidTaskBeforeEnqueuedAt, Decode: intoTaskDate(&q.BeforeEnqueuedAt, false)},
		{Name: "afterStartedAt", Code: CodeInvalidTaskAfterStartedAt, Decode: intoTaskDate(&q.AfterStartedAt, true)},
		{Name: "beforeStartedAt", Code: CodeInvalidTaskBeforeStartedAt, Decode: intoTaskDate(&q.BeforeStartedAt, false)},
		{Name: "afterFinishedAt", Code: CodeInvalidTaskAfterFinishedAt, Decode: intoTaskDate(&q.AfterFinishedAt, true)},
		{Name: "beforeFinishedAt", Code: CodeInvalidTaskBeforeFinishedAt, Decode: intoTaskDate(&q.BeforeFinishedAt, false)},
	}
}

func parseUint32(text string) (uint32, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 32)
	return uint32(n), err == nil
}

func readUint32(text string, at *Location) (uint32, *Error) {
	n, ok := parseUint32(text)
	if !ok {
		return 0, at.Invalid("could not parse `" + text + "` as a positive integer")
	}
	return n, nil
}

func readParamUint32(v *Value, at *Location) (uint32, *Error) {
	text, err := ReadString(v, at)
	if err != nil {
		return 0, err
	}
	return readUint32(text, at)
}

func readTaskKind(text string, at *Location) (TaskKind, *Error) {
	kind, ok := parseTaskKind(text)
	if !ok {
		return "", at.Invalid("`" + text + "` is not a valid task type. Available types are " + listNames(TaskKinds) + ".")
	}
	return kind, nil
}

func readTaskStatus(text string, at *Location) (TaskStatus, *Error) {
	status, ok := parseTaskStatus(text)
	if !ok {
		return "", at.Invalid("`" + text + "` is not a valid task status. Available statuses are " + listNames(TaskStatuses) + ".")
	}
	return status, nil
}

func readListedIndexUID(text string, at *Location) (string, *Error) {
	if !isIndexUID(text) {
		return "", at.Invalid(indexUIDMessage(text))
	}
	return text, nil
}

func listNames[T ~string](names []T) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "`" + string(name) + "`"
	}
	return strings.Join(quoted, ", ")
}

func intoUint32s(dst *[]uint32) Decode { return intoStarList(dst, readUint32) }

// intoStarList stores a comma-separated list, nil when one of its elements is a star. Elements of lists of several are
// numbered in errors.
func intoStarList[T any](dst *[]T, read func(text string, at *Location) (T, *Error)) Decode {
	return func(v *Value, at *Location) *Error {
		texts, err := ReadParamList(v, at)
		if err != nil {
			return err
		}
		list, star := []T{}, false
		for i, text := range texts {
			if text == "*" {
				star = true
				continue
			}
			place := at
			if len(texts) > 1 {
				place = at.Item(i)
			}
			element, err := read(text, place)
			if err != nil {
				return err
			}
			list = append(list, element)
		}
		if star {
			list = nil
		}
		*dst = list
		return nil
	}
}

// intoTaskDate stores a bound, nil for a star. A date without time means its midnight, or the next one for a lower bound.
func intoTaskDate(dst **time.Time, after bool) Decode {
	return func(v *Value, at *Location) *Error {
		text, err := ReadString(v, at)
		if err != nil || text == "*" {
			return err
		}
		t, ok := parseRFC3339(text)
		if !ok {
			if t, ok = parseDate(text); !ok {
				return at.Invalid("`" + text + "` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format.")
			}
			if after {
				t = t.AddDate(0, 0, 1)
			}
		}
		*dst = &t
		return nil
	}
}

// Matches reports whether q is about t. Limit, From and Reverse play no part.
func (q *TaskQuery) Matches(t *TaskView) bool {
	return (q.UIDs == nil || slices.Contains(q.UIDs, t.UID)) &&
		containsPointed(q.BatchUIDs, t.BatchUID) &&
		containsPointed(q.CanceledBy, t.CanceledBy) &&
		(q.Statuses == nil || slices.Contains(q.Statuses, t.Status)) &&
		(q.Types == nil || slices.Contains(q.Types, t.Kind)) &&
		(q.IndexUIDs == nil || !t.Kind.IsGlobal() && containsPointed(q.IndexUIDs, t.IndexUID)) &&
		within(&t.EnqueuedAt, q.AfterEnqueuedAt, q.BeforeEnqueuedAt) &&
		within(t.StartedAt, q.AfterStartedAt, q.BeforeStartedAt) &&
		within(t.FinishedAt, q.AfterFinishedAt, q.BeforeFinishedAt)
}

// containsPointed reports whether a list that restricts holds the value pointed at.
func containsPointed[T comparable](list []T, value *T) bool {
	return list == nil || value != nil && slices.Contains(list, *value)
}

func within(t, after, before *time.Time) bool {
	if after == nil && before == nil {
		return true
	}
	return t != nil && (after == nil || t.After(*after)) && (before == nil || t.Before(*before))
}

// InPage reports whether a task of this uid is on the page that starts at From or a later one.
func (q *TaskQuery) InPage(uid uint32) bool {
	return q.From == nil || q.Reverse && uid >= *q.From || !q.Reverse && uid <= *q.From
}
