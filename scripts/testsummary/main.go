// Testsummary reads `go test -json` on standard input, prints what matters while it runs (a line per package, the
// output of failed tests, skips with their reason, conformance figures) and ends with the names of what failed and "N passed,
// N failed, N skipped". It exits 1 if a test or a package failed. A test that was running when its package ended (a panic,
// the time limit, a kill) failed.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type summary struct {
	to              io.Writer
	passed, skipped int
	failed          []string                       // names of packages and tests
	running         map[string]map[string][]string // package → test, or "" for its own → lines so far
}

func main() {
	s := &summary{to: os.Stdout, running: map[string]map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if len(s.failed) > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(s.to, lines.Text()) // the go command itself speaking
			continue
		}
		e.Package = cmp.Or(e.Package, e.ImportPath) // of a build
		s.add(e)
	}
	for _, name := range slices.Sorted(maps.Keys(s.running)) {
		s.endPackage(event{Action: "fail", Package: name})
	}
	if len(s.failed) > 0 {
		fmt.Fprintf(s.to, "\nfailed:\n  %s\n", strings.Join(s.failed, "\n  "))
	}
	fmt.Fprintf(s.to, "\n%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), s.skipped)
	return lines.Err()
}

func (s *summary) add(e event) {
	if s.running[e.Package] == nil {
		s.running[e.Package] = map[string][]string{}
	}
	tests := s.running[e.Package]
	switch e.Action {
	case "run":
		tests[e.Test] = nil
	case "output", "build-output":
		if strings.Contains(e.Output, "conformance:") {
			fmt.Fprint(s.to, "  ", strings.TrimLeft(e.Output, " "))
		}
		if _, runs := tests[e.Test]; !runs {
			e.Test = "" // said after its end
		}
		tests[e.Test] = append(tests[e.Test], e.Output)
	case "pass", "fail", "skip", "build-fail":
		if e.Test == "" {
			s.endPackage(e)
			return
		}
		s.endTest(e, tests[e.Test])
		delete(tests, e.Test)
	}
}

func (s *summary) endTest(e event, lines []string) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		fmt.Fprintf(s.to, "  skipped %s: %s\n", name, strings.TrimSpace(strings.Join(lines, "")))
	case "fail":
		s.fail(name, lines)
	}
}

// endPackage takes what was still running for failed: go test reports no end of those.
func (s *summary) endPackage(e event) {
	tests := s.running[e.Package]
	delete(s.running, e.Package)
	if e.Action == "fail" || e.Action == "build-fail" {
		own := tests[""]
		delete(tests, "")
		for _, test := range slices.Sorted(maps.Keys(tests)) {
			s.fail(e.Package+" "+test+" (did not end)", tests[test])
		}
		s.fail(e.Package, own)
	}
	if e.Action == "pass" || e.Action == "fail" {
		fmt.Fprintf(s.to, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
}

func (s *summary) fail(name string, lines []string) {
	s.failed = append(s.failed, name)
	fmt.Fprintf(s.to, "FAIL %s\n%s", name, strings.Join(lines, ""))
}
