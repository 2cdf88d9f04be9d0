package devnode

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"miroir/meili"
)

const health200 = `{"status":"available"}`

func TestDelayHoldsARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.Delay(func(r *http.Request) time.Duration {
			if r.URL.Path == "/health" {
				return 3 * time.Second
			}
			return 0
		})
		began := time.Now()
		c.ask("GET", "/health", "", 200)
		equal(t, "time passed", time.Since(began), 3*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.try(ctx, "GET", "/health", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that gave up got %v", err)
		}
		c.node.Delay(nil)
		c.ask("GET", "/health", "", 200)
	})
}

func TestFailBreaksAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		var fault Fault
		c.node.Fail(func(r *http.Request) *Fault {
			if r.Method == "POST" {
				return &fault
			}
			return nil
		})
		create := func(uid string) (int, string, error) {
			status, body, err := c.try(t.Context(), "POST", "/indexes", `{"uid":"`+uid+`"}`)
			synctest.Wait()
			return status, body, err
		}
		exists := func(uid string) bool {
			status, _, _ := c.try(t.Context(), "GET", "/indexes/"+uid, "")
			return status == 200
		}

		fault = Fault{DropBefore: true}
		if _, _, err := create("before"); !errors.Is(err, io.ErrUnexpectedEOF) || exists("before") {
			t.Errorf("dropped before handling: %v, created: %v", err, exists("before"))
		}
		fault = Fault{DropAfter: true}
		if _, _, err := create("after"); !errors.Is(err, io.ErrUnexpectedEOF) || !exists("after") {
			t.Errorf("dropped after handling: %v, created: %v", err, exists("after"))
		}
		fault = Fault{Status: 503, Body: `{"code":"x"}`}
		if status, body, err := create("never"); status != 503 || body != `{"code":"x"}` || err != nil || exists("never") {
			t.Errorf("answered instead: %d %s %v, created: %v", status, body, err, exists("never"))
		}
		fault = Fault{TruncateBytes: 7}
		if status, body, err := create("cut"); status != 202 || body != `{"taskU` || !errors.Is(err, io.ErrUnexpectedEOF) || !exists("cut") {
			t.Errorf("truncated: %d %q %v, created: %v", status, body, err, exists("cut"))
		}
		fault = Fault{Garble: "<html>"}
		if status, body, err := create("garbled"); status != 202 || body != "<html>" || err != nil || !exists("garbled") {
			t.Errorf("garbled: %d %q %v, created: %v", status, body, err, exists("garbled"))
		}
		c.node.Fail(nil)
		if status, _, err := create("fine"); status != 202 || err != nil {
			t.Errorf("without a fault: %d %v", status, err)
		}
	})
}

func TestFailTasksEndsTasksWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.FailTasks(func(kind meili.TaskKind) *meili.Error {
			if kind == meili.TaskIndexCreation {
				return meili.Errorf(meili.CodeInternal, "no space left")
			}
			return nil
		})
		uid := c.enqueue("POST", "/indexes", `{"uid":"a"}`)
		synctest.Wait()
		equal(t, "status", c.task(uid)["status"], "failed")
		c.ask("GET", "/indexes/a", "", 404)
		c.node.FailTasks(nil)
		c.enqueue("POST", "/indexes", `{"uid":"a"}`)
		synctest.Wait()
		c.ask("GET", "/indexes/a", "", 200)
	})
}

func TestFreezeHangsUntilThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.Freeze()
		answered := make(chan string, 1)
		go func() {
			_, body, err := c.try(t.Context(), "GET", "/health", "")
			if err != nil {
				body = err.Error()
			}
			answered <- body
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := c.try(ctx, "GET", "/health", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that gave up got %v", err)
		}
		select {
		case body := <-answered:
			t.Errorf("answered while frozen: %s", body)
		default:
		}
		c.node.Thaw()
		equal(t, "after thaw", <-answered, health200)
	})
}

func TestFrozenNodeHandlesNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.PauseTasks()
		uid := c.enqueue("POST", "/indexes", `{"uid":"a"}`)
		c.node.Freeze()
		c.node.ResumeTasks()
		synctest.Wait()
		equal(t, "tasks done while frozen", len(c.node.current().batches), 0)
		c.node.Thaw()
		synctest.Wait()
		equal(t, "status", c.task(uid)["status"], "succeeded")
	})
}

func TestStopRefusesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes", `{"uid":"a"}`)
		c.node.Freeze()
		open := make(chan error, 1)
		go func() {
			_, _, err := c.try(t.Context(), "GET", "/health", "")
			open <- err
		}()
		synctest.Wait()
		c.node.Stop()
		if err := <-open; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("an open request of a stopped node got %v", err)
		}
		if _, _, err := c.try(t.Context(), "GET", "/health", ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new request to a stopped node got %v", err)
		}
		c.node.Thaw()
		c.node.Start()
		c.ask("GET", "/indexes/a", "", 200)
	})
}

func TestPauseHoldsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.node.PauseTasks()
		task := c.done("POST", "/indexes", `{"uid":"a"}`)
		equal(t, "status while paused", task["status"], "enqueued")
		equal(t, "batch while paused", task["batchUid"], nil)
		c.node.ResumeTasks()
		synctest.Wait()
		equal(t, "status", c.task(0)["status"], "succeeded")
	})
}

func TestWipeForgetsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{MasterKey: "a master key"})
		c.done("POST", "/indexes", `{"uid":"a"}`)
		c.ask("POST", "/keys", `{"uid":"6062abda-a5aa-4414-ac91-ecd7944c0f8d","actions":["*"],"indexes":["*"],"expiresAt":null}`, 201)
		c.node.Wipe()
		c.ask("GET", "/indexes/a", "", 404)
		c.ask("GET", "/tasks/0", "", 404)
		c.ask("GET", "/keys/6062abda-a5aa-4414-ac91-ecd7944c0f8d", "", 404)
		equal(t, "first task uid after a wipe", c.enqueue("POST", "/indexes", `{"uid":"b"}`), 0)
	})
}

func TestRestoreRollsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		c.done("POST", "/indexes/a/documents?primaryKey=id", `[{"id":1,"t":"old"},{"id":2}]`)
		c.node.PauseTasks()
		c.enqueue("DELETE", "/indexes/a/documents/2", "")
		snapshot := c.node.Snapshot()
		c.node.ResumeTasks()
		c.done("POST", "/indexes/a/documents", `[{"id":1,"t":"new"},{"id":3}]`)
		equal(t, "documents", c.ask("GET", "/indexes/a/documents/1", "", 200)["t"], "new")

		for range 2 {
			c.node.PauseTasks()
			c.node.Restore(snapshot)
			equal(t, "documents after restore", c.ask("GET", "/indexes/a/documents/1", "", 200)["t"], "old")
			c.ask("GET", "/indexes/a/documents/3", "", 404)
			equal(t, "task that was enqueued", c.task(1)["status"], "enqueued")
			c.ask("GET", "/tasks/2", "", 404)
			c.node.ResumeTasks()
			synctest.Wait()
			equal(t, "task that was enqueued, later", c.task(1)["status"], "succeeded")
			c.ask("GET", "/indexes/a/documents/2", "", 404)
		}
	})
}

func TestTransportBehavesLikeANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := start(t, Options{}), start(t, Options{})
		a.done("POST", "/indexes", `{"uid":"of-a"}`)
		network := Transport(map[string]*Node{"a:7700": a.node, "b": b.node, "gone": nil})
		get := func(url string) (*http.Response, error) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			return network.RoundTrip(r)
		}
		for url, want := range map[string]int{"http://a:7700/indexes/of-a": 200, "http://b/indexes/of-a": 404} {
			response, err := get(url)
			if err != nil || response.StatusCode != want {
				t.Errorf("%s: %v %v, want %d", url, response, err, want)
			}
		}
		for _, url := range []string{"http://a/health", "http://gone/health", "http://unknown/health"} {
			if _, err := get(url); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v, want a refused connection", url, err)
			}
		}
	})
}

func TestTransportStreamsRequestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		reader, writer := io.Pipe()
		go func() {
			io.WriteString(writer, `[{"id":1}`)
			time.Sleep(time.Hour) // of the bubble's clock: the body is sent piece by piece
			io.WriteString(writer, `,{"id":2}]`)
			writer.Close()
		}()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://a/indexes/a/documents", reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := Transport(map[string]*Node{"a": c.node}).RoundTrip(r)
		if err != nil || response.StatusCode != 202 {
			t.Fatalf("%v %v", response, err)
		}
		synctest.Wait()
		equal(t, "received", c.task(0)["details"].(map[string]any)["receivedDocuments"], 2)
	})
}

func TestClientThatGivesUpWhileSendingEnqueuesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, Options{})
		reader, writer := io.Pipe()
		go io.WriteString(writer, `[{"id":1},`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", "http://a/indexes/a/documents", reader)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if _, err := Transport(map[string]*Node{"a": c.node}).RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		equal(t, "tasks", c.ask("GET", "/tasks", "", 200)["total"], 0)
	})
}
