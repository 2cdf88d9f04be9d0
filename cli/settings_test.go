package cli

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What each command asks of the pod, prints and ends with.
func TestSettingsCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(path, []byte("{ \"stopWords\": [\"the\"] }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const version = "/_miroir/indexes/m/settings/version"
	right, wrong := `{"node":"a","version":3,"fingerprint":"f"}`, `{"node":"b","fingerprint":"g","differing":["stopWords","synonyms"]}`
	preview := `{"diff":{"stopWords":{"now":[],"after":["the"]},"pagination":{"now":{"maxTotalHits":1000},"after":{"maxTotalHits":5}}},"reindex":true}`
	for line, test := range map[string]struct {
		answers map[string][]string
		asked   []string
		prints  string
		ends    error
	}{
		"settings show m": {map[string][]string{"/_miroir/api/indexes/m/settings": {`{"stopWords":["a"],"facetSearch":true}`}},
			[]string{"GET /_miroir/api/indexes/m/settings"}, "facetSearch  true\nstopWords    a\n", nil},
		"settings preview m --file " + path: {map[string][]string{"/_miroir/indexes/m/settings/preview": {preview}},
			[]string{`POST /_miroir/indexes/m/settings/preview {"stopWords":["the"]}`},
			"SETTING     NOW                AFTER\npagination  maxTotalHits=1000  maxTotalHits=5\nstopWords                      the\n\nThe nodes would go through all documents.\n", nil},
		"settings apply m --file -": {map[string][]string{"/_miroir/api/indexes/m/settings": {`{"taskUid":7}`}},
			[]string{`PATCH /_miroir/api/indexes/m/settings {"synonyms":null}`}, "taskUid  7\n", nil},
		"settings apply m --wait --file " + path: {map[string][]string{"/_miroir/api/indexes/m/settings": {`{"taskUid":7}`}, "/_miroir/api/tasks/7": {`{"status":"processing"}`, `{"status":"failed"}`}},
			[]string{`PATCH /_miroir/api/indexes/m/settings {"stopWords":["the"]}`, "GET /_miroir/api/tasks/7", "GET /_miroir/api/tasks/7"}, "status  failed\n", ErrBadNews},
		"settings drift m": {map[string][]string{version: {`{"version":3,"frozen":true,"nodes":[` + right + `,` + wrong + `]}`}},
			[]string{"GET " + version}, "INDEX  NODE  VERSION  DIFFERING           FROZEN\nm      a     3        -                   true\nm      b     -        stopWords,synonyms  true\n", ErrBadNews},
		"settings drift": {map[string][]string{"/_miroir/api/indexes?limit=1000&offset=0": {`{"results":[{"uid":"m"}],"total":2}`}, "/_miroir/api/indexes?limit=1000&offset=1": {`{"results":[{"uid":"n"}],"total":2}`},
			version: {`{"version":3,"frozen":false,"nodes":[` + right + `]}`}},
			[]string{"GET /_miroir/api/indexes?limit=1000&offset=0", "GET /_miroir/api/indexes?limit=1000&offset=1", "GET " + version, "GET /_miroir/indexes/n/settings/version"},
			"INDEX  NODE  VERSION  DIFFERING  FROZEN\nm      a     3        -          false\n", nil},
		"settings unfreeze m": {map[string][]string{"/_miroir/indexes/m/settings/unfreeze": {`{"uid":"m","frozen":false}`}},
			[]string{"POST /_miroir/indexes/m/settings/unfreeze"}, "frozen  false\nuid     m\n", nil},
	} {
		t.Run(line, func(t *testing.T) {
			pod := &fakePod{answers: test.answers}
			printed, err := pod.command(t, `{"synonyms": null}`, line)
			if !errors.Is(err, test.ends) || err != nil && test.ends == nil {
				t.Errorf("ended with %v, want %v", err, test.ends)
			}
			if !slices.Equal(pod.asked, test.asked) || printed != test.prints {
				t.Errorf("asked %q\nwant  %q\nprinted\n%s\nwant\n%s", pod.asked, test.asked, printed, test.prints)
			}
		})
	}
}

// A file that is none of JSON is refused here, and without one the command line is wrong.
func TestSettingsFilesAreChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.json")
	if err := os.WriteFile(path, []byte("stopWords: [the]"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"settings apply m --file " + path, "settings apply m", "settings preview m --file " + path + ".none"} {
		pod := &fakePod{}
		if _, err := pod.command(t, "", line); err == nil || len(pod.asked) > 0 {
			t.Errorf("%s: asked %q (%v)", line, pod.asked, err)
		}
	}
}
