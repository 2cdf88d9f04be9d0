package meili

import "testing"

// Messages as Meilisearch v1.50 gives them.
func TestLogRequests(t *testing.T) {
	f := func(check func([]byte) *Error, body, want string) {
		t.Helper()
		got := ""
		if refused := check([]byte(body)); refused != nil {
			got = refused.Message
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	f(CheckLogStream, `{}`, "")
	f(CheckLogStream, `{"target":"milli=trace,index_scheduler,OFF,a[{b}]=3","mode":"profile","profileMemory":true}`, "")
	f(CheckLogStream, `{"target":""}`, "Invalid value at `.target`: Empty string is not a valid target. If you want to get no logs use `OFF`. Usage: `info`, `meilisearch=info`, or you can write multiple filters in one target: `index_scheduler=info,milli=trace`")
	f(CheckLogStream, `{"target":"a=b=c"}`, "Invalid value at `.target`: invalid filter directive: too many '=' in filter directive, expected 0 or 1")
	f(CheckLogStream, `{"mode":"x"}`, "Unknown value `x` at `.mode`: expected one of `human`, `json`, `profile`")
	f(CheckLogStream, `{"mode":"json","profileMemory":true}`, "Invalid value: `profile_memory` can only be used while profiling code and is not compatible with the Json mode.")
	f(CheckLogTarget, `{"target":3}`, "Invalid value type at `.target`: expected a string, but found a positive integer: `3`")
	f(CheckLogTarget, `{"target":"info,x=nope"}`, "Invalid value at `.target`: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5")
	f(CheckLogTarget, `{"mode":1}`, "Unknown field `mode`: expected one of `target`")
}
