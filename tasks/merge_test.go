package tasks

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// report is one node's share: what it says, "" for no answer.
func report(id, status string, shards []fsm.ShardID, details string) Report {
	r := Report{NodeTask: fsm.NodeTask{Node: fsm.NodeID(id), UID: 1, Shards: shards}, InSync: true}
	if status == "" {
		return r
	}
	r.Task = &node.Task{UID: 1, Status: status, Details: json.RawMessage(details), Error: json.RawMessage("null")}
	if status == fsm.StatusFailed {
		r.Task.Error = json.RawMessage(`{"message":"Index ` + "`m__1`" + `: bad","code":"invalid_document_id","type":"invalid_request","link":""}`)
	}
	return r
}

func shards(ids ...fsm.ShardID) []fsm.ShardID { return ids }

func TestMerge(t *testing.T) {
	const done, bad, gone, busy, none = fsm.StatusSucceeded, fsm.StatusFailed, fsm.StatusCanceled, fsm.StatusProcessing, ""
	documents, settings, deletion := string(meili.TaskDocumentAdditionOrUpdate), string(meili.TaskSettingsUpdate), string(meili.TaskIndexDeletion)
	outOfSync := func(r Report) Report { r.InSync = false; return r }
	heir := func(r Report) Report { r.Inherited = true; return r }
	unsynced := func(r Report, shards ...fsm.ShardID) Report { r.Unsynced = shards; return r }
	down := func(r Report) Report { r.Down = true; return r }
	missing := func(r Report) Report { r.Missing = true; return r }
	for name, test := range map[string]struct {
		kind         string
		reports      []Report
		status       string // "" open
		failed, undo string
	}{
		"all done":                             {documents, []Report{report("a", done, nil, ""), report("b", done, nil, "")}, done, "[]", "[]"},
		"one still busy":                       {documents, []Report{report("a", done, nil, ""), report("b", busy, nil, "")}, "", "[]", "[]"},
		"one has not answered":                 {documents, []Report{report("a", done, nil, ""), report("b", none, nil, "")}, "", "[]", "[]"},
		"a stale replica is not waited for":    {documents, []Report{report("a", done, nil, ""), outOfSync(report("b", busy, nil, ""))}, done, "[]", "[]"},
		"a dead node others vouch for":         {documents, []Report{report("a", done, nil, ""), down(report("b", none, nil, ""))}, done, "[b]", "[]"},
		"a dead node nobody vouches for":       {documents, []Report{report("a", done, shards(0), ""), down(report("b", none, shards(1), ""))}, "", "[]", "[]"},
		"a task the node has forgotten":        {documents, []Report{report("a", done, nil, ""), missing(report("b", none, nil, ""))}, done, "[b]", "[]"},
		"a dead node with an heir":             {documents, []Report{report("a", done, shards(0), ""), down(heir(report("b", none, shards(1), "")))}, done, "[b]", "[]"},
		"the only node is lost, with an heir":  {documents, []Report{down(heir(outOfSync(report("b", none, nil, ""))))}, done, "[b]", "[]"},
		"the only node is lost":                {documents, []Report{down(outOfSync(report("b", none, nil, "")))}, bad, "[b]", "[]"},
		"an heir of what failed":               {documents, []Report{heir(report("b", bad, nil, ""))}, bad, "[]", "[]"},
		"settings have no heir":                {settings, []Report{down(heir(report("b", none, nil, "")))}, "", "[]", "[]"},
		"failed everywhere":                    {documents, []Report{report("a", bad, nil, ""), report("b", bad, nil, "")}, bad, "[]", "[]"},
		"failed on one replica":                {documents, []Report{report("a", bad, nil, ""), report("b", done, nil, "")}, done, "[a]", "[]"},
		"canceled on one replica":              {documents, []Report{report("a", gone, nil, ""), report("b", done, nil, "")}, done, "[a]", "[]"},
		"canceled everywhere":                  {documents, []Report{report("a", gone, nil, ""), report("b", gone, nil, "")}, gone, "[]", "[]"},
		"failed on every replica of one shard": {documents, []Report{report("a", bad, shards(0), ""), report("b", done, shards(1), "")}, bad, "[]", "[]"},
		"done out of sync, failed in sync":     {documents, []Report{report("a", bad, shards(0), ""), unsynced(report("b", done, shards(0, 1), ""), 0)}, bad, "[]", "[]"},
		"failed out of sync, done in sync":     {documents, []Report{unsynced(report("a", bad, shards(0, 1), ""), 0, 1), report("b", done, shards(0), ""), report("c", done, shards(1), "")}, done, "[a]", "[]"},
		"settings refused by one":              {settings, []Report{report("a", bad, nil, ""), report("b", done, nil, "")}, bad, "[]", "[b]"},
		"settings refused by all":              {settings, []Report{report("a", bad, nil, ""), report("b", bad, nil, "")}, bad, "[]", "[]"},
		"deletion that one of two parts did":   {deletion, []Report{report("a", bad, shards(0), ""), report("b", done, shards(1), "")}, done, "[a]", "[]"},
		"deletion with a dead part":            {deletion, []Report{report("a", done, shards(0), ""), down(report("b", none, shards(1), ""))}, done, "[b]", "[]"},
		"deletion with a busy part":            {deletion, []Report{report("a", done, shards(0), ""), report("b", busy, shards(1), "")}, "", "[]", "[]"},
		"deletion that waits out of sync":      {deletion, []Report{report("a", done, nil, ""), outOfSync(report("b", busy, nil, ""))}, done, "[b]", "[]"},
		"deletion that nobody did":             {deletion, []Report{report("a", bad, shards(0), ""), report("b", gone, shards(1), "")}, bad, "[]", "[]"},
		"deletion refused by one":              {deletion, []Report{report("a", bad, nil, ""), report("b", done, nil, "")}, done, "[a]", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			uid := "m"
			task := &fsm.Task{Kind: test.kind, IndexUID: &uid, Details: json.RawMessage(`{"indexedDocuments":null}`)}
			got := Merge(task, test.reports, "m__1")
			if got.Status != test.status || fmt.Sprint(got.FailedNodes) != test.failed || fmt.Sprint(got.Undo) != test.undo {
				t.Errorf("got %q, failed %v, undo %v; want %q, %s, %s", got.Status, got.FailedNodes, got.Undo, test.status, test.failed, test.undo)
			}
			if test.status == bad && !slices.Contains([]string{string(lostError()), `{"message":"Index ` + "`m`" + `: bad","code":"invalid_document_id","type":"invalid_request","link":""}`}, string(got.Error)) {
				t.Errorf("error: %s", got.Error)
			}
		})
	}
}

