package proxy

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

// A key for some indexes sees tasks by the names that these have now, and of a renaming only if it may see both; batches by those that
// they had, as on one server.
func TestWhatRestrictedKeysSeeAfterNamesChanged(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAuto})
	keys := map[string]string{}
	for i, index := range []string{"m", "n", "o"} {
		uid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		c.call("POST", "/keys", fmt.Sprintf(`{"uid":%q,"actions":["tasks.get"],"indexes":[%q],"expiresAt":null}`, uid, index))
		keys[index] = meili.DeriveKey(testMasterKey, uid)
	}
	get := func(key, path string) map[string]any {
		request := httptest.NewRequest("GET", path, nil)
		request.Header.Set("Authorization", "Bearer "+keys[key])
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		var shown map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &shown); err != nil {
			t.Fatal(err)
		}
		return shown
	}
	sees := func(key string, tasks, batches []float64) {
		t.Helper()
		for path, want := range map[string][]float64{"/tasks": tasks, "/batches": batches} {
			got := []float64{}
			for _, entry := range get(key, path)["results"].([]any) {
				uid := entry.(map[string]any)["uid"].(float64)
				got = append(got, uid)
				if single := get(key, fmt.Sprintf("%s/%v", path, uid)); single["uid"] != uid {
					t.Errorf("key for %s: %s/%v: %v", key, path, uid, single)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("key for %s: %s shows %v, want %v", key, path, got, want)
			}
		}
	}
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	succeeded(t, c.do("POST", "/indexes", `{"uid":"n"}`))
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["m","n"]}]`))
	sees("m", []float64{1}, []float64{0})
	sees("n", []float64{0}, []float64{1})
	succeeded(t, c.do("PATCH", "/indexes/m", `{"uid":"o"}`))
	sees("m", []float64{}, []float64{3, 0})
	sees("o", []float64{1}, []float64{})
}
