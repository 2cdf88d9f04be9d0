package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestTemplatesPassOverHiddenFields(t *testing.T) {
	const skip = `{% if f.name == "_miroir_shard" or f.name == "_miroir_order" %}{% continue %}{% endif `
	for template, want := range map[string]string{
		`{{doc.title}}`: `{{doc.title}}`,
		`{% for w in doc.words %}{{w}}{% endfor %}`:      `{% for w in doc.words %}{{w}}{% endfor %}`,
		`{% for f in fields %}{{f.value}}{% endfor %}`:   `{% for f in fields %}` + skip + `%}{{f.value}}{% endfor %}`,
		`{%- for f in fields -%} {{f.name}}{% endfor %}`: `{%- for f in fields -%}` + skip + `-%} {{f.name}}{% endfor %}`,
		`{%for f in fields limit:2%}{{f.name}}`:          `{%for f in fields limit:2%}` + skip + `%}{{f.name}}`,
		`{% for f in fieldsets %}x{% endfor %}`:          `{% for f in fieldsets %}x{% endfor %}`,
	} {
		if got := nodeTemplate(template); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", template, got, want)
		}
	}
}

const restEmbedder = `{"source":"rest","url":"http://127.0.0.1:1","dimensions":2,"request":"{{text}}","response":"{{embedding}}"}`

// Nodes get a template whenever one server would use its default, and show the client's again. A node that has the
// default itself embeds hidden fields and is found different.
func TestNodesGetATemplateWithoutHiddenFields(t *testing.T) {
	load := func(text string) *meili.Settings {
		settings, err := meili.LoadSettings([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return settings
	}
	for name, embedder := range map[string]string{
		"default":   restEmbedder,
		"max bytes": strings.Replace(restEmbedder, `"url"`, `"documentTemplateMaxBytes":99,"url"`, 1),
		"fields":    strings.Replace(restEmbedder, `"url"`, `"documentTemplate":"{% for f in fields %}{{f.value}}{% endfor %}","url"`, 1),
		"composite": `{"source":"composite","searchEmbedder":` + restEmbedder + `,"indexingEmbedder":` + restEmbedder + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			delta := load(`{"embedders":{"e":` + embedder + `,"gone":null}}`)
			after, refused := load(`{}`).Apply(delta)
			if refused != nil {
				t.Fatal(refused)
			}
			before, _ := json.Marshal(delta)
			sent := settingsForNode(delta, after)
			if got := strings.Count(string(sent), `{% continue %}`); got != 1 {
				t.Errorf("%d templates pass over hidden fields: %s", got, sent)
			}
			if now, _ := json.Marshal(delta); string(now) != string(before) {
				t.Errorf("the client's change became %s", now)
			}
			onNode, refused := load(`{}`).Apply(load(string(sent)))
			if refused != nil {
				t.Fatal(refused)
			}
			state, _ := json.Marshal(after)
			shown := func(settings *meili.Settings) map[string]json.RawMessage {
				members, _ := membersOf(settings.View(meili.AllFeatures()))
				members["filterableAttributes"] = json.RawMessage("[" + string(mustJSON(wholeRule)) + "]")
				return members
			}
			if check, err := compareSettings(state, true, shown(onNode)); err != nil || !check.Equal() {
				t.Errorf("differing %v, error %v: %s", check.Differing, err, shown(onNode)["embedders"])
			}
			if stale, err := staleEmbedders(shown(onNode)["embedders"], shown(after)["embedders"]); err != nil || string(stale) != `{}` {
				t.Errorf("embedders to reset: %s, %v", stale, err)
			}
			check, err := compareSettings(state, true, shown(after))
			if err != nil || !slices.Equal(check.Differing, []string{"embedders"}) {
				t.Errorf("with the client's template on the node: differing %v, error %v", check.Differing, err)
			}
		})
	}
}

func mustJSON(value any) []byte {
	text, _ := json.Marshal(value)
	return text
}

// fakeEmbedder answers a rest embedder and keeps the texts it saw.
type fakeEmbedder struct {
	mu    sync.Mutex
	texts []string
}

func (e *fakeEmbedder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.texts = append(e.texts, textOf(body))
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`[0.5,1]`))
}

func (e *fakeEmbedder) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	texts := e.texts
	e.texts = nil
	slices.Sort(texts)
	return slices.Compact(texts)
}

// What a real server embeds by the default template through Miroir is what it embeds without: nothing hidden.
func TestRealServersEmbedNothingHidden(t *testing.T) {
	for name, shape := range map[string]clusterShape{
		"whole":  {groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAuto},
		"spread": {groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll},
	} {
		t.Run(name, func(t *testing.T) {
			rt, addresses := realNodes(t, 2)
			c := newWriteClusterOver(t, shape, rt, addresses)
			for id := range c.state.View().Nodes {
				c.on(string(id), "PATCH", "/experimental-features", `{"renderRoute":true}`)
			}
			if answer := c.call("PATCH", "/experimental-features", `{"renderRoute":true}`); answer.Code != http.StatusOK {
				t.Fatal(answer.Body)
			}
			embedder := &fakeEmbedder{}
			provider := httptest.NewServer(embedder)
			t.Cleanup(provider.Close)
			settings := `{"embedders":{"e":` + strings.Replace(restEmbedder, "http://127.0.0.1:1", provider.URL, 1) + `}}`
			succeeded(t, c.do("PATCH", "/indexes/m/settings", settings))
			embedder.take()
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"title":"one","n":null},{"id":2,"title":"two","tags":["a","b"]}]`))
			want := []string{"id: 1\ntitle: one\n", "id: 2\ntitle: two\ntags: ab\n"}
			if got := embedder.take(); !slices.Equal(got, want) {
				t.Errorf("embedded %q, want %q", got, want)
			}
			for _, place := range []string{"", "/embedders"} {
				if shown := c.call("GET", "/indexes/m/settings"+place, "").Body.String(); !strings.Contains(shown, `field.is_searchable and`) || strings.Contains(shown, "_miroir") {
					t.Errorf("settings show %s", shown)
				}
			}
			rendered := c.call("POST", "/render-template", `{"template":{"kind":"documentTemplate","indexUid":"m","embedder":"e"},"input":{"kind":"indexDocument","indexUid":"m","id":"1"}}`).Body.String()
			// A template with what its kind does not have is refused as such, also of an index that does not exist.
			for template, want := range map[string]string{
				`"indexUid":"none","embedder":"e","fragment":"f"`: "error while fetching template: parameter `fragment` disallowed for kind `documentTemplate`",
				`"indexUid":"none","embedder":"e"`:                "error while fetching template: cannot open index `none`: Index `none` not found.",
			} {
				refused := c.call("POST", "/render-template", `{"template":{"kind":"documentTemplate",`+template+`}}`)
				if message := text(memberOf(refused.Body.Bytes(), "message")); message != want {
					t.Errorf("a template of %s: %d %s", template, refused.Code, message)
				}
			}
			if strings.Contains(rendered, "_miroir") || !strings.Contains(rendered, `"rendered":"id: 1\ntitle: one\n"`) {
				t.Errorf("rendered %s", rendered)
			}
		})
	}
}
