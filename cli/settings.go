package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// SettingsCommands look at the settings of indexes and change them.
type SettingsCommands struct {
	Flags
	Show     settingsShow     `cmd:"" help:"Show the settings of an index."`
	Preview  settingsPreview  `cmd:"" help:"Say what a change of settings would do; nothing is changed."`
	Apply    settingsApply    `cmd:"" help:"Change the settings of an index."`
	Drift    settingsDrift    `cmd:"" help:"Ask the nodes for their settings; exit 3 if some differ or an index takes no writes."`
	Unfreeze settingsUnfreeze `cmd:"" help:"Let an index take writes again."`
}

type settingsShow struct{ indexUID }

func (c *settingsShow) Run(ctx context.Context, a *API) error {
	return a.show(ctx, "/api"+c.path()+"/settings")
}

// settingsFile is a file with a change of settings, as PATCH of an index's settings takes it.
type settingsFile struct {
	File string `required:"" help:"JSON, what is to change; - is the standard input." placeholder:"FILE"`
}

func (f settingsFile) read(a *API) (body json.RawMessage, err error) {
	if f.File == "-" {
		body, err = io.ReadAll(a.in)
	} else {
		body, err = os.ReadFile(f.File)
	}
	if err == nil && !json.Valid(body) {
		err = fmt.Errorf("%w: %s is not JSON", ErrUsage, f.File)
	}
	return body, err
}

type settingsPreview struct {
	indexUID
	settingsFile
}

func (c *settingsPreview) Run(ctx context.Context, a *API) error {
	body, err := c.read(a)
	if err != nil {
		return err
	}
	answer, err := a.do(ctx, http.MethodPost, c.path()+"/settings/preview", body)
	if err != nil || a.flags.Output == "json" {
		return errors.Join(err, a.printJSON(answer))
	}
	var preview struct {
		Diff map[string]struct {
			Now   any `json:"now"`
			After any `json:"after"`
		} `json:"diff"`
		Reindex bool `json:"reindex"`
	}
	if err := json.Unmarshal(answer, &preview); err != nil {
		return err
	}
	rows := []map[string]any{}
	for _, name := range sortedNames(preview.Diff) {
		rows = append(rows, map[string]any{"setting": name, "now": preview.Diff[name].Now, "after": preview.Diff[name].After})
	}
	if err := writeTable(a.out, rows, []string{"setting", "now", "after"}); err != nil {
		return err
	}
	if preview.Reindex {
		_, err = fmt.Fprintln(a.out, "\nThe nodes would go through all documents.")
	}
	return err
}

type settingsApply struct {
	indexUID
	settingsFile
	Wait bool `help:"Wait for the end of the change; exit 3 if it did not succeed."`
}

func (c *settingsApply) Run(ctx context.Context, a *API) error {
	body, err := c.read(a)
	if err != nil {
		return err
	}
	answer, err := a.do(ctx, http.MethodPatch, "/api"+c.path()+"/settings", body)
	if err != nil {
		return err
	}
	if !c.Wait {
		return a.print(answer)
	}
	var accepted struct {
		TaskUID uint32 `json:"taskUid"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil {
		return err
	}
	return a.waitTask(ctx, accepted.TaskUID)
}

type settingsDrift struct {
	UID string `arg:"" optional:"" name:"uid" help:"Only this index."`
}

// Run prints a row for each node of each index.
func (c *settingsDrift) Run(ctx context.Context, a *API) error {
	uids := []string{c.UID}
	if c.UID == "" {
		var err error
		if uids, err = a.indexUIDs(ctx); err != nil {
			return err
		}
	}
	rows, badNews := []map[string]any{}, false
	for _, uid := range uids {
		var found struct {
			Version uint64           `json:"version"`
			Nodes   []map[string]any `json:"nodes"`
			Frozen  bool             `json:"frozen"`
		}
		if _, err := a.get(ctx, "/indexes/"+url.PathEscape(uid)+"/settings/version", &found); err != nil {
			return err
		}
		badNews = badNews || found.Frozen
		for _, row := range found.Nodes {
			row["index"], row["frozen"] = uid, found.Frozen
			badNews = badNews || row["version"] == nil
			rows = append(rows, row)
		}
	}
	encoded, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	if err := a.printList(encoded, "index", "node", "version", "differing", "frozen"); err != nil || !badNews {
		return err
	}
	return ErrBadNews
}

// indexUIDs are the names of all indexes.
func (a *API) indexUIDs(ctx context.Context) (uids []string, err error) {
	for {
		var page struct {
			Results []struct {
				UID string `json:"uid"`
			} `json:"results"`
			Total int `json:"total"`
		}
		if _, err := a.get(ctx, fmt.Sprintf("/api/indexes?limit=1000&offset=%d", len(uids)), &page); err != nil {
			return nil, err
		}
		for _, index := range page.Results {
			uids = append(uids, index.UID)
		}
		if len(page.Results) == 0 || len(uids) >= page.Total {
			return uids, nil
		}
	}
}

type settingsUnfreeze struct{ indexUID }

func (c *settingsUnfreeze) Run(ctx context.Context, a *API) error {
	return a.post(ctx, c.path()+"/settings/unfreeze", nil)
}
