package testdata

import (
	"bufio"
	"encoding/json"
	"testing"
)

func TestDatasetsAreWhatTheySay(t *testing.T) {
	for _, d := range Datasets {
		t.Run(d.Name, func(t *testing.T) {
			in, err := d.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			ids := map[string]bool{}
			lines := bufio.NewScanner(in)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				var doc map[string]json.RawMessage
				if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
					t.Fatalf("line %d: %v", len(ids)+1, err)
				}
				ids[string(doc[d.PrimaryKey])] = true
			}
			if lines.Err() != nil || len(ids) != d.Documents {
				t.Fatalf("%d distinct ids, want %d (%v)", len(ids), d.Documents, lines.Err())
			}
			if !json.Valid(d.Settings) || !json.Valid(d.Page) {
				t.Error("settings or page configuration are not JSON")
			}
			for _, q := range d.Queries {
				if !json.Valid(q.Body) {
					t.Errorf("query %q is not JSON", q.Says)
				}
			}
			if found, ok := Find(d.Name); !ok || found.Name != d.Name {
				t.Error("Find does not find it")
			}
		})
	}
}
