package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"miroir/cli"
	"miroir/devnode"
)

// demoNode is one node that the demo started.
type demoNode struct {
	ID, URL   string
	Group     int
	HowToStop string
}

// startNodes starts the demo's nodes: real servers when a meilisearch program is found, else embedded ones.
func (c *demoCommand) startNodes(ctx context.Context, dir string, closers *closers) ([]demoNode, error) {
	program := ""
	if !c.Embedded {
		program = findMeilisearch()
	}
	if program != "" {
		fmt.Println("starting", c.Nodes*c.Groups, "nodes:", program)
	} else {
		fmt.Println("starting", c.Nodes*c.Groups, "embedded nodes (in memory; put meilisearch on PATH to use real ones)")
	}
	var nodes []demoNode
	for i := range c.Nodes * c.Groups {
		n := demoNode{ID: fmt.Sprintf("node-%d", i), Group: i / c.Nodes}
		var err error
		if program != "" {
			err = n.startProcess(program, filepath.Join(dir, n.ID), closers)
		} else {
			err = n.startEmbedded(closers)
		}
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", n.ID, err)
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := waitHealthy(ctx, n.URL); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// findMeilisearch looks for a real server: MEILISEARCH_BIN, then PATH.
func findMeilisearch() string {
	if path := os.Getenv("MEILISEARCH_BIN"); path != "" {
		return path
	}
	path, err := exec.LookPath("meilisearch")
	if err != nil {
		return ""
	}
	return path
}

// startEmbedded serves a devnode on a loopback port, with two paths of the demo's own to stop and start it.
func (n *demoNode) startEmbedded(closers *closers) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	embedded := devnode.New(devnode.Options{MasterKey: demoKey})
	var stopped atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_demo/stop", func(w http.ResponseWriter, _ *http.Request) {
		stopped.Store(true)
		fmt.Fprintf(w, "%s is stopped; start it again: curl -X POST %s/_demo/start\n", n.ID, n.URL)
	})
	mux.HandleFunc("POST /_demo/start", func(w http.ResponseWriter, _ *http.Request) {
		stopped.Store(false)
		fmt.Fprintln(w, n.ID, "answers again")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if stopped.Load() {
			panic(http.ErrAbortHandler) // the connection breaks, as with a dead process
		}
		embedded.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	n.URL = "http://" + listener.Addr().String()
	n.HowToStop = "curl -X POST " + n.URL + "/_demo/stop"
	closers.Add(n.ID, func() error {
		err := server.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		embedded.Close()
		return err
	})
	return nil
}

// startProcess starts a real server on a free loopback port with its data below dir.
func (n *demoNode) startProcess(program, dir string, closers *closers) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	// No context: the process is ended by the closer, so that nodes outlive the pod that is above them.
	command := exec.Command(program, "--http-addr", address, "--master-key", demoKey, "--no-analytics",
		"--db-path", filepath.Join(dir, "data"), "--dump-dir", filepath.Join(dir, "dumps"), "--snapshot-dir", filepath.Join(dir, "snapshots"))
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	command.Env = append(os.Environ(), "MEILI_MAX_INDEXING_MEMORY=256MiB")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the demo alone, which stops them in order
	if err := command.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	n.URL = "http://" + address
	n.HowToStop = fmt.Sprintf("kill %d", command.Process.Pid)
	closers.Add(n.ID, func() error {
		err := command.Process.Signal(syscall.SIGTERM)
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		var exit *exec.ExitError
		if waited := command.Wait(); waited != nil && !errors.As(waited, &exit) {
			err = errors.Join(err, waited)
		}
		return errors.Join(err, log.Close())
	})
	return nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// waitHealthy waits up to 20 s for a node to answer its health check.
func waitHealthy(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := &cli.Client{URL: url, HTTP: &http.Client{Timeout: time.Second}}
	for {
		_, err := client.Call(ctx, http.MethodGet, "/health", "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the node at %s does not become healthy: %w", url, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
