// Mutants plants one bug after another (table.go) and runs the simulation until it finds it. A bug that histories show too
// rarely names the test that finds it. A bug that is not found, or whose place in the code has changed, is an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type command struct {
	Histories int           `help:"Histories to find a bug in." default:"1000"`
	Timeout   time.Duration `help:"For one bug." default:"10m"`
	Only      string        `help:"Plant only bugs whose name contains this."`
}

func main() {
	var c command
	kong.Parse(&c, kong.Description("Plants bugs and lets the simulation find them."))
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (c *command) run() error {
	dir, err := os.MkdirTemp("", "miroir-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	found, missed := 0, 0
	for _, m := range mutants {
		if !strings.Contains(m.name, c.Only) {
			continue
		}
		began := time.Now()
		how, err := c.find(dir, m)
		switch {
		case err != nil:
			missed++
			how = fmt.Sprintf("ERROR %v", err)
		case how == "":
			missed++
			how = "NOT FOUND"
		default:
			found++
		}
		fmt.Printf("%-95s %s (%v)\n", m.name, how, time.Since(began).Round(time.Second))
	}
	fmt.Printf("%d planted bugs found\n", found)
	if missed > 0 {
		return fmt.Errorf("%d planted bugs were not found", missed)
	}
	return nil
}

// find plants a bug and returns how it was found, "" when it was not.
func (c *command) find(dir string, m mutant) (string, error) {
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	found, err := c.findByHistories(dir, overlay, m)
	if err != nil || found != "" || m.test == "" {
		return found, err
	}
	return findByTest(overlay, m.test)
}

func (c *command) findByHistories(dir, overlay string, m mutant) (string, error) {
	program := filepath.Join(dir, "sim.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, "./sim")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	histories := c.Histories
	if m.test != "" { // what follows finds it anyway
		histories = min(histories, 20)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	test := exec.CommandContext(ctx, program, "-test.run=TestHistories", "-histories="+strconv.Itoa(histories), "-red=1", "-test.timeout=0",
		"-plan="+m.plan, "-pods="+strconv.Itoa(m.pods))
	test.Dir = "sim"
	out, err := test.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return "", nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", err
	}
	return describe(string(out))
}

// findByTest runs the named test of a package, which must fail.
func findByTest(overlay, test string) (string, error) {
	pkg, name, _ := strings.Cut(test, " ")
	out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-run", "^"+name+"$", pkg).CombinedOutput()
	switch {
	case err == nil:
		return "", nil
	case !strings.Contains(string(out), "--- FAIL: "+name):
		return "", fmt.Errorf("%s does not fail but does not pass: %.2000s", test, out)
	}
	return name, nil
}

var seedOf = regexp.MustCompile(`seed (\d+)[^\n]*\n\s*([^\n]*)`)

// describe names the seed and the first thing that was wrong.
func describe(out string) (string, error) {
	hit := seedOf.FindStringSubmatch(out)
	if hit == nil {
		return "", fmt.Errorf("the simulation failed without a seed: %.2000s", out)
	}
	return fmt.Sprintf("seed %s: %.90s", hit[1], hit[2]), nil
}

// impatience lets a named test that waits for what a planted bug keeps from coming fail sooner than on a slow machine.
var impatience = mutant{
	file: "proxy/writecluster_test.go", old: "const patience = 2 * time.Minute", new: "const patience = 20 * time.Second",
}

// overlay writes the changed files and the list that go build replaces files by.
func (m mutant) overlay(dir string) (string, error) {
	replaced := map[string]string{}
	for _, change := range []mutant{m, impatience} {
		file, changed, err := change.plant(dir)
		if err != nil {
			return "", err
		}
		replaced[file] = changed
	}
	replace, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, replace, 0o600)
}

// plant writes the changed copy of a file into dir. It returns the paths of both.
func (m mutant) plant(dir string) (file, changed string, err error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return "", "", err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return "", "", fmt.Errorf("%s has %d times %q, want 1: mend scripts/mutants", m.file, n, m.old)
	}
	file, err = filepath.Abs(m.file)
	if err != nil {
		return "", "", err
	}
	changed = filepath.Join(dir, filepath.Base(m.file))
	return file, changed, os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600)
}
