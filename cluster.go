package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/raft"

	"miroir/cli"
	"miroir/raftnode"
)

// clusterCommand are the commands about the pods themselves: those for running ones, and those for a stopped pod's data.
type clusterCommand struct {
	cli.ClusterCommands
	Restore restoreCommand `cmd:"" help:"Give a stopped pod the state of a backup, as the only pod of the cluster."`
	Recover recoverCommand `cmd:"" help:"Let a stopped pod go on without the majority of the others, which is lost for good."`
}

type restoreCommand struct {
	DataDir string `help:"The stopped pod's data directory." default:"./miroir-data" type:"path"`
	NodeID  string `name:"node-id" help:"The pod's name in the cluster. Default: the host name."`
	File    string `arg:"" help:"The backup." type:"existingfile"`
}

// Run restores a backup.
func (c *restoreCommand) Run() error {
	if c.NodeID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no --node-id and no host name: %w", err)
		}
		c.NodeID = host
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	if err := errors.Join(raftnode.Restore(c.DataDir, c.NodeID, file), file.Close()); err != nil {
		return fmt.Errorf("restore %s: %w", c.File, err)
	}
	fmt.Printf("%s is pod %s with the state of the backup. Start it; other pods join it with empty data directories (--join).\n", c.DataDir, c.NodeID)
	return nil
}

// peersFlag is id=host:port, comma separated.
type peersFlag []raft.Server

// UnmarshalText parses the list.
func (p *peersFlag) UnmarshalText(text []byte) error {
	for _, part := range bytes.Split(text, []byte(",")) {
		id, address, found := strings.Cut(string(part), "=")
		if !found || id == "" || !strings.Contains(address, ":") {
			return fmt.Errorf("%q is not a pod: write id=host:port,id=host:port", part)
		}
		*p = append(*p, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(address)})
	}
	return nil
}

type recoverCommand struct {
	DataDir string    `help:"The stopped pod's data directory." default:"./miroir-data" type:"path"`
	Peers   peersFlag `help:"The pods from now on, this one among them. Default: this one alone; others join it." placeholder:"ID=HOST:PORT,..."`
}

// Run recovers a pod.
func (c *recoverCommand) Run() error {
	recovered, err := raftnode.Recover(c.DataDir, c.Peers)
	if err != nil {
		return fmt.Errorf("recover %s: %w", c.DataDir, err)
	}
	fmt.Printf("pod %s goes on from index %d. Start it with --join; all other pods need empty data directories before they start.\n", recovered.ID, recovered.Index)
	return nil
}
