// Package conformance replays recorded conversations with a Meilisearch server against anything that speaks the same
// HTTP API, and tells where the answers differ. It knows nothing of who answers: a handler in this process, a server on
// a socket and a cluster behind a coordinator are all the same to it.
package conformance

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Case is one conversation, in order, with a server that started empty.
type Case struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`

	folder string // where bodyFile paths start
}

// Step is one request and the answer the recorded server gave.
type Step struct {
	ID      string  `json:"id"`
	Request Request `json:"request"`
	Expect  Expect  `json:"expect"`

	Wait      bool              `json:"wait"`      // poll the returned task to its end and compare it with Expect.Task
	Mask      []string          `json:"mask"`      // more names of members whose values are not compared
	Unordered []string          `json:"unordered"` // names of arrays compared as sets
	Capture   map[string]string `json:"capture"`   // variable name → path into the answer, used later as ${name}
	IDField   string            `json:"id_field"`  // the member that identifies a hit, for Expect.Ranks
}

// Request says what to send. At most one of Body, Raw and BodyFile is present.
type Request struct {
	Method      string            `json:"method"`
	Path        string            `json:"path"`
	Body        json.RawMessage   `json:"body"`
	Raw         *string           `json:"raw"`
	BodyFile    string            `json:"bodyFile"`
	ContentType string            `json:"contentType"`
	Headers     map[string]string `json:"headers"`
	Auth        string            `json:"auth"` // "" the master key, "none" no header, anything else that key
}

// Expect is the recorded answer. Body and Task are nil when they were not recorded.
type Expect struct {
	Status  int               `json:"status"`
	Body    json.RawMessage   `json:"body"`
	Task    json.RawMessage   `json:"task"`
	Headers map[string]string `json:"headers"`
	Ranks   []rank            `json:"ranks"`
}

// Load reads a case from a JSON file, gzipped when its name ends in ".gz".
func Load(path string) (*Case, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c := &Case{folder: filepath.Dir(path)}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("case %s: %w", path, err)
	}
	return c, nil
}

// readFile returns the content of a file, decompressed when its name ends in ".gz".
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		return io.ReadAll(f)
	}
	r, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return io.ReadAll(r)
}
