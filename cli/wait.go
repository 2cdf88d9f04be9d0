package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
)

// job is a background job as the API shows it.
type job struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	State    string `json:"state"`
	Progress struct {
		Done  int    `json:"done"`
		Total int    `json:"total"`
		Unit  string `json:"unit"`
	} `json:"progress"`
	Error json.RawMessage `json:"error"`
}

// pollInterval is the time between two looks at what is waited for.
const pollInterval = 200 * time.Millisecond

// start sends a request that starts a job, and with wait set follows the job to its end.
func (a *API) start(ctx context.Context, wait bool, method, path string, body any) error {
	answer, err := a.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	var accepted struct {
		JobID string `json:"job_id"`
	}
	if err := json.Unmarshal(answer, &accepted); err != nil && len(answer) > 0 {
		return err
	}
	if !wait || accepted.JobID == "" {
		return a.print(answer)
	}
	last, err := a.waitJob(ctx, accepted.JobID)
	if err != nil {
		return err
	}
	return a.print(last)
}

// waitJob follows a job to its end, with a bar on the terminal. A job that did not succeed is an error.
func (a *API) waitJob(ctx context.Context, id string) (json.RawMessage, error) {
	var bar *progressbar.ProgressBar
	defer func() {
		if bar != nil {
			_ = bar.Exit() // what it could not draw is lost, no more
			fmt.Fprintln(os.Stderr)
		}
	}()
	return a.until(ctx, "/jobs/"+url.PathEscape(id), func(answer json.RawMessage) (bool, error) {
		var j job
		if err := json.Unmarshal(answer, &j); err != nil {
			return false, err
		}
		if bar == nil && a.showsProgress() && j.Progress.Total > 0 {
			bar = progressbar.NewOptions(j.Progress.Total, progressbar.OptionSetDescription(j.Type),
				progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30))
		}
		if bar != nil {
			bar.ChangeMax(max(j.Progress.Total, j.Progress.Done))
			_ = bar.Set(j.Progress.Done)
		}
		switch j.State {
		case "succeeded":
			return true, nil
		case "failed", "canceled":
			return true, fmt.Errorf("job %s %s: %s", j.ID, j.State, serverMessage(j.Error))
		}
		return false, nil
	})
}

// showsProgress reports that somebody looks at a terminal.
func (a *API) showsProgress() bool {
	info, err := os.Stderr.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !a.flags.Quiet
}

// until gets path again and again until done says so, and returns the last answer. That no pod answers, or none leads,
// is borne for the time of one call.
func (a *API) until(ctx context.Context, path string, done func(json.RawMessage) (bool, error)) (json.RawMessage, error) {
	var silentSince time.Time
	for {
		answer, err := a.get(ctx, path, nil)
		switch {
		case err == nil:
			silentSince = time.Time{}
			if finished, err := done(answer); finished || err != nil {
				return answer, err
			}
		case !passing(err) || !silentSince.IsZero() && time.Since(silentSince) > a.flags.Timeout:
			return nil, err
		case silentSince.IsZero():
			silentSince = time.Now()
		}
		if err := pause(ctx, pollInterval); err != nil {
			return nil, err
		}
	}
}

// passing reports an error that may be over in a moment.
func passing(err error) bool {
	var answered *APIError
	return errors.Is(err, ErrUnreachable) || errors.As(err, &answered) && answered.Status == http.StatusServiceUnavailable
}

// watch calls once every 2 s until ctx ends.
func watch(ctx context.Context, once func() error) error {
	for {
		if err := once(); err != nil && !errors.Is(err, ErrBadNews) {
			return err
		}
		if pause(ctx, 2*time.Second) != nil {
			return nil // ended by hand
		}
		fmt.Println()
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
