package meili

import (
	"strings"
	"testing"
)

func TestEmbedderErrors(t *testing.T) {
	f := func(embedder string, code Code, message string) {
		t.Helper()
		_, err := DecodeSettings([]byte(`{"embedders":{"e":`+embedder+`}}`), AllFeatures())
		checkError(t, embedder, err, code, message)
	}
	const c = CodeInvalidSettingsEmbedders
	f(`{"source":"x"}`, c, "Unknown value `x` at `.embedders.e.source`: expected one of `openAi`, `huggingFace`, `ollama`, `userProvided`, `rest`, `composite`")
	f(`{"source":"userProvided"}`, c, "`.embedders.e`: Missing field `dimensions` (note: this field is mandatory for source `userProvided`)")
	f(`{"source":"userProvided","dimensions":0}`, c, "`.embedders.e.dimensions`: `dimensions` cannot be zero")
	f(`{"source":"userProvided","dimensions":1,"model":"m"}`, c, "`.embedders.e`: Field `model` unavailable for source `userProvided`.\n  - note: `model` is available for sources: `openAi`, `huggingFace`, `ollama`\n  - note: available fields for source `userProvided`: `source`, `dimensions`, `distribution`, `binaryQuantized`")
	f(`{"source":"openAi","model":"m"}`, c, "`.embedders.e.model`: Invalid model `m` for OpenAI. Supported models: [\"text-embedding-ada-002\", \"text-embedding-3-small\", \"text-embedding-3-large\"]")
	f(`{"source":"openAi","model":"text-embedding-ada-002","dimensions":3}`, c, "`.embedders.e.dimensions`: Model `text-embedding-ada-002` does not support overriding its native dimensions of 1536. Found 3")
	f(`{"source":"openAi","model":"text-embedding-3-large","dimensions":5000}`, c, "`.embedders.e.dimensions`: Model `text-embedding-3-large` does not support overriding its dimensions to a value higher than 3072. Found 5000")
	f(`{"documentTemplate":"a","documentTemplateMaxBytes":0}`, c, "`.embedders.e.documentTemplateMaxBytes`: `documentTemplateMaxBytes` cannot be zero")
	f(`{"url":"nope"}`, c, "`.embedders.e.url`: could not parse `nope`: relative URL without a base")
	f(`{"distribution":{"mean":2,"sigma":1}}`, c, "Invalid value at `.embedders.e.distribution`: the distribution mean must be in the range [0, 1], got 2")
	f(`{"source":"rest","url":"http://x"}`, c, "`.embedders.e`: Missing field `request` (note: this field is mandatory for source `rest`)")
	f(`{"source":"composite","searchEmbedder":{"source":"userProvided","dimensions":1},"indexingEmbedder":{"source":"openAi"}}`, c, "`.embedders.e.searchEmbedder.source`: Source `userProvided` is not available in a nested embedder")
	f(`{"source":"composite","searchEmbedder":{},"indexingEmbedder":{}}`, c, "`.embedders.e.searchEmbedder`: Missing field `source`.\n  - note: this field is mandatory for nested embedders")
	f(`{"source":"composite","searchEmbedder":{"source":"openAi","documentTemplate":"a"},"indexingEmbedder":{"source":"openAi"}}`, c, "`.embedders.e.searchEmbedder`: Field `documentTemplate` unavailable for source `openAi` for the search embedder.\n  - note: available fields for source `openAi` for the search embedder: `source`, `model`, `apiKey`, `dimensions`, `url`\n  - note: `documentTemplate` is available when source `openAi` is not for the search embedder")
	f(`null`, "", "")
}

func TestRestTemplateErrors(t *testing.T) {
	const note = "\n  - Note: this template is using a document template, and so expects to contain the placeholder \"{{text}}\" rather than \"{{fragment}}\""
	f := func(request, response, problem string) {
		t.Helper()
		_, err := DecodeSettings([]byte(`{"embedders":{"e":{"source":"rest","url":"http://x","request":`+request+`,"response":`+response+`}}}`), AllFeatures())
		if problem == "" {
			checkError(t, request, err, "", "")
			return
		}
		checkError(t, request, err, CodeVectorEmbeddingError, "Error while generating embeddings: user error: "+problem)
	}
	f(`{"t":"{{text}}"}`, `"{{embedding}}"`, "")
	f(`{"t":[{"a":"{{text}}"},"{{..}}","x"]}`, `["{{embedding}}","{{..}}"]`, "")
	f(`"{{fragment}}"`, `"{{embedding}}"`, "")
	f(`{}`, `"{{embedding}}"`, "in `request`: \"{{text}}\" not found"+note)
	f(`["{{text}}","a","{{..}}"]`, `"{{embedding}}"`, "in `request`: \"{{..}}\" expected at position #1, but found at position #2"+note)
	f(`{"t":["a","{{..}}"]}`, `"{{embedding}}"`, "in `request.t[0]`: Expected \"{{text}}\" inside of the repeated value"+note)
	f(`{"a":"{{text}}","b":"{{text}}"}`, `"{{embedding}}"`, "in `request.b`: Found \"{{text}}\", but it was already present in `request.a`"+note)
	f(`{"a":"{{text}}","b":["{{text}}","{{..}}"]}`, `"{{embedding}}"`, "in `request.a`: Found \"{{text}}\", but it was already present in `request.b[0]` (repeated)"+note)
	f(`"{{text}}"`, `["{{embedding}}","{{..}}"]`, "in `response`: `response` has multiple embeddings, but `request` has only one text to embed")
	f(`["{{text}}","{{..}}"]`, `"{{embedding}}"`, "in `response`: `response` has a single embedding, but `request` has multiple texts to embed")
}