// The error of a failed task is that of a node in sync. Red when another's is told, which lacks the index that is to be filled.
func TestErrorOfANodeInSync(t *testing.T) {
	behind, current := report("a", fsm.StatusFailed, nil, ""), report("b", fsm.StatusFailed, nil, "")
	behind.InSync = false
	behind.Task.Error = json.RawMessage(`{"message":"","code":"index_not_found","type":"invalid_request","link":""}`)
	got := Merge(&fsm.Task{Kind: "documentDeletion"}, []Report{behind, current}, "m")
	if code, _ := meili.Get(got.Error, "code"); string(code) != `"invalid_document_id"` {
		t.Errorf("error %s", got.Error)
	}
	if got = Merge(&fsm.Task{Kind: "documentDeletion"}, []Report{behind}, "m"); string(got.Error) != string(behind.Task.Error) {
		t.Errorf("nobody is in sync: error %s", got.Error)
	}
}

// A node runs the client's function behind text of Miroir's, and tells positions in that; it may tell of a document too.
func TestMessagesOfEditionsAreTheClients(t *testing.T) {
	r := report("a", fsm.StatusFailed, nil, "")
	r.Task.Error = json.RawMessage(`{"message":"boom (line 1, position 55)\nin f (line 2, position 60), (line 1, position 9) {\"A\":1,\"_miroir_order\":\"x\",\"_miroir_shard\":\"y\"} {\"_miroir_shard\":\"y\",\"a\":1}","code":"internal","type":"internal","link":""}`)
	got := Merge(&fsm.Task{Kind: "documentEdition", Details: WithNote(nil, Note{FunctionAt: 50})}, []Report{r}, "m")
	const want = `{"message":"boom (line 1, position 5)\nin f (line 2, position 60), (line 1, position 9) {\"A\":1} {\"a\":1}","code":"internal","type":"internal","link":""}`
	if string(got.Error) != want {
		t.Errorf("got %s", got.Error)
	}
}

