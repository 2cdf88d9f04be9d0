package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestCommandsAreDocumented: every command is on the page about the command line.
func TestCommandsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/command-line.md")
	if err != nil {
		t.Fatal(err)
	}
	all := commands{Serve: newServeCommand()}
	parser, err := kong.New(&all)
	if err != nil {
		t.Fatal(err)
	}
	var look func(node *kong.Node, path string)
	look = func(node *kong.Node, path string) {
		for _, child := range node.Children {
			look(child, path+" "+child.Name)
		}
		if len(node.Children) == 0 && !strings.Contains(string(page), "`"+strings.TrimSpace(path)) {
			t.Errorf("docs/command-line.md does not name %q", path)
		}
	}
	look(parser.Model.Node, "")
}

// TestServeRefusesBadConfiguration: the start stops with the key's name and the code for usage.
func TestServeRefusesBadConfiguration(t *testing.T) {
	for _, args := range [][]string{{"serve", "--shards", "0"}, {"serve", "--config", "no-such-file"}, {"serve", "--no-such-flag"}} {
		if code := run(args); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, code, exitUsage)
		}
	}
}
