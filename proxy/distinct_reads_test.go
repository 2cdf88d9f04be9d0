package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/devnode"
)

// distinctReads are searches whose duplicates lie on different nodes, none of equal rank.
var distinctReads = []string{
	`{"q":"document","sort":["price:asc","title:asc"],"distinct":"color","limit":2,"facets":["color","price"]}`,
	`{"q":"document","sort":["price:asc","title:asc"],"distinct":"price","limit":9,"facets":["color"]}`,
	`{"q":"ocean","sort":["price:desc","title:asc"],"distinct":"color","limit":0,"facets":["color"]}`,
	`{"q":"ocean","sort":["price:desc","title:asc"],"distinct":"price","limit":50,"facets":["price"],"attributesToRetrieve":["title"]}`,
	`{"sort":["price:asc","title:asc"],"distinct":"color","page":1,"hitsPerPage":2}`,
	`{"sort":["price:asc","title:asc"],"distinct":"price","page":3,"hitsPerPage":5,"attributesToRetrieve":["id"]}`,
	`{"q":"document","facets":["price"]}`, // more values than are listed, by count with ties at the end of the list
	`{"q":"desert","facets":["price"],"limit":0}`,
}

const listByCount = `{"faceting":{"maxValuesPerFacet":5,"sortFacetValuesBy":{"*":"count"}}}`

func TestDistinctAndTiesOverSeveralNodes(t *testing.T) {
	one, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	ask(t, one, "PATCH", "/indexes/docs/settings", listByCount)
	for _, l := range []layout{{groups: 1, nodes: 3, copies: 1, shards: 8}, {groups: 1, nodes: 3, copies: 2, shards: 8}} {
		spread, _ := filledCluster(t, l)
		ask(t, spread, "PATCH", "/indexes/docs/settings", listByCount)
		for _, body := range distinctReads {
			want, got := ask(t, one, "POST", "/indexes/docs/search", body), ask(t, spread, "POST", "/indexes/docs/search", body)
			for _, member := range []string{"estimatedTotalHits", "totalHits", "totalPages", "facetDistribution", "facetStats"} {
				if w, g := memberOf(want.body, member), memberOf(got.body, member); !bytes.Equal(w, g) {
					t.Errorf("%v: %s: %s is %s, want %s", l, body, member, g, w)
				}
			}
			if strings.Contains(body, "sort") && !bytes.Equal(memberOf(want.body, "hits"), memberOf(got.body, "hits")) {
				t.Errorf("%v: %s: hits %s, want %s", l, body, memberOf(got.body, "hits"), memberOf(want.body, "hits"))
			}
		}
	}
}

// refusing fails every request whose body holds a text, to one host or to any.
type refusing struct {
	inner http.RoundTripper
	text  string
	host  string
	count atomic.Int32
}

func (f *refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && f.text != "" && (f.host == "" || r.URL.Host == f.host) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(f.text)) {
			f.count.Add(1)
			return nil, errors.New("connection reset")
		}
	}
	return f.inner.RoundTrip(r)
}

// A node that answers the first round of a search and not the next is not asked again: another replica has its shards, or
// the answer names them.
func TestSearchesOutliveExtraRounds(t *testing.T) {
	const search, facetSearch = "/indexes/docs/search", "/indexes/docs/facet-search"
	one, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	reads := []struct{ path, body, later, member string }{
		{search, `{"q":"document","sort":["price:asc","title:asc"],"distinct":"color","limit":2,"facets":["color"]}`, "NOT ", "facetDistribution"},
		{search, `{"q":"document","sort":["price:asc","title:asc"],"distinct":"price","limit":9,"facets":["color"]}`, "NOT ", "estimatedTotalHits"},
		{facetSearch, `{"facetName":"color","q":"document"}`, "NOT ", "facetHits"},
	}
	ask(t, one, "PATCH", "/indexes/docs/settings", `{"distinctAttribute":"color"}`)
	for _, lost := range []struct {
		name   string
		copies int
		host   string // that fails, "" for every one
		marked bool
	}{{"one of two replicas", 2, "node1", false}, {"the only replica", 1, "node1", true}, {"all", 2, "", true}} {
		t.Run(lost.name, func(t *testing.T) {
			for _, read := range reads {
				nodes := map[string]*devnode.Node{}
				var addresses []string
				for _, host := range []string{"node0", "node1", "node2"} {
					nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
					t.Cleanup(nodes[host].Close)
					addresses = append(addresses, "http://"+host)
				}
				transport := &refusing{inner: devnode.Transport(nodes), host: lost.host}
				c := fill(t, newReadCluster(t, transport, addresses, layout{groups: 1, nodes: 3, copies: lost.copies, shards: 8}))
				ask(t, c, "PATCH", "/indexes/docs/settings", `{"distinctAttribute":"color"}`)
				transport.text = read.later
				transport.count.Store(0)
				got := ask(t, c, "POST", read.path, read.body)
				transport.text = ""
				if transport.count.Load() == 0 {
					t.Errorf("%s: no further round was asked for", read.body)
				}
				marked := strings.HasPrefix(got.header.Get("X-Miroir-Degraded"), "shards=")
				want := ask(t, one, "POST", read.path, read.body)
				switch exact := bytes.Equal(memberOf(got.body, read.member), memberOf(want.body, read.member)); {
				case got.status != http.StatusOK || len(memberOf(got.body, read.member)) == 0:
					t.Errorf("%s: %d %s", read.body, got.status, got.body)
				case !exact && !marked:
					t.Errorf("%s: %s, want %s, and not marked", read.body, got.body, want.body)
				case marked != lost.marked:
					t.Errorf("%s is marked %q", read.body, got.header.Get("X-Miroir-Degraded"))
				}
			}
		})
	}
}

// TestDistinctWhereNoRuleRanks: one server takes the first documents that have the words, and counts what is not a duplicate of these.
func TestDistinctWhereNoRuleRanks(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		var documents []string
		for i := range 60 {
			documents = append(documents, fmt.Sprintf(`{"id":%d,"title":"sea %s","family":%d}`, i, strings.Repeat("blue ", i%3), i*7%13))
		}
		s.write("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]")
		for _, rules := range []string{`["sort"]`, `["words"]`, `["typo","sort"]`} {
			s.write("PATCH", "/indexes/m/settings", `{"filterableAttributes":["family"],"sortableAttributes":["id"],"rankingRules":`+rules+`}`)
			for _, body := range []string{`"limit":3`, `"limit":3,"offset":2`, `"limit":5,"matchingStrategy":"all"`, `"limit":40`, `"limit":4,"sort":["id:desc"]`, `"limit":3,"rankingScoreThreshold":0.9`} {
				body = `{"q":"sea blue","distinct":"family",` + body + `}`
				for _, member := range []string{"estimatedTotalHits", "hits"} {
					if want, got := s.both("/indexes/m/search", body, member); string(got) != string(want) {
						t.Errorf("rules %s: %s: %s %s, want %s", rules, body, member, got, want)
					}
				}
			}
		}
	})
}