func TestDeletionOfAnIndexThatIsNotThereHasSucceeded(t *testing.T) {
	r := report("a", fsm.StatusFailed, nil, `{"deletedDocuments":0}`)
	r.Task.Error = json.RawMessage(`{"message":"","code":"index_not_found","type":"invalid_request","link":""}`)
	if got := Merge(&fsm.Task{Kind: "indexDeletion"}, []Report{r}, "m"); got.Status != fsm.StatusSucceeded {
		t.Errorf("status %q", got.Status)
	}
}

func TestRefusedBatchThatCreatesItsIndexFailsAfterwards(t *testing.T) {
	note := Note{Error: json.RawMessage(`{"code":"missing_document_id"}`)}
	task := &fsm.Task{Kind: "documentAdditionOrUpdate", Details: WithNote(json.RawMessage(`{"receivedDocuments":2,"indexedDocuments":null}`), note)}
	got := Merge(task, []Report{report("a", fsm.StatusSucceeded, nil, "")}, "m")
	if got.Status != fsm.StatusFailed || !got.IndexExists || string(got.Error) != string(note.Error) ||
		string(got.Details) != `{"receivedDocuments":2,"indexedDocuments":0}` {
		t.Errorf("got %+v, details %s", got, got.Details)
	}
}

func TestIndexStaysThatAFailedTaskOnlyCreated(t *testing.T) {
	task := &fsm.Task{Kind: "documentAdditionOrUpdate", Effect: fsm.Effect{CreateIndex: true}}
	of := func(node, kind, status string, shard fsm.ShardID) Report {
		r := report(node, status, shards(shard), "")
		r.Task.Type = kind
		return r
	}
	refused, created := of("a", "documentAdditionOrUpdate", fsm.StatusFailed, 0), of("b", "settingsUpdate", fsm.StatusSucceeded, 1)
	if got := Merge(task, []Report{refused, created}, "m"); got.Status != fsm.StatusFailed || !got.IndexExists {
		t.Errorf("no node has documents: %+v", got)
	}
	if got := Merge(&fsm.Task{Kind: task.Kind}, []Report{refused}, "m"); got.IndexExists {
		t.Errorf("the index was there: %+v", got)
	}
	some := []Report{refused, of("b", "documentAdditionOrUpdate", fsm.StatusSucceeded, 1)}
	if got := Merge(task, some, "m"); got.Status != fsm.StatusFailed || got.IndexExists {
		t.Errorf("a node has documents: %+v", got)
	}
}

