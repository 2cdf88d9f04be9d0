// Package cluster starts real processes on loopback for the programs of scripts/: Meilisearch servers and a pod of
// Miroir over them, each with an empty directory. Everything is gone after Close.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
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

// BuildMiroir builds the program of this module into dir.
func BuildMiroir(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "miroir")
	command := exec.CommandContext(ctx, "go", "build", "-o", program, "miroir")
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
		node, err := StartNode(o.Meilisearch, filepath.Join(o.Dir, fmt.Sprintf("node-%d", i)))
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, node)
	}
	for _, node := range c.Nodes {
		if err := WaitOK(ctx, node.URL+"/health"); err != nil {
			return nil, err
		}
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

// StartNode starts one Meilisearch server with its data below dir; it may not answer yet.
func StartNode(program, dir string) (*Process, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	process := &Process{
		URL: "http://" + address, Dir: dir, Program: program,
		Args: []string{"--http-addr", address, "--master-key", Key, "--no-analytics", "--db-path", filepath.Join(dir, "data"),
			"--dump-dir", filepath.Join(dir, "dumps"), "--snapshot-dir", filepath.Join(dir, "snapshots")},
		// Small machines finish a task ten times sooner with less memory to set up.
		Env: []string{"MEILI_MAX_INDEXING_MEMORY=256MiB"},
	}
	return process, process.Start()
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
	return WaitOK(ctx, c.URL+"/_miroir/ready")
}

func (c *Cluster) describePod() error {
	var ports [3]string
	for i := range ports {
		address, err := FreeAddress()
		if err != nil {
			return err
		}
		_, ports[i], err = net.SplitHostPort(address)
		if err != nil {
			return err
		}
	}
	o := c.options
	dir := filepath.Join(o.Dir, "pod")
	args := []string{"serve", "--master-key", Key, "--data-dir", filepath.Join(dir, "data"), "--bind", "127.0.0.1",
		"--port", ports[0], "--raft-port", ports[1], "--metrics-port", ports[2], "--node-id", "pod-0",
		"--replication-factor", fmt.Sprint(o.RF), "--spread", o.Spread}
	for i, node := range c.Nodes {
		args = append(args, "--node", fmt.Sprintf("node-%d=%s,%d", i, node.URL, i/o.Nodes))
	}
	c.Pod = &Process{Dir: dir, Program: o.Miroir, Args: append(args, o.Flags...)}
	c.URL, c.AdminURL = "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[2]
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

// Process is a program that can be started again after it ended. Its output goes to Dir/log.
type Process struct {
	URL, Dir, Program string
	Args, Env         []string
	command           *exec.Cmd
	log               *os.File
}

// PID is the process id, 0 when it is not running.
func (p *Process) PID() int {
	if p.command == nil {
		return 0
	}
	return p.command.Process.Pid
}

// Start starts the program.
func (p *Process) Start() error {
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(p.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	command := exec.Command(p.Program, p.Args...)
	command.Dir, command.Stdout, command.Stderr = p.Dir, log, log
	command.Env = append(os.Environ(), p.Env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	p.command, p.log = command, log
	return nil
}

// Kill ends the process as a power cut would.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks the process to end and waits, at most 30 s before it is killed.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(signal syscall.Signal) error {
	if p.command == nil {
		return nil
	}
	err := p.command.Process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	overdue := time.AfterFunc(30*time.Second, func() { _ = p.command.Process.Kill() })
	defer overdue.Stop()
	var exit *exec.ExitError
	if waited := p.command.Wait(); waited != nil && !errors.As(waited, &exit) {
		err = errors.Join(err, waited)
	}
	p.command = nil
	return errors.Join(err, p.log.Close())
}

// FreeAddress returns a loopback address that was free a moment ago.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// WaitOK asks url until it answers 200, for 30 s at most.
func WaitOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Timeout: time.Second}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			err = errors.Join(response.Body.Close(), statusError(response.StatusCode))
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not become ready: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func statusError(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("status %d", status)
	}
	return nil
}
