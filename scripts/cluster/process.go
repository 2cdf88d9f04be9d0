package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// readyWithin is how long a process may take to answer: no measure of anything, it only ends what hangs.
const readyWithin = 2 * time.Minute

// Process is a program that can be started again after it ended. Its output goes to Dir/log.
type Process struct {
	URL, Dir, Program string
	Args, Env         []string
	Ports             []*Port // where it listens, released by Stop
	command           *exec.Cmd
	log               *os.File
	running           context.Context // done when the command has ended
	waitErr           error           // of the command, once it has ended
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
	running, end := context.WithCancel(context.Background())
	p.command, p.log, p.running = command, log, running
	go func() {
		p.waitErr = command.Wait()
		end()
	}()
	return nil
}

// AwaitOK asks url, which this process serves, until it answers 200. A process that ends instead, or takes too long, is an
// error that shows what it said last.
func (p *Process) AwaitOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(p.running, func() { cancel(errors.New("the process ended")) })
	defer stop()
	if err := WaitOK(ctx, url); err != nil {
		return fmt.Errorf("%s: %w; its log ends:\n%s", p.Program, err, p.lastLines())
	}
	return nil
}

// lastLines is the end of the log.
func (p *Process) lastLines() string {
	text, err := os.ReadFile(filepath.Join(p.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// Kill ends the process as a power cut would. Its ports stay its own.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks the process to end and waits, at most 30 s before it is killed.
func (p *Process) Stop() error {
	failed := p.end(syscall.SIGTERM)
	for _, port := range p.Ports {
		failed = errors.Join(failed, port.Release())
	}
	return failed
}

func (p *Process) end(signal syscall.Signal) error {
	if p.command == nil {
		return nil
	}
	process := p.command.Process
	err := process.Signal(signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	overdue := time.AfterFunc(30*time.Second, func() { _ = process.Kill() })
	defer overdue.Stop()
	<-p.running.Done()
	var exit *exec.ExitError
	if p.waitErr != nil && !errors.As(p.waitErr, &exit) {
		err = errors.Join(err, p.waitErr)
	}
	p.command = nil
	return errors.Join(err, p.log.Close())
}

// WaitOK asks url until it answers 200, for two minutes at most.
func WaitOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %s", readyWithin))
	defer cancel()
	client := &http.Client{Timeout: 10 * time.Second}
	for {
		err := askOK(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not become ready: %w, last %w", url, context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func askOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}
