package meili

import (
	"encoding/json"
	"testing"
	"time"
)

func TestFormatDuration(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	f(0, "PT0S")
	f(9330*time.Microsecond, "PT0.009330S")
	f(1500*time.Millisecond, "PT1.500S")
	f(time.Minute+time.Nanosecond, "PT60.000000001S")
	f(24*time.Hour, "P1D")
	f(49*time.Hour+time.Second, "P2DT3601S")
	f(-time.Second, "")
}

func TestTaskViewJSON(t *testing.T) {
	start := time.Date(2026, 11, 23, 9, 12, 29, 526_221_800, time.UTC)
	end := start.Add(479_600_492)
	uid, index, meta := uint32(3), "movies", "<m>"
	f := func(view any, want string) {
		t.Helper()
		if got, err := json.Marshal(view); err != nil || string(got) != want {
			t.Errorf("\n got %s %v\nwant %s", got, err, want)
		}
	}
	details := TaskDetails{ReceivedDocuments: new(uint64), IndexedDocuments: NotCounted()}
	f(TaskView{UID: 4, Status: TaskEnqueued, Kind: TaskDocumentAdditionOrUpdate, IndexUID: &index, EnqueuedAt: start, Details: details.JSON()},
		`{"uid":4,"batchUid":null,"indexUid":"movies","status":"enqueued","type":"documentAdditionOrUpdate","canceledBy":null,`+
			`"details":{"receivedDocuments":0,"indexedDocuments":null},"error":null,"duration":null,"enqueuedAt":"2026-11-23T09:12:29.5262218Z","startedAt":null,"finishedAt":null}`)
	failed := TaskView{UID: 5, BatchUID: &uid, Status: TaskFailed, Kind: TaskIndexSwap, EnqueuedAt: start, StartedAt: &start, FinishedAt: &end,
		Error: IndexNotFound("x"), CustomMetadata: &meta}
	f(failed, `{"uid":5,"batchUid":3,"indexUid":null,"status":"failed","type":"indexSwap","canceledBy":null,`+
		`"error":{"message":"Index `+"`x`"+` not found.","code":"index_not_found","type":"invalid_request","link":"https://docs.meilisearch.com/errors#index_not_found"},`+
		`"duration":"PT0.479600492S","enqueuedAt":"2026-11-23T09:12:29.5262218Z","startedAt":"2026-11-23T09:12:29.5262218Z","finishedAt":"2026-11-23T09:12:30.005822292Z","customMetadata":"\u003cm\u003e"}`)
	f(failed.Summary(), `{"taskUid":5,"indexUid":null,"status":"failed","type":"indexSwap","enqueuedAt":"2026-11-23T09:12:29.5262218Z","customMetadata":"\u003cm\u003e"}`)
	var back TaskView
	if text, _ := json.Marshal(failed); json.Unmarshal(text, &back) != nil || back.UID != 5 || !back.FinishedAt.Equal(end) || back.Error.Code != CodeIndexNotFound {
		t.Errorf("%+v", back)
	}
}

