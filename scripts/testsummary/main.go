// Testsummary reads `go test -json` on standard input, prints what matters while it runs (a line per package, the
// output of failed tests, skips with their reason, conformance figures) and ends with "N passed, N failed, N skipped".
// It exits 1 if a test or a package failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type summary struct {
	passed, failed, skipped int
	output                  map[string][]string // package and test → lines so far
}

func main() {
	s := summary{output: map[string][]string{}}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // the go command itself speaking
			continue
		}
		s.add(e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		if strings.Contains(e.Output, "conformance:") {
			fmt.Print("  ", strings.TrimLeft(e.Output, " "))
		}
		s.output[key] = append(s.output[key], e.Output)
	case "pass":
		s.count(e, &s.passed)
	case "skip":
		s.count(e, &s.skipped)
		if e.Test != "" {
			fmt.Printf("  skipped %s: %s\n", key, strings.TrimSpace(strings.Join(s.output[key], "")))
		}
	case "fail", "build-fail":
		if e.Test == "" {
			s.failed++
		} else {
			s.count(e, &s.failed)
		}
		fmt.Printf("FAIL %s\n%s", key, strings.Join(s.output[key], ""))
	}
	if e.Test == "" && (e.Action == "pass" || e.Action == "fail") {
		fmt.Printf("%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	}
	if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
		delete(s.output, key)
	}
}

// count counts tests, not packages.
func (s *summary) count(e event, n *int) {
	if e.Test != "" {
		*n++
	}
}
