package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/raft"

	"miroir/raftnode"
)

// clusterCommand are the commands about the pods themselves.
type clusterCommand struct {
	Members  membersCommand  `cmd:"" help:"List the pods."`
	Transfer transferCommand `cmd:"" help:"Hand leadership over."`
	Remove   removeCommand   `cmd:"" help:"Take a dead pod out of the cluster."`
	Snapshot snapshotCommand `cmd:"" help:"Cut the log of the pod that is asked."`
	Backup   backupCommand   `cmd:"" help:"Save the replicated state."`
	Restore  restoreCommand  `cmd:"" help:"Give a stopped pod the state of a backup, as the only pod of the cluster."`
	Recover  recoverCommand  `cmd:"" help:"Let a stopped pod go on without the majority of the others, which is lost for good."`
}

type membersCommand struct {
	apiFlags `embed:""`
}

// Run prints the members; it exits 3 when there is no leader.
func (c *membersCommand) Run(ctx context.Context) error {
	body, err := c.client().call(ctx, http.MethodGet, "/_miroir/raft", "", nil)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		fmt.Println(string(body))
		return nil
	}
	var status struct {
		Leader  string `json:"leader"`
		Members []struct {
			ID            string `json:"id"`
			Address       string `json:"address"`
			Role          string `json:"role"`
			LastContactMs *int64 `json:"last_contact_ms"`
			AppliedIndex  uint64 `json:"applied_index"`
		} `json:"members"`
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return fmt.Errorf("the answer is no list of pods: %w", err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "POD\tADDRESS\tROLE\tHEARD\tAPPLIED")
	for _, m := range status.Members {
		heard := "-"
		if m.LastContactMs != nil {
			heard = fmt.Sprintf("%d ms ago", *m.LastContactMs)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", m.ID, m.Address, m.Role, heard, m.AppliedIndex)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if status.Leader == "" {
		fmt.Println("no pod leads")
		return errBadNews
	}
	return nil
}

type transferCommand struct {
	apiFlags `embed:""`
	ID       string `arg:"" optional:"" help:"The pod that is to lead. Default: the one that is furthest."`
}

// Run asks for another leader.
func (c *transferCommand) Run(ctx context.Context) error {
	_, err := c.client().call(ctx, http.MethodPost, "/_miroir/raft/transfer?to="+url.QueryEscape(c.ID), "", nil)
	return err
}

type removeCommand struct {
	apiFlags `embed:""`
	ID       string `arg:"" help:"The pod."`
}

// Run removes a pod.
func (c *removeCommand) Run(ctx context.Context) error {
	_, err := c.client().call(ctx, http.MethodDelete, "/_miroir/raft/members/"+url.PathEscape(c.ID), "", nil)
	return err
}

type snapshotCommand struct {
	apiFlags `embed:""`
}

// Run asks for a snapshot.
func (c *snapshotCommand) Run(ctx context.Context) error {
	_, err := c.client().call(ctx, http.MethodPost, "/_miroir/raft/snapshot", "", nil)
	return err
}

type backupCommand struct {
	apiFlags `embed:""`
	File     string `arg:"" help:"Where to; - is standard output."`
}

// Run saves the state. A file that is there already is not overwritten, and one that is not whole does not stay.
func (c *backupCommand) Run(ctx context.Context) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.APIURL+"/_miroir/backup", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.AdminKey)
	response, err := http.DefaultClient.Do(request) // however long it takes
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		return errors.Join(fmt.Errorf("%s: %s", response.Status, serverMessage(text)), err)
	}
	if c.File == "-" {
		_, err := io.Copy(os.Stdout, response.Body)
		return err
	}
	file, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	return nil
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
