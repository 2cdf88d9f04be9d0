package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"miroir/cli"
	"miroir/config"
	"miroir/scripts/cluster"
)

// A pod that waits for others says so on its port, serves nobody, and closes it when it is stopped before they come.
func TestAPodAnswersWhileTheClusterForms(t *testing.T) {
	port, err := cluster.HoldPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := port.Release(); err != nil {
			t.Error(err)
		}
	})
	settings := config.Default()
	settings.DataDir, settings.Raft.NodeID, settings.Raft.ClusterSecret, settings.MasterKey = t.TempDir(), "a", "s", "masterKey"
	settings.Server.Bind, settings.Server.Port, settings.Metrics.Enabled, settings.Server.ShutdownGrace = "127.0.0.1", port.Number, false, 5*time.Second
	settings.Raft.Bind, settings.Raft.Port, settings.Raft.BootstrapExpect = "127.0.0.1", 0, 3
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := openPod(ctx, podOptions{Config: settings, Logger: slog.New(slog.DiscardHandler)})
		ended <- err
	}()
	get := func(path string) (status int, retry, body string) {
		answer, err := http.Get("http://" + port.Address() + path)
		if err != nil {
			return 0, "", err.Error()
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, answer.Header.Get("Retry-After"), string(text)
	}
	waitFor(t, "the port to answer while the cluster forms", func() bool {
		status, _, _ := get("/health")
		return status == http.StatusOK
	})
	for path, want := range map[string]string{"/_miroir/ready": `"waiting_for":["state"]`, "/indexes": `"code":"miroir_no_leader"`, "/_miroir/status": `"code":"miroir_no_leader"`} {
		if status, retry, body := get(path); status != http.StatusServiceUnavailable || retry != "1" || !strings.Contains(body, want) {
			t.Errorf("%s: %d, Retry-After %q, %s", path, status, retry, body)
		}
	}
	stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a pod that never was part of a cluster was opened")
		}
	case <-time.After(time.Minute):
		t.Fatal("the pod does not stop")
	}
	if status, _, body := get("/health"); status != 0 {
		t.Errorf("the port is still open: %d %s", status, body)
	}
}

// TestHeadsAreBounded: a request whose head is too long is refused before anything reads it.
func TestHeadsAreBounded(t *testing.T) {
	p := openTestPod(t, 1, nil)
	for size, want := range map[int]int{1 << 10: http.StatusOK, 100 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.ClientURL()+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Long", strings.Repeat("x", size))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%d bytes: status %d, want %d", size, answer.StatusCode, want)
		}
	}
}

// TestReplicaGroupsOfANewCluster: a cluster without nodes begins with as many groups as it is told, and shows those there are.
func TestReplicaGroupsOfANewCluster(t *testing.T) {
	p := openTestPod(t, 0, func(o *podOptions) { o.Cluster.ReplicaGroups = 3 })
	if n := len(p.raft.View().Groups); n != 3 {
		t.Errorf("%d groups", n)
	}
	client := &cli.Client{URL: p.ClientURL(), Key: "masterKey", HTTP: http.DefaultClient}
	shown, err := client.Call(t.Context(), "GET", "/_miroir/config", "", nil)
	if err != nil || !strings.Contains(string(shown), `"replica_groups":{"value":3`) {
		t.Errorf("%s, %v", shown, err)
	}
}
