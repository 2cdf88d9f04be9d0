package main

import (
	"fmt"
	"os"

	"miroir/cli"
	"miroir/config"
)

type configCommands struct {
	cli.ConfigCommands
	Check configCheck `cmd:"" help:"Read the configuration as serve would, and say what is wrong."`
}

type configCheck struct {
	Config string `help:"YAML file with the configuration." placeholder:"FILE" env:"MIROIR_CONFIG"`
}

// Run reads file and environment; no pod is asked.
func (c *configCheck) Run() error {
	settings, err := config.Load(config.Sources{Lookup: os.LookupEnv, File: c.Config})
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if unknown := config.UnknownVariables(os.Environ(), variablesOfCommands...); len(unknown) > 0 {
		fmt.Fprintln(os.Stderr, "environment variables that are no configuration key:", unknown)
	}
	fmt.Printf("good: %d keys are set, %d nodes\n", settings.NumSet(), len(settings.Nodes))
	return nil
}
