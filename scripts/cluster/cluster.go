// Package cluster starts real processes on loopback for the programs of scripts/: Meilisearch servers and a pod of
// Miroir over them, each with an empty directory. Everything is gone after Close.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Key is the master key of the pod and of every node.
const Key = "masterKey"

// Options says what to start.
type Options struct {
	Meilisearch string // program; see FindMeilisearch
	Miroir      string // program; see BuildMiroir
	Nodes       int    // per group
	Groups      int
	RF          int
	Spread      string   // auto, all or a number
	Flags       []string // more flags for miroir serve
	Dir         string   // parent of everything's data
}

// Cluster is running nodes with one pod over them.
type Cluster struct {
	URL      string // of the pod
	AdminURL string // of its port inside the network
	Nodes    []*Process
	Pod      *Process
	options  Options
}

// FindMeilisearch returns the server program that MEILISEARCH_BIN or PATH names, or an error that says what to do.
func FindMeilisearch() (string, error) {
	if path := os.Getenv("MEILISEARCH_BIN"); path != "" {
		return path, nil
	}
	path, err := exec.LookPath("meilisearch")
	if err != nil {
		return "", errors.New("no meilisearch program: put one on PATH or name it in MEILISEARCH_BIN")
	}
	return path, nil
}

// BuildMiroir builds the program of this module into dir, without cgo as it always is.
func BuildMiroir(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "miroir")
	command := exec.CommandContext(ctx, "go", "build", "-o", program, "miroir")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("build miroir: %w", err)
	}
	return program, nil
}

// Start starts nodes and pod and returns when the pod is ready. After an error nothing is left running.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	c := &Cluster{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for i := range o.Nodes * o.Groups {
		node, err := StartNode(ctx, o.Meilisearch, filepath.Join(o.Dir, fmt.Sprintf("node-%d", i)))
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	return c, c.StartPod(ctx)
}

// Over starts a pod over nodes that run already; Close leaves them alone. Options.Nodes must be len(urls).
func Over(ctx context.Context, o Options, urls []string) (_ *Cluster, err error) {
	c := &Cluster{options: o}
	for _, url := range urls {
		c.Nodes = append(c.Nodes, &Process{URL: url})
	}
	if err := c.StartPod(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// StartNode starts one Meilisearch server with its data below dir and returns once it answers.
func StartNode(ctx context.Context, program, dir string) (*Process, error) {
	return StartServer(ctx, program, dir, func(address string) []string {
		return []string{"--http-addr", address, "--master-key", Key, "--no-analytics", "--db-path", filepath.Join(dir, "data"),
			"--dump-dir", filepath.Join(dir, "dumps"), "--snapshot-dir", filepath.Join(dir, "snapshots")}
	})
}

// StartServer starts a program that answers as a Meilisearch server at an address it is told, and returns once it does.
func StartServer(ctx context.Context, program, dir string, args func(address string) []string) (*Process, error) {
	port, err := HoldPort()
	if err != nil {
		return nil, err
	}
	process := &Process{
		URL: "http://" + port.Address(), Dir: dir, Program: program, Args: args(port.Address()), Ports: []*Port{port},
		// Small machines finish a task ten times sooner with less memory to set up.
		Env: []string{"MEILI_MAX_INDEXING_MEMORY=256MiB"},
	}
	err = process.Start()
	if err == nil {
		err = process.AwaitOK(ctx, process.URL+"/health")
	}
	if err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	return process, nil
}

// StartPod starts the pod, again if it ran before, and waits until it is ready.
func (c *Cluster) StartPod(ctx context.Context) error {
	if c.Pod == nil {
		if err := c.describePod(); err != nil {
			return err
		}
	}
	if err := c.Pod.Start(); err != nil {
		return err
	}
	return c.Pod.AwaitOK(ctx, c.URL+"/_miroir/ready")
}

func (c *Cluster) describePod() error {
	c.Pod = &Process{}
	for range 3 {
		port, err := HoldPort()
		if err != nil {
			return err
		}
		c.Pod.Ports = append(c.Pod.Ports, port)
	}
	ports := c.Pod.Ports
	o := c.options
	dir := filepath.Join(o.Dir, "pod")
	args := []string{"serve", "--master-key", Key, "--data-dir", filepath.Join(dir, "data"), "--bind", "127.0.0.1",
		"--port", fmt.Sprint(ports[0].Number), "--raft-port", fmt.Sprint(ports[1].Number), "--metrics-port", fmt.Sprint(ports[2].Number),
		"--node-id", "pod-0", "--replication-factor", fmt.Sprint(o.RF), "--spread", o.Spread}
	for i, node := range c.Nodes {
		args = append(args, "--node", fmt.Sprintf("node-%d=%s,%d", i, node.URL, i/o.Nodes))
	}
	c.Pod.Dir, c.Pod.Program, c.Pod.Args = dir, o.Miroir, append(args, o.Flags...)
	c.URL, c.AdminURL = "http://"+ports[0].Address(), "http://"+ports[2].Address()
	return nil
}

// Close ends pod and nodes.
func (c *Cluster) Close() error {
	var failed error
	if c.Pod != nil {
		failed = c.Pod.Stop()
	}
	for _, node := range c.Nodes {
		failed = errors.Join(failed, node.Stop())
	}
	return failed
}
