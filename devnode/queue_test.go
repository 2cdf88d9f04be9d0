package devnode

import (
	"testing"
	"testing/synctest"
)

func TestTasksAreNumberedAndProcessedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.PauseTasks()
		for want := range 3 {
			equal(t, "uid", c.enqueue("POST", "/indexes", `{"uid":"a"}`), want)
		}
		c.node.ResumeTasks()
		synctest.Wait()
		for uid, want := range []string{"succeeded", "failed", "failed"} {
			task := c.task(uid)
			equal(t, "status", task["status"], want)
			equal(t, "batch", task["batchUid"], uid)
		}
	})
}

func TestUrgentTasksOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.PauseTasks()
		c.enqueue("POST", "/indexes", `{"uid":"a"}`)      // 0
		c.enqueue("POST", "/dumps", "")                   // 1
		c.enqueue("POST", "/snapshots", "")               // 2
		c.enqueue("DELETE", "/tasks?statuses=failed", "") // 3
		c.enqueue("POST", "/tasks/cancel?uids=77", "")    // 4
		c.enqueue("POST", "/tasks/cancel?uids=78", "")    // 5
		c.node.ResumeTasks()
		synctest.Wait()
		for batch, want := range []int{5, 4, 3, 2, 1, 0} {
			tasks := c.ask("GET", "/tasks?batchUids="+text(batch), "", 200)["results"].([]any)
			equal(t, "task of batch "+text(batch), tasks[0].(map[string]any)["uid"], want)
		}
	})
}

func TestCancelationEndsEnqueuedTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes", `{"uid":"a"}`)
		c.node.PauseTasks()
		c.enqueue("POST", "/indexes/a/documents", `[{"id":1}]`)
		c.enqueue("POST", "/indexes", `{"uid":"b"}`)
		cancelation := c.enqueue("POST", "/tasks/cancel?types=documentAdditionOrUpdate,indexCreation", "")
		c.node.ResumeTasks()
		synctest.Wait()

		equal(t, "details", c.task(cancelation)["details"], map[string]any{
			"matchedTasks": 3, "canceledTasks": 2,
			"originalFilter": "?types=documentAdditionOrUpdate,indexCreation",
		})
		task := c.task(1)
		equal(t, "status", task["status"], "canceled")
		equal(t, "canceled by", task["canceledBy"], cancelation)
		equal(t, "details of the canceled", task["details"], map[string]any{"receivedDocuments": 1, "indexedDocuments": 0})
		equal(t, "finished task", c.task(0)["status"], "succeeded")
		c.ask("GET", "/indexes/b", "", 404)

		batch := c.ask("GET", "/batches?canceledBy="+text(cancelation), "", 200)["results"].([]any)[0].(map[string]any)
		equal(t, "status counts of the batch", batch["stats"].(map[string]any)["status"], map[string]any{"canceled": 2, "succeeded": 1})
		equal(t, "details of the batch", batch["details"], map[string]any{
			"receivedDocuments": 1, "indexedDocuments": 0, "matchedTasks": 3, "canceledTasks": 2,
			"originalFilter": "?types=documentAdditionOrUpdate,indexCreation",
		})
	})
}

func TestDeletionForgetsFinishedTasksAndTheirBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes", `{"uid":"a"}`)
		c.node.PauseTasks()
		c.enqueue("POST", "/indexes", `{"uid":"b"}`)
		c.enqueue("DELETE", "/tasks?types=indexCreation", "")
		c.node.ResumeTasks()
		synctest.Wait()
		c.ask("GET", "/tasks/0", "", 404)
		c.ask("GET", "/batches/0", "", 404)
		equal(t, "enqueued task survives", c.task(1)["status"], "succeeded")
		equal(t, "next uid", c.enqueue("POST", "/dumps", ""), 3)
	})
}

func TestSwapRenamesOlderTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes", `{"uid":"a","primaryKey":"x"}`)
		c.done("POST", "/indexes", `{"uid":"b","primaryKey":"y"}`)
		c.node.PauseTasks()
		c.enqueue("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`)
		c.enqueue("DELETE", "/indexes/a", "")
		c.node.ResumeTasks()
		synctest.Wait()
		equal(t, "index of an older task", c.task(0)["indexUid"], "b")
		equal(t, "index of a later task", c.task(3)["indexUid"], "a")
		equal(t, "index left", c.ask("GET", "/indexes/b", "", 200)["primaryKey"], "x")
	})
}

func TestFailedSwapChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes", `{"uid":"a","primaryKey":"x"}`)
		c.done("POST", "/indexes", `{"uid":"b","primaryKey":"y"}`)
		for _, swaps := range []string{
			`[{"indexes":["a","b"]},{"indexes":["c","d"]}]`,
			`[{"indexes":["a","b"],"rename":true}]`,
		} {
			equal(t, swaps, c.done("POST", "/swap-indexes", swaps)["status"], "failed")
			equal(t, swaps, c.ask("GET", "/indexes/a", "", 200)["primaryKey"], "x")
		}
	})
}

func TestListsArePagedByUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		for range 5 {
			c.done("POST", "/dumps", "")
		}
		page := func(query string, uids []int, from, next any) {
			t.Helper()
			list := c.ask("GET", "/tasks?"+query, "", 200)
			got := []any{}
			for _, task := range list["results"].([]any) {
				got = append(got, task.(map[string]any)["uid"])
			}
			equal(t, query, []any{got, list["total"], list["from"], list["next"]}, []any{uids, 5, from, next})
		}
		page("limit=2", []int{4, 3}, 4, 2)
		page("limit=2&from=2", []int{2, 1}, 2, 0)
		page("limit=2&from=0", []int{0}, 0, nil)
		page("limit=2&reverse=true", []int{0, 1}, 0, 2)
		page("limit=2&reverse=true&from=4", []int{4}, 4, nil)
		page("limit=0", []int{}, nil, 4)
		page("limit=5", []int{4, 3, 2, 1, 0}, 4, nil)
	})
}