func TestEmbedderFeatures(t *testing.T) {
	f := func(embedder, action string) {
		t.Helper()
		_, err := DecodeSettings([]byte(`{"embedders":{"e":`+embedder+`}}`), Features{})
		if err == nil || err.Code != CodeFeatureNotEnabled || !strings.HasPrefix(err.Message, action+" requires enabling the `") {
			t.Errorf("%s: %v", embedder, err)
		}
	}
	f(`{"source":"composite"}`, "using `\"composite\"` as source")
	f(`{"searchEmbedder":{}}`, "setting `searchEmbedder`")
	f(`{"indexingFragments":{}}`, "setting `indexingFragments`")
}

func TestEmbeddersAfterChanges(t *testing.T) {
	f := func(want string, bodies ...string) {
		t.Helper()
		var changes []string
		for _, body := range bodies {
			changes = append(changes, `{"embedders":`+body+`}`)
		}
		got, err := applyAll(t, changes...).ViewOf("embedders")
		if err != nil || string(got) != want {
			t.Errorf("%q:\n got %s %v\nwant %s", bodies, got, err, want)
		}
	}
	template := string(AppendString(nil, defaultTemplate))
	f(`{"u":{"source":"userProvided","dimensions":4}}`, `{"u":{"source":"userProvided","dimensions":3}}`, `{"u":{"dimensions":4}}`)
	f(`{"v":{"source":"userProvided","dimensions":3}}`, `{"u":{"source":"userProvided","dimensions":3},"v":{"source":"userProvided","dimensions":3}}`, `{"u":null,"w":null}`)
	f(`{}`, `{"u":{"source":"userProvided","dimensions":3}}`, `null`)
	f(`{"w":{"source":"userProvided","dimensions":1}}`, `{"u":{"source":"userProvided","dimensions":3}}`, `null`, `{"w":{"source":"userProvided","dimensions":1}}`)
	f(`{"o":{"source":"openAi","model":"text-embedding-3-small","apiKey":"sk-01XXXXXX...","documentTemplate":`+template+`,"documentTemplateMaxBytes":400}}`,
		`{"o":{"apiKey":"sk-0123456789012345678901234567890123"}}`)
	f(`{"h":{"source":"huggingFace","model":"BAAI/bge-base-en-v1.5","revision":"617ca489d9e86b49b8167676d8220688b99db36e","pooling":"useModel","documentTemplate":`+template+`,"documentTemplateMaxBytes":400}}`,
		`{"h":{"source":"huggingFace"}}`)
	rest := `{"r":{"source":"rest","url":"http://x","request":{"i":"{{text}}"},"response":"{{embedding}}","apiKey":"secret"}}`
	f(`{"r":{"source":"rest","documentTemplate":"a","documentTemplateMaxBytes":9,"url":"http://x","request":{"i":"{{text}}"},"response":"{{embedding}}","headers":{}}}`,
		rest, `{"r":{"documentTemplate":"a","documentTemplateMaxBytes":9,"apiKey":null}}`)
	f(`{"r":{"source":"userProvided","dimensions":2}}`, rest, `{"r":{"apiKey":null}}`, `{"r":{"source":"userProvided","dimensions":2}}`)
}

func TestSecretsStayInWhatIsStored(t *testing.T) {
	s := applyAll(t, `{"embedders":{"e":{"source":"openAi","apiKey":"0123456789"},"c":{"source":"composite","searchEmbedder":{"source":"openAi","apiKey":"abcdefghij"},"indexingEmbedder":{"source":"openAi"}}}}`)
	text := string(mustMarshal(s))
	if !strings.Contains(text, "0123456789") || !strings.Contains(text, "abcdefghij") {
		t.Error(text)
	}
	for _, shown := range []string{string(s.View(Features{})), string(s.Details())} {
		if strings.Contains(shown, "0123456789") || strings.Contains(shown, "abcdefghij") {
			t.Error(shown)
		}
	}
	if e := s.Embedder("e"); e == nil || e.APIKey.Value != "0123456789" {
		t.Error(e)
	}
}

func TestURLProblem(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := urlProblem(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("http://localhost:11434/api", "")
	f(" http://x ", "")
	f("http:x", "")
	f("x:y", "")
	f("http://é.fr", "")
	f("http://[::1]:80/", "")
	f("http://x/%zz", "")
	f("http://256", "")
	f("http://0x7f.1/", "")
	f("http://1.2.3.4.5", "invalid IPv4 address")
	f("", "relative URL without a base")
	f("//x", "relative URL without a base")
	f("1://x", "relative URL without a base")
	f("http://", "empty host")
	f("http://x:99999", "invalid port number")
	f("http://x:a", "invalid port number")
	f("http://[::1", "invalid IPv6 address")
	f("http://a b", "invalid international domain name")
	f("http://1.2.3.400", "invalid IPv4 address")
}
