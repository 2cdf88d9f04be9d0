package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// ClusterCommands are about the pods themselves.
type ClusterCommands struct {
	Flags
	Members  clusterMembers  `cmd:"" help:"List the pods."`
	Transfer clusterTransfer `cmd:"" help:"Hand leadership over."`
	Remove   clusterRemove   `cmd:"" help:"Take a dead pod out of the cluster."`
	Snapshot clusterSnapshot `cmd:"" help:"Cut the log of the pod that is asked."`
	Backup   clusterBackup   `cmd:"" help:"Save the replicated state."`
}

type clusterMembers struct{}

// Run exits 3 when no pod leads.
func (c *clusterMembers) Run(ctx context.Context, a *API) error {
	var status struct {
		Leader string `json:"leader"`
	}
	answer, err := a.get(ctx, "/raft", &status)
	if err != nil {
		return err
	}
	if err := a.printList(answer, "id", "address", "role", "last_contact_ms", "applied_index"); err != nil || status.Leader != "" {
		return err
	}
	return ErrBadNews
}

type clusterTransfer struct {
	ID string `arg:"" optional:"" help:"The pod that is to lead. Default: the one that is furthest."`
}

func (c *clusterTransfer) Run(ctx context.Context, a *API) error {
	return a.post(ctx, "/raft/transfer"+query("to", c.ID), nil)
}

type clusterRemove struct {
	ID string `arg:"" help:"The pod."`
}

func (c *clusterRemove) Run(ctx context.Context, a *API) error {
	if err := a.confirm("remove pod", c.ID); err != nil {
		return err
	}
	return a.send(ctx, http.MethodDelete, "/raft/members/"+url.PathEscape(c.ID), nil)
}

type clusterSnapshot struct{}

func (c *clusterSnapshot) Run(ctx context.Context, a *API) error {
	return a.post(ctx, "/raft/snapshot", nil)
}

type clusterBackup struct {
	File string `arg:"" help:"Where to; - is standard output."`
}

// Run saves the state. A file that is there already is not overwritten, and one that is not whole does not stay.
func (c *clusterBackup) Run(ctx context.Context, a *API) (err error) {
	body, err := a.stream(ctx, "/_miroir/backup")
	if err != nil {
		return err
	}
	defer body.Close()
	if c.File == "-" {
		_, err := io.Copy(os.Stdout, body)
		return err
	}
	file, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, body)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	fmt.Fprintf(a.out, "%d bytes in %s\n", n, c.File)
	return nil
}
