// Package cli is the management commands: each is a call of the API of a running pod and reads like its row in the
// documentation. It knows the API by its JSON only. Commands that start something live in package main.
package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// ErrBadNews ends a command that worked but found something wrong; it has been printed already.
var ErrBadNews = errors.New("bad news")

// ErrUnreachable marks that no pod answered.
var ErrUnreachable = errors.New("no pod answered")

// ErrUsage marks what the caller has to write differently.
var ErrUsage = errors.New("usage")

// Flags are what every management command takes.
type Flags struct {
	APIURL   string        `name:"api-url" help:"A pod's client address, or that of its port inside the network." default:"http://localhost:7700" env:"MIROIR_API_URL" group:"api:"`
	AdminKey string        `help:"Admin key (seen in process lists: prefer MIROIR_ADMIN_API_KEY or the credentials file)." env:"MIROIR_ADMIN_API_KEY" group:"api:"`
	Output   string        `help:"table or json." enum:"table,json" default:"table" group:"api:"`
	Timeout  time.Duration `help:"Time for one call." default:"30s" group:"api:"`
	Quiet    bool          `help:"Print errors only." group:"api:"`
	Yes      bool          `help:"Do not ask before what destroys something." group:"api:"`
}

// AfterApply gives the command its API.
func (f *Flags) AfterApply(command *kong.Context) error {
	api, err := f.open(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	command.Bind(api)
	return nil
}

func (f *Flags) open(in io.Reader, out io.Writer) (*API, error) {
	key := f.AdminKey
	if key == "" {
		var err error
		if key, err = credentials(); err != nil {
			return nil, err
		}
	}
	if f.Quiet {
		out = io.Discard
	}
	client := &Client{URL: strings.TrimSuffix(f.APIURL, "/"), Key: key, HTTP: &http.Client{Timeout: f.Timeout}}
	return &API{Client: client, flags: f, in: in, out: out}, nil
}

// credentials is the admin key in the user's credentials file, "" without one. Nobody else may be able to read it.
func credentials() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", nil // no home, no file
	}
	path := filepath.Join(dir, "miroir", "credentials")
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others: chmod 600 it", path)
	}
	content, err := os.ReadFile(path)
	return strings.TrimSpace(string(content)), err
}

// API is the pod that a command talks to, and where it prints.
type API struct {
	*Client
	flags *Flags
	in    io.Reader
	out   io.Writer
}

// do sends one request below /_miroir with body as JSON (nil: none), and returns the answer.
func (a *API) do(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	if body == nil {
		return a.Call(ctx, method, "/_miroir"+path, "", nil)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return a.Call(ctx, method, "/_miroir"+path, "application/json", encoded)
}

func (a *API) get(ctx context.Context, path string, into any) (json.RawMessage, error) {
	answer, err := a.do(ctx, http.MethodGet, path, nil)
	if err != nil || into == nil {
		return answer, err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return nil, fmt.Errorf("the answer of %s/_miroir%s is not what was expected: %w", a.URL, path, err)
	}
	return answer, nil
}

// confirm makes the caller type the name of what is about to be destroyed.
func (a *API) confirm(action, name string) error {
	if a.flags.Yes {
		return nil
	}
	fmt.Fprintf(os.Stderr, "This will %s %s. Type %s to go on: ", action, name, name)
	typed, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(typed) != name {
		return fmt.Errorf("%w: not confirmed, nothing was done (--yes goes on without asking)", ErrUsage)
	}
	return nil
}

// Client calls one HTTP API with a bearer key.
type Client struct {
	URL, Key string
	HTTP     *http.Client
}

// Call sends one request and returns the answer's body. An answer of 400 or above is an *APIError that holds the
// server's message; no answer at all is ErrUnreachable.
func (c *Client) Call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	answer, err := c.open(ctx, c.HTTP, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(answer, 64<<20))
	return content, errors.Join(err, answer.Close())
}

// stream is the body of a GET that may take as long as it likes. The caller closes it.
func (c *Client) stream(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.open(ctx, &http.Client{}, http.MethodGet, path, "", nil)
}

func (c *Client) open(ctx context.Context, client *http.Client, method, path, contentType string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if c.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.Key)
	}
	response, err := client.Do(request)
	if err != nil {
		var dial *net.OpError
		var failed *url.Error
		if errors.As(err, &dial) || errors.As(err, &failed) && (failed.Timeout() || errors.Is(err, io.EOF)) {
			return nil, fmt.Errorf("%w at %s (is it running? --api-url says where to look): %v", ErrUnreachable, c.URL, err)
		}
		return nil, err
	}
	if response.StatusCode < 400 {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return nil, errors.Join(&APIError{Method: method, Path: path, Status: response.StatusCode, Message: serverMessage(text)}, err)
}

// APIError is an answer of 400 or above.
type APIError struct {
	Method, Path string
	Status       int
	Message      string
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Status, http.StatusText(e.Status), e.Message)
}

// DoTask sends a write and waits until its task has succeeded.
func (c *Client) DoTask(ctx context.Context, method, path, contentType string, body []byte) error {
	uid, err := c.Enqueue(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	return c.AwaitTask(ctx, uid)
}

// Enqueue sends a write and returns its task's uid.
func (c *Client) Enqueue(ctx context.Context, method, path, contentType string, body []byte) (uint32, error) {
	answer, err := c.Call(ctx, method, path, contentType, body)
	if err != nil {
		return 0, err
	}
	var accepted struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil {
		return 0, fmt.Errorf("%s %s: the answer is not a task: %w", method, path, err)
	}
	return accepted.TaskUID, nil
}

// AwaitTask waits until a task has succeeded; that it failed is an error.
func (c *Client) AwaitTask(ctx context.Context, uid uint32) error {
	for {
		answer, err := c.Call(ctx, http.MethodGet, fmt.Sprintf("/tasks/%d", uid), "", nil)
		if err != nil {
			return err
		}
		var task struct {
			Status string          `json:"status"`
			Type   string          `json:"type"`
			Error  json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(answer, &task); err != nil {
			return err
		}
		switch task.Status {
		case "succeeded":
			return nil
		case "failed", "canceled":
			return fmt.Errorf("task %d (%s) %s: %s", uid, task.Type, task.Status, serverMessage(task.Error))
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func serverMessage(body []byte) string {
	var known struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &known) == nil && known.Message != "" {
		return known.Message
	}
	return string(bytes.TrimSpace(body))
}

// pause waits for d, or for the end of ctx, which is an error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
