package meili

import "testing"

func TestIndexBodies(t *testing.T) {
	f := func(name string, got *Error, code Code, message string) {
		t.Helper()
		checkError(t, name, got, code, message)
	}
	create := func(body string) *Error { _, err := DecodeIndexCreate([]byte(body)); return err }
	update := func(body string) *Error { _, err := DecodeIndexUpdate([]byte(body)); return err }
	f("create", create(`{"uid":"m","primaryKey":null}`), "", "")
	f("no uid", create(`{}`), CodeMissingIndexUID, "Missing field `uid`")
	f("bad uid", create(`{"uid":"a b"}`), CodeInvalidIndexUID, "Invalid value at `.uid`: "+indexUIDMessage("a b"))
	f("unknown", create(`{"uid":"m","primarykey":"id"}`), CodeBadRequest, "Unknown field `primarykey`: did you mean `primaryKey`? expected one of `uid`, `primaryKey`")
	f("update", update(`{"uid":"n"}`), "", "")
	f("new uid", update(`{"uid":"a b"}`), CodeInvalidIndexUID, indexUIDMessage("a b"))
	f("immutable", update(`{"createdAt":1}`), CodeImmutableIndexCreatedAt, "Immutable field `createdAt`: expected one of `primaryKey`, `uid`")
}

func TestSwaps(t *testing.T) {
	f := func(body string, code Code, message string) {
		t.Helper()
		swaps, err := DecodeSwap([]byte(body))
		if err == nil {
			err = CheckSwaps(swaps)
		}
		checkError(t, body, err, code, message)
	}
	f(`[]`, "", "")
	f(`[{"indexes":["a","b"]},{"indexes":["c","d"],"rename":true}]`, "", "")
	f(`{}`, CodeBadRequest, "Invalid value type: expected an array, but found an object: `{}`")
	f(`[{"x":1}]`, CodeBadRequest, "Unknown field `x` inside `[0]`: expected one of `indexes`, `rename`")
	f(`[{}]`, CodeMissingSwapIndexes, "Missing field `indexes` inside `[0]`")
	f(`[{"indexes":["a"]}]`, CodeInvalidSwapIndexes, "Two indexes must be given for each swap. The list `[\"a\"]` contains 1 indexes.")
	f(`[{"indexes":["a","b c"]}]`, CodeInvalidSwapIndexes, "Invalid value at `[0].indexes[1]`: "+indexUIDMessage("b c"))
	f(`[{"indexes":["a","a"]}]`, CodeInvalidSwapDuplicateIndexFound, "Indexes must be declared only once during a swap. `a` was specified several times.")
	f(`[{"indexes":["b","a"]},{"indexes":["b","a"]}]`, CodeInvalidSwapDuplicateIndexFound, "Indexes must be declared only once during a swap. `a`, `b` were specified several times.")
	checkError(t, "one", SwapsNotFound([]string{"a"}), CodeIndexNotFound, "Index `a` not found.")
	checkError(t, "two", SwapsNotFound([]string{"b", "a"}), CodeIndexNotFound, "Indexes `a`, `b` not found.")
	checkError(t, "renames", SwapsFound([][2]string{{"c", "x"}, {"b", "z"}}), CodeIndexAlreadyExists, "The following indexes are being renamed but cannot because their new name conflicts with an already existing index: `z`, `x`. Renaming doesn't overwrite the other index name.")
	if SwapsNotFound(nil) != nil || SwapsFound(nil) != nil {
		t.Error("error about no index")
	}
}

func TestPage(t *testing.T) {
	p, err := DecodePage("limit=2&offset=3", CodeInvalidIndexOffset, CodeInvalidIndexLimit)
	if err != nil || p != (Page{Offset: 3, Limit: 2}) {
		t.Fatal(p, err)
	}
	for n, want := range map[int][2]int{0: {0, 0}, 3: {3, 3}, 4: {3, 4}, 9: {3, 5}} {
		if from, to := p.Of(n); from != want[0] || to != want[1] {
			t.Errorf("%d: %d..%d", n, from, to)
		}
	}
	_, err = DecodePage("offset=-1", CodeInvalidIndexOffset, CodeInvalidIndexLimit)
	checkError(t, "offset", err, CodeInvalidIndexOffset, "Invalid value in parameter `offset`: could not parse `-1` as a positive integer")
}

