package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// pinSeeds is how many sets of rules a normal run tries; MIROIR_SEEDS asks for another number.
const pinSeeds = 8

// Generated documents, rules and searches: Miroir over three nodes answers as one server does. Every document has a rank of
// its own, so that answers are equal to the byte.
func TestPinsOverAnySplitAreThoseOfOneServer(t *testing.T) {
	for _, copies := range []int{1, 2} {
		top := clusterShape{groups: 1, perGroup: 3, rf: copies, shards: 8, spread: fsm.SpreadAll}
		t.Run(fmt.Sprintf("embedded/rf=%d", copies), func(t *testing.T) {
			nodes := map[string]*devnode.Node{}
			var addresses []string
			for _, host := range []string{"a", "b", "c", "alone"} {
				nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
				t.Cleanup(nodes[host].Close)
				addresses = append(addresses, "http://"+host)
			}
			comparePins(t, top, devnode.Transport(nodes), addresses)
		})
		t.Run(fmt.Sprintf("real/rf=%d", copies), func(t *testing.T) {
			rt, addresses := realNodes(t, 4)
			comparePins(t, top, rt, addresses)
		})
	}
}

// comparePins holds the last of the addresses against Miroir over the others.
func comparePins(t *testing.T, top clusterShape, rt http.RoundTripper, addresses []string) {
	p := &pinPair{t: t, c: newWriteClusterOver(t, top, rt, addresses[:3]), rt: rt, alone: addresses[3]}
	p.both("PATCH", "/experimental-features", `{"dynamicSearchRules":true,"network":true}`)
	p.both("PATCH", "/indexes/m/settings", `{"filterableAttributes":["id","group","color","n"],"sortableAttributes":["n"],
		"rankingRules":["words","typo","sort","n:asc"],"embedders":{"e":{"source":"userProvided","dimensions":2}}}`)
	p.both("POST", "/indexes/m/documents?primaryKey=id", pinDocuments(40))
	p.both("PATCH", "/indexes/other/settings", `{"rankingRules":["words","typo","sort","n:asc"],"displayedAttributes":["id","title"],"filterableAttributes":["group"]}`)
	p.both("POST", "/indexes/other/documents?primaryKey=id", strings.ReplaceAll(pinDocuments(12), `"group"`, `"kind"`))
	seeds := uint64(pinSeeds)
	if text := os.Getenv("MIROIR_SEEDS"); text != "" {
		var err error
		if seeds, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal("MIROIR_SEEDS:", err)
		}
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 7))
		p.both("DELETE", "/dynamic-search-rules", "")
		var rules []string
		for i := range 1 + random.IntN(6) {
			rules = append(rules, pinRule(random))
			p.both("PATCH", fmt.Sprintf("/dynamic-search-rules/r%d", (i*7)%10), rules[i])
		}
		for range 40 {
			path, body := "/indexes/m/search", pinSearch(random, "m", true)
			if random.IntN(4) == 0 {
				path, body = "/multi-search", fmt.Sprintf(`{"federation":%s,"queries":[%s,%s]}`, pinPage(random),
					pinSearch(random, "m", false), pinSearch(random, "other", false))
			}
			answer, reference := p.c.call("POST", path, body), askServer(t, rt, "POST", p.alone+path, body)
			if reference.status != http.StatusOK && answer.Code == reference.status {
				continue // ranking rules that do not compare
			}
			if want, got := timeless([]byte(reference.body)), timeless(answer.Body.Bytes()); want != got {
				t.Fatalf("seed %d: %s %s\nrules %s\ngot  %s\nwant %s", seed, path, body, strings.Join(rules, "\n      "), got, want)
			}
		}
	}
}

// pinPair is Miroir and one server that get the same.
type pinPair struct {
	t     *testing.T
	c     *writeCluster
	rt    http.RoundTripper
	alone string
}

// both sends a change to both and waits for its task.
func (p *pinPair) both(method, path, body string) {
	p.t.Helper()
	got, want := p.c.call(method, path, body), askServer(p.t, p.rt, method, p.alone+path, body)
	if got.Code != want.status || want.status >= 300 {
		p.t.Fatalf("%s %s %s: %d %s, want %d %s", method, path, body, got.Code, got.Body, want.status, want.body)
	}
	if want.status != http.StatusAccepted {
		return
	}
	succeeded(p.t, p.c.await(p.c.accepted(got)))
	task := "/tasks/" + string(memberOf([]byte(want.body), "taskUid"))
	for deadline := time.Now().Add(patience); ; {
		switch status := string(memberOf([]byte(askServer(p.t, p.rt, "GET", p.alone+task, "").body), "status")); {
		case status == `"succeeded"`:
			return
		case status == `"failed"` || time.Now().After(deadline):
			p.t.Fatalf("%s %s: task %s", method, path, status)
		}
	}
}

