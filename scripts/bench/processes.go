package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"miroir/devnode"
	"miroir/scripts/cluster"
)

// processes are what the bench started, in the order in which it did.
type processes []func() error

func (p *processes) stop() {
	for _, stop := range *p {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}

// nodes starts n nodes, each a process of its own, and returns their addresses.
func (p *processes) nodes(ctx context.Context, o options, dir string, n int) ([]string, error) {
	program, missing := cluster.FindMeilisearch()
	start := func(dir string) (*cluster.Process, error) { return cluster.StartNode(ctx, program, dir) }
	if o.Embedded || missing != nil {
		start = func(dir string) (*cluster.Process, error) { return startEmbedded(ctx, dir) }
	}
	var urls []string
	for i := range n {
		node, err := start(filepath.Join(dir, fmt.Sprintf("node-%d", i)))
		if err != nil {
			return nil, err
		}
		*p = append(*p, node.Stop)
		urls = append(urls, node.URL)
	}
	return urls, nil
}

// startEmbedded starts this program as an embedded node.
func startEmbedded(ctx context.Context, dir string) (*cluster.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return cluster.StartServer(ctx, self, dir, func(address string) []string { return []string{"--serve-at", address} })
}

// serveNode is an embedded node until ctx ends.
func serveNode(ctx context.Context, o options) error {
	listener, err := net.Listen("tcp", o.ServeAt)
	if err != nil {
		return err
	}
	node := devnode.New(devnode.Options{MasterKey: cluster.Key})
	defer node.Close()
	server := &http.Server{Handler: node, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody waits for its answers any more
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pod starts a Miroir program over nodes of its own.
func (p *processes) pod(ctx context.Context, o options, dir, program string) (*side, error) {
	urls, err := p.nodes(ctx, o, dir, o.Nodes)
	if err != nil {
		return nil, err
	}
	pod, err := cluster.Over(ctx, cluster.Options{Miroir: program, Nodes: o.Nodes, Groups: 1, RF: o.RF, Spread: o.Spread, Dir: dir}, urls)
	if err != nil {
		return nil, err
	}
	*p = append(*p, pod.Close)
	name, _, _ := strings.Cut(filepath.Base(program), ".")
	return &side{name: name, url: pod.URL, pid: pod.Pod.PID(), nodes: urls}, nil
}
