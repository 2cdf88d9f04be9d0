package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type allCommands struct {
	Status    StatusCommand     `cmd:""`
	Topology  TopologyCommands  `cmd:""`
	Node      NodeCommands      `cmd:""`
	Group     GroupCommands     `cmd:""`
	Index     IndexCommands     `cmd:""`
	Settings  SettingsCommands  `cmd:""`
	Rebalance RebalanceCommands `cmd:""`
	Verify    VerifyCommand     `cmd:""`
	Task      TaskCommands      `cmd:""`
	Job       JobCommands       `cmd:""`
	Key       KeyCommands       `cmd:""`
	Config    ConfigCommands    `cmd:""`
	Cluster   ClusterCommands   `cmd:""`
}

// fakePod answers each path (with its query) with a text, the next one each time, and notes what it was asked.
type fakePod struct {
	answers map[string][]string
	asked   []string
}

func (f *fakePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + string(body))
	f.asked = append(f.asked, call)
	answers := f.answers[r.URL.RequestURI()]
	if len(answers) == 0 {
		answers = []string{"{}"}
	}
	if len(answers) > 1 {
		f.answers[r.URL.RequestURI()] = answers[1:]
	}
	if status, text, ok := strings.Cut(answers[0], "!"); ok {
		var code int
		fmt.Sscan(status, &code)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"message":%q,"code":"c"}`, text)
		return
	}
	fmt.Fprint(w, answers[0])
}

// command runs a command line against pod and returns what it printed.
func (f *fakePod) command(t *testing.T, in, line string) (string, error) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	server := httptest.NewServer(f)
	defer server.Close()
	var all allCommands
	parser, err := kong.New(&all)
	if err != nil {
		t.Fatal(err)
	}
	args := append(strings.Fields(line), "--api-url", server.URL, "--admin-key", "k")
	command, err := parser.Parse(args)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	flags := Flags{APIURL: server.URL, Output: "table", Timeout: 5e9, Yes: strings.Contains(line, "--yes")}
	if strings.Contains(line, "--output json") {
		flags.Output = "json"
	}
	api, err := flags.open(strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	command.Bind(api)
	command.BindTo(t.Context(), (*context.Context)(nil))
	err = command.Run()
	return out.String(), err
}

// TestRequests says for each command what it asks of the pod.
func TestRequests(t *testing.T) {
	t.Setenv("NODE_KEY", "secret")
	for line, want := range map[string]string{
		"topology show": "GET /_miroir/topology",
		"topology set --replication-factor 2 --shards 16": `PATCH /_miroir/topology {"replication_factor":2,"shards":16}`,
		"node list":     "GET /_miroir/nodes",
		"node show a/b": "GET /_miroir/nodes/a%2Fb",
		"node add --id d --address http://d --key-env NODE_KEY": `POST /_miroir/nodes {"address":"http://d","id":"d","key":"secret","replica_group":0}`,
		"node drain d":                "POST /_miroir/nodes/d/drain",
		"node drain d --cancel":       "POST /_miroir/nodes/d/drain/cancel",
		"node remove d --yes --force": "DELETE /_miroir/nodes/d?force=true&accept_data_loss=false",
		"node fail d --yes":           "POST /_miroir/nodes/d/fail",
		"node recover d":              "POST /_miroir/nodes/d/recover",
		"node rotate-key d":           "POST /_miroir/nodes/d/rotate-key",
		"group list":                  "GET /_miroir/replica_groups",
		"group add --id 1 --node x=http://x --node y=http://y": `POST /_miroir/replica_groups {"id":1,"nodes":[{"address":"http://x","id":"x"},{"address":"http://y","id":"y"}]}`,
		"group status 1":                 "GET /_miroir/replica_groups/1/status",
		"group activate 1":               "POST /_miroir/replica_groups/1/activate",
		"group remove 1 --yes":           "DELETE /_miroir/replica_groups/1?force=false",
		"index list":                     "GET /_miroir/api/indexes?limit=1000",
		"index show movies":              "GET /_miroir/indexes/movies",
		"index spread movies 3":          `PATCH /_miroir/indexes/movies {"spread":3}`,
		"index spread movies all":        `PATCH /_miroir/indexes/movies {"spread":"all"}`,
		"rebalance start --index movies": `POST /_miroir/rebalance {"index":"movies"}`,
		"rebalance start --dry-run":      `POST /_miroir/rebalance {"dry_run":true}`,
		"rebalance status":               "GET /_miroir/rebalance/status",
		"rebalance pause":                "POST /_miroir/rebalance/pause",
		"rebalance resume":               "POST /_miroir/rebalance/resume",
		"rebalance cancel":               "POST /_miroir/rebalance/cancel",
		"verify --no-wait --index m --shards 1,2 --depth counts": `POST /_miroir/verify {"depth":"counts","index":"m","repair":false,"shards":[1,2]}`,
		"task list --statuses failed --index-uids m":             "GET /_miroir/api/tasks?indexUids=m&limit=20&statuses=failed",
		"task status 7":            "GET /_miroir/tasks/7",
		"task cancel --uids 1,2":   "POST /_miroir/api/tasks/cancel?uids=1%2C2",
		"job list --state running": "GET /_miroir/jobs?state=running",
		"job status j":             "GET /_miroir/jobs/j",
		"job pause j":              "POST /_miroir/jobs/j/pause",
		"job resume j":             "POST /_miroir/jobs/j/resume",
		"job cancel j":             "POST /_miroir/jobs/j/cancel",
		"key list":                 "GET /_miroir/api/keys?limit=1000",
		"key create --actions search --indexes a,b": `POST /_miroir/api/keys {"actions":["search"],"expiresAt":null,"indexes":["a","b"]}`,
		"key update u --name n":                     `PATCH /_miroir/api/keys/u {"name":"n"}`,
		"key delete u --yes":                        "DELETE /_miroir/api/keys/u",
		"cluster members":                           "GET /_miroir/raft",
		"cluster transfer p":                        "POST /_miroir/raft/transfer?to=p",
		"cluster remove p --yes":                    "DELETE /_miroir/raft/members/p",
		"cluster snapshot":                          "POST /_miroir/raft/snapshot",
		"config set hedging.enabled=false":          `PATCH /_miroir/config {"hedging.enabled":"false"}`,
	} {
		t.Run(line, func(t *testing.T) {
			pod := &fakePod{answers: map[string][]string{"/_miroir/raft": {`{"leader":"p","members":[]}`}}}
			if strings.Contains(line, " list") {
				pod.answers[strings.TrimPrefix(want, "GET ")] = []string{"[]"}
			}
			if _, err := pod.command(t, "", line); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(pod.asked, []string{want}) {
				t.Errorf("asked %q\nwant  %q", pod.asked, want)
			}
		})
	}
}

func TestTables(t *testing.T) {
	pod := &fakePod{answers: map[string][]string{
		"/_miroir/nodes":              {`[{"id":"a","address":"http://a","replica_group":0,"status":"active","shard_count":12}]`},
		"/_miroir/topology":           {`{"replication_factor":2,"nodes":[{"id":"a","status":"active"}],"replica_groups":[]}`},
		"/_miroir/config":             {`{"shards":{"value":64,"source":"default","scope":"cluster","needs_restart":false}}`},
		"/_miroir/api/tasks?limit=20": {`{"results":[{"uid":3,"indexUid":"m","status":"failed","type":"indexCreation","error":{"code":"index_already_exists"}}]}`},
	}}
	for line, want := range map[string]string{
		"node list":               "ID  ADDRESS   REPLICA GROUP  STATUS  VERSION  SHARD COUNT  ERROR\na   http://a  0              active  -        12           -\n",
		"topology show":           "replica_groups      \nreplication_factor  2\n\nnodes\nID  STATUS\na   active\n",
		"config show":             "KEY     VALUE  SOURCE   SCOPE    NEEDS RESTART\nshards  64     default  cluster  false\n",
		"task list":               "UID  INDEXUID  STATUS  TYPE           ENQUEUEDAT  DURATION  ERROR.CODE\n3    m         failed  indexCreation  -           -         index_already_exists\n",
		"node list --output json": "[\n  {\n    \"id\": \"a\",\n    \"address\": \"http://a\",\n    \"replica_group\": 0,\n    \"status\": \"active\",\n    \"shard_count\": 12\n  }\n]\n",
	} {
		got, err := pod.command(t, "", line)
		if err != nil || got != want {
			t.Errorf("%s (%v) printed\n%s\nwant\n%s", line, err, got, want)
		}
	}
}

// TestWait follows a job over an absence of the leader.
func TestWait(t *testing.T) {
	running := `{"id":"j","type":"drain","state":"running","progress":{"done":1,"total":2}}`
	for end, wantErr := range map[string]string{
		`{"id":"j","state":"succeeded","progress":{"done":2,"total":2}}`:                       "",
		`{"id":"j","state":"failed","progress":{"done":1,"total":2},"error":{"message":"no"}}`: "job j failed: no",
	} {
		pod := &fakePod{answers: map[string][]string{"/_miroir/nodes/a/drain": {`{"job_id":"j"}`}, "/_miroir/jobs/j": {running, "503!no leader", end}}}
		out, err := pod.command(t, "", "node drain a --wait")
		if fmt.Sprint(err) != wantErr && (err != nil || wantErr != "") {
			t.Errorf("got %v, want %q", err, wantErr)
		}
		if wantErr == "" && !strings.Contains(out, "succeeded") || len(pod.asked) != 4 {
			t.Errorf("asked %q, printed %q", pod.asked, out)
		}
	}
}

func TestExits(t *testing.T) {
	pod := &fakePod{answers: map[string][]string{
		"/_miroir/verify":      {`{"job_id":"v"}`},
		"/_miroir/verify/v":    {`{"state":"running"}`, `{"state":"succeeded","mismatches":2}`},
		"/_miroir/api/tasks/1": {`{"status":"failed"}`},
		"/_miroir/status":      {`{"leader":"p","replicas":{"stale":1},"shards":{}}`},
		"/_miroir/nodes/x":     {"404!There is no node x."},
	}}
	for line, want := range map[string]error{"verify": ErrBadNews, "task wait 1": ErrBadNews, "status": ErrBadNews, "task cancel": ErrUsage} {
		if _, err := pod.command(t, "", line); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", line, err, want)
		}
	}
	if _, err := pod.command(t, "", "node show x"); err == nil || !strings.Contains(err.Error(), "404 Not Found: There is no node x.") {
		t.Errorf("got %v", err)
	}
	gone := &Client{URL: "http://127.0.0.1:1", HTTP: http.DefaultClient}
	if _, err := gone.Call(t.Context(), http.MethodGet, "/", "", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
}

// TestConfirm: what destroys asks for the name first.
func TestConfirm(t *testing.T) {
	for typed, calls := range map[string]int{"d\n": 1, "": 0, "e\n": 0, "yes\n": 0} {
		pod := &fakePod{}
		_, err := pod.command(t, typed, "node remove d")
		if len(pod.asked) != calls || (err == nil) != (calls == 1) {
			t.Errorf("after %q the pod was asked %q (%v)", typed, pod.asked, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	if key, err := credentials(); key != "" || err != nil {
		t.Errorf("without a file: %q, %v", key, err)
	}
	path := filepath.Join(home, "miroir", "credentials")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := credentials(); err == nil {
		t.Error("a file that others can read was taken")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := credentials(); key != "key" || err != nil {
		t.Errorf("got %q, %v", key, err)
	}
}

// Between two nodes of a rolling restart one waits until the first has caught up, not only until all is covered.
func TestWaitCoveredWaitsForWhatSettles(t *testing.T) {
	pod := &fakePod{answers: map[string][]string{"/_miroir/status": {
		`{"leader":"p","shards":{"uncovered":1}}`, `{"leader":"p","shards":{"settling":2}}`, `{"leader":"p","shards":{}}`, `{"leader":"p","shards":{}}`}}}
	if _, err := pod.command(t, "", "status --wait-covered"); err != nil || len(pod.asked) != 4 {
		t.Errorf("asked %d times: %v", len(pod.asked), err)
	}
}