func TestCountsAreOncePerDocument(t *testing.T) {
	distinct := uint64(5)
	counted := func(n int) string { return fmt.Sprintf(`{"deletedDocuments":%d,"indexedDocuments":%d}`, n, n) }
	for name, test := range map[string]struct {
		details string
		note    Note
		reports []Report
		want    string
	}{
		"two whole copies":         {`{"deletedDocuments":null}`, Note{}, []Report{report("a", "succeeded", nil, counted(7)), report("b", "succeeded", nil, counted(7))}, `{"deletedDocuments":7}`},
		"disjoint shards":          {`{"deletedDocuments":null}`, Note{}, []Report{report("a", "succeeded", shards(0), counted(3)), report("b", "succeeded", shards(1), counted(4))}, `{"deletedDocuments":7}`},
		"two groups, one disjoint": {`{"deletedDocuments":null}`, Note{}, []Report{report("a", "succeeded", shards(0), counted(3)), report("b", "succeeded", shards(1), counted(4)), report("c", "succeeded", shards(0, 1), counted(7))}, `{"deletedDocuments":7}`},
		"overlapping replicas":     {`{"deletedDocuments":null}`, Note{}, []Report{report("a", "succeeded", shards(0, 1), counted(3)), report("b", "succeeded", shards(1, 2), counted(5)), report("c", "succeeded", shards(2, 0), counted(4))}, `{"deletedDocuments":6}`},
		"distinct ids are known":   {`{"receivedDocuments":6,"indexedDocuments":null}`, Note{DistinctIDs: &distinct}, []Report{report("a", "succeeded", nil, counted(9))}, `{"receivedDocuments":6,"indexedDocuments":5}`},
		"nothing when it failed":   {`{"receivedDocuments":6,"indexedDocuments":null}`, Note{DistinctIDs: &distinct}, []Report{report("a", "failed", nil, counted(9))}, `{"receivedDocuments":6,"indexedDocuments":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			task := &fsm.Task{Kind: "documentDeletion", Details: WithNote(json.RawMessage(test.details), test.note)}
			if got := Merge(task, test.reports, "m").Details; string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestEditionsThatFail(t *testing.T) {
	enqueued := json.RawMessage(`{"editedDocuments":null,"deletedDocuments":null}`)
	for node, want := range map[string]string{
		`{"editedDocuments":0,"deletedDocuments":null}`: `{"editedDocuments":0,"deletedDocuments":null}`, // the function failed
		`{"editedDocuments":0,"deletedDocuments":0}`:    `{"editedDocuments":0,"deletedDocuments":0}`,
	} {
		got := Merge(&fsm.Task{Kind: "documentEdition", Details: enqueued}, []Report{report("a", "failed", nil, node)}, "m")
		if string(got.Details) != want {
			t.Errorf("got %s, want %s", got.Details, want)
		}
	}
}

func TestTimesSpanAllNodes(t *testing.T) {
	at := func(s int) *time.Time { v := time.Unix(int64(s), 0); return &v }
	a, b := report("a", "succeeded", nil, ""), report("b", "succeeded", nil, "")
	a.Task.StartedAt, a.Task.FinishedAt = at(3), at(5)
	b.Task.StartedAt, b.Task.FinishedAt = at(2), at(9)
	got := Merge(&fsm.Task{Kind: "documentAdditionOrUpdate"}, []Report{a, b}, "m")
	if !got.StartedAt.Equal(*at(2)) || !got.FinishedAt.Equal(*at(9)) {
		t.Errorf("from %v to %v", got.StartedAt, got.FinishedAt)
	}
}

func TestNotesAreHidden(t *testing.T) {
	details := json.RawMessage(`{"receivedDocuments":1}`)
	written := Note{NumMatched: 3}
	if err := written.SetTasks(roaring.BitmapOf(1, 2, 5)); err != nil {
		t.Fatal(err)
	}
	public, note := ReadNote(WithNote(details, written))
	uids, err := note.TaskSet()
	if string(public) != string(details) || note.NumMatched != 3 || err != nil || fmt.Sprint(uids.ToArray()) != "[1 2 5]" {
		t.Errorf("public %s, note %+v, tasks %v, %v", public, note, uids, err)
	}
	if public, _ := ReadNote(WithNote(nil, Note{})); public != nil {
		t.Errorf("a task without details gets %s", public)
	}
}
