package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"time"

	"miroir/devnode"
	"miroir/scripts/cluster"
)

// nodes are running servers: the first stands alone, the others are for the pod.
type nodes struct {
	urls  []string
	stops []func() error
}

// startNodes starts real servers, or embedded ones where there is no program.
func startNodes(ctx context.Context, o options, dir string) (_ *nodes, err error) {
	n := &nodes{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	program := ""
	if !o.Embedded {
		if program, err = cluster.FindMeilisearch(); err != nil {
			fmt.Println("embedded nodes:", err)
		}
	}
	for i := range 1 + o.Nodes*o.Groups {
		if program == "" {
			n.startEmbedded()
		} else if err = n.startProcess(ctx, program, filepath.Join(dir, fmt.Sprintf("node-%d", i))); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *nodes) startProcess(ctx context.Context, program, dir string) error {
	process, err := cluster.StartNode(ctx, program, dir)
	if err != nil {
		return err
	}
	n.urls, n.stops = append(n.urls, process.URL), append(n.stops, process.Stop)
	return nil
}

func (n *nodes) startEmbedded() {
	node := devnode.New(devnode.Options{MasterKey: cluster.Key})
	listening := httptest.NewServer(node)
	n.urls = append(n.urls, listening.URL)
	n.stops = append(n.stops, func() error {
		listening.Close()
		node.Close()
		return nil
	})
}

// Close ends them all.
func (n *nodes) Close() error {
	var failed error
	for _, stop := range n.stops {
		failed = errors.Join(failed, stop())
	}
	return failed
}

func newServer(url string) *server {
	return &server{url: url, webhook: "88888888-8888-4888-8888-888888888888", client: &http.Client{
		// Meilisearch ends connections that were idle for five seconds.
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 2 * time.Second, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}