func TestTaskDetailsJSON(t *testing.T) {
	f := func(d TaskDetails, want string) {
		t.Helper()
		if got := string(d.JSON()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	n := uint64(2)
	f(TaskDetails{}, `{}`)
	f(TaskDetails{ProvidedIDs: &n, DeletedDocuments: CountOf(0), OriginalFilter: ResetTo[string]()}, `{"providedIds":2,"deletedDocuments":0,"originalFilter":null}`)
	f(TaskDetails{MatchedTasks: &n, CanceledTasks: CountOf(1), OriginalFilter: SetTo(OriginalFilter("uids=1&x=<"))}, `{"matchedTasks":2,"canceledTasks":1,"originalFilter":"?uids=1&x=<"}`)
	f(TaskDetails{Swaps: []TaskSwap{{Indexes: [2]string{"a", "b"}}}}, `{"swaps":[{"indexes":["a","b"],"rename":false}]}`)
	f(TaskDetails{PrimaryKey: ResetTo[string]()}, `{"primaryKey":null}`)
}

func TestTaskQueryErrors(t *testing.T) {
	f := func(query string, code Code, message string) {
		t.Helper()
		_, err := DecodeTaskQuery(query)
		if err == nil || err.Code != code || err.Message != message {
			t.Errorf("%s: %+v", query, err)
		}
	}
	f("limit=-1", CodeInvalidTaskLimit, "Invalid value in parameter `limit`: could not parse `-1` as a positive integer")
	f("limit=4294967296", CodeInvalidTaskLimit, "Invalid value in parameter `limit`: could not parse `4294967296` as a positive integer")
	f("uids=1,a", CodeInvalidTaskUIDs, "Invalid value in parameter `uids[1]`: could not parse `a` as a positive integer")
	f("uids=*,a", CodeInvalidTaskUIDs, "Invalid value in parameter `uids[1]`: could not parse `a` as a positive integer")
	f("reverse=TRUE", CodeInvalidTaskReverse, "Invalid value in parameter `reverse`: could not parse `TRUE` as a boolean, expected either `true` or `false`")
	f("statuses=nope", CodeInvalidTaskStatuses, "Invalid value in parameter `statuses`: `nope` is not a valid task status. Available statuses are `enqueued`, `processing`, `succeeded`, `failed`, `canceled`.")
	f("afterEnqueuedAt=2024-1-1", CodeInvalidTaskAfterEnqueuedAt, "Invalid value in parameter `afterEnqueuedAt`: `2024-1-1` is an invalid date-time. It should follow the YYYY-MM-DD or RFC 3339 date-time format.")
	f("uid=1", CodeBadRequest, "Unknown parameter `uid`: expected one of `limit`, `from`, `reverse`, `batchUids`, `uids`, `canceledBy`, `types`, `statuses`, `indexUids`, "+
		"`afterEnqueuedAt`, `beforeEnqueuedAt`, `afterStartedAt`, `beforeStartedAt`, `afterFinishedAt`, `beforeFinishedAt`")
	for _, verb := range []string{TaskFilterCancel, TaskFilterDelete} {
		if _, err := DecodeTaskFilter("", verb); err == nil || err.Code != CodeMissingTaskFilters {
			t.Error(err)
		}
		if q, err := DecodeTaskFilter("uids=*", verb); err != nil || !q.Matches(&TaskView{}) {
			t.Error("a star must match everything", err)
		}
	}
}

func TestTaskQueryMatches(t *testing.T) {
	day := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	index, one := "movies", uint32(1)
	task := TaskView{UID: 7, BatchUID: &one, IndexUID: &index, Status: TaskSucceeded, Kind: TaskSettingsUpdate, EnqueuedAt: day.Add(time.Hour), StartedAt: &day}
	f := func(query string, want bool) {
		t.Helper()
		q, err := DecodeTaskQuery(query)
		if err != nil || q.Matches(&task) != want {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
	}
	f("", true)
	f("uids=6,7", true)
	f("uids=", false)
	f("uids=6,*", true)
	f("batchUids=1&statuses=SUCCEEDED,failed&types=settingsupdate&indexUids=a,movies", true)
	f("canceledBy=1", false)
	f("statuses=failed", false)
	f("afterEnqueuedAt=2024-05-01", false) // from the next midnight on
	f("afterEnqueuedAt=2024-04-30", true)
	f("beforeEnqueuedAt=2024-05-01", false)
	f("afterEnqueuedAt=2024-05-01T01:00:00Z", false) // exclusive
	f("beforeEnqueuedAt=2024-05-01T03:00:00.5%2B01:00", true)
	f("beforeStartedAt=*", true)
	f("beforeFinishedAt=2030-01-01", false)
	swap := TaskView{Kind: TaskIndexSwap}
	if q, _ := DecodeTaskQuery("indexUids=movies"); q.Matches(&swap) {
		t.Error("global tasks are of no index")
	}
	q, _ := DecodeTaskQuery("from=5")
	if q.Limit != 20 || !q.InPage(5) || q.InPage(6) {
		t.Error(q)
	}
	if q, _ = DecodeTaskQuery("from=5&reverse=true&limit=0"); q.Limit != 0 || q.InPage(4) || !q.InPage(6) {
		t.Error(q)
	}
}

func TestBatchStrategy(t *testing.T) {
	for kind, want := range map[TaskKind]string{
		TaskIndexDeletion:    "stopped after task with id 7 because it deletes the index",
		TaskSettingsUpdate:   "batched all enqueued tasks",
		TaskDSRClear:         "batched all enqueued tasks",
		TaskTaskDeletion:     "stopped after the last task of type `taskDeletion` because they cannot be batched with tasks of any other type.",
		TaskSnapshotCreation: "stopped after the last task of type `snapshotCreation` because they cannot be batched with tasks of any other type.",
		TaskIndexSwap:        "created batch containing only task with id 7 of type `indexSwap` that cannot be batched with any other task.",
	} {
		if got := BatchStrategy(kind, 7); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
}
