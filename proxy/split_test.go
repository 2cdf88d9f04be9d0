package proxy

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"miroir/meili"
)

func splitTestWriter(t *testing.T) *writer {
	return &writer{server: &Server{opts: Options{TempDir: t.TempDir(), BodyMemoryBytes: 1 << 20}}}
}

func TestSplitRoutesAndCounts(t *testing.T) {
	wr := splitTestWriter(t)
	b, err := wr.splitPayload(meili.PayloadJSON, 0, strings.NewReader(`[{"id":1},{"id":"1","v":2},{"id":"A"},{"id":"a"}]`), splitPlan{indexUID: "m", shards: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if b.primaryKey != "id" || b.received != 4 || b.distinct != 3 || b.failure != nil {
		t.Errorf("key %q, %d received, %d distinct, failure %v", b.primaryKey, b.received, b.distinct, b.failure)
	}
	if one, a := ShardOf("1", 16), ShardOf("a", 16); b.docs.shardDocuments[one] < 2 || b.docs.shardDocuments[a] < 2 {
		t.Errorf("1 and \"1\", and A and a, must share their shards: %v", b.docs.shardDocuments)
	}
}

func TestSplitFailsTheBatchAsOneServerWould(t *testing.T) {
	for name, test := range map[string]struct {
		body, primaryKey string
		code             meili.Code
	}{
		"no id":                      {`[{"id":1},{"x":1}]`, "", meili.CodeMissingDocumentID},
		"bad id":                     {`[{"id":1},{"id":"a b"}]`, "", meili.CodeInvalidDocumentID},
		"no candidate":               {`[{"name":1}]`, "", meili.CodeIndexPrimaryKeyNoCandidateFound},
		"two candidates":             {`[{"id":1,"uid":2}]`, "", meili.CodeIndexPrimaryKeyMultipleCandidatesFound},
		"only the first one decides": {`[{"id":1},{"id":2,"uid":3}]`, "", ""},
		"given key":                  {`[{"id":1,"uid":2}]`, "uid", ""},
		"bad geo":                    {`[{"id":1,"_geo":{"lat":"x"}}]`, "id", ""}, // not checked unless geo is on
	} {
		t.Run(name, func(t *testing.T) {
			b, err := splitTestWriter(t).splitPayload(meili.PayloadJSON, 0, strings.NewReader(test.body), splitPlan{indexUID: "m", shards: 4, primaryKey: test.primaryKey})
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			got := meili.Code("")
			if b.failure != nil {
				got = b.failure.Code
			}
			if got != test.code {
				t.Errorf("got %q, want %q (%v)", got, test.code, b.failure)
			}
		})
	}
}

func TestSplitChecksWhatSettingsDemand(t *testing.T) {
	plan := splitPlan{indexUID: "m", shards: 4, primaryKey: "id", settings: []byte(`{"filterableAttributes":["_geo"]}`)}
	b, err := splitTestWriter(t).splitPayload(meili.PayloadJSON, 0, strings.NewReader(`[{"id":1,"_geo":{"lat":"x"}}]`), plan)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if b.failure == nil || b.failure.Code != meili.CodeInvalidDocumentGeoField {
		t.Errorf("failure: %v", b.failure)
	}
}

func TestSplitRefusesTheReservedField(t *testing.T) {
	for _, body := range []string{`[{"id":1,"_miroir_shard":"x"}]`, `[{"id":1},{"id":2,"_miroir\u005fshard":1}]`, `[{"x":1},{"id":2,"_miroir_shard":null}]`} {
		_, err := splitTestWriter(t).splitPayload(meili.PayloadJSON, 0, strings.NewReader(body), splitPlan{indexUID: "m", shards: 4})
		var refused *meili.Error
		if !errors.As(err, &refused) || refused.Code != codeReservedField || refused.Status != 400 {
			t.Errorf("%s: %v", body, err)
		}
	}
	b, err := splitTestWriter(t).splitPayload(meili.PayloadJSON, 0, strings.NewReader(`[{"id":1,"a":{"_miroir_shard":1},"b":"_miroir_shard"}]`), splitPlan{shards: 4})
	if err != nil {
		t.Errorf("only the top level is reserved: %v", err)
	}
	b.close()
}

// A batch that was split for a state that has changed is split again from its spool.
func TestResplit(t *testing.T) {
	wr := splitTestWriter(t)
	b, err := wr.splitPayload(meili.PayloadNDJSON, 0, strings.NewReader("{\"id\":1,\"sku\":\"a\"}\n{\"id\":1,\"sku\":\"b\"}\n"), splitPlan{indexUID: "m", shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	plan := splitPlan{indexUID: "m", shards: 64, primaryKey: "sku"}
	if b.fits(plan) {
		t.Error("another key and number of shards must not fit")
	}
	if !b.fits(splitPlan{indexUID: "m", shards: 4, primaryKey: "id"}) {
		t.Error("the inferred key must fit")
	}
	again, err := wr.resplit(b, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if again.primaryKey != "sku" || again.distinct != 2 || again.received != 2 {
		t.Errorf("key %q, %d received, %d distinct", again.primaryKey, again.received, again.distinct)
	}
	text, _ := io.ReadAll(again.docs.reader(nil, numbering{}))
	want := fmt.Sprintf("{\"id\":1,\"sku\":\"a\",\"_miroir_shard\":%q}\n{\"id\":1,\"sku\":\"b\",\"_miroir_shard\":%q}\n", EncodeShard(ShardOf("a", 64)), EncodeShard(ShardOf("b", 64)))
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}
