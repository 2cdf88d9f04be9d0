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

	"miroir/cli"
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

type commands struct {
	Demo    demoCommand    `cmd:"" help:"Start three nodes, one pod and a sample data set, and say what to try."`
	Serve   serveCommand   `cmd:"" help:"Start a pod over existing Meilisearch servers."`
	Cluster clusterCommand `cmd:"" help:"See and repair the set of pods."`
	Config  configCommands `cmd:"" help:"Check, show and change the configuration."`
	Version versionCommand `cmd:"" help:"Print the version."`

	Status    cli.StatusCommand     `cmd:"" help:"Show the cluster's health."`
	Topology  cli.TopologyCommands  `cmd:"" help:"How often everything is kept."`
	Node      cli.NodeCommands      `cmd:"" help:"Nodes: the Meilisearch servers."`
	Group     cli.GroupCommands     `cmd:"" help:"Replica groups: full copies."`
	Index     cli.IndexCommands     `cmd:"" help:"Where indexes live."`
	Settings  cli.SettingsCommands  `cmd:"" help:"Settings of indexes, and nodes that lost theirs."`
	Rebalance cli.RebalanceCommands `cmd:"" help:"The moving of shards."`
	Verify    cli.VerifyCommand     `cmd:"" help:"Compare the copies of shards."`
	Task      cli.TaskCommands      `cmd:"" help:"Tasks of clients."`
	Job       cli.JobCommands       `cmd:"" help:"Background jobs."`
	Key       cli.KeyCommands       `cmd:"" help:"API keys and tenant tokens."`
}

func main() { os.Exit(run(os.Args[1:])) }

// run executes one command line and returns the exit code.
func run(args []string) int {
	all := commands{Serve: newServeCommand()}
	parser, err := kong.New(&all, kong.Name("miroir"),
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
	case errors.Is(err, cli.ErrBadNews):
		return exitBadNews
	}
	fmt.Fprintln(os.Stderr, "miroir:", err)
	switch {
	case errors.Is(err, cli.ErrUsage):
		return exitUsage
	case errors.Is(err, cli.ErrUnreachable):
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
