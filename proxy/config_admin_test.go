package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// asAdmin sends a request with the admin key alone.
func asAdmin(s *Server, method, path, body string) (int, string) {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	request.Header.Set("X-Admin-Key", "adminKey")
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}

func newAdminCluster(t *testing.T) *writeCluster {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 1})
	c.stop()
	c.options.AdminKey = "adminKey"
	c.start()
	return c
}

// TestConfigEndpoint changes a key of the cluster, which takes effect at once, and refuses the rest by name.
func TestConfigEndpoint(t *testing.T) {
	s := newAdminCluster(t).server
	status, body := asAdmin(s, http.MethodPatch, "/_miroir/config", `{"multi_search":{"max_queries_per_batch":1}}`)
	if status != http.StatusOK || !strings.Contains(body, `"multi_search.max_queries_per_batch":{"value":1,"source":"cluster","scope":"cluster","needs_restart":false}`) {
		t.Fatal(status, body)
	}
	if status, body := asAdmin(s, http.MethodPost, "/_miroir/api/multi-search", `{"queries":[{"indexUid":"a"},{"indexUid":"a"}]}`); !strings.Contains(body, "miroir_too_many_queries") {
		t.Error(status, body)
	}
	for patch, names := range map[string]string{`{"server.port":1}`: "server.port", `{"nothing":1}`: "nothing", `{"writes":{"min_acks":0}}`: "writes.min_acks"} {
		if status, body := asAdmin(s, http.MethodPatch, "/_miroir/config", patch); status != http.StatusBadRequest || !strings.Contains(body, names) {
			t.Error(patch, status, body)
		}
	}
}

// TestAdminAPI: the admin key has all rights below /_miroir/api, and no others.
func TestAdminAPI(t *testing.T) {
	s := newAdminCluster(t).server
	if status, body := asAdmin(s, http.MethodGet, "/_miroir/api/keys", ""); status != http.StatusOK {
		t.Error(status, body)
	}
	if status, body := asAdmin(s, http.MethodGet, "/keys", ""); status != http.StatusUnauthorized {
		t.Error(status, body)
	}
	request := httptest.NewRequest(http.MethodGet, "/_miroir/api/keys", nil)
	request.Header.Set("Authorization", "Bearer "+testMasterKey)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, request)
	if answer.Code != http.StatusUnauthorized {
		t.Error("the master key passed for the admin key:", answer.Code)
	}
}

// TestWithoutAdmin: the management endpoints are on neither port, probes and metrics are.
func TestWithoutAdmin(t *testing.T) {
	c := newAdminCluster(t)
	c.stop()
	c.options.NoAdmin = true
	c.start()
	for path, want := range map[string]int{"/_miroir/status": http.StatusNotFound, "/_miroir/api/keys": http.StatusNotFound, "/_miroir/ready": http.StatusOK, "/metrics": http.StatusOK} {
		for port, handler := range map[string]http.Handler{"client": c.server, "metrics": c.server.AdminHandler()} {
			if port == "client" && path == "/metrics" {
				continue // Meilisearch's own
			}
			request := httptest.NewRequest(http.MethodGet, path, nil)
			request.Header.Set("X-Admin-Key", "adminKey")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, request)
			if answer.Code != want {
				t.Errorf("%s on the %s port: status %d, want %d", path, port, answer.Code, want)
			}
		}
	}
}
