package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"miroir/devnode"
	"miroir/scripts/cluster"
)

// fleet is every process and every link of the test.
type fleet struct {
	options *options
	dir     string
	nodes   []*machine
	pods    []*machine
}

// machine is a process behind a link: a node, or a pod with its pod-to-pod port behind the link.
type machine struct {
	*cluster.Process
	name string
	link *link
	data string // directory
	down bool   // killed or stopped
}

// startFleet starts nodes and pods. The fleet is to be closed also after an error.
func startFleet(ctx context.Context, o *options, dir string) (*fleet, error) {
	f := &fleet{options: o, dir: dir}
	for range o.Nodes {
		if _, err := f.startNode(ctx); err != nil {
			return f, err
		}
	}
	for i := range o.Pods {
		if err := f.describePod(i); err != nil {
			return f, err
		}
	}
	for _, pod := range f.pods {
		pod.Args = append(append(pod.Args, f.membership()...), pod.advertise()...)
		if err := pod.Start(); err != nil {
			return f, err
		}
	}
	for _, pod := range f.pods {
		if err := pod.AwaitOK(ctx, pod.URL+"/_miroir/ready"); err != nil {
			return f, err
		}
	}
	return f, nil
}

// startNode starts one more node and waits until it answers.
func (f *fleet) startNode(ctx context.Context) (*machine, error) {
	name := fmt.Sprintf("n%d", len(f.nodes))
	process, err := f.nodeProcess(ctx, filepath.Join(f.dir, name))
	if err != nil {
		return nil, err
	}
	link, err := newLink(strings.TrimPrefix(process.URL, "http://"))
	if err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	node := &machine{Process: process, name: name, link: link, data: filepath.Join(f.dir, name, "data")}
	f.nodes = append(f.nodes, node)
	return node, nil
}

// nodeProcess starts a Meilisearch server, or an embedded node in a process of its own, and waits until it answers.
func (f *fleet) nodeProcess(ctx context.Context, dir string) (*cluster.Process, error) {
	program, err := cluster.FindMeilisearch()
	if err == nil && !f.options.Embedded {
		return cluster.StartNode(ctx, program, dir)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return cluster.StartServer(ctx, self, dir, func(address string) []string { return []string{"node", "--address", address} })
}

// devnodeServer serves one embedded node until it is ended.
type devnodeServer struct {
	Address string `required:"" help:"Where to listen."`
}

func (s *devnodeServer) Run() error {
	return http.ListenAndServe(s.Address, devnode.New(devnode.Options{MasterKey: cluster.Key}))
}

// describePod prepares a pod whose pod-to-pod port is reached through a link.
func (f *fleet) describePod(i int) error {
	port, err := cluster.HoldPort()
	if err != nil {
		return err
	}
	raftPort, err := cluster.HoldPort()
	if err != nil {
		return errors.Join(err, port.Release())
	}
	ports := []*cluster.Port{port, raftPort}
	link, err := newLink(raftPort.Address())
	if err != nil {
		return errors.Join(err, port.Release(), raftPort.Release())
	}
	name := fmt.Sprintf("p%d", i)
	dir := filepath.Join(f.dir, name)
	args := []string{"serve", "--master-key", cluster.Key, "--data-dir", filepath.Join(dir, "data"), "--bind", "127.0.0.1", "--port", strconv.Itoa(port.Number),
		"--no-metrics-enabled", "--raft-bind", "127.0.0.1", "--raft-port", strconv.Itoa(raftPort.Number), "--node-id", name, "--health-interval-ms", "1000",
		"--replication-factor", strconv.Itoa(f.options.RF)}
	args = append(args, f.options.Flags...)
	for _, node := range f.nodes {
		args = append(args, "--node", fmt.Sprintf("%s=http://%s", node.name, node.link.Address()))
	}
	process := &cluster.Process{URL: "http://" + port.Address(), Dir: dir, Program: f.options.Miroir, Args: args, Ports: ports}
	f.pods = append(f.pods, &machine{Process: process, name: name, link: link, data: filepath.Join(dir, "data")})
	return nil
}

// membership are the flags that make several pods one cluster.
func (f *fleet) membership() []string {
	if len(f.pods) == 1 {
		return nil
	}
	var join []string
	for _, pod := range f.pods {
		join = append(join, pod.link.Address())
	}
	return []string{"--bootstrap-expect", strconv.Itoa(len(f.pods)), "--join", strings.Join(join, ","), "--raft-cluster-secret", "chaos"}
}

// advertise is the flag that makes others dial the pod's link; it differs from pod to pod.
func (m *machine) advertise() []string { return []string{"--advertise", m.link.Address()} }

// kill ends a machine as a power cut would; wipe takes its disk too.
func (m *machine) kill(wipe bool) error {
	m.down = true
	if err := m.Kill(); err != nil {
		return err
	}
	if wipe {
		return os.RemoveAll(m.data)
	}
	return nil
}

// pause and resume stop a process and let it go on, as a machine that swaps does.
func (m *machine) pause() error {
	m.down = true
	return syscall.Kill(m.PID(), syscall.SIGSTOP)
}

func (m *machine) resume() error {
	m.down = false
	return syscall.Kill(m.PID(), syscall.SIGCONT)
}

// revive undoes whatever was done to a machine.
func (m *machine) revive() error {
	m.link.Mend()
	if m.PID() == 0 {
		m.down = false
		return m.Start()
	}
	return m.resume()
}

// heal undoes all faults.
func (f *fleet) heal() {
	for _, m := range append(append([]*machine{}, f.nodes...), f.pods...) {
		if err := m.revive(); err != nil {
			fmt.Println("revive", m.name, err)
		}
	}
}

// Close ends everything.
func (f *fleet) Close() error {
	var failed error
	for _, m := range append(append([]*machine{}, f.pods...), f.nodes...) {
		if m.PID() != 0 {
			failed = errors.Join(failed, m.resume())
		}
		failed = errors.Join(failed, m.Stop(), m.link.Close())
	}
	return failed
}

// pod is the pod of that name.
func (f *fleet) pod(name string) *machine {
	for _, pod := range f.pods {
		if pod.name == name {
			return pod
		}
	}
	return nil
}
