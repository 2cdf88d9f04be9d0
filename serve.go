package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kong"

	"miroir/cli"
	"miroir/config"
)

// serveCommand takes every key of package config as a flag.
type serveCommand struct {
	Config string        `help:"YAML file with the configuration." placeholder:"FILE" env:"MIROIR_CONFIG"`
	Node   []config.Node `help:"A Meilisearch server: [id=]URL[,group]. Repeat it for each." placeholder:"[ID=]URL[,GROUP]" sep:"none"`
	Keys   kong.Plugins  `embed:""`
	flags  *config.Flags
}

func newServeCommand() serveCommand {
	flags := config.NewFlags()
	return serveCommand{Keys: kong.Plugins{flags.Struct()}, flags: flags}
}

// variablesOfCommands are those that other commands and the tests read.
var variablesOfCommands = []string{"MIROIR_API_URL", "MIROIR_API_KEY", "MIROIR_TESTS"}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context) error {
	settings, err := config.Load(config.Sources{Flags: c.flags.Given(), Nodes: c.Node, Lookup: os.LookupEnv, File: c.Config})
	if err != nil {
		return fmt.Errorf("%w: configuration: %w", cli.ErrUsage, err)
	}
	logger := newLogger(settings.Log.Level, settings.Log.Format)
	if memory, err := memlimit.FromCgroup(); err == nil { // an error is that there is no limit, or no control groups
		settings.FitMemory(memory)
		logger.Info("sizes follow the memory limit", "memory_bytes", memory, "go_memory_limit_bytes", debug.SetMemoryLimit(-1),
			"max_concurrent_requests", settings.Server.MaxConcurrentRequests)
	}
	if settings.MasterKey == "" {
		logger.Warn("no master key: anybody who reaches the client port may do anything (set master_key)")
	}
	if unknown := config.UnknownVariables(os.Environ(), variablesOfCommands...); len(unknown) > 0 {
		logger.Warn("environment variables that are no configuration key", "variables", unknown)
	}
	pod, err := openPod(ctx, podOptions{Config: settings, Logger: logger})
	if err != nil {
		return err
	}
	logger.Info("serving", "address", pod.ClientURL(), "metrics", pod.MetricsURL(), "version", version)
	err = pod.Wait(ctx)
	return errors.Join(err, pod.Close())
}

func newLogger(level, format string) *slog.Logger {
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		threshold = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: threshold, ReplaceAttr: renameLogKeys}
	if format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stdout, options))
}

// renameLogKeys gives the always-present fields their documented names and forms.
func renameLogKeys(groups []string, attribute slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attribute
	}
	switch attribute.Key {
	case slog.TimeKey:
		return slog.String("timestamp", attribute.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case slog.LevelKey:
		return slog.String("level", strings.ToLower(attribute.Value.String()))
	case slog.MessageKey:
		attribute.Key = "message"
	}
	return attribute
}