// timeless is an answer without what no two servers agree on.
func timeless(answer []byte) string {
	for _, member := range []string{"processingTimeMs", "requestUid"} {
		if at := bytes.Index(answer, []byte(`"`+member+`":`)); at >= 0 {
			end := at + bytes.IndexByte(answer[at:], ',')
			if end < at {
				end = len(answer) - 1
			}
			answer = append(bytes.Clone(answer[:at]), answer[min(end+1, len(answer)-1):]...)
		}
	}
	return strings.TrimRight(strings.TrimSpace(string(answer)), ",}")
}

var pinWords = []string{"red", "blue", "house", "garden", "river", "mountain"}

func pinDocuments(n int) string {
	var documents []map[string]any
	for i := range n {
		documents = append(documents, map[string]any{
			"id": i, "n": (i * 17) % 101, "group": []string{"a", "b", "c"}[i%3], "color": []string{"red", "green"}[i/3%2],
			"title": pinWords[i%6] + " " + pinWords[(i/6)%6], "_vectors": map[string]any{"e": []float64{float64(i), float64(100 - i*2)}},
		})
	}
	text, _ := json.Marshal(documents) // plain values always marshal
	return string(text)
}

// pick returns one of the texts.
func pick(random *rand.Rand, texts ...string) string { return texts[random.IntN(len(texts))] }

func pinRule(random *rand.Rand) string {
	var actions []string
	for range 1 + random.IntN(3) {
		index := pick(random, ``, ``, `"indexUid":"m",`, `"indexUid":"other",`, `"indexUid":"none",`)
		actions = append(actions, fmt.Sprintf(`{"selector":{%s"id":"%d"},"action":{"type":"pin","position":%d}}`, index, random.IntN(44), random.IntN(9)))
	}
	var conditions []string
	if random.IntN(3) == 0 {
		conditions = append(conditions, `"query":`+pick(random, `{"isEmpty":true}`, `{"isEmpty":false}`, `{"words":"red"}`, `{"words":"Blue house"}`, `{}`))
	}
	if random.IntN(4) == 0 {
		conditions = append(conditions, `"filter":{"values":`+pick(random, `{"group":"a"}`, `{"group":"A","color":"red"}`, `{"n":17}`, `{}`)+`}`)
	}
	if random.IntN(4) == 0 {
		conditions = append(conditions, `"time":`+pick(random, `{"start":"2020-01-01T00:00:00Z"}`, `{"end":"2020-01-01T00:00:00Z"}`, `{"start":"2020-01-01T00:00:00Z","end":"2099-01-01T00:00:00Z"}`))
	}
	return fmt.Sprintf(`{"active":%s,"precedence":%s,"conditions":{%s},"actions":[%s]}`,
		pick(random, "true", "true", "true", "false"), pick(random, "null", "null", "1", "2", "5000000000"), strings.Join(conditions, ","), strings.Join(actions, ","))
}

func pinPage(random *rand.Rand) string {
	return pick(random, `{}`, `{"limit":3}`, `{"limit":5,"offset":2}`, `{"limit":0}`, `{"hitsPerPage":4}`, `{"page":2,"hitsPerPage":3}`, `{"limit":200}`)
}

// pinSearch is a search of its own, or with whole unset one of a federated search.
func pinSearch(random *rand.Rand, uid string, whole bool) string {
	members := []string{`"q":"` + pick(random, "", "", "red", "blue", "blue house", "red nothing", "zzz", "hous", "red -house") + `"`}
	if random.IntN(3) == 0 {
		members = append(members, `"filter":`+pick(random, `"group = a"`, `"group = a OR color = red"`, `["color = red","group = a"]`, `"n < 50 AND group != b"`, `"n = 17"`, `"NOT group = c"`, `"group IN [a, b]"`))
	}
	if random.IntN(4) == 0 {
		members = append(members, `"attributesToHighlight":["*"]`, `"showMatchesPosition":true`)
	}
	if random.IntN(4) == 0 {
		members = append(members, `"showRankingScore":true`, `"showRankingScoreDetails":true`)
	}
	if random.IntN(4) == 0 {
		members = append(members, `"attributesToRetrieve":["title"]`)
	}
	if !whole {
		if uid == "other" {
			members = []string{members[0]}
		}
		members = append(members, `"indexUid":"`+uid+`"`)
		return "{" + strings.Join(members, ",") + "}"
	}
	if random.IntN(4) == 0 {
		members = append(members, `"sort":["n:desc"]`)
	}
	if random.IntN(3) == 0 {
		members = append(members, `"facets":["group","n"]`)
	}
	if random.IntN(5) == 0 {
		members = append(members, `"distinct":"`+pick(random, "group", "color")+`"`)
	}
	if random.IntN(4) == 0 {
		members = append(members, `"rankingScoreThreshold":0.3`)
	}
	if random.IntN(6) == 0 && !strings.Contains(strings.Join(members, ","), `"distinct"`) && !strings.Contains(strings.Join(members, ","), `Threshold"`) {
		members = append(members, `"vector":[3,50],"hybrid":{"embedder":"e","semanticRatio":`+pick(random, "0.2", "0.5", "0.9", "1.0")+`}`)
	}
	if page := strings.Trim(pinPage(random), "{}"); page != "" {
		members = append(members, page)
	}
	return "{" + strings.Join(members, ",") + "}"
}
