package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// DESIGN.md tells where each behaviour is: every file stands in its table, and what it names exists.
func TestTheDesignNamesEveryFile(t *testing.T) {
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Files\n")
	named := map[string]bool{}
	for _, word := range strings.Split(table, "`") {
		if strings.HasSuffix(word, ".go") {
			if named[word] {
				t.Errorf("%s stands there twice", word)
			}
			named[word] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !named[file] {
			t.Errorf("%s is not in the table of DESIGN.md", file)
		}
		delete(named, file)
	}
	for file := range named {
		t.Errorf("DESIGN.md names %s, which is not there", file)
	}
}