func TestOtherBodies(t *testing.T) {
	_, err := DecodeFields([]byte(`{"filter":{"displayd":true}}`))
	checkError(t, "fields", err, CodeInvalidIndexFieldsFilter, "Unknown field `displayd` inside `.filter`: did you mean `displayed`? expected one of `attributePatterns`, `displayed`, `searchable`, `sortable`, `distinct`, `rankingRule`, `filterable`")
	_, err = DecodeStatsParams("sizeFormat=big")
	checkError(t, "stats", err, CodeInvalidStatsSizeFormat, "Unknown value `big` for parameter `sizeFormat`: expected one of `human`, `raw`")
	_, err = DecodeFeaturesPatch([]byte(`{"metrics":1}`))
	checkError(t, "features", err, CodeBadRequest, "Invalid value type at `.metrics`: expected a boolean, but found a positive integer: `1`")
	patch, err := DecodeFeaturesPatch([]byte(`{"metrics":true,"network":null}`))
	if err != nil || (Features{Network: true}).With(patch) != (Features{Metrics: true, Network: true}) {
		t.Error(patch, err)
	}
}

func TestDecodeExport(t *testing.T) {
	e, err := DecodeExport([]byte(`{"url":"u","payloadSize":"24MiB"}`))
	if err != nil || *e.PayloadSize != 24<<20 || len(e.Indexes) != 1 || e.Indexes["*"].OverrideSettings {
		t.Fatal(e, err)
	}
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeExport([]byte(body))
		checkError(t, body, err, code, message)
	}
	f(`{"payloadSize":true}`, CodeInvalidExportPayloadSize, "Invalid value type at `.payloadSize`: expected a positive integer or a string, but found a boolean: `true`")
	f(`{"payloadSize":"x"}`, CodeInvalidExportPayloadSize, "Invalid value at `.payloadSize`: the character 'x' is not a number")
	f(`{"indexes":{"a b":{}}}`, CodeBadRequest, "Invalid value at `.indexes`: the key \"a b\" could not be deserialized into the key type `meilisearch_types::index_uid_pattern::IndexUidPattern`")
	f(`{"indexes":{"a*":{"overrideSettings":1}}}`, CodeInvalidExportIndexOverrideSettings, "Invalid value type at `.indexes.a*.overrideSettings`: expected a boolean, but found a positive integer: `1`")
	for text, want := range map[string]uint64{"10": 10, "1.5 kB": 1500, "2KiB": 2048, "3b": 3} {
		if got, refused := parseByteSize(text); got != want || refused != "" {
			t.Errorf("%s: %d %s", text, got, refused)
		}
	}
}

func TestWebhooks(t *testing.T) {
	decode := func(body string) *WebhookPatch {
		t.Helper()
		p, err := DecodeWebhook([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const uuid = "627ea538-733d-4545-8d2d-03526eb381ce"
	w, err := decode(`{"url":"https://x/y","headers":{"authorization":"Bearer 0123456789","X-A":"b"}}`).Create(uuid, 0)
	if err != nil {
		t.Fatal(err)
	}
	if view := w.View(); !view.IsEditable || view.Headers["authorization"] != "Bearer 01XXXX..." || w.Headers["authorization"] != "Bearer 0123456789" {
		t.Error(view)
	}
	w, err = decode(`{"headers":{"X-A":null,"X-B":"c"}}`).Apply(w)
	if err != nil || w.URL != "https://x/y" || len(w.Headers) != 2 || w.Headers["X-B"] != "c" {
		t.Fatal(w, err)
	}
	_, err = decode(`{}`).Create(uuid, 0)
	checkError(t, "no url", err, CodeInvalidWebhookURL, "The URL for the webhook `"+uuid+"` is missing.")
	_, err = decode(`{"url":"nope"}`).Create(uuid, 0)
	checkError(t, "url", err, CodeInvalidWebhookURL, "Invalid URL `nope`: relative URL without a base")
	_, err = decode(`{"url":"http://x"}`).Create(uuid, MaxWebhooks)
	checkError(t, "many", err, CodeInvalidWebhooks, "Defining too many webhooks would crush the server. Please limit the number of webhooks to 20. You may use a third-party proxy server to dispatch events to more than 20 endpoints.")
	_, err = decode(`{"url":"http://x","headers":{"a b":"c"}}`).Create(uuid, 0)
	checkError(t, "header", err, CodeInvalidWebhookHeaders, "Invalid header name `a b`: invalid HTTP header name")
	_, err = decode(`{"url":null}`).Apply(w)
	checkError(t, "reset", err, CodeInvalidWebhookURL, "The URL for the webhook `"+uuid+"` is missing.")
	_, err = decode(`{}`).Apply(&Webhook{UUID: nilUUID})
	checkError(t, "immutable", err, CodeImmutableWebhook, "Webhook `"+nilUUID+"` is immutable. The webhook defined from the command line cannot be modified using the API.")
	_, err = DecodeWebhook([]byte(`{"uuid":"x"}`))
	checkError(t, "uuid", err, CodeImmutableWebhookUUID, "Immutable field `uuid`: expected one of `url`, `headers`")
}
