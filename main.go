// Miroir makes N plain Meilisearch servers answer as one: sharded, replicated, with the same HTTP API.
//
// This file and its neighbours in package main hold the command line and the wiring; they are the only ones that
// see every package. Requests are served by proxy, the replicated state is fsm behind raftnode, duties without a
// request are workers, and the nodes of `miroir demo` are devnode.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set at release time with -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// Exit codes, so that scripts can tell what happened.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitBadNews     = 3 // the command worked, and what it found is not good
	exitUnreachable = 4
)

// errBadNews ends a command that worked but found something wrong; it has been printed already.
var errBadNews = errors.New("bad news")

// errUnreachable marks that no pod answered.
var errUnreachable = errors.New("no pod answered")

// errUsage marks what the caller has to write differently.
var errUsage = errors.New("usage")

type commands struct {
	Demo    demoCommand    `cmd:"" help:"Start three nodes, one pod and a sample data set, and say what to try."`
	Serve   serveCommand   `cmd:"" help:"Start a pod over existing Meilisearch servers."`
	Status  statusCommand  `cmd:"" help:"Show the cluster's health."`
	Cluster clusterCommand `cmd:"" help:"See and repair the set of pods."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns the exit code.
func run(args []string) int {
	cli := commands{Serve: newServeCommand()}
	parser, err := kong.New(&cli, kong.Name("miroir"),
		kong.Description("Makes N Meilisearch servers answer as one: sharded, replicated, same API."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(os.Stderr, "miroir:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "miroir:", err)
		fmt.Fprintln(os.Stderr, "Run `miroir --help` for the commands, `miroir COMMAND --help` for its flags.")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	return exitCode(command.Run())
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errBadNews):
		return exitBadNews
	}
	fmt.Fprintln(os.Stderr, "miroir:", err)
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errUnreachable):
		return exitUnreachable
	}
	return exitFailed
}

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

func (c *versionCommand) Run() error {
	commit, date := buildCommit()
	if c.JSON {
		fmt.Printf("{\"version\":%q,\"commit\":%q,\"commitDate\":%q,\"meilisearch\":\"1.50\"}\n", version, commit, date)
		return nil
	}
	fmt.Printf("miroir %s (commit %s, %s), speaks Meilisearch 1.50\n", version, commit, date)
	return nil
}

// buildCommit reads the commit and its date from what the Go toolchain recorded in the binary.
func buildCommit() (commit, date string) {
	commit, date = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit, date
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			commit = setting.Value
		case "vcs.time":
			date = setting.Value
		}
	}
	return commit, date
}
