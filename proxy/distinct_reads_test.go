package proxy

import (
	"bytes"
	"errors"
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

// refusing fails every request whose body holds a text.
type refusing struct {
	inner http.RoundTripper
	text  string
	count atomic.Int32
}

func (f *refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && f.text != "" {
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

func TestSearchesOutliveExtraRounds(t *testing.T) {
	nodes := map[string]*devnode.Node{}
	var addresses []string
	for _, host := range []string{"a", "b"} {
		nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[host].Close)
		addresses = append(addresses, "http://"+host)
	}
	transport := &refusing{inner: devnode.Transport(nodes)}
	c := fill(t, newReadCluster(t, transport, addresses, layout{groups: 1, nodes: 2, copies: 1, shards: 8}))
	transport.text = "NOT "
	got := ask(t, c, "POST", "/indexes/docs/search", `{"q":"document","distinct":"color","limit":2,"facets":["color"]}`)
	if got.status != http.StatusOK || len(itemsOf(memberOf(got.body, "hits"))) != 2 || len(memberOf(got.body, "facetDistribution")) == 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if transport.count.Load() == 0 {
		t.Error("no further round was asked for")
	}
}
